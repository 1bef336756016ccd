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
	w, err := newWatch(s)
	if err != nil {
		return v, err
	}
	w.start(s.ctx)
	if at := u.harm.garbled; at > 0 {
		s.after(at-s.trace.age(), s.garble)
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
	until := func(t time.Time) {
		select {
		case <-time.After(time.Until(t)):
		case <-s.wrong:
		}
	}
	for _, f := range plan {
		until(stood.Add(f.at))
		s.suffer(f)
	}
	until(stood.Add(faultTime))
	s.heal()
	s.trace.add("all is healed")
	if err := <-loaded; err != nil {
		return v, err
	}
	until(stood.Add(settled))
	var stuck []string
	whole := len(s.failed()) == 0 // or the run was broken off: what is wrong is wrong, what has not come is not
	if whole {
		stuck = s.stuck()
	}
	s.rest()
	read, err := s.judge(ctx, whole)
	if err != nil {
		return v, err
	}
	w.end(read)
	if err := s.judgeState(ctx); err != nil {
		return v, err
	}
	err = s.close()
	return verdict{hash: s.trace.hash(), lines: s.trace.lines, faults: plan, wrong: s.failed(), stuck: stuck}, err
}
