// Package bench measures the runtime beside what it stands on. Absolute figures
// drift with the machine; each benchmark reports its ratio to a baseline taken
// in the same run.
package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

type holdPlaced struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32  `avro:"score"`
	Reason           string `avro:"reason"`
}

type fraudCleared struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32  `avro:"score"`
	Basis            string `avro:"basis"`
}

type read struct {
	Score int32 `avro:"score"`
}

type row struct {
	Score int32 `avro:"score"`
}

// echo is the smallest service: one event in, one fact out, one row.
func echo() topology.Service {
	return topology.Service{
		Name: "risk", Owner: "risk", Doc: "echoes", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(r *row, e read, t *topology.Turn) error {
			r.Score = e.Score
			t.Publish(&fraudCleared{Score: e.Score, Basis: "SCORE"})
			return nil
		}))},
	}
}

const partitions = 4

type rig struct {
	brokers []string
	prefix  string
	wire    *schemas.Wire
	estate  topology.Estate
	raw     *kgo.Client
}

// real is the Kafka that all benchmarks share with TROUPE_REAL=1.
var real broker.Shared

func TestMain(m *testing.M) { os.Exit(real.Run(m)) }

// connect finds a broker and a registry, and a prefix that nobody has used.
func (r *rig) connect(b *testing.B) (registry string) {
	b.Helper()
	r.prefix = fmt.Sprintf("bench-%x.", time.Now().UnixNano())
	if os.Getenv("TROUPE_REAL") == "1" {
		both, err := real.Get()
		if err != nil {
			b.Fatal(err)
		}
		r.brokers = both.Kafka.Brokers
		return both.Apicurio.URL
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(fake.Close)
	r.brokers = fake.ListenAddrs()
	s := srfake.New()
	b.Cleanup(s.Close)
	return s.URL()
}

func newRig(b *testing.B) *rig {
	b.Helper()
	r := &rig{}
	registry := r.connect(b)
	catalogue, err := schemas.Load()
	if err != nil {
		b.Fatal(err)
	}
	reg, err := schemas.NewRegistry(registry)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(raw.Close)
	r.wire, r.raw = schemas.NewWire(catalogue, reg), raw
	r.estate = topology.Estate{
		Version: 1, Partitions: partitions, Topics: []topology.Topic{
			{Name: "holds", Owner: "risk", Key: "tenant/order", Events: []string{"FraudHoldPlaced"}, Retention: topology.Retention{Compact: true}},
			{Name: "fraud", Owner: "risk", Key: "tenant/order", Events: []string{"FraudCleared"}, Retention: topology.Retention{Compact: true}},
		},
	}
	if err := r.wire.Prepare(b.Context(), "holds", "FraudHoldPlaced"); err != nil {
		b.Fatal(err)
	}
	return r
}

// fill writes n events, each of an order of its own.
func (r *rig) fill(b *testing.B, n int) {
	b.Helper()
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	first := kgo.FirstErrPromise{}
	for i := range n {
		order := fmt.Sprintf("web-%08d", i)
		value, err := r.wire.Encode("holds", &holdPlaced{
			Envelope: schemas.Envelope{ID: schemas.FactID(order), Type: "FraudHoldPlaced", Source: "bench", OccurredAt: at, Tenant: "acme", Order: order, CorrelationID: schemas.FactID("flow", order)},
			Score:    int32(i), Reason: "measured",
		})
		if err != nil {
			b.Fatal(err)
		}
		r.raw.Produce(b.Context(), &kgo.Record{Topic: r.prefix + "holds", Key: []byte("acme/" + order), Value: value}, first.Promise())
	}
	if err := r.raw.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := first.Err(); err != nil {
		b.Fatal(err)
	}
}

func (r *rig) config(b *testing.B, size int) stream.Config {
	b.Helper()
	store, err := table.Open(table.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return stream.Config{
		Brokers: r.brokers, Prefix: r.prefix, Instance: "bench", Estate: r.estate, Wire: r.wire, Store: store,
		Clock: clock.NewJump(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Metrics: stream.NewMetrics(prometheus.NewRegistry()), Limits: stream.Limits{TransactionInputs: size},
	}
}

// runtime echoes all events through the runtime and returns how long it took.
func (r *rig) runtime(b *testing.B, size int) time.Duration {
	b.Helper()
	c := r.config(b, size)
	runner, err := stream.New(b.Context(), c, []topology.Service{echo()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- runner.Run(ctx) }()
	if err := c.Clock.(*clock.Jump).Run(ctx); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}

// bare copies the same bytes with nothing but the client: exactly once, the same
// number of records a transaction.
func (r *rig) bare(b *testing.B, size, n int) time.Duration {
	b.Helper()
	began := time.Now()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(r.brokers...), kgo.ConsumerGroup(r.prefix+"bare"), kgo.ConsumeTopics(r.prefix+"holds"), kgo.TransactionalID(r.prefix+"bare"),
		kgo.BlockRebalanceOnPoll(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		b.Fatal(err)
	}
	defer s.CloseAllowingRebalance()
	for seen := 0; seen < n; {
		fetches := s.PollRecords(b.Context(), size)
		if err := s.Begin(); err != nil {
			b.Fatal(err)
		}
		fetches.EachRecord(func(in *kgo.Record) {
			seen++
			s.Produce(b.Context(), &kgo.Record{Topic: r.prefix + "fraud", Key: in.Key, Value: in.Value}, nil)
		})
		if ok, err := s.End(b.Context(), kgo.TryCommit); !ok || err != nil {
			b.Fatal(ok, err)
		}
		s.AllowRebalance()
	}
	return time.Since(began)
}

// BenchmarkEcho: records a second through the runtime (decode, deduplicate,
// step, encode, changelog, checkpoint) against a bare copy of the same bytes.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{100, 5_000, 20_000} {
		b.Run(fmt.Sprintf("records=%d", size), func(b *testing.B) { measure(b, size, 200_000) })
	}
}

// BenchmarkTransaction: the same with one record a transaction, so what counts
// is the round trips.
func BenchmarkTransaction(b *testing.B) { measure(b, 1, 1000) }

// measure moves n records, size in a transaction, by the runtime and bare.
func measure(b *testing.B, size, n int) {
	for b.Loop() {
		b.StopTimer()
		r := newRig(b)
		if _, err := stream.Apply(b.Context(), r.config(b, size), []topology.Service{echo()}); err != nil {
			b.Fatal(err)
		}
		r.fill(b, n)
		bare := r.bare(b, size, n)
		b.StartTimer()
		took := r.runtime(b, size)
		b.ReportMetric(float64(n)/took.Seconds(), "records/s")
		b.ReportMetric(float64(n)/bare.Seconds(), "bare-records/s")
		b.ReportMetric(bare.Seconds()/took.Seconds(), "ratio")
	}
}

// BenchmarkStep: a step by itself, with its outputs.
func BenchmarkStep(b *testing.B) {
	step := echo().Sets[0].Handlers[0]
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for b.Loop() {
		t := topology.Turn{Cause: topology.Cause{Key: "acme/web-1"}, Now: at}
		if err := step.Apply(&row{}, read{Score: 7}, &t); err != nil || len(t.Outputs().Facts) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkCodec: one event to bytes and back, as services do it.
func BenchmarkCodec(b *testing.B) {
	r := newRig(b)
	m := &holdPlaced{Envelope: schemas.Envelope{ID: schemas.FactID("a"), Type: "FraudHoldPlaced", Source: "bench", OccurredAt: time.UnixMilli(1), Tenant: "acme", Order: "web-1"}, Score: 7, Reason: "measured"}
	value, err := r.wire.Encode("holds", m)
	if err != nil {
		b.Fatal(err)
	}
	type projection struct {
		Envelope schemas.Envelope `avro:"envelope"`
		Score    int32            `avro:"score"`
	}
	reader, err := schemas.NewReader[projection](r.wire, "FraudHoldPlaced")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.wire.Encode("holds", m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			f, err := r.wire.Open(b.Context(), value)
			if err != nil {
				b.Fatal(err)
			}
			var p projection
			if err := reader.Decode(f, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generic", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := r.wire.JSON(b.Context(), value); err != nil {
				b.Fatal(err)
			}
		}
	})
}
