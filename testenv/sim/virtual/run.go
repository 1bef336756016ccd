package virtual

import (
	"context"
	"fmt"
	"time"
)

// How a run goes, in virtual time.
const (
	loadTime  = 100 * time.Second // the probe's inputs come over this time
	faultTime = 150 * time.Second
	faults    = 14

	processes  = 2
	orders     = 8
	faultsOver = 130 * time.Second
	lookEvery  = 30 * time.Second  // the invariants that hold at every moment
	patience   = 20 * time.Minute  // with all there is
	settled    = 440 * time.Second // by then every order has come to its end, six business days and more
)

// verdict is what came of a run.
type verdict struct {
	hash   string
	lines  int
	faults []fault
	wrong  []string
	stuck  []string // groups that the embedded broker has left without an end to their rebalance
}

// unjudged is what a run says that the broker has spoilt.
const unjudged = "not judged, the embedded broker's groups are stuck:"

// run plays a seed to its end.
func run(ctx context.Context, u setup, plan []fault) (v verdict, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the run is not over after %v", patience))
	defer cancel()
	s, err := build(ctx, u)
	if err != nil {
		return v, fmt.Errorf("build the site: %w", err)
	}
	s.connect()
	stood := time.Now()
	s.trace.add("the estate stands")
	l, err := newLoad(s)
	if err != nil {
		return v, err
	}
	loaded := make(chan error, 1)
	go func() { loaded <- l.run(s.ctx, loadTime) }()
	look := stood.Add(lookEvery)
	until := func(t time.Time) error {
		for time.Now().Before(t) && len(s.failed()) == 0 {
			if look.Before(t) {
				time.Sleep(time.Until(look))
				look = look.Add(lookEvery)
				if err := s.judge(ctx, false); err != nil {
					return err
				}
				continue
			}
			time.Sleep(time.Until(t))
		}
		return nil
	}
	for _, f := range plan {
		if err := until(stood.Add(f.at)); err != nil {
			return v, err
		}
		s.suffer(f)
	}
	if err := until(stood.Add(faultTime)); err != nil {
		return v, err
	}
	s.heal()
	s.trace.add("all is healed")
	if err := <-loaded; err != nil {
		return v, err
	}
	if err := until(stood.Add(settled)); err != nil {
		return v, err
	}
	var stuck []string
	whole := len(s.failed()) == 0 // or the run was broken off: what is wrong is wrong, what has not come is not
	if whole {
		stuck = s.stuck()
	}
	s.rest()
	if err := s.judge(ctx, whole); err != nil {
		return v, err
	}
	if err := s.judgeState(ctx); err != nil {
		return v, err
	}
	err = s.close()
	return verdict{hash: s.trace.hash(), lines: s.trace.lines, faults: plan, wrong: s.failed(), stuck: stuck}, err
}
