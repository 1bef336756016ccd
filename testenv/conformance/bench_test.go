package conformance

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
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

// bench is a broker, a registry and a clock, and what runs on them. The broker is
// kfake, or with TROUPE_REAL=1 a real Kafka that the tests share, each under its
// own prefix.
type bench struct {
	t        *testing.T
	broker   *kfake.Cluster // nil on a real Kafka
	brokers  []string
	registry string
	prefix   string
	adm      *kadm.Client
	wire     *schemas.Wire
	estate   topology.Estate
	clock    *clock.Jump
	quick    clock.Clock // in its place, where one is set
	raw      *kgo.Client
	dirs     map[string]string
	teams    int // that write schemas of their own
	limits   stream.Limits
	workers  int // of a service; 0 for as many as by default

	// of the instances that are started next
	options  []kgo.Opt
	rehearse func(worker string, at stream.Point) error
	log      *slog.Logger // nil: with -v the default one

	// of what is judged at the end
	exceptions map[string]string // invariant → why
	unjudged   []string          // topics
	markers    time.Duration     // how long they may be on their way
}

var nine = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

const (
	partitions = 4
	patience   = time.Minute // for anything that has to happen
	askEvery   = 10 * time.Millisecond
)

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: clock.NewJump(nine), dirs: map[string]string{}, exceptions: map[string]string{}, markers: markersWithin}
	b.limits = stream.Limits{Heartbeat: 100 * time.Millisecond, SessionTimeout: 6 * time.Second}
	b.connect()
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := schemas.NewRegistry(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	b.wire = schemas.NewWire(catalogue, reg)
	if b.estate, err = topology.DefaultEstate(); err != nil {
		t.Fatal(err)
	}
	b.estate.Partitions = partitions
	b.raw, err = kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.raw.Close)
	t.Cleanup(b.judge) // once all that is started after this has ended
	b.adm = kadm.NewClient(b.raw)
	if err := b.wire.Prepare(t.Context(), "orders", "OrderPlaced"); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect finds the broker and the registry.
func (b *bench) connect() {
	b.t.Helper()
	if os.Getenv("TROUPE_REAL") == "1" {
		both, err := real.Get()
		if err != nil {
			b.t.Fatal(err)
		}
		b.brokers, b.registry = both.Kafka.Brokers, both.Apicurio.URL
		b.prefix = strings.NewReplacer("/", "-", "=", "-").Replace(b.t.Name()) + "."
		b.t.Cleanup(b.sweep)
		return
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(fake.Close)
	registry := srfake.New()
	b.t.Cleanup(registry.Close)
	b.broker, b.brokers, b.registry = fake, fake.ListenAddrs(), registry.URL()
}

// sweep takes the test's topics off the broker that all tests share: every
// instance that starts asks for the ends of all there are.
func (b *bench) sweep() {
	ctx := context.Background() // the test's own is over
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	if err != nil {
		b.t.Error(err)
		return
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		b.t.Error(err)
		return
	}
	names := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.HasPrefix(name, b.prefix) })
	if _, err := adm.DeleteTopics(ctx, names...); err != nil {
		b.t.Error(err)
	}
}

// instance is one running process's worth of services.
type instance struct {
	b       *bench
	runner  *stream.Runner
	metrics *prometheus.Registry
	store   *table.Store
	stop    context.CancelFunc
	done    chan error
}

// config is an instance's.
func (b *bench) config(name string, store *table.Store, metrics *prometheus.Registry) stream.Config {
	log := b.log
	if log == nil && testing.Verbose() {
		log = slog.Default()
	} else if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	c := stream.Config{
		Brokers: b.brokers, Prefix: b.prefix, Options: b.options, Instance: name, Estate: b.estate, Wire: b.wire, Clock: b.clock, Store: store,
		Log: log.With("instance", name), Metrics: stream.NewMetrics(metrics), Limits: b.limits, Workers: b.workers, Rehearse: b.rehearse,
	}
	if b.quick != nil {
		c.Clock = b.quick
	}
	return c
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
	metrics := prometheus.NewRegistry()
	c := b.config(name, store, metrics)
	ctx, stop := context.WithCancel(context.Background())
	made, err := stream.Apply(ctx, c, services)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("topics are known", func() bool { // a real Kafka has made them before every broker says so
		topics, err := b.adm.ListTopics(ctx, made...)
		return err == nil && topics.Error() == nil
	})
	runner, err := stream.New(ctx, c, services)
	if err != nil {
		b.t.Fatal(err)
	}
	i := &instance{b: b, runner: runner, metrics: metrics, store: store, stop: stop, done: make(chan error, 1)}
	go func() { i.done <- runner.Run(ctx) }()
	b.t.Cleanup(i.end)
	return i
}

// end stops the instance cleanly, once. What it leaves on its disk is then what the
// changelogs say, whatever it has been through.
func (i *instance) end() {
	if i.store == nil {
		return
	}
	i.stop()
	select {
	case err := <-i.done:
		if err != nil {
			i.b.t.Errorf("the instance ended with %v", err)
		}
	case <-time.After(2 * patience): // more than a transaction may take to be given up
		i.store = nil // whatever runs still has it
		var all strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&all, 1)
		i.b.t.Fatalf("the instance does not end: %s", all.String())
	}
	if !i.b.t.Failed() {
		if _, differs := i.b.drift(i.store); len(differs) > 0 {
			i.b.t.Errorf("the instance leaves a disk that is not of the changelogs: %v", differs)
		}
	}
	if err := i.store.Close(); err != nil {
		i.b.t.Error(err)
	}
	i.store = nil
}

// settle lets the clock run until nothing is due.
func (b *bench) settle() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
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

// until asks again and again whether something has come about that nobody
// announces.
func (b *bench) until(what string, is func() bool) {
	b.t.Helper()
	if !within(patience, is) {
		b.t.Fatalf("%s: not within %v", what, patience)
	}
}

func within(limit time.Duration, is func() bool) bool {
	late := time.After(limit)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
	return true
}

// framedAs is an order framed under a schema ID of the test's choice.
func (b *bench) framedAs(order string, id int) []byte {
	value := b.framed(order)
	binary.BigEndian.PutUint32(value[1:], uint32(id))
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

// publishAs writes an order once more, as an event of its own.
func (b *bench) publishAs(order, id string) {
	b.t.Helper()
	m := placed(order)
	m.ID = id
	value, err := b.wire.Encode("orders", m)
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(order, homeOf(order), value)
}

func (b *bench) put(order string, partition int32, value []byte) {
	b.t.Helper()
	b.send(&kgo.Record{Partition: partition, Key: []byte("acme/" + order), Value: value})
}

// send writes records to orders, all at once.
func (b *bench) send(records ...*kgo.Record) {
	b.t.Helper()
	b.sendTo("orders", records...)
}

func (b *bench) sendTo(topic string, records ...*kgo.Record) {
	b.t.Helper()
	for _, r := range records {
		r.Topic = b.prefix + topic
	}
	if err := b.raw.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range records {
		b.clock.Published(r.Topic, r.Partition, r.Offset+1)
	}
}

// read returns all committed records of a topic.
func (b *bench) read(topic string) []*kgo.Record {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	left := map[int32]int64{}
	for p, end := range b.ends(topic) {
		if end > 0 {
			left[p] = end
		}
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
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

// ends are a topic's high watermarks.
func (b *bench) ends(topic string) map[int32]int64 {
	b.t.Helper()
	list, err := b.adm.ListEndOffsets(b.t.Context(), b.prefix+topic)
	if err == nil {
		err = list.Error()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	ends := map[int32]int64{}
	list.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
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
