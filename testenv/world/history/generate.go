package history

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// fate is a kind of order that history knows.
type fate struct {
	name    string
	sellers int
	units   int
	kinds   []string
	bend    func(o *Order)
}

var card = []string{"credit_card"}

// fates come in turn, so that as many orders as there are fates show all of them.
var fates = []fate{
	{name: "plain", sellers: 1, units: 1, kinds: card},
	{name: "two units", sellers: 1, units: 2, kinds: card},
	{name: "two sellers", sellers: 2, units: 1, kinds: card},
	{name: "three sellers", sellers: 3, units: 2, kinds: card},
	{name: "paid first", sellers: 1, units: 1, kinds: []string{prepaidKind}},
	{name: "paid first, two sellers", sellers: 2, units: 1, kinds: []string{prepaidKind}},
	{name: "mixed tenders", sellers: 1, units: 1, kinds: []string{"voucher", "credit_card"}},
	{name: "mixed tenders, two sellers", sellers: 2, units: 1, kinds: []string{"voucher", "voucher", "credit_card"}},
	{name: "debit card", sellers: 1, units: 1, kinds: []string{"debit_card"}},
	{name: "no lines", kinds: card},
	{name: "cancelled, to void", sellers: 1, units: 1, kinds: card, bend: cancelled},
	{name: "cancelled, to refund", sellers: 1, units: 1, kinds: []string{prepaidKind}, bend: cancelled},
	{name: "cancelled too late", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Cancelled = true }},
	{name: "never shipped", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Carrier, o.Delivered = time.Time{}, time.Time{} }},
	{name: "never arrived", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Delivered = time.Time{} }},
	{name: "late", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Delivered = o.Promised.Add(25 * time.Hour) }},
	{name: "a day late, which is allowed", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Delivered = o.Promised.Add(24 * time.Hour) }},
	{name: "left long before approval", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Approved = o.Carrier.Add(5 * time.Hour) }},
	{name: "left 15 minutes before approval", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Approved = o.Carrier.Add(15 * time.Minute) }},
	{name: "left 16 minutes before approval", sellers: 2, units: 1, kinds: card, bend: func(o *Order) { o.Approved = o.Carrier.Add(16 * time.Minute) }},
	{name: "left before it was bought", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Carrier = o.Purchased.Add(-time.Hour) }},
	{name: "approved after four days", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.slow(96 * time.Hour) }},
	{name: "approved after 72 hours, which is allowed", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.slow(72 * time.Hour) }},
	{name: "paid first after five days", sellers: 1, units: 1, kinds: []string{prepaidKind}, bend: func(o *Order) { o.slow(120 * time.Hour) }},
	{name: "paid too much", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Tenders[0].Amount += 70 }},
	{name: "paid too little", sellers: 2, units: 1, kinds: card, bend: func(o *Order) { o.Tenders[0].Amount -= 35 }},
	{name: "off by one", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Tenders[0].Amount++ }},
	{name: "a tender of nothing", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Tenders = append(o.Tenders, Tender{Sequence: 2, Kind: "voucher"}) }},
	{name: "no first tender", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Tenders[0].Sequence = 2 }},
	{name: "after the ship-by limit", sellers: 1, units: 1, kinds: card, bend: func(o *Order) { o.Lines[0].ShipBy = o.Carrier.Add(-30 * time.Hour) }},
}

func cancelled(o *Order) { o.Cancelled, o.Carrier, o.Delivered = true, time.Time{}, time.Time{} }

// slow moves approval, and what follows, to after d.
func (o *Order) slow(d time.Duration) {
	o.Approved = o.Purchased.Add(d)
	o.Carrier = o.Approved.Add(26 * time.Hour)
	o.Delivered = o.Carrier.Add(60 * time.Hour)
}

