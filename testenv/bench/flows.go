package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services/processmanager"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

const (
	openFlows = 10_000_000
	openChunk = 500_000          // are placed, then waited for
	openFor   = 15 * time.Minute // whatever is open by then has to do

	restFor = 30 * time.Second // for checkpoints and compactions to end
	idleFor = time.Minute

	dueFlows  = 100_000
	dueWithin = time.Minute
	dueAhead  = time.Minute     // between when they are placed and the first deadline
	answerIn  = 5 * time.Minute // what payment and fraud have for an order, in the process definition
	farAhead  = 7 * 24 * time.Hour
)

// flows opens as many flows of the process manager as there is time for and looks
// at its process: how large it is, what it costs while nothing happens, and how
// late it raises what many of them are owed within one minute.
func flows(ctx context.Context, s *sitting) error {
	p := s.place("flows")
	r, err := s.trial(ctx, "flows", opening{Place: p, Flows: s.scaled(openFlows), Due: s.scaled(dueFlows)})
	if err != nil {
		return err
	}
	s.detail("flows: %s open, %s/s; resident %.0f MiB at most since, %.0f of it heap and stacks; %.0f MiB while they were opened",
		number(r["flows"]), number(r["rate"]), r["resident"], r["anonymous"], r["peak"])
	s.detail("flows: idle %.4f of a core; %s deadlines of %s flows in one minute, lateness ms p50 %.0f, p99 %.0f, max %.0f",
		r["idle"], number(r["due"]), number(float64(s.scaled(dueFlows))), r["p50"], r["p99"], r["max"])
	s.figures["idle_cpu"], s.figures["due_lateness_p99_ms"], s.figures["rss_10m_mib"] = r["idle"], r["p99"], r["resident"]
	return s.forgetAll(ctx, p.Prefix)
}

type opening struct {
	Place place
	Flows int
	Due   int
}

// flowsTrial is one process from the first flow to the last deadline. Orders are
// written by others, or what they take would be in its memory.
func flowsTrial(ctx context.Context, o opening) (r result, err error) {
	definition, err := processmanager.DefaultDefinition()
	if err != nil {
		return nil, err
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		return nil, err
	}
	run, err := o.Place.start(ctx, estate, table.Config{}, stream.Limits{}, processmanager.Service(definition))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.finish(), run.store.Close()) }()
	r = result{}
	if err := o.open(ctx, run, r); err != nil {
		return nil, err
	}
	resident := observe()
	if err := o.idle(ctx, run, r); err != nil {
		return nil, err
	}
	if err := o.due(ctx, run, r); err != nil {
		return nil, err
	}
	r["resident"], r["anonymous"] = resident()
	return r, nil
}

// open places orders until there are enough, or no time is left.
func (o opening) open(ctx context.Context, run *running, r result) error {
	cl, err := o.Place.client()
	if err != nil {
		return err
	}
	adm := kadm.NewClient(cl)
	defer adm.Close()
	began, working := time.Now(), time.Duration(0)
	open := 0
	for open < o.Flows && time.Since(began) < openFor {
		chunk := placing{Place: o.Place, From: open, Orders: min(openChunk, o.Flows-open), At: time.Now().Add(farAhead), Within: 24 * time.Hour}
		if _, err := runSelf(ctx, "place", "", chunk, os.Stderr); err != nil {
			return err
		}
		open += chunk.Orders
		since := time.Now()
		if err := run.drained(ctx, adm, o.Place.topic("processmanager"), o.Place.topic("orders")); err != nil {
			return err
		}
		working += time.Since(since)
		fmt.Fprintf(os.Stderr, "%d flows are open\n", open)
	}
	peak, err := memory("VmHWM")
	r["flows"], r["rate"], r["peak"] = float64(open), float64(open)/working.Seconds(), peak
	return err
}

// idle says which share of a core the process takes while nothing happens.
func (o opening) idle(ctx context.Context, run *running, r result) error {
	if err := run.wait(ctx, restFor); err != nil {
		return err
	}
	before, err := used()
	if err != nil {
		return err
	}
	if err := run.wait(ctx, idleFor); err != nil {
		return err
	}
	after, err := used()
	r["idle"] = (after - before).Seconds() / idleFor.Seconds()
	return err
}

// wait lets time pass.
func (r *running) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.ended:
		return fmt.Errorf("the services ended: %w", err)
	case <-time.After(d):
		return nil
	}
}

