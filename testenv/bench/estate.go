package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"troupe/schemas"
	"troupe/services"
	"troupe/services/edge"
	"troupe/testenv/broker"
	"troupe/testenv/world"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

const (
	journeyRate   = 100 // orders a second
	quickened     = 1200
	sustained     = 0.95 // of what is offered must be closed
	firstOffer    = 125  // orders a second; doubled until it is too much
	bisections    = 2    // between the last that was sustained and the first that was not
	placers       = 16
	laptopWatches = 50 * time.Millisecond // as `troupe run all` has it in quickened time
)

// journey says how long it takes from an order being placed until the last of its
// shipments is planned, with so many placed a second in real time: what comes
// after the plan comes hours later.
func journey(ctx context.Context, s *sitting) error {
	var all []result
	for range s.rounds {
		r, err := s.trial(ctx, "estate", living{Rate: journeyRate, Speed: 1, Warm: 5, Window: max(5, int(30*s.scale))})
		if err != nil {
			return err
		}
		s.say("journey ms p50 %.0f, p99 %.0f, max %.0f of %.0f orders; %.0f placed a second", r["p50"], r["p99"], r["max"], r["journeys"], r["placed"])
		all = append(all, r)
	}
	p99 := each(all, func(r result) float64 { return r["p99"] })
	s.detail("journey, ms: p50 %s, p99 %s", spread(each(all, func(r result) float64 { return r["p50"] })), spread(p99))
	s.figures["journey_p99_ms"] = median(p99)
	return nil
}

// orders looks for the most orders a second that the whole estate closes as fast
// as they are placed.
func orders(ctx context.Context, s *sitting) error {
	low, high := 0.0, 0.0
	try := func(rate float64) error {
		r, err := s.trial(ctx, "estate", living{Rate: rate, Speed: quickened, Warm: 20, Window: max(6, int(24*s.scale))})
		if err != nil {
			return err
		}
		s.detail("orders: %.0f a second offered, %.0f placed, %.0f closed; journey ms p50 %.0f, p99 %.0f", rate, r["placed"], r["closed"], r["p50"], r["p99"])
		if min(r["closed"], r["placed"]) >= sustained*rate {
			low = rate
		} else {
			high = rate
		}
		return nil
	}
	for rate := float64(firstOffer); high == 0; rate *= 2 {
		if err := try(rate); err != nil {
			return err
		}
	}
	for range bisections {
		if err := try((low + high) / 2); err != nil {
			return err
		}
	}
	s.figures["orders_per_s"] = low
	return nil
}

// living is a while of the whole estate.
type living struct {
	Rate         float64 // orders placed a second
	Speed        float64 // business seconds a second
	Warm, Window int     // seconds before what counts, and of it
}

