package shipment

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// world is a fulfilment, what it told, and a warehouse that answers.
type world struct {
	f       Fulfilment
	facts   []topology.Fact
	intents []topology.Intent
}

type step func(*Fulfilment, *topology.Turn) error

func (w *world) do(t interface{ Fatalf(string, ...any) }, s step) {
	turn := &topology.Turn{Now: start, Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}}
	if err := s(&w.f, turn); topology.Dropped(err) {
		return
	} else if err != nil {
		t.Fatalf("%v in %+v", err, w.f)
	}
	w.facts = append(w.facts, turn.Outputs().Facts...)
	w.intents = append(w.intents, turn.Outputs().Intents...)
}

func (w *world) told(name string) (n int) {
	for _, f := range w.facts {
		if f.Type == name {
			n++
		}
	}
	return n
}

func (w *world) names() string {
	var out []string
	for _, f := range w.facts {
		out = append(out, f.Type)
	}
	return strings.Join(out, " ")
}

func order(lines ...[3]int32) (placed, allocation) {
	e := placed{Currency: "EUR", PromisedBy: start.AddDate(0, 0, 5)}
	var a allocation
	for i, l := range lines {
		e.Lines = slices.Grow(e.Lines, 1)[:i+1]
		a.Lines = slices.Grow(a.Lines, 1)[:i+1]
		node := fmt.Sprint("node", l[1])
		e.Lines[i].Line, e.Lines[i].SKU, e.Lines[i].Quantity, e.Lines[i].UnitNet, e.Lines[i].Freight = int32(i+1), fmt.Sprint("sku", i), l[0], int64(l[2]), 7
		e.Lines[i].Node, e.Lines[i].ShipBy = node, start.AddDate(0, 0, 2)
		a.Lines[i].Line, a.Lines[i].Quantity, a.Lines[i].Node, a.Lines[i].ReservationID = int32(i+1), l[0], node, fmt.Sprint("r", i)
	}
	return e, a
}

func gather(e placed, a allocation) []step {
	return []step{
		func(f *Fulfilment, t *topology.Turn) error { return onPlaced(f, e, t) },
		func(f *Fulfilment, t *topology.Turn) error { return onCleared(f, nothing{}, t) },
		func(f *Fulfilment, t *topology.Turn) error { return onSecured(f, secured{}, t) },
		func(f *Fulfilment, t *topology.Turn) error { return onAllocated(f, a, t) },
	}
}

func reported(kind, shipment, node string, lines ...Reported) step {
	return func(f *Fulfilment, t *topology.Turn) error {
		return onReported(f, report{Kind: kind, ShipmentID: shipment, Node: node, At: start, TrackingNumber: "T" + node, Lines: lines}, t)
	}
}

func (w *world) answer(t interface{ Fatalf(string, ...any) }, accept bool) {
	for len(w.intents) > 0 {
		i := w.intents[0]
		w.intents = w.intents[1:]
		w.do(t, func(f *Fulfilment, turn *topology.Turn) error {
			r := i.Request.(warehouseRequest)
			return onAnswered(f, warehouseAnswered{Action: r.Action, ShipmentID: r.ShipmentID, Accepted: accept || r.Action == releaseAction}, turn)
		})
	}
}

// TestConverges: conditions, reports and a stop come in any order and more than
// once; a unit leaves once at most and a line's value is neither lost nor doubled.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shape [][3]int32
		for range rapid.IntRange(1, 4).Draw(t, "lines") {
			shape = append(shape, [3]int32{rapid.Int32Range(1, 5).Draw(t, "quantity"), rapid.Int32Range(1, 3).Draw(t, "node"), rapid.Int32Range(0, 99).Draw(t, "net")})
		}
		e, a := order(shape...)
		steps := gather(e, a)
		stops := rapid.Bool().Draw(t, "stop")
		if stops {
			steps = append(steps, func(f *Fulfilment, turn *topology.Turn) error { return onStop(f, stop{}, turn) })
		}
		for n := range 3 {
			if !rapid.Bool().Draw(t, "leaves unasked") {
				continue
			}
			node := fmt.Sprint("node", n+1)
			var lines []Reported
			for _, l := range e.Lines {
				if l.Node == node {
					lines = append(lines, Reported{l.Line, l.SKU, l.Quantity})
				}
			}
			if lines != nil {
				steps = append(steps, reported(reportDispatched, "", node, lines...))
			}
		}
		steps = rapid.Permutation(append(steps, steps...)).Draw(t, "steps")
		var w world
		for _, s := range steps {
			w.do(t, s)
			if rapid.Bool().Draw(t, "answer now") {
				w.answer(t, rapid.Bool().Draw(t, "accept"))
			}
		}
		w.answer(t, rapid.Bool().Draw(t, "accept"))
		checkUnits(t, &w, e)
		if stops && w.told("FulfilmentStopped") != 1 {
			t.Fatalf("a stop is answered once: %s", w.names())
		}
	})
}

