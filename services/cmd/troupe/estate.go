package main

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"troupe/services"
	"troupe/services/edge"
	"troupe/testenv/world"
	"troupe/topology/stream"
)

// estate is every service in this process, with the edge, and a simulated world
// around it: what a laptop runs.
type estate struct {
	world    *world.World
	contexts services.Contexts
	runner   *stream.Runner

	services, edge, workbench *listener
}

// addresses are where an estate listens, host:port.
type addresses struct{ services, edge, workbench string }

// anywhere is on free ports of this machine.
var anywhere = addresses{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}

// fewPartitions is enough for one process; what is counted does not depend on it.
const fewPartitions = 4

// newEstate makes the topics and connects world and
// estate. Nothing moves before run.
func newEstate(ctx context.Context, c stream.Config, w *world.World, metrics *prometheus.Registry, at addresses) (*estate, error) {
	e := &estate{world: w}
	var err error
	e.contexts, err = services.New(services.Config{
		Provider: w.Provider, Scoring: w.Scoring, Warehouse: w.Warehouse, ERP: w.ERP, Mail: w.Mail, MailFrom: "orders@troupe.example", Now: c.Clock.Now,
	})
	if err != nil {
		return nil, err
	}
	if _, err := stream.Apply(ctx, c, e.contexts.All); err != nil {
		return nil, err
	}
	services.TuneCollector(len(e.contexts.All), c.Limits)
	if e.runner, err = stream.New(ctx, c, e.contexts.All); err != nil {
		return nil, err
	}
	if e.services, err = open("services", at.services, door(e.runner, e.contexts, metrics)); err != nil {
		return nil, err
	}
	facade, err := edge.New(edge.Config{
		OrderCapture: e.services.url() + "/ordercapture", Tracking: e.services.url() + "/tracking", CRM: w.CRM, Now: c.Clock.Now,
	})
	if err != nil {
		return nil, err
	}
	if e.edge, err = open("edge", at.edge, facade); err != nil {
		return nil, err
	}
	if e.workbench, err = open("workbench", at.workbench, whenReady(e.runner, e.contexts.Workbench.Handler())); err != nil {
		return nil, err
	}
	return e, nil
}

// run runs the estate until ctx is done, and meanwhile, once it is ready, do.
func (e *estate) run(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runAll(ctx, e.runner, e.services, e.edge, e.workbench) }()
	select {
	case err := <-ended:
		return errors.Join(err, ctx.Err())
	case <-e.runner.Ready():
	}
	at := func(service string) string { return e.services.url() + "/" + service }
	e.world.Connect(world.Estate{
		Edge: e.edge.url(), Payment: at("payment"), Fraud: at("fraud"), Shipment: at("shipment"), Inventory: at("inventory"), Invoicing: at("invoicing"),
	})
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-ended:
		stop()
		return errors.Join(err, <-done)
	case err := <-done:
		stop()
		return errors.Join(err, <-ended)
	}
}
