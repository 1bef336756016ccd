package world

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Dials turn invented traffic. Shares are of 1.
type Dials struct {
	Seed      uint64
	Begin     time.Time // on a whole minute
	PerHour   float64   // orders, in business time
	Nodes     int       // warehouses
	SKUs      int
	Customers int

	Boleto, Decline, Hold, Cancel, NeverLeaves, Regardless float64
	NeverBilled, BilledTwice, Overbilled                   float64
	Lost, Repeated, Late                                   float64       // calls to the estate
	Delay                                                  time.Duration // of a late call, at most
}

// Lively is traffic of a good shop with some of everything that goes wrong.
func Lively(seed uint64, begin time.Time) Dials {
	return Dials{
		Seed: seed, Begin: begin.UTC().Truncate(time.Minute), PerHour: 60, Nodes: 4, SKUs: 200, Customers: 500,
		Boleto: 0.15, Decline: 0.01, Hold: 0.05, Cancel: 0.03, NeverLeaves: 0.01, Regardless: 0.01,
		NeverBilled: 0.01, BilledTwice: 0.01, Overbilled: 0.01,
		Lost: 0.002, Repeated: 0.02, Late: 0.05, Delay: 2 * time.Hour,
	}
}

// Validate reports every dial that is out of its range.
func (d Dials) Validate() error {
	var errs []error
	for name, share := range map[string]float64{
		"boleto": d.Boleto, "decline": d.Decline, "hold": d.Hold, "cancel": d.Cancel, "never leaves": d.NeverLeaves, "regardless": d.Regardless,
		"never billed": d.NeverBilled, "billed twice": d.BilledTwice, "overbilled": d.Overbilled,
		"lost": d.Lost, "repeated": d.Repeated, "late": d.Late,
	} {
		if share < 0 || share > 1 {
			errs = append(errs, fmt.Errorf("dial %s is %v, not a share of 1", name, share))
		}
	}
	if d.PerHour <= 0 || d.Nodes < 1 || d.SKUs < 1 || d.Customers < 1 || d.Delay < 0 {
		errs = append(errs, errors.New("orders an hour, nodes, SKUs and customers must be above zero, and the delay not below"))
	}
	return errors.Join(errs...)
}

// Invented is a Source of traffic that nobody ever had: the same for a seed.
type Invented struct {
	dials Dials
	rnd   *rand.Rand
	at    time.Time
	n     int
}

// Invent makes a Source without end.
func Invent(d Dials) (*Invented, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("invent traffic: %w", err)
	}
	return &Invented{dials: d, rnd: rand.New(rand.NewPCG(d.Seed, 1)), at: d.Begin}, nil
}

// inventedTenant is the retailer of invented traffic.
const inventedTenant = "acme"

// Start is when the traffic begins.
func (i *Invented) Start() time.Time { return i.dials.Begin }

// Tenant is the retailer.
func (i *Invented) Tenant() string { return inventedTenant }

// stocked is what each node owns of each SKU at the start.
const stocked = 100_000

// Stock is plenty of everything everywhere.
func (i *Invented) Stock() []Level {
	var out []Level
	for sku := range i.dials.SKUs {
		for node := range i.dials.Nodes {
			out = append(out, Level{SKU: skuName(sku), Node: nodeName(node), Quantity: stocked})
		}
	}
	return out
}

func skuName(n int) string  { return fmt.Sprintf("SKU-%04d", n+1) }
func nodeName(n int) string { return fmt.Sprintf("DC-%d", n+1) }

func (i *Invented) happens(share float64) bool { return i.rnd.Float64() < share }

// between is a whole number of minutes.
func (i *Invented) between(from, to time.Duration) time.Duration {
	return from + time.Duration(i.rnd.Int64N(int64((to-from)/time.Minute)+1))*time.Minute
}

