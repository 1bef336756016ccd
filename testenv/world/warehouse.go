package world

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// parcel is a shipment that the warehouse was asked for.
type parcel struct {
	request
	leavesAt        time.Time // zero: never
	departure       Departure
	left, cancelled bool // it has; it was held back
}

// picks is how long before the hour of its departure a parcel is picked.
const picks = time.Hour

// release takes a shipment to pick. Goods that have left by then are gone.
func (w *World) release(r request, at time.Time) any {
	o := w.order(r.Tenant, r.Order, at)
	place := r.Tenant + "/" + r.Order + "/" + r.Node
	if w.departed[place] {
		return map[string]any{"accepted": false, "reason": "these goods have left"}
	}
	p := &parcel{request: r, departure: o.departure(r.Node)}
	w.parcels[r.ShipmentID] = p
	w.releases[o.key()] = append(w.releases[o.key()], r.ShipmentID)
	p.leavesAt = p.departure.At
	if !p.departure.Regardless && !p.leavesAt.IsZero() {
		p.leavesAt = later(p.leavesAt, at.Add(2*picks))
		id := "left/" + r.ShipmentID
		w.later(p.leavesAt, id, func(ctx context.Context) error { return w.leave(ctx, o, r.Node, p.leavesAt, id, p) })
	}
	if p.leavesAt.IsZero() || !at.Before(p.leavesAt) {
		return map[string]any{"accepted": true}
	}
	hour := p.leavesAt.Truncate(time.Hour)
	w.report(p, "PICKING", later(at, hour.Add(-picks)))
	w.report(p, "PACKED", later(at, hour))
	return map[string]any{"accepted": true}
}

// cancelRelease holds a parcel back, as long as it is there.
func (w *World) cancelRelease(r request, _ time.Time) any {
	p := w.parcels[r.ShipmentID]
	switch {
	case p == nil:
		return refusal{http.StatusNotFound, "no such shipment"}
	case p.left || w.departed[p.place()]:
		return map[string]any{"accepted": false, "reason": "it has left"}
	}
	p.cancelled = true
	return map[string]any{"accepted": true}
}

func (p *parcel) place() string { return p.Tenant + "/" + p.Order + "/" + p.Node }

// report tells what is done with a parcel, unless it is held back by then.
func (w *World) report(p *parcel, kind string, at time.Time) {
	w.call(at, kind+"/"+p.ShipmentID, "shipment/warehouse/events", map[string]any{
		"tenant": p.Tenant, "order": p.Order, "kind": kind, "shipmentId": p.ShipmentID, "node": p.Node, "parcels": 1,
	}, func() bool { return p.cancelled })
}

// leaveRegardless lets goods go that wait for nobody's word.
func (w *World) leaveRegardless(o *Order) {
	for _, node := range o.nodes() {
		d := o.departure(node)
		if !d.Regardless || d.At.IsZero() {
			continue
		}
		id := "left/" + o.key() + "/" + node
		w.later(d.At, id, func(ctx context.Context) error {
			w.mu.Lock()
			w.departed[o.key()+"/"+node] = true
			asked := w.asked(o, node)
			w.mu.Unlock()
			return w.leave(ctx, o, node, d.At, id, asked)
		})
	}
}

// asked is the shipment that a node was asked for, if it was.
func (w *World) asked(o *Order, node string) *parcel {
	for _, id := range w.releases[o.key()] {
		if p := w.parcels[id]; p.Node == node && !p.cancelled {
			return p
		}
	}
	return nil
}

// leave reports that a node's goods have left: as the shipment that was asked
// for, or unasked. The carrier has them from here.
func (w *World) leave(ctx context.Context, o *Order, node string, at time.Time, id string, p *parcel) error {
	body := map[string]any{
		"id": id, "tenant": o.Tenant, "order": o.ID(), "kind": "DISPATCHED", "shipmentId": "", "node": node,
		"carrier": "carrier-1", "trackingNumber": number("TN", id), "parcels": 1, "lines": o.of(node), "at": at,
	}
	handover := request{Tenant: o.Tenant, Order: o.ID(), Node: node, Reference: number("TN", id)}
	if p != nil {
		w.mu.Lock()
		off := p.cancelled
		p.left = !off
		w.mu.Unlock()
		if off {
			return nil
		}
		handover.ShipmentID = p.ShipmentID
		body["shipmentId"], body["lines"] = p.ShipmentID, p.Lines
	}
	if err := w.post(ctx, w.url("shipment/warehouse/events"), id, body); err != nil {
		return err
	}
	b, err := json.Marshal(handover)
	if err != nil {
		return fmt.Errorf("hand over to the carrier: %w", err)
	}
	_, err = w.take("handover", id, b)
	return err
}

// of lists what an order wants of a node.
func (o *Order) of(node string) (out []requestLine) {
	for _, l := range o.Lines {
		if l.Node == node {
			out = append(out, requestLine{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity})
		}
	}
	return out
}
