package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology/stream"
	"troupe/topology/table"
)

const (
	hops     = 300
	warmHops = 30 // before them, not counted
	hopPause = 20 * time.Millisecond
	hopLimit = 10 * time.Second // for one: then it is lost
)

// hop compares how long one record takes through the smallest service on an idle
// system with how long it takes through a bare client's transaction that writes
// the same records: from the call that sends it to when a reader of what is
// committed has its fact.
func hop(ctx context.Context, s *sitting) error {
	p := s.place("hop")
	var ours, bare []result
	for round := range s.rounds {
		for _, b := range []bool{false, true} {
			if err := s.forget(ctx, p.topic("bare"), p.topic("holds"), p.topic("bare.fraud"), p.topic("bare.state")); err != nil {
				return err
			}
			if !b { // the bare client writes what the runtime has just written
				if err := s.forget(ctx, p.topic("risk"), p.topic("fraud"), p.topic("risk.state")); err != nil {
					return err
				}
			}
			r, err := s.trial(ctx, "hop", hopping{Place: p, Bare: b})
			if err != nil {
				return err
			}
			s.say("round %d of %d: bare %v: p50 %.1f ms, p99 %.1f ms", round+1, s.rounds, b, r["p50"], r["p99"])
			if b {
				bare = append(bare, r)
			} else {
				ours = append(ours, r)
			}
		}
	}
	p99 := func(r result) float64 { return r["p99"] }
	p50 := func(r result) float64 { return r["p50"] }
	vs := ratios(each(ours, p99), each(bare, p99))
	s.detail("hop, ms: runtime p50 %s, p99 %s; bare client p50 %s, p99 %s; p99 / p99 %s",
		spread(each(ours, p50)), spread(each(ours, p99)), spread(each(bare, p50)), spread(each(bare, p99)), spread(vs))
	s.figures["hop_p99_ms"], s.figures["hop_vs_raw"] = median(each(ours, p99)), median(vs)
	return s.forgetAll(ctx, p.Prefix)
}

func each(results []result, of func(result) float64) (out []float64) {
	for _, r := range results {
		out = append(out, of(r))
	}
	return out
}

type hopping struct {
	Place place
	Bare  bool
}

// hopTrial sends records one after the other, each when the one before has come
// through.
func hopTrial(ctx context.Context, h hopping) (r result, err error) {
	pings := warmHops + hops
	pen, err := h.Place.pen(ctx, "holds") // the topic, before anybody reads it
	if err != nil {
		return nil, err
	}
	pen.close()
	if h.Bare {
		b, err := newBare(ctx, copying{Place: h.Place, Records: pings, Size: 1, Echoed: true})
		if err != nil {
			return nil, err
		}
		working, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- b.run(working) }()
		r, err := ping(ctx, h.Place, "bare.fraud", pings)
		stop()
		if werr := <-ended; !errors.Is(werr, context.Canceled) {
			err = errors.Join(err, werr)
		}
		return r, err
	}
	run, err := h.Place.start(ctx, echoEstate(), table.Config{}, stream.Limits{}, echoService())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.finish(), run.store.Close()) }()
	if err := run.ready(ctx); err != nil {
		return nil, err
	}
	return ping(ctx, h.Place, "fraud", pings)
}

// ping measures n hops to a topic that is empty.
func ping(ctx context.Context, p place, to string, n int) (result, error) {
	w, err := p.wire(ctx, [2]string{"holds", "FraudHoldPlaced"})
	if err != nil {
		return nil, err
	}
	cl, err := p.client(kgo.ConsumeTopics(p.topic(to)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var millis []float64
	pause := time.NewTicker(hopPause)
	defer pause.Stop()
	for i := range n {
		<-pause.C
		m := hold(i, time.Now())
		value, err := w.Encode("holds", m)
		if err != nil {
			return nil, err
		}
		key := tenant + "/" + m.Order
		began := time.Now()
		cl.Produce(ctx, &kgo.Record{Topic: p.topic("holds"), Key: []byte(key), Value: value}, nil)
		if err := arrives(ctx, cl, key); err != nil {
			return nil, fmt.Errorf("hop %d: %w", i, err)
		}
		if i >= warmHops {
			millis = append(millis, float64(time.Since(began).Microseconds())/1000)
		}
	}
	return result{"p50": quantile(millis, 0.5), "p99": quantile(millis, 0.99)}, nil
}

// arrives waits for a record with a key.
func arrives(ctx context.Context, cl *kgo.Client, key string) error {
	ctx, cancel := context.WithTimeout(ctx, hopLimit)
	defer cancel()
	for {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("nothing came in %v: %w", hopLimit, err)
		}
		for _, r := range fetches.Records() {
			if string(r.Key) == key {
				return nil
			}
		}
	}
}
