package processmanager

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func lines(numberAndQuantity ...int32) (out []any) {
	for i := 0; i < len(numberAndQuantity); i += 2 {
		out = append(out, fields{"line": numberAndQuantity[i], "quantity": numberAndQuantity[i+1]})
	}
	return out
}

func on(topic, name string, f fields) event { return event{topic: topic, name: name, fields: f} }

// parcel is an event of a shipment; fields that it does not have do no harm.
func parcel(name, id string) event {
	return on("shipments", name, fields{"shipmentId": id, "shipBy": start.AddDate(0, 0, 3)})
}

func dispatch(id string, last bool, units []any) event {
	return on("shipments", "ShipmentDispatched", fields{
		"shipmentId": id, "lines": units, "value": int64(500), "promisedBy": start.AddDate(0, 0, 9), "last": last,
	})
}

func pay(name string, outstanding int64) event {
	return on("payments", name, fields{"tender": int32(1), "amount": int64(500), "authorisation": "a1", "receipt": "r1", "outstanding": outstanding, "expiresAt": start.AddDate(0, 0, 7), "prepaid": true})
}

func captured(id string) event {
	return on("payments", "PaymentCaptured", fields{"shipmentId": id, "tender": int32(1), "amount": int64(500), "capture": "c-" + id})
}

func invoiced(id string) event {
	return on("invoices", "InvoiceIssued", fields{"lines": []any{fields{"shipmentId": id}}})
}

func stoppedWith(cancelled, gone []any) event {
	return event{"shipments", "FulfilmentStopped", fields{"cancelled": cancelled, "dispatched": gone}, "StopFulfilment"}
}

var (
	placed     = on("orders", "OrderPlaced", fields{"lines": lines(1, 2, 2, 1)})
	cancel     = on("orders", "CancellationRequested", fields{"reason": "changed my mind"})
	cleared    = on("fraud", "FraudCleared", nil)
	held       = on("fraud", "FraudHoldPlaced", nil)
	rejected   = on("fraud", "FraudRejected", fields{"reason": "stolen card"})
	pending    = pay("PaymentPending", 0)
	authorised = pay("PaymentAuthorized", 0)
	received   = pay("PaymentReceived", 0)
	declined   = pay("PaymentDeclined", 0)
	allocated  = on("allocations", "InventoryAllocated", nil)
	backorder  = on("allocations", "InventoryBackordered", fields{"eta": nil})
	expired    = on("allocations", "ReservationExpired", nil)
	booked     = on("invoices", "ErpOrderBooked", nil)
	repaid     = event{"payments", "PaymentVoided", fields{"tender": int32(1), "amount": int64(500), "authorisation": "a1"}, "VoidPayment"}
	restocked  = event{"allocations", "ReservationReleased", nil, "ReleaseReservation"}
	planned    = parcel("ShipmentPlanned", "s1")
	picked     = parcel("PickingStarted", "s1")
	packed     = parcel("ShipmentPacked", "s1")
	delivered  = parcel("ShipmentDelivered", "s1")
	all        = lines(1, 2, 2, 1)
)

// script is what the topics hold of a flow, in an order in which it may happen.
type script struct {
	name, outcome string
	events        []event
}

func scripts() []script {
	return []script{
		{"two shipments, card and boleto", Closed, []event{
			placed, held, pending, pay("PaymentAuthorized", 500), backorder, booked, cleared, allocated, received,
			planned, parcel("ShipmentPlanned", "s2"), picked, packed, parcel("PickingStarted", "s2"), dispatch("s1", false, lines(1, 2)),
			parcel("CarrierScanned", "s1"), parcel("ShipmentPacked", "s2"), invoiced("s1"), dispatch("s2", true, lines(2, 1)),
			delivered, captured("s2"), parcel("CarrierScanned", "s2"), parcel("ShipmentDelivered", "s2"), invoiced("s2"),
		}},
		{"card, billed last", Closed, []event{
			placed, authorised, cleared, booked, allocated, planned, picked, packed, dispatch("s1", true, all), delivered, captured("s1"), invoiced("s1"),
		}},
		{"a reservation that expired before the money came", "", []event{
			placed, cleared, booked, pending, allocated, expired, received, allocated, planned, picked,
		}},
		{"one parcel left unasked before the order was paid for", "", []event{
			placed, pending, cleared, booked, allocated, dispatch("s1", false, lines(1, 2)), delivered, received, parcel("ShipmentPlanned", "s2"),
		}},
		{"declined, and the ERP refuses it too", "", []event{placed, cleared, declined, on("invoices", "ErpBookingRejected", nil), allocated}},
		{"cancelled before shipping", Cancelled, []event{
			placed, authorised, cleared, allocated, booked, planned, cancel,
			parcel("ShipmentCancelled", "s1"), stoppedWith(lines(2, 1, 1, 2), nil), restocked, repaid,
		}},
		{"cancelled while it waits for stock and money", Cancelled, []event{
			placed, pending, backorder, cancel, cleared, stoppedWith(all, nil), repaid, restocked,
		}},
		{"refused by fraud", Cancelled, []event{placed, held, authorised, allocated, booked, rejected, stoppedWith(all, nil), repaid, restocked}},
		{"cancelled too late", Closed, []event{
			placed, authorised, cleared, booked, allocated, planned, picked, packed, dispatch("s1", true, all),
			cancel, stoppedWith(nil, all), captured("s1"), invoiced("s1"), delivered,
		}},
		{"cancelled in part, with a parcel that could not be held back", Closed, []event{
			placed, authorised, cleared, booked, allocated, planned, parcel("ShipmentPlanned", "s2"), picked, packed, cancel,
			parcel("ShipmentCancelled", "s2"), stoppedWith(lines(2, 1), lines(1, 2)), repaid, restocked,
			dispatch("s1", true, lines(1, 2)), captured("s1"), delivered, invoiced("s1"),
		}},
	}
}

