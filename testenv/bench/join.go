package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"troupe/topology/stream"
	"troupe/topology/table"
)

const (
	joinOrders = 1_000_000 // each with a shipment and an invoice
	joinTrail  = 50_000    // orders that an invoice comes after its shipment

	allCached   = 8 << 30 // bytes of rows: more than there are
	streamsAll  = 256     // MiB of Streams' record cache: more than its rows take
	streamsPart = 12      // MiB: a tenth of what they take
)

// settled is old enough for every grace to be over: what is to be told of an
// order is told as soon as all is read.
func settled() time.Time { return time.Now().UTC().Add(-72 * time.Hour).Truncate(time.Hour) }

// fill writes a measurement's shipments and invoices.
func (s *sitting) fill(ctx context.Context, t trading) error {
	began := time.Now()
	if _, err := s.trial(ctx, "trade", t); err != nil {
		return err
	}
	s.say("%d orders written in %v", t.Orders, time.Since(began).Round(time.Second))
	return nil
}

// reconciles is reconciliation as it reads the orders of a place, from nothing.
func (s *sitting) reconciles(p place, orders int, rows int64, t table.Config) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		if err := s.forget(ctx, p.topic("reconciliation"), p.topic("mismatches"), p.topic("reconciliation.state")); err != nil {
			return 0, err
		}
		r, err := s.trial(ctx, "serve", work{
			Place: p, Service: "reconciliation", Inputs: []string{"shipments", "invoices"}, Records: 2 * orders,
			Output: "mismatches", Facts: mismatches(orders), Store: t, Limits: stream.Limits{RowCacheBytes: rows},
		})
		s.say("records in a transaction: %.0f", r["transaction"])
		return r["rate"], err
	}
}

// join compares reconciliation with Kafka Streams and with itself without a
// disk, on the same topics, all rows cached.
func join(ctx context.Context, s *sitting) error {
	p, orders := s.place("join"), s.scaled(joinOrders)
	if err := s.fill(ctx, trading{Place: p, Orders: orders, Invoices: true, Trail: min(joinTrail, orders/2), Begin: settled()}); err != nil {
		return err
	}
	peers := s.peersOf(p, orders)
	reached, err := s.alternate(ctx, append(slices.Clone(peers),
		contender{"join", s.reconciles(p, orders, allCached, table.Config{})},
		contender{"no store", s.reconciles(p, orders, allCached, table.Config{Memory: true})})...)
	if err != nil {
		return err
	}
	vs := ratios(reached["join"], reached["no store"])
	s.detail("join: %s/s; with a map for a store %s/s; ratio %s", spread(reached["join"]), spread(reached["no store"]), spread(vs))
	s.figures["join_vs_no_store"] = median(vs)
	if len(peers) > 0 {
		s.joinFigures(reached, peers)
	}
	return s.forgetAll(ctx, p.Prefix)
}

// peersOf are the settings of Streams that the join is compared with: the first
// is the one like ours.
func (s *sitting) peersOf(p place, orders int) []contender {
	if !s.peers {
		return nil
	}
	peers := []contender{{"streams disk 100 ms", s.streams(p, orders, "disk", 100, streamsAll)}}
	for _, commit := range []int{100, 1_000, 10_000} {
		peers = append(peers, contender{"streams memory " + strconv.Itoa(commit) + " ms", s.streams(p, orders, "memory", commit, streamsAll)})
	}
	return peers
}

func (s *sitting) joinFigures(reached map[string][]float64, peers []contender) {
	best := slices.Clone(reached[peers[0].name])
	for _, peer := range peers {
		s.detail("join, %s: %s/s", peer.name, spread(reached[peer.name]))
		for round, v := range reached[peer.name] {
			best[round] = max(best[round], v)
		}
	}
	vs, vsBest := ratios(reached["join"], reached[peers[0].name]), ratios(reached["join"], best)
	s.detail("join / streams disk 100 ms %s; / the best of streams %s", spread(vs), spread(vsBest))
	s.figures["join_vs_streams"], s.figures["join_vs_streams_best"] = median(vs), median(vsBest)
}

// joinRandom is the join where an invoice is of any order, and a tenth of the
// rows fits into either cache.
func joinRandom(ctx context.Context, s *sitting) error {
	p, orders := s.place("random"), s.scaled(joinOrders)
	if err := s.fill(ctx, trading{Place: p, Orders: orders, Invoices: true, Trail: min(joinTrail, orders/2), Random: true, Begin: settled()}); err != nil {
		return err
	}
	if _, err := s.reconciles(p, orders, allCached, table.Config{})(ctx); err != nil { // for the size of its rows
		return err
	}
	tenth, err := s.tenth(ctx, p, orders)
	if err != nil {
		return err
	}
	contenders := []contender{{"join", s.reconciles(p, orders, tenth, table.Config{})}}
	if s.peers {
		contenders = append(contenders, contender{"streams", s.streams(p, orders, "disk", 100, max(1, int(streamsPart*s.scale)))})
	}
	reached, err := s.alternate(ctx, contenders...)
	if err != nil {
		return err
	}
	s.detail("join in random order, a tenth cached: %s/s", spread(reached["join"]))
	if s.peers {
		vs := ratios(reached["join"], reached["streams"])
		s.detail("the same, streams disk 100 ms: %s/s; join / streams %s", spread(reached["streams"]), spread(vs))
		s.figures["join_random_vs_streams"] = median(vs)
	}
	return s.forgetAll(ctx, p.Prefix)
}

// tenth is the limit of the cache that holds a tenth of the rows.
func (s *sitting) tenth(ctx context.Context, p place, orders int) (int64, error) {
	rows, err := p.sample(ctx, p.topic("reconciliation.state"), pieces)
	if err != nil {
		return 0, err
	}
	var bytes int
	for _, r := range rows {
		bytes += table.RowOverhead + len(r.Key) + len(r.Value)
	}
	return int64(bytes) * int64(orders) / int64(10*len(rows)), nil
}
