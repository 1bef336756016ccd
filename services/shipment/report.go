package shipment

import (
	"fmt"
	"time"

	"troupe/topology"
)

// The warehouse's words.
const (
	reportPicking    = "PICKING"
	reportShort      = "PICK_SHORT"
	reportPacked     = "PACKED"
	reportDispatched = "DISPATCHED"
)

// The carrier's words.
const (
	scanScanned   = "SCANNED"
	scanAttempted = "ATTEMPTED"
	scanDelivered = "DELIVERED"
	scanLost      = "LOST"
	scanReturned  = "RETURNED"
)

// onReported takes the warehouse's word, or lets it wait for its order. What could never be
// taken does not wait: it would spoil the order that it waits for.
func onReported(f *Fulfilment, e report, t *topology.Turn) error {
	switch e.Kind {
	case reportPicking, reportShort, reportPacked, reportDispatched:
	default:
		return topology.Poison("report %q is none of PICKING, PICK_SHORT, PACKED, DISPATCHED", e.Kind)
	}
	if !f.Placed && e.ShipmentID != "" {
		return topology.Poison("the warehouse reports %s of shipment %s, of an order that nobody has placed", e.Kind, e.ShipmentID)
	}
	r := Report{
		Kind: e.Kind, ShipmentID: e.ShipmentID, Node: e.Node, At: e.At, Carrier: e.Carrier,
		Tracking: e.TrackingNumber, Parcels: e.Parcels, Lines: e.Lines,
	}
	if !f.Placed {
		if len(f.Waiting) >= maxWaiting {
			return topology.Poison("%d reports wait for an order that nobody has placed", maxWaiting)
		}
		f.Waiting = append(f.Waiting, r)
		t.At(t.Now.Add(patience), "waiting", "")
		return nil
	}
	if err := apply(f, r, t); err != nil {
		return err
	}
	return proceed(f, t)
}

// apply takes the warehouse's word.
func apply(f *Fulfilment, r Report, t *topology.Turn) error {
	s := find(f, r)
	if s == nil && r.Kind == reportDispatched && r.ShipmentID == "" {
		s = f.unasked(t.Cause.Envelope.Order, r)
	}
	switch {
	case s == nil && r.ShipmentID != "":
		return topology.Poison("the warehouse reports %s of shipment %s, which the order does not have", r.Kind, r.ShipmentID)
	case s == nil:
		return topology.Drop("parcel %s of node %s was reported before", r.Tracking, r.Node)
	}
	switch r.Kind {
	case reportPicking:
		if !s.advance(picking) {
			return topology.Drop("shipment %s is %s", s.ID, s.Status)
		}
		fact := &pickingStarted{Envelope: of(s), ShipmentID: s.ID, Node: s.Node}
		fact.OccurredAt = r.At
		t.Publish(fact, s.ID)
	case reportShort:
		for _, l := range r.Lines {
			fact := &pickShort{Envelope: of(s), ShipmentID: s.ID, Node: s.Node, Line: l.Line, Missing: l.Quantity}
			fact.OccurredAt = r.At
			t.Publish(fact, s.ID, fmt.Sprint(l.Line), r.At.Format(time.RFC3339))
		}
	case reportPacked:
		if !s.advance(packed) {
			return topology.Drop("shipment %s is %s", s.ID, s.Status)
		}
		fact := &shipmentPacked{Envelope: of(s), ShipmentID: s.ID, Node: s.Node, Parcels: r.Parcels}
		fact.OccurredAt = r.At
		t.Publish(fact, s.ID)
	case reportDispatched:
		return dispatch(f, s, r, t)
	}
	return nil
}

// find is the shipment that a report is about: the one it names, or for goods
// that left unasked the one that has not left its node yet.
func find(f *Fulfilment, r Report) *Shipment {
	if r.ShipmentID != "" {
		return f.shipment(func(s *Shipment) bool { return s.ID == r.ShipmentID })
	}
	return f.shipment(func(s *Shipment) bool {
		return s.Node == r.Node && (!s.left() || s.Tracking == r.Tracking)
	})
}

func dispatch(f *Fulfilment, s *Shipment, r Report, t *topology.Turn) error {
	if !s.advance(dispatched) {
		return topology.Drop("shipment %s is %s", s.ID, s.Status)
	}
	s.Tracking = r.Tracking
	s.Unasked = s.Unasked || r.ShipmentID == ""
	if s.Held == wanted {
		s.Held = refused // it left before the warehouse could be asked to hold it
		refuse(s, "it has left the node", t)
	}
	fact := &shipmentDispatched{
		Envelope: of(s), ShipmentID: s.ID, Node: s.Node, Carrier: r.Carrier, TrackingNumber: r.Tracking,
		Lines: lines(f, s), Value: value(f, s), Currency: f.Currency, PromisedBy: f.PromisedBy, Unasked: s.Unasked, Last: f.last(),
	}
	fact.OccurredAt = r.At
	t.Publish(fact, s.ID)
	return rescan(f, s.Tracking, t)
}

// rescan takes the carrier's reports that were quicker than the dispatch.
func rescan(f *Fulfilment, tracking string, t *topology.Turn) error {
	var still []Scan
	waiting := f.WaitingScan
	f.WaitingScan = nil
	for _, c := range waiting {
		if c.Tracking != tracking {
			still = append(still, c)
			continue
		}
		if err := see(f, c, t); err != nil && !topology.Dropped(err) {
			return err
		}
	}
	f.WaitingScan = still
	return nil
}

func onScanned(f *Fulfilment, e scan, t *topology.Turn) error {
	switch e.Kind {
	case scanScanned, scanAttempted, scanDelivered, scanLost, scanReturned:
	default: // also of one that would wait, and spoil its dispatch
		return topology.Poison("report %q is none of SCANNED, ATTEMPTED, DELIVERED, LOST, RETURNED", e.Kind)
	}
	return see(f, Scan{Kind: e.Kind, Tracking: e.TrackingNumber, At: e.At, Location: e.Location, Reason: e.Reason}, t)
}

// see takes the carrier's word.
func see(f *Fulfilment, c Scan, t *topology.Turn) error {
	s := f.shipment(func(s *Shipment) bool { return s.left() && s.Tracking == c.Tracking })
	if s == nil {
		if len(f.WaitingScan) >= maxWaiting {
			return topology.Poison("%d reports of the carrier wait for a dispatch that nobody has reported", maxWaiting)
		}
		f.WaitingScan = append(f.WaitingScan, c)
		t.At(t.Now.Add(patience), "waiting", "")
		return nil
	}
	head := of(s)
	head.OccurredAt = c.At
	once := c.At.Format(time.RFC3339)
	switch c.Kind {
	case scanScanned:
		t.Publish(&carrierScanned{Envelope: head, ShipmentID: s.ID, TrackingNumber: c.Tracking, Location: c.Location}, s.ID, once)
	case scanAttempted:
		t.Publish(&deliveryAttempted{Envelope: head, ShipmentID: s.ID, TrackingNumber: c.Tracking, Reason: c.Reason}, s.ID, once)
	case scanDelivered:
		if !s.advance(delivered) {
			return topology.Drop("shipment %s is %s", s.ID, s.Status)
		}
		t.Publish(&shipmentDelivered{Envelope: head, ShipmentID: s.ID, TrackingNumber: c.Tracking}, s.ID)
	case scanLost, scanReturned:
		if s.Status != dispatched {
			return topology.Drop("shipment %s is %s", s.ID, s.Status)
		}
		if c.Kind == scanLost {
			s.Status = lost
			t.Publish(&parcelLost{Envelope: head, ShipmentID: s.ID, TrackingNumber: c.Tracking}, s.ID)
			return nil
		}
		s.Status = returned
		t.Publish(&returnedToSender{Envelope: head, ShipmentID: s.ID, TrackingNumber: c.Tracking, Reason: c.Reason}, s.ID)
	}
	return nil
}
