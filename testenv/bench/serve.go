package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"troupe/services/reconciliation"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// work is a service that reads what lies on its topics to the last record.
type work struct {
	Place   place
	Service string   // of those that subject knows
	Inputs  []string // topics that were filled before
	Records int      // on them
	Output  string   // topic
	Facts   int      // that must be visible on it in the end, and no more
	Store   table.Config
	Limits  stream.Limits
}

// subject is a service that can be measured, with the estate it lives in.
func subject(name string) (topology.Service, topology.Estate, error) {
	if name == "echo" {
		return echoService(), echoEstate(), nil
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		return topology.Service{}, estate, err
	}
	if name != "reconciliation" {
		return topology.Service{}, estate, fmt.Errorf("no service %q is measured", name)
	}
	rules, err := reconciliation.DefaultRules()
	if err != nil {
		return topology.Service{}, estate, err
	}
	rules, err = rules.Without("orders", "payments", "stock")
	return reconciliation.Service(rules), estate, err
}

// Looks at what is measured are seldom enough to cost nothing.
const (
	often  = 5 * time.Millisecond
	seldom = 20 * time.Millisecond
)

// serve runs the work and says how fast it went: from when it was given the first
// of its tasks to the last input committed, what is owed for them visible, and
// the last checkpoint done.
func serve(ctx context.Context, w work) (r result, err error) {
	service, estate, err := subject(w.Service)
	if err != nil {
		return nil, err
	}
	cl, err := w.Place.client()
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(cl)
	defer adm.Close()
	run, err := w.Place.start(ctx, estate, w.Store, w.Limits, service)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.store.Close()) }()
	facts, err := w.Place.watch(w.Place.topic(w.Output))
	if err != nil {
		return nil, err
	}
	defer facts.close()

	if err := run.until(ctx, often, func() (bool, error) { _, tasks, err := run.observed("troupe_tasks"); return tasks > 0, err }); err != nil {
		return nil, err
	}
	began := time.Now()
	// By a metric first: to ask the broker all the time would be a load of its own.
	if err := run.until(ctx, seldom, func() (bool, error) {
		_, inputs, err := run.observed("troupe_transaction_inputs")
		return inputs >= float64(w.Records), err
	}); err != nil {
		return nil, err
	}
	var inputs []string
	for _, t := range w.Inputs {
		inputs = append(inputs, w.Place.topic(t))
	}
	if err := run.drained(ctx, adm, w.Place.topic(service.Name), inputs...); err != nil {
		return nil, err
	}
	if err := run.until(ctx, often, func() (bool, error) { return facts.n.Load() >= int64(w.Facts), nil }); err != nil {
		return nil, err
	}
	if err := run.finish(); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if n := facts.n.Load(); n != int64(w.Facts) {
		return nil, fmt.Errorf("%d facts came of it, want %d", n, w.Facts)
	}
	transactions, inputsIn, err := run.observed("troupe_transaction_inputs")
	return result{"rate": float64(w.Records) / took.Seconds(), "transaction": inputsIn / transactions}, err
}