// used is the processor time of this process.
func used() (time.Duration, error) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, fmt.Errorf("read this process's times: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
	var ticks int
	for _, at := range []int{userTicks, systemTicks} {
		n, err := strconv.Atoi(strings.Fields(rest)[at])
		if err != nil {
			return 0, fmt.Errorf("read this process's times: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// Fields of a process's stat behind its name, in ticks.
const (
	userTicks   = 11
	systemTicks = 12
	tick        = 10 * time.Millisecond
)

// due places orders whose answers are due, evenly, within one minute, and says
// how late it was visible that they are owed. Nobody answers: neither payment
// nor fraud runs here.
func (o opening) due(ctx context.Context, run *running, r result) error {
	wire, err := o.Place.wire(ctx)
	if err != nil {
		return err
	}
	reader, err := schemas.NewReader[overdue](wire, "ObligationOverdue")
	if err != nil {
		return err
	}
	cl, err := o.Place.client(kgo.ConsumeTopics(o.Place.topic("flows")), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer cl.Close()
	first := time.Now().Add(dueAhead)
	if _, err := runSelf(ctx, "place", "", placing{Place: o.Place, From: o.Flows, Orders: o.Due, At: first.Add(-answerIn), Within: dueWithin}, os.Stderr); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, first.Add(dueWithin+dueLimit))
	defer cancel()
	want := 2 * o.Due // of payment and of fraud
	var millis []float64
	for len(millis) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("%d of %d overdue obligations were told: %w", len(millis), want, err)
		}
		now := time.Now()
		for _, record := range fetches.Records() {
			f, err := wire.Open(ctx, record.Value)
			if err != nil {
				return err
			}
			if f.Type != "ObligationOverdue" {
				continue
			}
			var fact overdue
			if err := reader.Decode(f, &fact); err != nil {
				return err
			}
			millis = append(millis, float64(now.Sub(fact.DueAt).Microseconds())/1000)
		}
	}
	r["due"], r["p50"], r["p99"], r["max"] = float64(want), quantile(millis, 0.5), quantile(millis, 0.99), slices.Max(millis)
	return nil
}

// dueLimit is how long after the last deadline the last fact is waited for.
const dueLimit = 3 * time.Minute

type overdue struct {
	DueAt time.Time `avro:"dueAt"`
}

// observe samples this process's memory once a second, and tells the most it
// was in MiB: all that is resident, and what of it is no file.
func observe() func() (resident, anonymous float64) {
	var all, own atomic.Int64
	stop := make(chan struct{})
	look := func() {
		for most, name := range map[*atomic.Int64]string{&all: "VmRSS", &own: "RssAnon"} {
			if v, err := memory(name); err == nil {
				most.Store(max(most.Load(), int64(v)))
			}
		}
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return func() (float64, float64) {
		close(stop)
		look()
		return float64(all.Load()), float64(own.Load())
	}
}

// memory is a line of this process's status, in MiB.
func memory(name string) (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read this process's status: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kib) / 1024, err
		}
	}
	return 0, fmt.Errorf("this process's status does not say %s", name)
}

// placing is orders to be placed, evenly within a time.
type placing struct {
	Place        place
	From, Orders int
	At           time.Time
	Within       time.Duration
}

type (
	orderPlaced struct {
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
	orderLine struct {
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
	tender struct {
		Sequence int32  `avro:"sequence"`
		Kind     string `avro:"kind"`
		Amount   int64  `avro:"amount"`
	}
)

// placeOrders writes OrderPlaced, as order capture does.
func placeOrders(ctx context.Context, p placing) (result, error) {
	w, err := p.Place.wire(ctx, [2]string{"orders", "OrderPlaced"})
	if err != nil {
		return nil, err
	}
	pen, err := p.Place.pen(ctx, "orders")
	if err != nil {
		return nil, err
	}
	defer pen.close()
	for i := range p.Orders {
		at := p.At.Add(p.Within / time.Duration(p.Orders) * time.Duration(i)).UTC().Truncate(time.Millisecond)
		if err := pen.write(ctx, w, "orders", placedOf(p.From+i, at), time.Time{}); err != nil {
			return nil, err
		}
	}
	return result{}, pen.flush(ctx)
}

func placedOf(order int, at time.Time) *orderPlaced {
	id := orderID(order)
	m := &orderPlaced{
		Envelope: envelope("OrderPlaced", "ordercapture", id, id, at), Channel: "web", ChannelOrder: strings.TrimPrefix(id, "web-"),
		CustomerID: fmt.Sprintf("C-%06d", order%500_000), Currency: "EUR", PromisedBy: at.Add(120 * time.Hour), Origin: "NEW",
	}
	var total int64
	for l := range linesOf(order) {
		units, price := lineOf(order, l)
		line := orderLine{
			Line: int32(l + 1), SKU: fmt.Sprintf("SKU-%05d", (order*7+l)%50_000), Quantity: units, UnitNet: price,
			Freight: 490, Tax: int64(units) * price / 5, Node: "DC-" + strconv.Itoa(1+order%4), ShipBy: at.Add(48 * time.Hour),
		}
		m.Lines = append(m.Lines, line)
		total += int64(units)*price + line.Freight + line.Tax
	}
	m.Tenders = []tender{{1, "credit_card", total}}
	return m
}
