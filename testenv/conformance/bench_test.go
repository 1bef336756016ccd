package conformance

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

type tender struct {
	Sequence int32  `avro:"sequence"`
	Kind     string `avro:"kind"`
	Amount   int64  `avro:"amount"`
}

type orderLine struct {
	Line     int32     `avro:"line"`
	SKU      string    `avro:"sku"`
	Quantity int32     `avro:"quantity"`
	UnitNet  int64     `avro:"unitNet"`
	Discount int64     `avro:"discount"`
	Freight  int64     `avro:"freight"`
	Tax      int64     `avro:"tax"`
	Node     string    `avro:"node"`
	ShipBy   time.Time `avro:"shipBy"`
}

type orderPlaced struct {
	schemas.Envelope `avro:"envelope"`
	Channel          string      `avro:"channel"`
	ChannelOrder     string      `avro:"channelOrder"`
	CustomerID       string      `avro:"customerId"`
	Currency         string      `avro:"currency"`
	Lines            []orderLine `avro:"lines"`
	Tenders          []tender    `avro:"tenders"`
	PromisedBy       time.Time   `avro:"promisedBy"`
	Origin           string      `avro:"origin"`
}

// bench is a broker, a registry and a clock, and what runs on them.
type bench struct {
	t        *testing.T
	broker   *kfake.Cluster
	registry *srfake.Registry
	wire     *schemas.Wire
	estate   topology.Estate
	clock    *clock.Jump
	raw      *kgo.Client
	dirs     map[string]string
	limits   stream.Limits
	options  []kgo.Opt
}

var nine = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

const partitions = 4

func newBench(t *testing.T) *bench {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	registry := srfake.New()
	t.Cleanup(registry.Close)
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := schemas.NewRegistry(registry.URL())
	if err != nil {
		t.Fatal(err)
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	estate.Partitions = partitions
	raw, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	b := &bench{t: t, broker: broker, registry: registry, wire: schemas.NewWire(catalogue, reg), estate: estate, clock: clock.NewJump(nine), raw: raw, dirs: map[string]string{}}
	b.limits = stream.Limits{Heartbeat: 100 * time.Millisecond, SessionTimeout: 6 * time.Second}
	if err := b.wire.Prepare(t.Context(), "orders", "OrderPlaced"); err != nil {
		t.Fatal(err)
	}
	return b
}

// instance is one running process's worth of services.
type instance struct {
	b      *bench
	runner *stream.Runner
	store  *table.Store
	stop   context.CancelFunc
	done   chan error
}

// start runs services as an instance; one started again finds its directory.
func (b *bench) start(name string, services ...topology.Service) *instance {
	b.t.Helper()
	if b.dirs[name] == "" {
		b.dirs[name] = b.t.TempDir()
	}
	store, err := table.Open(table.Config{Dir: b.dirs[name]})
	if err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.Default()
	}
	c := stream.Config{
		Brokers: b.broker.ListenAddrs(), Options: b.options, Instance: name, Estate: b.estate, Wire: b.wire, Clock: b.clock, Store: store,
		Log: log.With("instance", name), Metrics: stream.NewMetrics(prometheus.NewRegistry()), Limits: b.limits,
	}
	ctx, stop := context.WithCancel(context.Background())
	if _, err := stream.Apply(ctx, c, services); err != nil {
		b.t.Fatal(err)
	}
	runner, err := stream.New(ctx, c, services)
	if err != nil {
		b.t.Fatal(err)
	}
	i := &instance{b: b, runner: runner, store: store, stop: stop, done: make(chan error, 1)}
	go func() { i.done <- runner.Run(ctx) }()
	b.t.Cleanup(i.end)
	return i
}

// end stops the instance cleanly, once.
func (i *instance) end() {
	if i.store == nil {
		return
	}
	i.stop()
	if err := <-i.done; err != nil {
		i.b.t.Errorf("the instance ended with %v", err)
	}
	if err := i.store.Close(); err != nil {
		i.b.t.Error(err)
	}
	i.store = nil
}

// settle lets the clock run until nothing is due.
func (b *bench) settle() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	if err := b.clock.Run(ctx); err != nil {
		b.t.Fatalf("the clock stands: %v: %s", err, b.clock.Stuck())
	}
}

func placed(order string) *orderPlaced {
	return &orderPlaced{
		Envelope: schemas.Envelope{
			ID: schemas.FactID("placed", order), Type: "OrderPlaced", Source: "ordercapture", OccurredAt: nine, Tenant: "acme",
			Order: order, AggregateID: "acme/" + order, CorrelationID: schemas.FactID("flow", "acme", order),
		},
		Channel: "web", ChannelOrder: order, CustomerID: "c1", Currency: "EUR", PromisedBy: nine.Add(72 * time.Hour),
		Tenders: []tender{{1, "credit_card", 1250}}, Origin: "NEW",
	}
}

func (b *bench) framed(order string) []byte {
	b.t.Helper()
	value, err := b.wire.Encode("orders", placed(order))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// homeOf is the partition of an order's key, asked of the client's own
// murmur2 rather than of ours.
func homeOf(order string) int32 {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("orders")
	return int32(p.Partition(&kgo.Record{Key: []byte("acme/" + order)}, partitions))
}

// publish writes an order as some producer of another team would.
func (b *bench) publish(order string) { b.put(order, homeOf(order), b.framed(order)) }

func (b *bench) put(order string, partition int32, value []byte) {
	b.t.Helper()
	r := &kgo.Record{Topic: "orders", Partition: partition, Key: []byte("acme/" + order), Value: value}
	if err := b.raw.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	b.clock.Published("orders", r.Partition, r.Offset+1)
}

// read returns all committed records of a topic.
func (b *bench) read(topic string) []*kgo.Record {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.broker.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	left := map[int32]int64{}
	for _, p := range b.broker.PartitionInfos(topic) {
		if p.HighWatermark > 0 {
			left[p.Partition] = p.HighWatermark
		}
	}
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := cl.PollFetches(b.t.Context())
		if err := fetches.Err(); err != nil {
			b.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

// scores reads the facts of the counting service: order → scores in order.
func (b *bench) scores() map[string][]int32 {
	b.t.Helper()
	type body struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32 `avro:"score"`
	}
	reader, err := schemas.NewReader[body](b.wire, "FraudCleared")
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[string][]int32{}
	for _, r := range b.read("fraud") {
		f, err := b.wire.Open(b.t.Context(), r.Value)
		if err != nil {
			b.t.Fatal(err)
		}
		var m body
		if err := reader.Decode(f, &m); err != nil {
			b.t.Fatal(err)
		}
		got[m.Order] = append(got[m.Order], m.Score)
	}
	return got
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func orders(n int) []string {
	var list []string
	for i := range n {
		list = append(list, "web-"+strconv.Itoa(i))
	}
	return list
}
