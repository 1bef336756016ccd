package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/testenv/world"
	"troupe/topology/clock"
)

// laptop runs every service in this process on an embedded broker and registry,
// among invented traffic, in quickened time.
type laptop struct {
	*options
	workers int
	listen  addresses
	speed   float64
	rate    float64
	seed    uint64
}

// quickened is what the runtime does once a second, where a second is many minutes.
const quickened = 50 * time.Millisecond

// begin is where a laptop's business time starts: a Monday morning, so that desks
// and nodes are open.
var begin = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

func (l *laptop) run(cmd *cobra.Command) (err error) {
	if !(l.speed > 0) {
		return usageError{fmt.Errorf("--speed %v: business seconds a second must be above zero", l.speed)}
	}
	err = errors.Join(
		idle(cmd, "without --brokers, run all keeps nothing; troupe demo can", "state"),
		idle(cmd, "without --brokers the registry is embedded, as the broker is", "registry"),
		idle(cmd, "without --brokers a simulated world is every partner", simulated...),
		idle(cmd, "without --brokers each service has one", "workers"),
	)
	if err != nil {
		return err
	}
	dials := world.Lively(l.seed, begin)
	dials.PerHour = l.rate
	source, err := world.Invent(dials)
	if err != nil {
		return usageError{err}
	}
	var closes []func() error
	defer func() {
		for i := len(closes) - 1; i >= 0; i-- {
			err = errors.Join(err, closes[i]())
		}
	}()
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText})
	if err != nil {
		return err
	}
	closes = append(closes, b.Close)
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	business := clock.Quick(begin, l.speed)
	w, err := world.Start(world.Config{Source: source, Clock: business, Log: log})
	if err != nil {
		return err
	}
	closes = append(closes, w.Close)
	metrics := prometheus.NewRegistry()
	local := *l.options
	local.brokers, local.registry, local.state = b.Brokers, b.Registry, ""
	config, closeStore, err := local.runtime(business, log, metrics)
	if err != nil {
		return err
	}
	closes = append(closes, closeStore)
	config.Options = append(config.Options, b.Options...)
	config.Estate.Partitions = fewPartitions
	config.Limits.WatchEvery, config.Limits.IdleCommit = quickened, quickened
	e, err := newEstate(cmd.Context(), config, w, metrics, l.listen)
	if err != nil {
		return err
	}
	return e.run(cmd.Context(), func(ctx context.Context) error {
		l.greet(cmd, e, b)
		<-ctx.Done()
		fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
		return nil
	})
}

func (l *laptop) greet(cmd *cobra.Command, e *estate, b *broker.Embedded) {
	fmt.Fprintf(cmd.OutOrStdout(), `The estate is running: %v orders a business hour, %v business seconds a second.

  workbench  %s
  edge       %s/v1/orders        (GET %s/openapi.yaml)
  metrics    %s/metrics
  broker     %s
  registry   %s

Ctrl-C ends it.
`, l.rate, l.speed, e.workbench.url(), e.edge.url(), e.edge.url(), e.services.url(), b.Brokers[0], b.Registry)
}
