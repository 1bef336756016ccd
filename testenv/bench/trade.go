package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"troupe/schemas"
)

// What a shop's warehouse and ERP publish, with every field that the estate's own
// services give it.
type (
	shipmentLine struct {
		Line          int32  `avro:"line"`
		SKU           string `avro:"sku"`
		Quantity      int32  `avro:"quantity"`
		Net           int64  `avro:"net"`
		Freight       int64  `avro:"freight"`
		Tax           int64  `avro:"tax"`
		ReservationID string `avro:"reservationId"`
	}
	shipmentDispatched struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string         `avro:"shipmentId"`
		Node             string         `avro:"node"`
		Carrier          string         `avro:"carrier"`
		TrackingNumber   string         `avro:"trackingNumber"`
		Lines            []shipmentLine `avro:"lines"`
		Value            int64          `avro:"value"`
		Currency         string         `avro:"currency"`
		PromisedBy       time.Time      `avro:"promisedBy"`
		Unasked          bool           `avro:"unasked"`
		Last             bool           `avro:"last"`
	}
	invoiceLine struct {
		Line        int32  `avro:"line"`
		ShipmentID  string `avro:"shipmentId"`
		Quantity    int32  `avro:"quantity"`
		Net         int64  `avro:"net"`
		Freight     int64  `avro:"freight"`
		Tax         int64  `avro:"tax"`
		ContentHash string `avro:"contentHash"`
	}
	invoiceIssued struct {
		schemas.Envelope `avro:"envelope"`
		Invoice          string        `avro:"invoice"`
		ERPNumber        string        `avro:"erpNumber"`
		Currency         string        `avro:"currency"`
		Net              int64         `avro:"net"`
		Tax              int64         `avro:"tax"`
		Freight          int64         `avro:"freight"`
		Lines            []invoiceLine `avro:"lines"`
	}
)

// trading is the shipments and invoices of so many orders, one each, of one to
// three lines. An invoice comes Trail orders after its shipment, or after any
// other's; a thousand orders take a second of business time.
type trading struct {
	Place    place
	Orders   int
	Invoices bool
	Trail    int
	Random   bool
	Begin    time.Time
}

// Of every differEvery invoices one bills a unit too many and one a unit less.
const differEvery = 200

// tooMany and tooFew are the orders whose invoice differs.
func tooMany(order int) bool { return order%differEvery == 50 }
func tooFew(order int) bool  { return order%differEvery == 150 }

// differ counts the orders of n whose invoice differs.
func differ(n int) (many, few int) {
	for i := range n {
		if tooMany(i) {
			many++
		}
		if tooFew(i) {
			few++
		}
	}
	return many, few
}

// mismatches is what reconciliation says of n orders in the end: one unit billed
// too many is told once; one too few is told after four hours, and that it has
// become graver after a day.
func mismatches(n int) int {
	many, few := differ(n)
	return many + 2*few
}

// seed of the random order.
const seed = 1

// trade writes both topics at the same event time.
func trade(ctx context.Context, t trading) (result, error) {
	w, err := t.Place.wire(ctx, [2]string{"shipments", "ShipmentDispatched"}, [2]string{"invoices", "InvoiceIssued"})
	if err != nil {
		return nil, err
	}
	pen, err := t.Place.pen(ctx, "shipments", "invoices")
	if err != nil {
		return nil, err
	}
	defer pen.close()
	turn := func(n int) int { return n }
	if t.Random {
		shuffled := rand.New(rand.NewPCG(seed, seed)).Perm(t.Orders)
		turn = func(n int) int { return shuffled[n] }
	}
	for i := range t.Orders + t.Trail {
		at := t.Begin.Add(time.Duration(i) * time.Millisecond)
		if i < t.Orders {
			if err := pen.write(ctx, w, "shipments", shipmentOf(i, at), at); err != nil {
				return nil, err
			}
		}
		if n := i - t.Trail; t.Invoices && n >= 0 {
			if err := pen.write(ctx, w, "invoices", invoiceOf(turn(n), at), at); err != nil {
				return nil, err
			}
		}
	}
	return result{}, pen.flush(ctx)
}

// lineOf is a line of an order: how many, and at which price.
func lineOf(order, line int) (units int32, price int64) {
	return int32(2 + (order+line)%3), int64(500 + (order*7+line*131)%20_000)
}

func linesOf(order int) int { return 1 + order%3 }

func envelope(typ, source, order, aggregate string, at time.Time) schemas.Envelope {
	return schemas.Envelope{
		ID: schemas.FactID(source, typ, aggregate), Type: typ, Source: source, OccurredAt: at, Tenant: tenant,
		CorrelationID: schemas.FactID("flow", order), CausationID: schemas.FactID("cause", typ, order),
		Order: order, AggregateID: aggregate, AggregateSequence: 4,
	}
}

func shipmentName(order int) string { return orderID(order) + ".1" }

func shipmentOf(order int, at time.Time) *shipmentDispatched {
	id, name := orderID(order), shipmentName(order)
	m := &shipmentDispatched{
		Envelope:   envelope("ShipmentDispatched", "shipment", id, name, at),
		ShipmentID: name, Node: "DC-" + strconv.Itoa(1+order%4), Carrier: "carrier-1", TrackingNumber: fmt.Sprintf("TN%012d", order),
		Currency: "EUR", PromisedBy: at.Add(72 * time.Hour), Last: true,
	}
	for l := range linesOf(order) {
		units, price := lineOf(order, l)
		line := shipmentLine{Line: int32(l + 1), SKU: fmt.Sprintf("SKU-%05d", (order*7+l)%50_000), Quantity: units, Net: int64(units) * price, Freight: 490, ReservationID: name + "/" + strconv.Itoa(l+1)}
		line.Tax = line.Net / 5
		m.Lines = append(m.Lines, line)
		m.Value += line.Net + line.Freight + line.Tax
	}
	return m
}

func invoiceOf(order int, at time.Time) *invoiceIssued {
	id, number := orderID(order), fmt.Sprintf("INV%012d", order)
	m := &invoiceIssued{Envelope: envelope("InvoiceIssued", "invoicing", id, number, at), Invoice: number, ERPNumber: fmt.Sprintf("45%011d", order), Currency: "EUR"}
	for l := range linesOf(order) {
		units, price := lineOf(order, l)
		line := invoiceLine{Line: int32(l + 1), ShipmentID: shipmentName(order), Quantity: units, Freight: 490, Tax: int64(units) * price / 5}
		switch {
		case l == 0 && tooMany(order):
			line.Quantity++
		case l == 0 && tooFew(order):
			line.Quantity--
		}
		line.Net = int64(line.Quantity) * price
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d×%d %d %d %d", line.ShipmentID, line.Line, line.Quantity, line.Net, line.Freight, line.Tax))
		line.ContentHash = hex.EncodeToString(sum[:8])
		m.Lines = append(m.Lines, line)
		m.Net, m.Freight, m.Tax = m.Net+line.Net, m.Freight+line.Freight, m.Tax+line.Tax
	}
	return m
}