// Generate writes a folder of made-up history: every fate in turn, the rest from
// the seed.
func Generate(dir string, seed uint64, orders int) error {
	rnd := rand.New(rand.NewPCG(seed, seed))
	at := time.Date(2025, 3, 3, 8, 0, 0, 0, time.UTC)
	var made []Order
	for n := range orders {
		at = at.Add(time.Duration(1+rnd.IntN(180)) * time.Minute)
		made = append(made, invent(rnd, fates[n%len(fates)], at))
	}
	return write(dir, made)
}

func invent(rnd *rand.Rand, f fate, at time.Time) Order {
	minutes := func(from, to int) time.Duration { return time.Duration(from+rnd.IntN(to-from)) * time.Minute }
	id := func() string { return fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64()) }
	cities := []string{"alvorada", "boa vista", "campo limpo", "ribeira"}
	o := Order{
		ID: id(), Purchased: at, Promised: at.AddDate(0, 0, 20).Truncate(24 * time.Hour),
		Customer: Customer{ID: id(), City: cities[rnd.IntN(len(cities))], State: "SP", Postcode: strconv.Itoa(1000 + rnd.IntN(9000))},
	}
	o.Approved = at.Add(minutes(5, 120))
	o.Carrier = o.Approved.Add(minutes(1000, 6000))
	o.Delivered = o.Carrier.Add(minutes(2000, 12000))
	for range f.sellers {
		seller, product := id(), id()
		price, freight := int64(500+rnd.IntN(30_000)), int64(300+rnd.IntN(4_000))
		for range f.units {
			o.Lines = append(o.Lines, Line{
				Number: int32(len(o.Lines) + 1), Product: product, Seller: seller, ShipBy: o.Approved.Add(7 * 24 * time.Hour), Price: price, Freight: freight,
			})
		}
	}
	left := o.worth()
	for i, kind := range f.kinds {
		amount := left
		if i < len(f.kinds)-1 {
			amount = left / 3
		}
		left -= amount
		o.Tenders = append(o.Tenders, Tender{Sequence: int32(i + 1), Kind: kind, Amount: amount})
	}
	if len(o.Lines) == 0 {
		o.Tenders, o.Approved, o.Carrier, o.Delivered = nil, time.Time{}, time.Time{}, time.Time{}
	}
	if f.bend != nil {
		f.bend(&o)
	}
	return o
}

// write makes the files of a folder.
func write(dir string, orders []Order) error {
	files := map[string][][]string{
		customersFile: {{"customer_id", "customer_zip_code_prefix", "customer_city", "customer_state"}},
		ordersFile: {{"order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at",
			"order_delivered_carrier_date", "order_delivered_customer_date", "order_estimated_delivery_date"}},
		itemsFile:    {{"order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price", "freight_value"}},
		paymentsFile: {{"order_id", "payment_sequential", "payment_type", "payment_value"}},
	}
	add := func(file string, fields ...string) { files[file] = append(files[file], fields) }
	for _, o := range orders {
		c := o.Customer
		add(customersFile, c.ID, c.Postcode, c.City, c.State)
		add(ordersFile, o.ID, c.ID, o.status(), instant(o.Purchased), instant(o.Approved), instant(o.Carrier), instant(o.Delivered), instant(o.Promised))
		for _, l := range o.Lines {
			add(itemsFile, o.ID, strconv.Itoa(int(l.Number)), l.Product, l.Seller, instant(l.ShipBy), decimal(l.Price), decimal(l.Freight))
		}
		for _, t := range o.Tenders {
			add(paymentsFile, o.ID, strconv.Itoa(int(t.Sequence)), t.Kind, decimal(t.Amount))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	for name, rows := range files {
		var b bytes.Buffer
		if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	return nil
}

func (o *Order) status() string {
	switch {
	case o.Cancelled:
		return "canceled"
	case !o.Delivered.IsZero():
		return "delivered"
	case !o.Carrier.IsZero():
		return "shipped"
	case len(o.Lines) == 0:
		return "unavailable"
	}
	return "invoiced"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(layouts[0])
}

func decimal(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }
