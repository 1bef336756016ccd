package workbench

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"troupe/schemas"
)

// streams draws what topics hold: in order within the topic, at times that now
// and then stand still.
func streams(t *rapid.T) [][]record {
	topic := func(name string, make func(event, order string, minute int) record, events ...string) (out []record) {
		minute := 0
		for i := range rapid.IntRange(0, 8).Draw(t, name) {
			minute += rapid.IntRange(0, 2).Draw(t, "minutes")
			r := make(rapid.SampledFrom(events).Draw(t, "event"), rapid.SampledFrom([]string{"web-1", "web-2"}).Draw(t, "order"), minute)
			r.origin.Offset, r.origin.Envelope.ID = int64(i), schemas.FactID(r.event, r.origin.Key, fmt.Sprint(i))
			out = append(out, r)
		}
		return out
	}
	shipment := rapid.SampledFrom([]string{"s1", "s2"})
	return [][]record{
		topic("orders", func(event, order string, minute int) record {
			if event == "OrderPlaced" {
				return placed(order, minute, 100)
			}
			return rec(event, order, minute, values{"outcome": "CLOSED"})
		}, "OrderPlaced", "OrderRejected", "CancellationRequested", "OrderClosed"),
		topic("shipments", func(event, order string, minute int) record {
			return rec(event, order, minute, values{"shipmentId": shipment.Draw(t, "shipment"), "value": int64(1), "currency": "BRL"})
		}, "ShipmentDispatched", "CarrierScanned", "ParcelLost"),
		topic("flows", func(event, order string, minute int) record {
			s := shipment.Draw(t, "shipment")
			cause := schemas.FactID("ShipmentDispatched", "acme/"+order, fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "cause")))
			switch event {
			case "FlowPhaseChanged":
				return rec(event, order, minute, flowPhaseChanged{Phase: rapid.SampledFrom([]string{"PLACED", "IN_TRANSIT", "NEEDS_PERSON"}).Draw(t, "phase")})
			case "FlowClosed":
				return rec(event, order, minute, flowClosed{"CLOSED"})
			case "CancellationDecided":
				return rec(event, order, minute, cancellationDecided{Accepted: rapid.Bool().Draw(t, "accepted")})
			case "ObligationMet":
				return rec(event, order, minute, obligationMet{"first-scan", s, cause, "CarrierScanned"})
			case "OwnerBehind":
				return rec(event, order, minute, ownerBehind{"shipment", "orders", 3, at(minute)})
			case "OwnerCaughtUp":
				return rec(event, order, minute, ownerCaughtUp{"shipment", "orders"})
			}
			return rec(event, order, minute, obligationOverdue{Obligation: "first-scan", Event: "CarrierScanned", Events: []string{"CarrierScanned"}, Owner: "shipment", Subject: s, CauseID: cause, DueAt: at(minute)})
		}, "FlowPhaseChanged", "ObligationOverdue", "ObligationOverdue", "ObligationMet", "FlowClosed", "CancellationDecided", "OwnerBehind", "OwnerCaughtUp"),
		topic("mismatches", func(event, order string, minute int) record {
			head := mismatchHead{order + "m", "TAX_VARIANCE", 10, order}
			switch event {
			case "MismatchCleared":
				return rec(event, order, minute, mismatchCleared{head, "partner came"})
			case "MismatchAccepted":
				return rec(event, order, minute, mismatchAccepted{head, "ana", 4, "BRL"})
			}
			return rec(event, order, minute, detected(order, head.MismatchID, head.Code, head.Number, minute, int64(minute)).body)
		}, "MismatchDetected", "MismatchChanged", "MismatchCleared", "MismatchAccepted"),
		topic("exceptions", func(_, order string, minute int) record {
			return exceptional(fmt.Sprint("x", minute), order, "BODY", minute)
		}, "ExceptionRaised"),
	}
}

// interleave reads the topics at random speeds, and now and then one of them
// again from some earlier place.
func interleave(t *rapid.T, topics [][]record) (out []record) {
	at := make([]int, len(topics))
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
			out = append(out, topics[i][rapid.IntRange(0, at[i]-1).Draw(t, "from"):at[i]]...)
		}
	}
}

// TestConverges: however the topics are interleaved and repeated, every answer
// is the same, byte by byte, also where flows are reduced to summaries.
func TestConverges(t *testing.T) {
	paths := []string{"/", "/flows", "/flows?overdue=any", "/flows/acme/web-1", "/flows/acme/web-2", "/mismatches?state=all", "/exceptions"}
	rapid.Check(t, func(t *rapid.T) {
		topics := streams(t)
		whole := rapid.IntRange(0, 3).Draw(t, "whole")
		one, other := bench(100), bench(100)
		one.limits.wholeClosed, other.limits.wholeClosed = whole, whole
		for _, topic := range topics {
			fill(one, topic...)
		}
		fill(other, interleave(t, topics)...)
		for _, p := range paths {
			if a, b := get(one, "application/json", p).Body.String(), get(other, "application/json", p).Body.String(); a != b {
				t.Fatalf("%s:\none replica   %s\nanother one   %s", p, a, b)
			}
		}
	})
}
