package world

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// place puts the next orders into the calendar, up to the first that is still to
// be placed; the rest follow when it is. Those before it go on from where they
// stood.
func (w *World) place() {
	for {
		o, ok := w.config.Source.Next()
		if !ok {
			return
		}
		w.orders[o.key()] = o
		w.customers[o.Tenant+"/"+o.Customer.CustomerID] = o.Customer
		id := "place/" + o.key()
		placed := w.done[id]
		if placed {
			w.placed++
		}
		w.later(o.PlacedAt, id, func(ctx context.Context) error {
			if err := w.post(ctx, w.estate.Edge+"/v1/orders", id, orderOf(o)); err != nil {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if !w.done[id] { // a repeat brings no further order
				w.done[id] = true
				w.placed++
				w.place()
			}
			return nil
		})
		w.leaveRegardless(o)
		w.changeMind(o)
		if !placed {
			return
		}
	}
}

func (w *World) changeMind(o *Order) {
	if o.CancelAt.IsZero() {
		return
	}
	id := "cancel/" + o.key()
	w.later(o.CancelAt, id, func(ctx context.Context) error {
		path := fmt.Sprintf("%s/v1/orders/%s/%s/cancellation", w.estate.Edge, url.PathEscape(o.Tenant), url.PathEscape(o.ID()))
		return w.post(ctx, path, id, map[string]any{"requestedBy": "customer", "reason": "changed my mind", "at": o.CancelAt})
	})
}

func orderOf(o *Order) map[string]any {
	return map[string]any{
		"tenant": o.Tenant, "channel": o.Channel, "channelOrder": o.Number, "customer": o.Customer, "currency": o.Currency,
		"lines": orEmpty(o.Lines), "tenders": orEmpty(o.Tenders), "promisedBy": o.PromisedBy, "placedAt": o.PlacedAt,
	}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// levelsAtOnce is how many levels a stock report may have.
const levelsAtOnce = 500

// fill reports what the nodes own, at the start.
func (w *World) fill(at time.Time) {
	levels := w.config.Source.Stock()
	for n := 0; n < len(levels); n += levelsAtOnce {
		batch := levels[n:min(n+levelsAtOnce, len(levels))]
		w.call(at, fmt.Sprintf("stock/%d", n), "inventory/stock/events", map[string]any{
			"tenant": w.config.Source.Tenant(), "mode": "SET", "reason": "opening count", "levels": batch,
		}, nil)
	}
}
