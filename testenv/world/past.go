package world

import (
	"slices"
	"strings"
	"time"

	"troupe/testenv/world/history"
)

// Past is a Source that replays a folder of history.
type Past struct {
	orders []*Order
	next   int
}

// historyTenant is the retailer whose history is replayed.
const historyTenant = "olist"

// Replay makes a Source of history. The nodes own what they will ship, and what
// they never came to ship.
func Replay(orders []history.Order) *Past {
	p := &Past{}
	for _, o := range orders {
		p.orders = append(p.orders, remember(o))
	}
	slices.SortStableFunc(p.orders, byPlace)
	return p
}

func remember(h history.Order) *Order {
	o := &Order{
		Tenant: historyTenant, Channel: "web", Number: h.ID, Currency: "BRL", PlacedAt: h.Purchased, PromisedBy: h.Promised,
		Customer: Customer{
			CustomerID: h.Customer.ID, Name: "Customer " + h.Customer.ID[:min(8, len(h.Customer.ID))],
			Email: h.Customer.ID + "@example.com", City: h.Customer.City, State: h.Customer.State, Postcode: h.Customer.Postcode,
		},
		Score: Score{Score: int32(draw("score", h.ID) % 30)}, VerdictAt: h.Approved, Departs: map[string]Departure{},
	}
	for _, l := range h.Lines {
		o.Lines = append(o.Lines, Line{
			Line: l.Number, SKU: l.Product, Quantity: 1, UnitNet: l.Price, Freight: l.Freight, Node: l.Seller, ShipBy: l.ShipBy,
		})
		o.Departs[l.Seller] = Departure{At: h.Carrier, DeliveredAt: h.Delivered, Regardless: true}
	}
	for _, t := range h.Tenders {
		o.Tenders = append(o.Tenders, Tender{Sequence: t.Sequence, Kind: t.Kind, Amount: t.Amount})
	}
	if h.Cancelled && len(h.Lines) > 0 {
		o.CancelAt = h.Promised
	}
	return o
}

// Start is a minute before the first order.
func (p *Past) Start() time.Time {
	if len(p.orders) == 0 {
		return time.Unix(0, 0).UTC()
	}
	return p.orders[0].PlacedAt.Add(-time.Minute)
}

// Tenant is the retailer of all history.
func (p *Past) Tenant() string { return historyTenant }

// Stock is what all orders want of each node.
func (p *Past) Stock() []Level {
	wanted := map[Level]int32{}
	for _, o := range p.orders {
		for _, l := range o.Lines {
			wanted[Level{SKU: l.SKU, Node: l.Node}] += l.Quantity
		}
	}
	var out []Level
	for l, n := range wanted {
		l.Quantity = n
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Level) int { return strings.Compare(a.SKU+"/"+a.Node, b.SKU+"/"+b.Node) })
	return out
}

// Next is the next order.
func (p *Past) Next() (*Order, bool) {
	if p.next == len(p.orders) {
		return nil, false
	}
	p.next++
	return p.orders[p.next-1], true
}

// Fate is that of any order: history knows nothing of it.
func (p *Past) Fate(tenant, order string, at time.Time) *Order { return ordinary(tenant, order, at) }

// Mishap is none: what went wrong in history is in it.
func (p *Past) Mishap(string) Mishap { return Mishap{} }
