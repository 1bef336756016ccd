package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"troupe/topology/stream"
	"troupe/topology/table"
)

// restoreRows are the orders whose rows are restored.
const restoreRows = 2_000_000

// restore says how fast reconciliation's rows come back from their changelog to a
// disk that has nothing of them, a tenth of them cached, and how long a start
// takes on a disk that has them all.
func restore(ctx context.Context, s *sitting) error {
	p, orders := s.place("restore"), s.scaled(restoreRows)
	// Of now: what is missing is not yet overdue, so that every row has a timer.
	if err := s.fill(ctx, trading{Place: p, Orders: orders, Begin: time.Now().UTC()}); err != nil {
		return err
	}
	if _, err := s.trial(ctx, "serve", work{
		Place: p, Service: "reconciliation", Inputs: []string{"shipments"}, Records: orders, Output: "mismatches",
	}); err != nil {
		return err
	}
	tenth, err := s.tenth(ctx, p, orders)
	if err != nil {
		return err
	}
	var rates, warm []float64
	for round := range s.rounds {
		cold, again, err := s.restarts(ctx, p, tenth)
		if err != nil {
			return err
		}
		rates, warm = append(rates, float64(orders)/cold), append(warm, again)
		s.say("round %d of %d: %d rows restored in %.2f s, %s/s; warm restart %.2f s", round+1, s.rounds, orders, cold, number(float64(orders)/cold), again)
	}
	s.detail("restore of %d rows: %s/s; warm restart %s s", orders, spread(rates), spread(warm))
	s.figures["restore_per_s"], s.figures["warm_restart_s"] = median(rates), median(warm)
	return s.forgetAll(ctx, p.Prefix)
}

// restarts starts on an empty disk, stops, and starts again on what that left.
func (s *sitting) restarts(ctx context.Context, p place, cache int64) (cold, warm float64, err error) {
	dir, err := os.MkdirTemp("", "troupe-restore-")
	if err != nil {
		return 0, 0, fmt.Errorf("make a state directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	spec := restarting{Place: p, Store: table.Config{Dir: dir}, Limits: stream.Limits{RowCacheBytes: cache}}
	first, err := s.trial(ctx, "restart", spec)
	if err != nil {
		return 0, 0, err
	}
	second, err := s.trial(ctx, "restart", spec)
	return first["seconds"], second["seconds"], err
}

type restarting struct {
	Place  place
	Store  table.Config
	Limits stream.Limits
}

// restart starts reconciliation and says how long it took from opening the disk
// until it was ready: connected, its tasks assigned and restored.
func restart(ctx context.Context, r restarting) (found result, err error) {
	service, estate, err := subject("reconciliation")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	run, err := r.Place.start(ctx, estate, r.Store, r.Limits, service)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.store.Close()) }()
	if err := run.ready(ctx); err != nil {
		return nil, err
	}
	took := time.Since(began)
	return result{"seconds": took.Seconds()}, run.finish()
}
