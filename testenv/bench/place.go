package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// place is a broker, a registry, and names that nobody else has.
type place struct {
	Brokers    []string
	Options    []kgo.Opt `json:"-"` // of clients in the broker's own process
	Registry   string
	Prefix     string
	Partitions int32
	Workers    int
}

func (p place) topic(name string) string { return p.Prefix + name }

func (p place) client(more ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(slices.Concat(p.Options, more, []kgo.Opt{kgo.SeedBrokers(p.Brokers...)})...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return cl, nil
}

// wire is a codec that can write events, each given as topic and type.
func (p place) wire(ctx context.Context, events ...[2]string) (*schemas.Wire, error) {
	catalogue, err := schemas.Load()
	if err != nil {
		return nil, err
	}
	registry, err := schemas.NewRegistry(p.Registry)
	if err != nil {
		return nil, err
	}
	w := schemas.NewWire(catalogue, registry)
	for _, e := range events {
		if err := w.Prepare(ctx, e[0], e[1]); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// running is services at work as `troupe run` has them.
type running struct {
	metrics *prometheus.Registry
	runner  *stream.Runner
	store   *table.Store
	stop    context.CancelFunc
	ended   chan error
}

// start makes the topics that are missing and runs services on them.
func (p place) start(ctx context.Context, estate topology.Estate, t table.Config, l stream.Limits, all ...topology.Service) (*running, error) {
	store, err := table.Open(t)
	if err != nil {
		return nil, err
	}
	r, err := p.prepare(ctx, estate, store, clock.Wall(), l, all...)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	r.run(ctx)
	return r, nil
}

// prepare makes the topics that are missing and services that do not run yet.
func (p place) prepare(ctx context.Context, estate topology.Estate, store *table.Store, business clock.Clock, l stream.Limits, all ...topology.Service) (*running, error) {
	services.TuneCollector(len(all), l)
	wire, err := p.wire(ctx)
	if err != nil {
		return nil, err
	}
	estate.Partitions = p.Partitions
	r := &running{metrics: prometheus.NewRegistry(), store: store, ended: make(chan error, 1)}
	c := stream.Config{
		Brokers: p.Brokers, Options: p.Options, Prefix: p.Prefix, Instance: "bench", Workers: p.Workers, Estate: estate, Wire: wire, Store: store,
		Clock: business, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Metrics: stream.NewMetrics(r.metrics), Limits: l,
	}
	if _, err := stream.Apply(ctx, c, all); err != nil {
		return nil, err
	}
	r.runner, err = stream.New(ctx, c, all)
	return r, err
}

func (r *running) run(ctx context.Context) {
	ctx, r.stop = context.WithCancel(ctx)
	go func() { r.ended <- r.runner.Run(ctx) }()
}

// ready waits until every task is assigned and restored.
func (r *running) ready(ctx context.Context) error {
	select {
	case <-r.runner.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.ended:
		return fmt.Errorf("the services ended: %w", err)
	}
}

// finish stops the services: the last commit, the last checkpoint. The store is
// closed afterwards and by itself.
func (r *running) finish() error {
	r.stop()
	return <-r.ended
}

// until waits for a condition and looks so often; it fails if a service ends.
func (r *running) until(ctx context.Context, often time.Duration, is func() (bool, error)) error {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		ok, err := is()
		if ok || err != nil {
			return err
		}
		select {
		case err := <-r.ended:
			return fmt.Errorf("the services ended: %w", errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// observed sums a metric over its labels: how often it was observed, and the sum
// of what was; a gauge's value is its sum.
func (r *running) observed(name string) (count, sum float64, err error) {
	families, err := r.metrics.Gather()
	if err != nil {
		return 0, 0, fmt.Errorf("gather metrics: %w", err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			count += float64(m.GetHistogram().GetSampleCount())
			sum += m.GetHistogram().GetSampleSum() + m.GetGauge().GetValue()
		}
	}
	return count, sum, nil
}

// lag is how many records of some topics a group has not committed.
func lag(ctx context.Context, adm *kadm.Client, group string, topics ...string) (left int64, err error) {
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("list end offsets: %w", err)
	}
	done, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("fetch offsets of %s: %w", group, err)
	}
	ends.Each(func(e kadm.ListedOffset) {
		at := int64(0)
		if o, ok := done.Lookup(e.Topic, e.Partition); ok {
			at = max(0, o.At)
		}
		left += e.Offset - at
	})
	return left, errors.Join(ends.Error(), done.Error())
}

// drained waits until a group has committed all that lies on some topics.
func (r *running) drained(ctx context.Context, adm *kadm.Client, group string, topics ...string) error {
	return r.until(ctx, seldom, func() (bool, error) {
		left, err := lag(ctx, adm, group, topics...)
		return left == 0, err
	})
}

// visible counts the records of a topic that a reader of what is committed
// sees.
type visible struct {
	client *kgo.Client
	n      atomic.Int64
}

// watch reads a topic from its start, beside what is measured, until closed.
func (p place) watch(topic string) (*visible, error) {
	cl, err := p.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	v := &visible{client: cl}
	go func() {
		for {
			fetches := cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			v.n.Add(int64(fetches.NumRecords()))
		}
	}()
	return v, nil
}

func (v *visible) close() { v.client.Close() }

// sample reads some records of a topic, from the start of each partition.
func (p place) sample(ctx context.Context, topic string, n int) (records []*kgo.Record, err error) {
	cl, err := p.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	for len(records) < n {
		fetches := cl.PollRecords(ctx, n-len(records))
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read a sample of %s: %w", topic, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

// sampleLimit is for what must already be there.
const sampleLimit = 10 * time.Second