func checkUnits(t *rapid.T, w *world, e placed) {
	ids := map[string]bool{}
	for _, f := range w.facts {
		id := fmt.Sprint(f.Type, f.Discriminator)
		if ids[id] {
			t.Fatalf("%s twice", id)
		}
		ids[id] = true
	}
	for _, l := range e.Lines {
		if n := w.f.units(l.Line, (*Shipment).alive); n > l.Quantity {
			t.Fatalf("%d units of line %d, of which %d were ordered: %+v", n, l.Line, l.Quantity, w.f.Shipments)
		}
	}
	var worth, total int64
	for i := range w.f.Shipments {
		worth += value(&w.f, &w.f.Shipments[i])
	}
	for _, l := range e.Lines {
		total += int64(l.Quantity)*l.UnitNet + l.Freight
	}
	if w.f.last() && worth != total {
		t.Fatalf("goods for %d left as %d: %+v", total, worth, w.f.Shipments)
	}
}

func TestNothingIsPlannedBeforeAllHold(t *testing.T) {
	e, a := order([3]int32{1, 1, 100}, [3]int32{2, 2, 50})
	for missing := range 4 {
		var w world
		for i, s := range gather(e, a) {
			if i != missing {
				w.do(t, s)
			}
		}
		if n := w.told("ShipmentPlanned"); n != 0 {
			t.Errorf("planned without condition %d", missing)
		}
		w.do(t, gather(e, a)[missing])
		if n := w.told("ShipmentPlanned"); n != 2 {
			t.Errorf("%d shipments for two nodes", n)
		}
	}
}

func TestReportsQuickerThanTheirOrderWait(t *testing.T) {
	e, a := order([3]int32{1, 1, 100})
	var w world
	w.do(t, func(f *Fulfilment, turn *topology.Turn) error {
		return onScanned(f, scan{Kind: scanDelivered, TrackingNumber: "Tnode1", At: start}, turn)
	})
	w.do(t, reported(reportDispatched, "", "node1", Reported{1, "sku0", 1}))
	for _, s := range gather(e, a) {
		w.do(t, s)
	}
	if got := w.names(); got != "ShipmentDispatched ShipmentDelivered" {
		t.Errorf("%s; what left unasked bars planning", got)
	}
}

// TestWhatCannotBeTakenDoesNotWait: it would be what its order, or its dispatch, fails by.
func TestWhatCannotBeTakenDoesNotWait(t *testing.T) {
	for name, do := range map[string]step{
		"an unknown report":           reported("VANISHED", "", "node1"),
		"of a shipment, but no order": reported(reportPicking, "web-1.abc", "node1"),
		"an unknown scan": func(f *Fulfilment, turn *topology.Turn) error {
			return onScanned(f, scan{Kind: "VANISHED", TrackingNumber: "T", At: start}, turn)
		},
	} {
		var f Fulfilment
		if err := do(&f, &topology.Turn{Now: start}); !topology.Poisoned(err) || len(f.Waiting)+len(f.WaitingScan) > 0 {
			t.Errorf("%s: %v, and %+v waits", name, err, f)
		}
	}
}

func TestStopAgainstTheWarehouse(t *testing.T) {
	e, a := order([3]int32{1, 1, 100})
	for _, c := range []struct {
		accept bool
		want   string
	}{
		{true, "ShipmentPlanned ShipmentCancelled FulfilmentStopped"},
		{false, "ShipmentPlanned ShipmentCancellationRefused FulfilmentStopped"},
	} {
		var w world
		for _, s := range gather(e, a) {
			w.do(t, s)
		}
		w.do(t, func(f *Fulfilment, turn *topology.Turn) error { return onStop(f, stop{}, turn) })
		if len(w.intents) != 1 {
			t.Fatal("a cancellation must not overtake the release")
		}
		w.answer(t, c.accept)
		if got := w.names(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// answering is a warehouse that gives one answer.
type answering struct {
	status int
	body   string
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

// TestWhatTheWarehouseNeverHeardOfIsHeld: a release did not get through, and then
// the order is cancelled. The warehouse knows no such shipment, so nothing will
// leave: the cancellation is accepted, and the customer's money goes back.
func TestWhatTheWarehouseNeverHeardOfIsHeld(t *testing.T) {
	for _, c := range []struct {
		warehouse answering
		action    string
		accepted  bool
	}{
		{answering{http.StatusNotFound, `{"detail":"no such shipment"}`}, cancelAction, true},
		{answering{http.StatusNotFound, `{"detail":"no such node"}`}, releaseAction, false},
		{answering{http.StatusConflict, `{"detail":"it has left"}`}, cancelAction, false},
	} {
		g := Gateway{partner.Client{URL: "http://warehouse", HTTP: &http.Client{Transport: c.warehouse}}}
		answer, err := g.Ask(t.Context(), topology.Call{ID: "i", Attempt: 1}, warehouseRequest{Action: c.action, ShipmentID: "s"})
		if err != nil || answer.Accepted != c.accepted {
			t.Errorf("%s answered %d: accepted %v, %v", c.action, c.warehouse.status, answer.Accepted, err)
		}
	}
}