// end is what must not depend on the order of reading.
func (h *history) end() map[string]any {
	e := map[string]any{"phase": h.flow.Phase, "outcome": h.flow.Outcome, "owed": h.owed()}
	for id, m := range h.told {
		if strings.HasPrefix(id, "PersonNeeded") {
			id = fmt.Sprintf("PersonNeeded %+v", m) // its ID names an offset
		}
		e[id] = m
	}
	return e
}

// shuffled reads the topics in any order that keeps each one's own, with the
// last record of a topic twice now and then. Causal says that an answer cannot
// come before this context has asked; a replay knows no such thing.
func shuffled(t *rapid.T, d *Definition, events []event, causal bool) *history {
	h, topics, last := newHistory(t, d), map[string][]event{}, map[string]event{}
	for _, e := range events {
		topics[e.topic] = append(topics[e.topic], e)
	}
	for {
		topics["flows"], h.own = append(topics["flows"], h.own...), nil
		var ready []string
		for topic, q := range topics {
			if len(q) > 0 && (!causal || q[0].after == "" || h.told[q[0].after] != nil) {
				ready = append(ready, topic)
			}
		}
		if len(ready) == 0 {
			return h
		}
		slices.Sort(ready)
		topic := rapid.SampledFrom(ready).Draw(t, "topic")
		last[topic], topics[topic] = topics[topic][0], topics[topic][1:]
		h.read(last[topic])
		// What it has published and not read back still opens something.
		news := len(h.own) + len(topics["flows"])
		if causal && h.flow.Definition != "" && h.flow.Outcome == "" && news == 0 && len(h.flow.Ledger.Open) == 0 {
			t.Fatalf("in %s nothing is owed, the flow could be forgotten: %+v", h.flow.Phase, h.flow)
		}
		if rapid.IntRange(0, 9).Draw(t, "again") == 0 {
			repeated := rapid.SampledFrom(slices.Sorted(maps.Keys(last))).Draw(t, "repeated")
			h.readAt(last[repeated], h.next[repeated]-1)
		}
	}
}

// TestScripts: on its way each ends as it should, and in every phase something
// is owed that the definition names for it.
func TestScripts(t *testing.T) {
	d := shipped(t)
	for _, s := range scripts() {
		h := newHistory(t, d)
		for _, e := range s.events {
			h.live(e)
			ends := func(o Obligation) bool { return slices.Contains(d.Phases[h.flow.Phase], o.Rule) }
			if h.flow.Outcome == "" && !slices.ContainsFunc(h.flow.Ledger.Open, ends) {
				t.Errorf("%s: in %s none of %v is open, but %v", s.name, h.flow.Phase, d.Phases[h.flow.Phase], h.owed())
			}
		}
		if h.flow.Outcome != s.outcome {
			t.Errorf("%s: it ends as %q, not %q: %+v", s.name, h.flow.Outcome, s.outcome, h.flow)
		}
	}
}

// TestConverges: whatever the order in which the topics are read, the flow ends
// in the same place and has told and asked the same; likewise where each has
// been read only so far. That last not for cancellations: whether a wish is read
// before the flow closes does matter to it.
func TestConverges(t *testing.T) {
	d := shipped(t)
	for _, s := range scripts() {
		asks := slices.ContainsFunc(s.events, func(e event) bool { return e.after != "" })
		for _, causal := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, causal %t", s.name, causal), rapid.MakeCheck(func(t *rapid.T) {
				left, events := map[string]int{}, []event{}
				for _, e := range s.events {
					if _, drawn := left[e.topic]; !drawn {
						left[e.topic] = rapid.IntRange(0, len(s.events)).Draw(t, e.topic)
					}
					if left[e.topic]--; left[e.topic] >= 0 || asks || !causal {
						events = append(events, e)
					}
				}
				want := newHistory(t, d).live(events...).end()
				if got := shuffled(t, d, events, causal).end(); !reflect.DeepEqual(got, want) {
					t.Fatalf("of %+v\nin another order it ends as\n%+v\nnot as\n%+v", events, got, want)
				}
			}))
		}
	}
}

// TestReadLongAgo: the longer ago a record was read, the more roughly it is known when; it
// is never said to have been read earlier than it was.
func TestReadLongAgo(t *testing.T) {
	const records = 20_000 // a second each
	var p Positions
	for n := range int64(records) {
		p.observe("payment", "orders", Position{Offset: n + 1, AsOf: start.Add(time.Duration(n+1) * time.Second)})
	}
	if n := len(p.reader("payment", "orders").Seen); n > maxPositions {
		t.Errorf("%d positions are kept", n)
	}
	for n := int64(1); n < records; n++ { // when the first was read nobody saw
		was := start.Add(time.Duration(n+1) * time.Second)
		when, has := p.read("payment", "orders", n, start)
		ago := start.Add(records * time.Second).Sub(was)
		if !has || when.Before(was) || when.Sub(was) > max(time.Second, ago/20) {
			t.Fatalf("what was read %v ago is said to have been read %v later", ago, when.Sub(was))
		}
	}
}
