package world

import "time"

// scanHour is when the carrier scans what it collected that day, UTC.
const scanHour = 23

// carry takes a parcel over: it is scanned at the next evening, or when it
// arrives if that is sooner, and delivered.
func (w *World) carry(r request, at time.Time) any {
	o := w.order(r.Tenant, r.Order, at)
	w.departed[r.Tenant+"/"+r.Order+"/"+r.Node] = true
	if p := w.parcels[r.ShipmentID]; p != nil {
		p.left = true
	}
	d := o.departure(r.Node)
	scanned := nextHour(at, scanHour)
	if !d.DeliveredAt.IsZero() {
		arrives := later(at, d.DeliveredAt)
		if !d.Regardless { // it left later than was thought, and arrives so
			arrives = d.DeliveredAt.Add(max(0, at.Sub(d.At)))
		}
		if arrives.Before(scanned) {
			scanned = arrives
		}
		w.scan(r, "DELIVERED", arrives)
	}
	w.scan(r, "SCANNED", scanned)
	return nil
}

func (w *World) scan(r request, kind string, at time.Time) {
	w.call(at, kind+"/"+r.Reference, "shipment/carrier/events", map[string]any{
		"tenant": r.Tenant, "order": r.Order, "kind": kind, "trackingNumber": r.Reference, "location": "hub-1",
	}, nil)
}

// nextHour is the next time of day of that hour, after t.
func nextHour(t time.Time, hour int) time.Time {
	at := time.Date(t.Year(), t.Month(), t.Day(), hour, 0, 0, 0, time.UTC)
	if !at.After(t) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}