// estateTrial runs every service and a world that answers at once on an embedded
// broker, all in this process as `troupe run all` does, and places orders by the
// edge.
func estateTrial(ctx context.Context, l living) (r result, err error) {
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	store, err := table.Open(table.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	business := clock.Quick(time.Now().UTC().Truncate(time.Minute), l.Speed)
	w, err := world.Start(world.Config{Source: brisk{business.Now().Truncate(time.Minute)}, Clock: business, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	p := place{Brokers: b.Brokers, Options: b.Options, Registry: b.Registry, Partitions: 4, Workers: 1}
	limits := stream.Limits{}
	if l.Speed > 1 {
		limits = stream.Limits{WatchEvery: laptopWatches, IdleCommit: laptopWatches}
	}
	run, door, err := p.estate(ctx, store, business, limits, w)
	if err != nil {
		return nil, err
	}
	defer door.Close()
	defer func() { err = errors.Join(err, run.finish()) }()
	log := newLogbook()
	stop, err := log.follow(p)
	if err != nil {
		return nil, err
	}
	defer stop()
	return l.live(ctx, run, door.URL, business, log)
}

// estate is every service behind one door, running.
func (p place) estate(ctx context.Context, store *table.Store, business clock.Clock, limits stream.Limits, w *world.World) (*running, *httptest.Server, error) {
	contexts, err := services.New(services.Config{
		Provider: w.Provider, Scoring: w.Scoring, Warehouse: w.Warehouse, ERP: w.ERP, Mail: w.Mail, MailFrom: "orders@troupe.example", Now: business.Now,
	})
	if err != nil {
		return nil, nil, err
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		return nil, nil, err
	}
	run, err := p.prepare(ctx, estate, store, business, limits, contexts.All...)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	for _, s := range contexts.All {
		if intakes := run.runner.Intakes(s.Name); intakes != nil {
			mux.Handle("/"+s.Name+"/", http.StripPrefix("/"+s.Name, intakes))
		}
	}
	mux.Handle("/tracking/", http.StripPrefix("/tracking", contexts.Tracking.Handler()))
	door := httptest.NewServer(mux)
	facade, err := edge.New(edge.Config{OrderCapture: door.URL + "/ordercapture", Tracking: door.URL + "/tracking", CRM: w.CRM, Now: business.Now})
	if err != nil {
		door.Close()
		return nil, nil, err
	}
	mux.Handle("/edge/", http.StripPrefix("/edge", facade))
	run.run(ctx)
	if err := run.ready(ctx); err != nil {
		door.Close()
		return nil, nil, errors.Join(err, run.finish())
	}
	w.Connect(world.Estate{
		Edge: door.URL + "/edge", Payment: door.URL + "/payment", Fraud: door.URL + "/fraud", Shipment: door.URL + "/shipment",
		Inventory: door.URL + "/inventory", Invoicing: door.URL + "/invoicing",
	})
	return run, door, nil
}

// live places orders, evenly, and says what became of those of the window.
func (l living) live(ctx context.Context, run *running, door string, business clock.Clock, log *logbook) (result, error) {
	began := time.Now()
	from, to := began.Add(time.Duration(l.Warm)*time.Second), began.Add(time.Duration(l.Warm+l.Window)*time.Second)
	var next, placed atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for range placers {
		g.Go(func() error {
			for {
				i := next.Add(1) - 1
				due := began.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
				if due.After(to) || time.Now().After(to) {
					return nil
				}
				select {
				case <-gctx.Done():
					return gctx.Err()
				case err := <-run.ended:
					return fmt.Errorf("the services ended: %w", err)
				case <-time.After(time.Until(due)):
				}
				if err := post(gctx, door+"/edge/v1/orders", int(i), business.Now()); err != nil {
					return err
				}
				if now := time.Now(); now.After(from) && now.Before(to) {
					placed.Add(1)
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	seconds := float64(l.Window)
	millis, closed := log.window(ctx, from, to)
	if len(millis) == 0 {
		return nil, errors.New("no order came as far as its shipments")
	}
	return result{
		"placed": float64(placed.Load()) / seconds, "closed": float64(closed) / seconds, "journeys": float64(len(millis)),
		"p50": quantile(millis, 0.5), "p99": quantile(millis, 0.99), "max": quantile(millis, 1),
	}, nil
}

// buyers keep as many connections as place orders at once.
var buyers = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// post places an order at the edge.
func post(ctx context.Context, url string, n int, at time.Time) error {
	body, err := json.Marshal(newOrder(n, at.UTC().Truncate(time.Minute)))
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("place order: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "order-"+strconv.Itoa(n))
	resp, err := buyers.Do(req)
	if err != nil {
		return fmt.Errorf("place order: %w", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("place order: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("place order: %s: %.300s", resp.Status, said)
	}
	return nil
}

// fromTwo are the orders, one of six, that come from two nodes.
func fromTwo(order int) bool { return order%6 == 5 }

const stockedSKUs = 200

func nodeOf(n int) string { return "DC-" + strconv.Itoa(1+n%4) }
func skuOf(n int) string  { return fmt.Sprintf("SKU-%04d", n%stockedSKUs) }

func newOrder(n int, at time.Time) map[string]any {
	var lines []world.Line
	var total int64
	for l := range linesOf(n) {
		units, price := lineOf(n, l)
		line := world.Line{
			Line: int32(l + 1), SKU: skuOf(n*7 + l), Quantity: units, UnitNet: price, Freight: 490, Tax: int64(units) * price / 5,
			Node: nodeOf(n), ShipBy: at.Add(48 * time.Hour),
		}
		if l == linesOf(n)-1 && fromTwo(n) {
			line.Node = nodeOf(n + 1)
		}
		lines = append(lines, line)
		total += int64(units)*price + line.Freight + line.Tax
	}
	customer := fmt.Sprintf("C-%05d", n%5000)
	return map[string]any{
		"tenant": tenant, "channel": "web", "channelOrder": strings.TrimPrefix(orderID(n), "web-"), "currency": "EUR", "lines": lines,
		"customer":   world.Customer{CustomerID: customer, Name: "Customer " + customer, Email: customer + "@example.com", City: "Springfield", State: "SP", Postcode: "10001"},
		"tenders":    []world.Tender{{Sequence: 1, Kind: "credit_card", Amount: total}},
		"promisedBy": at.Add(5 * 24 * time.Hour), "placedAt": at,
	}
}

// brisk is a world in which all goes well and at once, but for what its nodes
// need to pick a parcel and its ERP to bill it.
type brisk struct{ begin time.Time }

func (b brisk) Start() time.Time           { return b.begin }
func (b brisk) Tenant() string             { return tenant }
func (b brisk) Next() (*world.Order, bool) { return nil, false }
func (b brisk) Mishap(string) world.Mishap { return world.Mishap{} }
func (b brisk) Stock() (all []world.Level) {
	for sku := range stockedSKUs {
		for node := range 4 {
			all = append(all, world.Level{SKU: skuOf(sku), Node: nodeOf(node), Quantity: 10_000_000})
		}
	}
	return all
}

func (b brisk) Fate(tenant, order string, at time.Time) *world.Order {
	channel, number, _ := strings.Cut(order, "-")
	return &world.Order{
		Tenant: tenant, Channel: channel, Number: number, PlacedAt: at, VerdictAt: at,
		Departs: map[string]world.Departure{"": {At: at, DeliveredAt: at.Add(time.Hour)}},
	}
}

// logbook is when a reader of what is committed saw what.
type logbook struct {
	mu      sync.Mutex
	placed  map[string]time.Time
	planned map[string]int
	done    map[string]time.Time // its last shipment was planned
	closed  []time.Time
}

func newLogbook() *logbook {
	return &logbook{placed: map[string]time.Time{}, planned: map[string]int{}, done: map[string]time.Time{}}
}

// follow reads the topics that tell an order's way, until stopped.
func (b *logbook) follow(p place) (stop func(), err error) {
	cl, err := p.client(kgo.ConsumeTopics(p.topic("orders"), p.topic("shipments")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			fetches := cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			now := time.Now()
			b.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { b.note(r, now) })
			b.mu.Unlock()
		}
	}()
	return cl.Close, nil
}

func (b *logbook) note(r *kgo.Record, now time.Time) {
	key := string(r.Key)
	for _, h := range r.Headers {
		if h.Key != "type" {
			continue
		}
		switch string(h.Value) {
		case "OrderPlaced":
			b.placed[key] = now
		case "ShipmentPlanned":
			b.planned[key]++
			b.done[key] = now // the last of them stands
		case "OrderClosed":
			b.closed = append(b.closed, now)
		}
	}
}

// whole is true when every shipment of an order is planned.
func (b *logbook) whole(key string) bool {
	n, err := strconv.Atoi(key[strings.LastIndexByte(key, '-')+1:])
	want := 1
	if err == nil && fromTwo(n) {
		want = 2
	}
	return b.planned[key] >= want
}

// journeyLimit is how long the last orders of a window are waited for.
const journeyLimit = 15 * time.Second

// window gives the journeys of the orders that were placed in a time, in
// milliseconds, those that are still on their way as long as they have been, and
// how many orders were closed in it.
func (b *logbook) window(ctx context.Context, from, to time.Time) (millis []float64, closed int) {
	for limit := to.Add(journeyLimit); ; time.Sleep(seldom) {
		b.mu.Lock()
		millis, closed = nil, 0
		waits := false
		for key, at := range b.placed {
			if at.Before(from) || at.After(to) {
				continue
			}
			end := time.Now()
			if b.whole(key) {
				end = b.done[key]
			} else {
				waits = true
			}
			millis = append(millis, float64(end.Sub(at).Microseconds())/1000)
		}
		for _, at := range b.closed {
			if at.After(from) && at.Before(to) {
				closed++
			}
		}
		b.mu.Unlock()
		if !waits || time.Now().After(limit) || ctx.Err() != nil {
			return millis, closed
		}
	}
}
