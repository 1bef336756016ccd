// Package history reads a folder of what happened to real orders: comma-separated
// files with the columns of the Olist Brazilian e-commerce data set.
//
//	olist_orders_dataset.csv          purchased, approved, handed over, delivered, promised; status
//	olist_order_items_dataset.csv     lines: product, seller, ship-by limit, price, freight
//	olist_order_payments_dataset.csv  tenders: kind, value
//	olist_customers_dataset.csv       where the customer lives
//
// Columns are found by their header, rows may come in any order. Times are UTC,
// in whole minutes; money is decimal and becomes minor units exactly. What cannot
// be read is an error that names file, line and column.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Order is what happened to an order. A zero time is never; no time is before
// Purchased.
type Order struct {
	ID                           string
	Customer                     Customer
	Purchased                    time.Time
	Approved, Carrier, Delivered time.Time
	Promised                     time.Time
	Cancelled                    bool
	Lines                        []Line
	Tenders                      []Tender
}

// Customer is who bought, and where.
type Customer struct{ ID, City, State, Postcode string }

// Line is one unit of a product. Amounts are minor units.
type Line struct {
	Number          int32
	Product, Seller string
	ShipBy          time.Time
	Price, Freight  int64
}

// Tender is a payment.
type Tender struct {
	Sequence int32
	Kind     string
	Amount   int64
}

// Sellers lists who ships a part of the order, sorted.
func (o *Order) Sellers() []string {
	var out []string
	for _, l := range o.Lines {
		out = append(out, l.Seller)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The files.
const (
	ordersFile    = "olist_orders_dataset.csv"
	itemsFile     = "olist_order_items_dataset.csv"
	paymentsFile  = "olist_order_payments_dataset.csv"
	customersFile = "olist_customers_dataset.csv"
)

// Read reads a folder. Orders come by purchase, then ID.
func Read(dir string) ([]Order, error) {
	if err := present(dir); err != nil {
		return nil, err
	}
	r := reader{orders: map[string]*Order{}, customers: map[string]Customer{}}
	err := errors.Join(
		each(filepath.Join(dir, customersFile), r.customer),
		each(filepath.Join(dir, ordersFile), r.order),
		each(filepath.Join(dir, itemsFile), r.line),
		each(filepath.Join(dir, paymentsFile), r.tender),
	)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	out := make([]Order, 0, len(r.orders))
	for _, o := range r.orders {
		slices.SortFunc(o.Lines, func(a, b Line) int { return cmp.Compare(a.Number, b.Number) })
		slices.SortFunc(o.Tenders, func(a, b Tender) int { return cmp.Compare(a.Sequence, b.Sequence) })
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Order) int { return cmp.Or(a.Purchased.Compare(b.Purchased), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// present says in one sentence what a folder lacks, rather than once for every file.
func present(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is no folder of history: give the folder that holds %s and its sisters", dir, ordersFile)
	}
	var missing []string
	for _, file := range []string{customersFile, ordersFile, itemsFile, paymentsFile} {
		if _, err := os.Stat(filepath.Join(dir, file)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("folder of history %s lacks %s", dir, strings.Join(missing, ", "))
	}
	return nil
}

type reader struct {
	orders    map[string]*Order
	customers map[string]Customer
}

func (r *reader) customer(row *row) {
	id := row.text("customer_id")
	r.customers[id] = Customer{
		ID: id, City: row.text("customer_city"), State: row.text("customer_state"), Postcode: row.text("customer_zip_code_prefix"),
	}
}

func (r *reader) order(row *row) {
	id := row.text("order_id")
	if r.orders[id] != nil {
		row.bad("order_id", "order %s stands twice", id)
		return
	}
	customer, known := r.customers[row.text("customer_id")]
	if !known {
		row.bad("customer_id", "%s does not list this customer", customersFile)
	}
	o := &Order{
		ID: id, Customer: customer, Cancelled: row.text("order_status") == "canceled",
		Purchased: row.needed("order_purchase_timestamp"), Promised: row.needed("order_estimated_delivery_date"),
	}
	from := func(column string) time.Time {
		t := row.time(column)
		if !t.IsZero() && t.Before(o.Purchased) {
			return o.Purchased
		}
		return t
	}
	o.Approved, o.Carrier, o.Delivered = from("order_approved_at"), from("order_delivered_carrier_date"), from("order_delivered_customer_date")
	r.orders[id] = o
}

func (r *reader) line(row *row) {
	o := r.of(row)
	if o == nil {
		return
	}
	l := Line{
		Number: row.number("order_item_id"), Product: row.text("product_id"), Seller: row.text("seller_id"),
		ShipBy: row.needed("shipping_limit_date"), Price: row.money("price"), Freight: row.money("freight_value"),
	}
	if slices.ContainsFunc(o.Lines, func(other Line) bool { return other.Number == l.Number }) {
		row.bad("order_item_id", "line %d of order %s stands twice", l.Number, o.ID)
	}
	o.Lines = append(o.Lines, l)
}

func (r *reader) tender(row *row) {
	o := r.of(row)
	if o == nil {
		return
	}
	t := Tender{Sequence: row.number("payment_sequential"), Kind: row.text("payment_type"), Amount: row.money("payment_value")}
	if slices.ContainsFunc(o.Tenders, func(other Tender) bool { return other.Sequence == t.Sequence }) {
		row.bad("payment_sequential", "payment %d of order %s stands twice", t.Sequence, o.ID)
	}
	o.Tenders = append(o.Tenders, t)
}

// of is the order that a row is a part of.
func (r *reader) of(row *row) *Order {
	o := r.orders[row.text("order_id")]
	if o == nil {
		row.bad("order_id", "%s does not list this order", ordersFile)
	}
	return o
}
