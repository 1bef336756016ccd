package invoicing

import (
	"context"
	"fmt"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// ERP is the enterprise resource planning system. An error means that it may
// be asked again.
type ERP interface {
	Book(ctx context.Context, call topology.Call, r bookRequest) (erpBookingAnswered, error)
	Bill(ctx context.Context, call topology.Call, r billRequest) (erpBillingAnswered, error)
}

// orphanPatience is how long a document waits for the booking that it names.
const orphanPatience = 30 * time.Minute

// Service is the invoicing context.
func Service(erp ERP) topology.Service {
	return topology.Service{
		Name: "invoicing", Owner: "finance",
		Doc: "books orders into the ERP and publishes the documents that it issues",
		Publishes: []topology.Output{
			topology.Publishes[erpOrderBooked](), topology.Publishes[erpBookingRejected](),
			topology.Publishes[invoiceIssued](), topology.Publishes[invoiceVoided](), topology.Publishes[creditNoteIssued](),
		},
		Asks: []topology.Output{
			topology.Asks[erpNumberAssigned]("invoicing.erp"), topology.Asks[invoiceReceived]("invoicing"),
		},
		Sets: []topology.Set{
			topology.Keyed("", "order", "invoicing.billing",
				topology.On("OrderPlaced", onPlaced),
				topology.On("ShipmentDispatched", onDispatched),
				topology.Asked("InvoiceReceived", onReceived),
				topology.Outcome("erp.book", topology.ByKey, erp.Book, onBooked),
				topology.Outcome("erp.bill", topology.ByKey, erp.Bill, onBilled),
			),
			topology.Keyed("erp", "ERP number", "invoicing.alias",
				topology.Asked("ErpNumberAssigned", onAssigned),
				topology.Asked("ErpDocumentReceived", onDelivered),
				topology.Due("orphan", onOrphan),
			),
		},
		Intakes: []topology.Intake{erpIntake()},
		Bounds: []topology.Bound{
			topology.AtMost("documents-without-booking", maxWaiting, "the next under the same ERP number is a dead letter"),
			topology.AtMost("booking-wait", orphanPatience, "from the latest: documents are published without an order; should the booking come, under it, and invoices without it are voided"),
		},
	}
}

func onPlaced(b *Billing, e placed, t *topology.Turn) error {
	if b.Asked {
		return topology.Drop("asked to book before")
	}
	b.Asked = true
	request := bookRequest{Currency: e.Currency}
	for _, l := range e.Lines {
		request.Lines = append(request.Lines, BillLine{
			Line: l.Line, SKU: l.SKU, Quantity: l.Quantity,
			Net: int64(l.Quantity)*l.UnitNet - l.Discount, Freight: l.Freight, Tax: l.Tax,
		})
	}
	t.Intend("erp.book", request, "")
	return nil
}

func onBooked(b *Billing, e erpBookingAnswered, t *topology.Turn) error {
	if b.ERPNumber != "" || b.Rejected {
		return topology.Drop("the booking was answered before")
	}
	if !e.Accepted {
		b.Rejected = true
		t.Publish(&erpBookingRejected{Reason: e.Reason})
		return nil
	}
	b.ERPNumber = e.ERPNumber
	cause := t.Cause.Envelope
	t.Publish(&erpOrderBooked{ERPNumber: e.ERPNumber})
	t.AskAs("invoicing.erp", erpKey(cause.Tenant, e.ERPNumber), &erpNumberAssigned{
		ERPNumber: e.ERPNumber, OrderKey: t.Cause.Key, OrderID: cause.Order, Correlation: cause.CorrelationID,
	})
	bill(b, t)
	return nil
}

func erpKey(tenant, number string) string { return tenant + "/erp:" + number }

func onDispatched(b *Billing, e dispatched, t *topology.Turn) error {
	if !b.left(Shipment{ID: e.ShipmentID, Currency: e.Currency, Lines: e.Lines}) {
		return topology.Drop("shipment %s is known to have left", e.ShipmentID)
	}
	bill(b, t)
	return nil
}

func bill(b *Billing, t *topology.Turn) {
	for _, s := range b.billable() {
		t.Intend("erp.bill", billRequest{ERPNumber: b.ERPNumber, ShipmentID: s.ID, Currency: s.Currency, Lines: s.Lines}, s.ID)
	}
}

func onBilled(_ *Billing, e erpBillingAnswered, _ *topology.Turn) error {
	if !e.Accepted {
		return topology.Poison("the ERP does not bill shipment %s: %s", e.ShipmentID, e.Reason)
	}
	return nil
}

func onReceived(b *Billing, e document, t *topology.Turn) error {
	d := Document{Number: e.Invoice, Kind: e.Kind, Currency: e.Currency, IssuedAt: e.IssuedAt, RefersTo: e.RefersTo, Lines: e.Lines}
	if !b.received(d) {
		return topology.Drop("%s %s was published before", d.Kind, d.Number)
	}
	return publish(d, e.ERPNumber, t)
}

// publish says what the ERP has issued, under the row's key.
func publish(d Document, erpNumber string, t *topology.Turn) error {
	head := schemas.Envelope{AggregateID: d.Number, OccurredAt: d.IssuedAt}
	for i := range d.Lines {
		d.Lines[i].ContentHash = d.Lines[i].contentHash()
	}
	net, freight, tax := d.totals()
	switch d.Kind {
	case invoice:
		t.Publish(&invoiceIssued{
			Envelope: head, Invoice: d.Number, ERPNumber: erpNumber, Currency: d.Currency,
			Net: net, Freight: freight, Tax: tax, Lines: d.Lines,
		}, d.Number)
	case credit:
		t.Publish(&creditNoteIssued{
			Envelope: head, CreditNote: d.Number, Invoice: d.RefersTo, Currency: d.Currency,
			Net: net, Freight: freight, Tax: tax, Lines: d.Lines,
		}, d.Number)
	case void:
		t.Publish(&invoiceVoided{Envelope: head, Invoice: d.RefersTo, Reason: "voided by " + d.Number}, d.Number)
	default:
		return unknown(d)
	}
	return nil
}

func unknown(d Document) error {
	return topology.Poison("document %s is of kind %q, which is none of INVOICE, CREDIT, VOID", d.Number, d.Kind)
}

func onAssigned(a *Alias, e assigned, t *topology.Turn) error {
	if a.OrderKey != "" {
		if a.OrderKey != e.OrderKey {
			return topology.Poison("the ERP's number stands for %s and cannot stand for %s too", a.OrderKey, e.OrderKey)
		}
		return topology.Drop("assigned before")
	}
	a.OrderKey, a.Order, a.Correlation = e.OrderKey, e.Order, e.CorrelationID
	t.Disarm("orphan", "")
	for _, d := range a.Orphans {
		if d.Kind == invoice {
			t.Publish(&invoiceVoided{Envelope: schemas.Envelope{AggregateID: d.Number}, Invoice: d.Number, Reason: "its order is " + e.OrderKey}, d.Number, "adopted")
		}
	}
	for _, d := range append(a.Orphans, a.Waiting...) {
		forward(a, d, t)
	}
	a.Orphans, a.Waiting = nil, nil
	return nil
}

// forward sends a document on to its order.
func forward(a *Alias, d Document, t *topology.Turn) {
	m := &invoiceReceived{
		Invoice: d.Number, ERPNumber: numberOf(t), Kind: d.Kind, Currency: d.Currency,
		IssuedAt: d.IssuedAt, RefersTo: d.RefersTo, Lines: d.Lines,
	}
	m.Order, m.CorrelationID, m.OccurredAt = a.Order, a.Correlation, t.Now
	t.AskAs("invoicing", a.OrderKey, m, d.Kind, d.Number)
}

// numberOf is the ERP's number in the row's key.
func numberOf(t *topology.Turn) string {
	return t.Cause.Key[len(t.Cause.Envelope.Tenant)+len("/erp:"):]
}

func onDelivered(a *Alias, e delivered, t *topology.Turn) error {
	d := Document{Number: e.Document, Kind: e.Kind, Currency: e.Currency, IssuedAt: e.IssuedAt, RefersTo: e.RefersTo, Lines: e.Lines}
	if !d.known() { // if it waited, those that wait with it would not be published either
		return unknown(d)
	}
	if a.OrderKey != "" {
		forward(a, d, t)
		return nil
	}
	if len(a.Waiting)+len(a.Orphans) >= maxWaiting {
		return topology.Poison("%d documents wait for a booking under this number", maxWaiting)
	}
	a.Waiting = append(a.Waiting, d)
	t.At(t.Now.Add(orphanPatience), "orphan", "")
	return nil
}

func onOrphan(a *Alias, t *topology.Turn) error {
	if len(a.Waiting) == 0 {
		return topology.Drop("nothing waits any more")
	}
	for _, d := range a.Waiting {
		if err := publish(d, numberOf(t), t); err != nil {
			return fmt.Errorf("publish a document without an order: %w", err)
		}
	}
	a.Orphans, a.Waiting = append(a.Orphans, a.Waiting...), nil
	return nil
}