// Next invents an order.
func (i *Invented) Next() (*Order, bool) {
	d := i.dials
	i.n++
	i.at = i.at.Add(time.Duration(i.rnd.ExpFloat64() * float64(time.Hour) / d.PerHour))
	placed := minute(i.at)
	o := &Order{
		Tenant: inventedTenant, Channel: "web", Number: fmt.Sprintf("%06d", i.n), Customer: i.customer(), Currency: "EUR",
		PlacedAt: placed, PromisedBy: placed.Add(5 * 24 * time.Hour).Truncate(24 * time.Hour),
		VerdictAt: placed.Add(i.between(0, 20*time.Minute)),
		Score:     Score{Score: i.rnd.Int32N(40)}, Departs: map[string]Departure{},
		Billing: Billing{Never: i.happens(d.NeverBilled), Twice: i.happens(d.BilledTwice)},
	}
	if i.happens(d.Overbilled) {
		o.Billing.Over = 500
	}
	if i.happens(d.Hold) {
		o.Score = Score{Decision: "HOLD", Score: 60 + i.rnd.Int32N(30), ReviewedAt: placed.Add(i.between(20*time.Minute, 3*time.Hour)), Review: "CLEAR"}
		if i.happens(0.3) {
			o.Score.Review = "REJECT"
		}
	}
	i.lines(o)
	i.tenders(o)
	if i.happens(d.Cancel) {
		o.CancelAt = placed.Add(i.between(10*time.Minute, 24*time.Hour))
	}
	return o, true
}

func (i *Invented) customer() Customer {
	n := i.rnd.IntN(i.dials.Customers) + 1
	return Customer{
		CustomerID: fmt.Sprintf("C-%05d", n), Name: fmt.Sprintf("Customer %d", n), Email: fmt.Sprintf("customer%d@example.com", n),
		City: "Springfield", State: "SP", Postcode: fmt.Sprintf("%05d", 10000+n),
	}
}

// lines gives an order one to four lines from one or two nodes.
func (i *Invented) lines(o *Order) {
	first := i.rnd.IntN(i.dials.Nodes)
	for n := range 1 + i.rnd.IntN(4) {
		node := first
		if i.happens(0.15) {
			node = i.rnd.IntN(i.dials.Nodes)
		}
		l := Line{
			Line: int32(n + 1), SKU: skuName(i.rnd.IntN(i.dials.SKUs)), Quantity: 1 + i.rnd.Int32N(3), UnitNet: 500 + i.rnd.Int64N(20_000),
			Freight: 100 + i.rnd.Int64N(900), Node: nodeName(node), ShipBy: o.PlacedAt.Add(48 * time.Hour),
		}
		l.Tax = l.UnitNet * int64(l.Quantity) / 5
		o.Lines = append(o.Lines, l)
		if _, ok := o.Departs[l.Node]; ok || i.happens(i.dials.NeverLeaves) {
			continue
		}
		leaves := o.PlacedAt.Add(i.between(3*time.Hour, 30*time.Hour))
		o.Departs[l.Node] = Departure{At: leaves, DeliveredAt: leaves.Add(i.between(12*time.Hour, 96*time.Hour)), Regardless: i.happens(i.dials.Regardless)}
	}
}

// tenders pays for an order, by one means or two.
func (i *Invented) tenders(o *Order) {
	var total int64
	for _, l := range o.Lines {
		total += int64(l.Quantity)*l.UnitNet - l.Discount + l.Freight + l.Tax
	}
	kind := "credit_card"
	if i.happens(i.dials.Boleto) {
		kind = "boleto"
	}
	first := total
	if i.happens(0.1) {
		first = total * 2 / 3
		o.Tenders = append(o.Tenders, Tender{Sequence: 2, Kind: "voucher", Amount: total - first})
	}
	o.Tenders = append(o.Tenders, Tender{Sequence: 1, Kind: kind, Amount: first, Declined: i.happens(i.dials.Decline)})
}

// Fate is that of an order which came by another way, by a newcomer's own hand
// for instance: all goes well, and quickly.
func (i *Invented) Fate(tenant, order string, at time.Time) *Order {
	return ordinary(tenant, order, at)
}

// Mishap loses, repeats and delays calls, the same ones for a seed.
func (i *Invented) Mishap(id string) Mishap {
	d := i.dials
	rnd := rand.New(rand.NewPCG(d.Seed, draw(id)))
	m := Mishap{Lost: rnd.Float64() < d.Lost, Repeated: rnd.Float64() < d.Repeated}
	if rnd.Float64() < d.Late && d.Delay >= time.Minute {
		m.Late = time.Duration(rnd.Int64N(int64(d.Delay/time.Minute))+1) * time.Minute
	}
	return m
}
