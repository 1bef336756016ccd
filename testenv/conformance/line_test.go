// Package conformance runs the runtime against a broker: what holds on the
// embedded one must hold, unchanged, on a real one.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"troupe/schemas"
	"troupe/services/fraud"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/partner"
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

// shop is a service that places what it is sent: it stands for ordercapture.
func shop(url string) topology.Service {
	return topology.Service{
		Name: "ordercapture", Owner: "sales", Doc: "places orders",
		Intakes: []topology.Intake{{
			Pattern: "POST /place", Writes: []topology.Output{topology.Publishes[orderPlaced]()},
			Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
				var order string
				if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
					partner.Refuse(w, http.StatusBadRequest, err.Error())
					return
				}
				at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
				partner.Accept(w, r, send, topology.Request{Key: "acme/" + order, Message: &orderPlaced{
					Envelope: schemas.Envelope{ID: schemas.FactID("placed", order), OccurredAt: at, Tenant: "acme", Order: order, CorrelationID: schemas.FactID("flow", "acme", order)},
					Channel:  "web", ChannelOrder: order, CustomerID: "c1", Currency: "EUR", PromisedBy: at.Add(72 * time.Hour),
					Tenders: []tender{{1, "credit_card", 1250}}, Origin: "NEW",
				}})
			},
		}},
	}
}

type cleared struct {
	Score int32 `avro:"score"`
}

func TestOneOrderThroughOneContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	scoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"decision": "CLEAR", "score": 7})
	}))
	defer scoring.Close()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	registry := srfake.New()
	defer registry.Close()
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := schemas.NewRegistry(registry.URL())
	if err != nil {
		t.Fatal(err)
	}
	store, err := table.Open(table.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	estate.Partitions = 4
	seen := make(chan int32, 1)
	viewer := topology.Service{Name: "tracking", Views: []topology.View{{Name: "test", Handlers: []topology.ViewHandler{
		topology.See("FraudCleared", func(e cleared, _ topology.Cause) { seen <- e.Score }),
	}}}}
	jump := clock.NewJump(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	c := stream.Config{
		Brokers: broker.ListenAddrs(), Instance: "a", Estate: estate, Wire: schemas.NewWire(catalogue, reg), Clock: jump,
		Store: store, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: stream.NewMetrics(prometheus.NewRegistry()),
	}
	if testing.Verbose() {
		c.Log = slog.Default()
	}
	services := []topology.Service{shop(""), fraud.Service(fraud.Gateway{Partner: partner.Client{URL: scoring.URL}}), viewer}
	if _, err := stream.Apply(ctx, c, services); err != nil {
		t.Fatal(err)
	}
	runner, err := stream.New(ctx, c, services)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	intake := runner.Intakes("ordercapture")
	for _, order := range []string{"web-1", "web-1"} {
		rec := httptest.NewRecorder()
		body, _ := json.Marshal(order)
		intake.ServeHTTP(rec, httptest.NewRequest("POST", "/place", bytes.NewReader(body)))
		if rec.Code != http.StatusAccepted {
			t.Fatalf("place: %d %s", rec.Code, rec.Body)
		}
	}
	if err := jump.Run(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case score := <-seen:
		if score != 7 {
			t.Errorf("score %d, want 7", score)
		}
	default:
		t.Error("the clock stopped before FraudCleared was seen")
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := facts(t, broker, "fraud"); n != 1 {
		t.Errorf("%d facts on fraud, want 1: the order was placed twice with one ID", n)
	}
}

func facts(t *testing.T, broker *kfake.Cluster, topic string) int {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	left := 0
	for _, p := range broker.PartitionInfos(topic) {
		left += int(p.HighWatermark)
	}
	n := 0
	for left > 0 {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if !r.Attrs.IsControl() {
				n++
			}
		})
	}
	return n
}
