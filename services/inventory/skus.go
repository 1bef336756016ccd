package inventory

import (
	"strings"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

type reserve struct {
	ReservationID string `avro:"reservationId"`
	OrderKey      string `avro:"orderKey"`
	Line          int32  `avro:"line"`
	SKU           string `avro:"sku"`
	Quantity      int32  `avro:"quantity"`
	Node          string `avro:"node"`
	Round         int32  `avro:"round"`
}

func onReserve(s *Stock, e reserve, t *topology.Turn) error {
	if s.full() && find(s.Held, e.ReservationID) < 0 && find(s.Waiting, e.ReservationID) < 0 {
		return topology.Poison("%d reservations of %s are open, which is all that one row holds: retry this when some have left", len(s.Held)+len(s.Waiting), e.SKU)
	}
	r, granted, known := s.reserve(Reservation{ID: e.ReservationID, Node: e.Node, Quantity: e.Quantity, Order: e.OrderKey, Line: e.Line, Round: e.Round, Correlation: t.Cause.Envelope.CorrelationID})
	if known {
		return topology.Drop("asked for before")
	}
	s.sorted()
	if !granted {
		t.Publish(&stockShort{Envelope: about(r), ReservationID: r.ID, SKU: e.SKU, Node: r.Node, Wanted: r.Quantity, Available: s.available()}, r.ID)
	} else {
		tellHeld(s, e.SKU, r, t)
	}
	answer(e.SKU, r, granted, t)
	return nil
}

// about is the order of a reservation. What grants it may be a delivery, or another
// order's release: nothing is inherited from those.
func about(r Reservation) schemas.Envelope {
	tenant, order, _ := strings.Cut(r.Order, "/")
	return schemas.Envelope{Tenant: tenant, Order: order, CorrelationID: r.Correlation}
}

func tellHeld(s *Stock, sku string, r Reservation, t *topology.Turn) {
	n := s.node(r.Node)
	t.Publish(&stockReserved{Envelope: about(r), ReservationID: r.ID, SKU: sku, Node: n.Name, Quantity: r.Quantity, OnHand: n.OnHand, Reserved: n.Reserved}, r.ID, t.Cause.Envelope.ID)
}

// answer tells the order. One reservation may be answered again: granted late,
// or taken back by a count.
func answer(sku string, r Reservation, granted bool, t *topology.Turn) {
	m := &reservationAnswered{Envelope: about(r), ReservationID: r.ID, Line: r.Line, SKU: sku, Node: r.Node, Quantity: r.Quantity, Round: r.Round}
	if granted {
		m.Granted = r.Quantity
	}
	t.AskAs("inventory", r.Order, m, r.ID, t.Cause.Envelope.ID)
}

type settle struct {
	ReservationID string `avro:"reservationId"`
	SKU           string `avro:"sku"`
}

func onRelease(s *Stock, e settle, t *topology.Turn) error {
	if !s.release(e.ReservationID) {
		return topology.Drop("not held")
	}
	serve(s, e.SKU, t)
	return nil
}

func onConsume(s *Stock, e settle, _ *topology.Turn) error {
	if !s.consume(e.ReservationID) {
		return topology.Drop("not held")
	}
	return nil
}

type adjust struct {
	SKU      string `avro:"sku"`
	Node     string `avro:"node"`
	Quantity int32  `avro:"quantity"`
	Mode     string `avro:"mode"`
	Reason   string `avro:"reason"`
}

func onAdjust(s *Stock, e adjust, t *topology.Turn) error {
	switch known, uncertain := s.took(Change{t.Cause.Envelope.ID, t.Now.UnixMilli()}); {
	case known:
		return topology.Drop("taken in before")
	case uncertain:
		return topology.Poison("the adjustment is of %s, from when it is not known any more what was taken in: it may be a repeat; send a count (SET) of now instead", t.Now.UTC().Format(time.RFC3339))
	}
	before := s.node(e.Node).OnHand
	onHand := e.Quantity
	switch e.Mode {
	case "SET":
	case "ADD":
		onHand += before
	default:
		return topology.Poison("mode %q is neither SET nor ADD", e.Mode)
	}
	if onHand < 0 {
		return topology.Poison("node %s would have %d units of %s", e.Node, onHand, e.SKU)
	}
	lost := s.count(e.Node, onHand)
	s.sorted()
	n := s.node(e.Node)
	t.Publish(&stockAdjusted{SKU: e.SKU, Node: e.Node, OnHand: n.OnHand, Reserved: n.Reserved, Delta: n.OnHand - before, Reason: e.Reason}, t.Cause.Envelope.ID)
	for _, r := range lost {
		if find(s.Waiting, r.ID) >= 0 && s.candidate(r) == nil {
			answer(e.SKU, r, false, t)
		}
	}
	serve(s, e.SKU, t)
	return nil
}

// serve grants what waits and can be had now.
func serve(s *Stock, sku string, t *topology.Turn) {
	for _, r := range s.serve() {
		tellHeld(s, sku, r, t)
		answer(sku, r, true, t)
	}
}
