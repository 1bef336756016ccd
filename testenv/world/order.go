package world

import (
	"cmp"
	"slices"
	"time"
)

// Order is an order as its shop places it, and what the world will do for it.
type Order struct {
	Tenant, Channel, Number string
	Customer                Customer
	Currency                string
	Lines                   []Line
	Tenders                 []Tender
	PlacedAt, PromisedBy    time.Time

	CancelAt  time.Time            // when the customer changes his mind; zero: never
	Score     Score                // the scoring service's word
	VerdictAt time.Time            // when the provider answers for good; zero: never
	Departs   map[string]Departure // by node
	Billing   Billing
}

// Customer is who buys.
type Customer struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	City       string `json:"city"`
	State      string `json:"state"`
	Postcode   string `json:"postcode"`
}

// Line is a line of an order. Amounts are minor units.
type Line struct {
	Line     int32     `json:"line"`
	SKU      string    `json:"sku"`
	Quantity int32     `json:"quantity"`
	UnitNet  int64     `json:"unitNet"`
	Discount int64     `json:"discount"`
	Freight  int64     `json:"freight"`
	Tax      int64     `json:"tax"`
	Node     string    `json:"node"`
	ShipBy   time.Time `json:"shipBy,omitzero"`
}

// Tender is a means of payment.
type Tender struct {
	Sequence int32  `json:"sequence"`
	Kind     string `json:"kind"`
	Amount   int64  `json:"amount"`
	Declined bool   `json:"-"`
}

// Score is what the scoring service answers, and its desk after a hold.
type Score struct {
	Decision   string // CLEAR, HOLD or REJECT; "" is CLEAR
	Score      int32
	ReviewedAt time.Time // of a hold; zero: never
	Review     string    // CLEAR or REJECT
}

// Departure is when a node lets an order's goods go, and when they arrive; zero
// is never.
type Departure struct {
	At, DeliveredAt time.Time
	// Regardless: they leave at At, released or not. Else not before they were
	// released.
	Regardless bool
}

// Billing is what the ERP does wrong.
type Billing struct {
	Never, Twice bool
	Over         int64 // minor units too much on a shipment's first line
}

// ID is the estate's number of the order.
func (o *Order) ID() string { return o.Channel + "-" + o.Number }

func (o *Order) key() string { return o.Tenant + "/" + o.ID() }

// nodes lists the nodes of the lines, sorted.
func (o *Order) nodes() []string {
	var out []string
	for _, l := range o.Lines {
		out = append(out, l.Node)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Level is the stock of a node.
type Level struct {
	SKU      string `json:"sku"`
	Node     string `json:"node"`
	Quantity int32  `json:"quantity"`
}

// Source decides what happens.
type Source interface {
	// Start is when the world begins: before the first order, on a whole minute.
	Start() time.Time
	// Tenant is the retailer whose shops and nodes these are.
	Tenant() string
	// Stock is what the nodes own at the start.
	Stock() []Level
	// Next is the next order, by the time it is placed; false after the last.
	Next() (*Order, bool)
	// Fate decides for an order that this world has not placed.
	Fate(tenant, order string, at time.Time) *Order
	// Mishap says what goes wrong with a call.
	Mishap(id string) Mishap
}

// Mishap is what goes wrong with a call to the estate.
type Mishap struct {
	Lost     bool
	Repeated bool
	Late     time.Duration
}

// ordinary is the fate of an order that nobody has thought of.
func ordinary(tenant, order string, at time.Time) *Order {
	channel, number, _ := cut(order)
	return &Order{
		Tenant: tenant, Channel: channel, Number: number, PlacedAt: at, VerdictAt: at.Add(2 * time.Minute),
		Departs: map[string]Departure{"": {At: at.Add(3 * time.Hour), DeliveredAt: at.Add(48 * time.Hour)}},
	}
}

// departure is a node's; where the order names no nodes, the one of all.
func (o *Order) departure(node string) Departure {
	d, ok := o.Departs[node]
	if !ok {
		d = o.Departs[""]
	}
	return d
}

func byPlace(a, b *Order) int {
	return cmp.Or(a.PlacedAt.Compare(b.PlacedAt), cmp.Compare(a.Number, b.Number))
}
