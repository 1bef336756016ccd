package foreign

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services/inventory"
	"troupe/services/ordercapture"
	"troupe/services/payment"
	"troupe/services/shipment"
	"troupe/testenv/broker"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/partner"
	"troupe/topology/stream"
	"troupe/topology/table"
)

const (
	partitions = 4
	avsc       = "../../schemas/fraud/FraudCleared.v1.avsc"
	patience   = time.Minute // for anything that has to happen
)

// estate is what of ours surrounds a foreign fraud desk: order capture before
// it, shipment behind it, and what shipment waits for besides.
type estate struct {
	t        *testing.T
	brokers  []string
	registry string
	prefix   string
	wire     *schemas.Wire
	runner   *stream.Runner
	adm      *kadm.Client
}

func open(t *testing.T) *estate {
	t.Helper()
	e := &estate{t: t, prefix: strings.ToLower(t.Name()) + "."}
	e.connect()
	catalogue, err := schemas.Load()
	check(t, err)
	registry, err := schemas.NewRegistry(e.registry)
	check(t, err)
	e.wire = schemas.NewWire(catalogue, registry)
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...))
	check(t, err)
	t.Cleanup(cl.Close)
	e.adm = kadm.NewClient(cl)
	e.run()
	return e
}

// connect finds the broker and the registry.
func (e *estate) connect() {
	e.t.Helper()
	if os.Getenv("TROUPE_REAL") == "1" {
		both, err := real.Get()
		check(e.t, err)
		e.brokers, e.registry = both.Kafka.Brokers, both.Apicurio.URL
		return
	}
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText})
	check(e.t, err)
	e.t.Cleanup(func() { check(e.t, b.Close()) })
	e.brokers, e.registry = b.Brokers, b.Registry
}

// run starts our services on the wall's clock: nobody tells a clock that jumps
// what a foreign program has published.
func (e *estate) run() {
	t := e.t
	t.Helper()
	provider := e.partner(func(asked map[string]any) any {
		return map[string]any{"status": "AUTHORISED", "reference": "T", "amount": asked["amount"], "expiresAt": time.Now().Add(time.Hour).UnixMilli()}
	})
	warehouse := e.partner(func(map[string]any) any { return map[string]any{"accepted": true} })
	policy, err := payment.DefaultPolicy()
	check(t, err)
	services := []topology.Service{
		ordercapture.Service(), inventory.Service(), payment.Service(payment.Gateway{Partner: provider}, policy),
		shipment.Service(shipment.Gateway{Partner: warehouse}),
	}
	store, err := table.Open(table.Config{Dir: t.TempDir()})
	check(t, err)
	plan, err := topology.DefaultEstate()
	check(t, err)
	plan.Partitions = partitions
	for i := range plan.Topics {
		plan.Topics[i].Foreign = plan.Topics[i].Name == "fraud"
	}
	c := stream.Config{
		Brokers: e.brokers, Prefix: e.prefix, Instance: "a", Estate: plan, Wire: e.wire, Clock: clock.Wall(), Store: store,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: stream.NewMetrics(prometheus.NewRegistry()),
	}
	ctx, stop := context.WithCancel(context.Background())
	made, err := stream.Apply(ctx, c, services)
	check(t, err)
	e.known(made)
	e.runner, err = stream.New(ctx, c, services)
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- e.runner.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		check(t, <-done)
		check(t, store.Close())
	})
	e.post("inventory", "/stock/events", map[string]any{
		"id": "count-1", "tenant": "acme", "mode": "SET", "reason": "count", "at": time.Now(),
		"levels": []map[string]any{{"sku": "s", "node": "n", "quantity": 1000}},
	})
}

// known waits for topics: a real Kafka has made them before every broker says so.
func (e *estate) known(made []string) {
	e.t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		topics, err := e.adm.ListTopics(e.t.Context(), made...)
		if err == nil && topics.Error() == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			e.t.Fatalf("no topics %v: %v, %v", made, topics.Error(), err)
		}
	}
}

// partner is a program of somebody else's that answers whatever it is asked.
func (e *estate) partner(answer func(asked map[string]any) any) partner.Client {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(answer(asked))
	}))
	e.t.Cleanup(s.Close)
	return partner.Client{URL: s.URL}
}

func (e *estate) post(service, path string, body any) {
	e.t.Helper()
	b, err := json.Marshal(body)
	check(e.t, err)
	rec := httptest.NewRecorder()
	e.runner.Intakes(service).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(b))))
	if rec.Code != http.StatusAccepted {
		e.t.Fatalf("%s%s answers %d: %s", service, path, rec.Code, rec.Body)
	}
}

// order places one that needs nothing but a verdict.
func (e *estate) order(number string) {
	e.t.Helper()
	e.post("ordercapture", "/orders", map[string]any{
		"tenant": "acme", "channel": "web", "channelOrder": number, "customer": map[string]any{"customerId": "c", "name": "Ann"}, "currency": "EUR",
		"lines":      []map[string]any{{"line": 1, "sku": "s", "quantity": 1, "unitNet": 100, "node": "n"}},
		"tenders":    []map[string]any{{"sequence": 1, "kind": "credit_card", "amount": 100}},
		"promisedBy": time.Now().Add(72 * time.Hour), "placedAt": time.Now(),
	})
}

// arguments are what a Python program is started with.
func (e *estate) arguments(script string) []string {
	return []string{script, strings.Join(e.brokers, ","), e.registry, avsc, e.prefix}
}

// homeOf is the partition of a key, asked of the client's own murmur2.
func (e *estate) homeOf(key []byte) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

// forget takes a group's offsets away.
func (e *estate) forget(group string) {
	e.t.Helper()
	_, err := e.adm.DeleteGroup(e.t.Context(), e.prefix+group)
	check(e.t, err)
}

// await reads a topic until the event is there.
func (e *estate) await(topic, key, event string) (found *kgo.Record) {
	e.t.Helper()
	e.until(topic, event+" of "+key, func(r *kgo.Record) bool {
		if string(r.Key) == key && header(r, "type") == event {
			found = r
		}
		return found != nil
	})
	return found
}

// awaitMany reads a topic until so many keys are there.
func (e *estate) awaitMany(topic string, n int) {
	e.t.Helper()
	keys := map[string]bool{}
	if n > 0 {
		e.until(topic, fmt.Sprintf("%d keys", n), func(r *kgo.Record) bool { keys[string(r.Key)] = true; return len(keys) == n })
	}
}

func (e *estate) until(topic, what string, seen func(*kgo.Record) bool) {
	e.t.Helper()
	ctx, cancel := timeout(e.t, patience)
	defer cancel()
	cl := e.reader(topic)
	defer cl.Close()
	for n := 0; ; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			e.t.Fatalf("no %s among %d records of %s: %v", what, n, topic, err)
		}
		for _, r := range fetches.Records() {
			if n++; seen(r) {
				return
			}
		}
	}
}

// read returns all committed records of a topic.
func (e *estate) read(topic string) (records []*kgo.Record) {
	e.t.Helper()
	ends, err := e.adm.ListCommittedOffsets(e.t.Context(), e.prefix+topic)
	check(e.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	cl := e.reader(topic)
	defer cl.Close()
	for len(left) > 0 {
		fetches := cl.PollFetches(e.t.Context())
		check(e.t, fetches.Err())
		for _, r := range fetches.Records() {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		}
	}
	return records
}

func (e *estate) reader(topic string) *kgo.Client {
	e.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...), kgo.ConsumeTopics(e.prefix+topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(e.t, err)
	return cl
}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
