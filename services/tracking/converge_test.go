package tracking

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// streams draws a topic's records: in order within the topic, at times that
// now and then go backwards or stand still, as a carrier's reports do.
func streams(t *rapid.T) [][]record {
	amount := rapid.Int64Range(0, 5)
	of := func(name string, bodies func(event, order, n string) any, events ...string) []record {
		var out []record
		minute := 0
		for i := range rapid.IntRange(0, 7).Draw(t, name) {
			event := rapid.SampledFrom(events).Draw(t, "event")
			order := rapid.SampledFrom([]string{"web-1", "web-2"}).Draw(t, "order")
			minute += rapid.IntRange(-1, 2).Draw(t, "minutes")
			r := rec(event, order, minute, bodies(event, order, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "n")), fmt.Sprint(i))
			r.envelope.AggregateSequence = int64(i + 1)
			out = append(out, r)
		}
		return out
	}
	return [][]record{
		of("orders", func(event, _, n string) any {
			switch event {
			case "OrderPlaced":
				return placedBody("c" + n)
			case "OrderRejected":
				return rejected{"web", n, "NO_LINES"}
			case "OrderCancelled":
				return cancelled{}
			}
			return nothing{}
		}, "OrderPlaced", "OrderRejected", "OrderCancelled", "OrderClosed", "CancellationRequested"),
		of("payments", func(event, _, _ string) any {
			if event == "PaymentDeclined" {
				return nothing{}
			}
			return paid{amount.Draw(t, "amount"), rapid.SampledFrom([]string{"EUR", "BRL"}).Draw(t, "currency")}
		}, "PaymentPending", "PaymentAuthorized", "PaymentReceived", "PaymentDeclined", "PaymentCaptured", "PaymentVoided", "PaymentRefunded"),
		of("shipments", func(event, order, n string) any {
			lines := []shipmentLine{{1, "lamp", int32(amount.Draw(t, "quantity"))}}
			switch event {
			case "ShipmentPlanned":
				return planned{ShipmentID: order + n, Lines: lines, Currency: "EUR"}
			case "ShipmentDispatched":
				return dispatched{ShipmentID: order + n, TrackingNumber: "T" + n, Lines: lines, Currency: "EUR"}
			case "CarrierScanned":
				return scanned{order + n, "T" + n, "Leipzig"}
			case "ShipmentDelivered":
				return underWay{order + n, "T" + n}
			}
			return inHouse{order + n}
		}, "ShipmentPlanned", "PickingStarted", "ShipmentPacked", "ShipmentDispatched", "CarrierScanned", "ShipmentDelivered", "ShipmentCancelled"),
		of("invoices", func(event, _, n string) any {
			switch event {
			case "InvoiceIssued":
				return invoiced{"I" + n, "EUR", amount.Draw(t, "net"), 1, 0}
			case "InvoiceVoided":
				return voided{"I" + n}
			}
			return credited{"C" + n, "I" + n, "EUR", 1, 0, 0}
		}, "InvoiceIssued", "InvoiceVoided", "CreditNoteIssued"),
		of("flows", func(string, string, string) any {
			return decision(rapid.Bool().Draw(t, "accepted"), 1, int32(amount.Draw(t, "kept")))
		}, "CancellationDecided"),
	}
}

// interleave reads the topics at random speeds, and now and then one of them
// again from some earlier place, as a view that is read anew does.
func interleave(t *rapid.T, topics [][]record) []record {
	at := make([]int, len(topics))
	var out []record
	for {
		var left []int
		for i := range topics {
			if at[i] < len(topics[i]) {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			return out
		}
		i := rapid.SampledFrom(left).Draw(t, "topic")
		out = append(out, topics[i][at[i]])
		at[i]++
		if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			from := rapid.IntRange(0, at[i]-1).Draw(t, "from")
			out = append(out, topics[i][from:at[i]]...)
		}
	}
}

// TestConverges: however the topics are interleaved and repeated, every answer
// is the same, byte by byte.
func TestConverges(t *testing.T) {
	paths := []string{"/orders/acme/web-1", "/orders/acme/web-2", "/tracking/T1", "/tracking/T2", "/customers/acme/c1/orders", "/customers/acme/c2/orders"}
	rapid.Check(t, func(t *rapid.T) {
		topics := streams(t)
		one, other := replica(t), replica(t)
		for _, topic := range topics {
			fill(one, topic...)
		}
		fill(other, interleave(t, topics)...)
		for _, p := range paths {
			if a, b := get(one, "GET", p).Body.String(), get(other, "GET", p).Body.String(); a != b {
				t.Fatalf("%s:\none replica   %s\nanother one   %s", p, a, b)
			}
		}
	})
}
