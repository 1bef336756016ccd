package tracking

import (
	"slices"
	"time"
)

// Answer is where an order is. A section of which nothing has been heard is
// left out.
type Answer struct {
	Tenant       string                     `json:"tenant"`
	OrderID      string                     `json:"orderId"`
	Order        *Section[OrderData]        `json:"order,omitempty"`
	Payment      *Section[PaymentData]      `json:"payment,omitempty"`
	Shipments    *Section[[]ShipmentData]   `json:"shipments,omitempty"`
	Invoices     *Section[[]InvoiceData]    `json:"invoices,omitempty"`
	Cancellation *Section[CancellationData] `json:"cancellation,omitempty"`
}

// Section is what one side has to say.
type Section[D any] struct {
	Source     string    `json:"source"` // the service that said the last of it
	AsOf       time.Time `json:"asOf"`   // the business time of that
	Milestones []Step    `json:"milestones"`
	Data       D         `json:"data"`
}

// Step is a milestone that was passed.
type Step struct {
	Code  string    `json:"code"`
	Says  string    `json:"says"`
	At    time.Time `json:"at"`
	About string    `json:"about,omitempty"` // the shipment or invoice
	Place string    `json:"place,omitempty"` // where the carrier scanned it
	Money *Money    `json:"money,omitempty"`
}

// Money is an amount in minor units of its currency.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

// OrderData is what was ordered.
type OrderData struct {
	State        string      `json:"state"`
	Channel      string      `json:"channel,omitempty"`
	ChannelOrder string      `json:"channelOrder,omitempty"`
	CustomerID   string      `json:"customerId,omitempty"`
	Total        *Money      `json:"total,omitempty"`
	PromisedBy   time.Time   `json:"promisedBy,omitzero"`
	Refusal      string      `json:"refusal,omitempty"` // ordering's code
	Lines        []OrderLine `json:"lines"`
}

// OrderLine is a line and what of it was cancelled.
type OrderLine struct {
	Line      int32  `json:"line"`
	SKU       string `json:"sku"`
	Quantity  int32  `json:"quantity"`
	Cancelled int32  `json:"cancelled"`
}

// PaymentData is sums, one entry a currency: an order's payments are lists of
// their own, never one status.
type PaymentData struct {
	Totals []PaymentTotal `json:"totals"`
}

// PaymentTotal is what happened to money of one currency, in its minor units.
type PaymentTotal struct {
	Currency   string `json:"currency"`
	Expected   int64  `json:"expected"`
	Authorized int64  `json:"authorized"`
	Received   int64  `json:"received"`
	Captured   int64  `json:"captured"`
	Voided     int64  `json:"voided"`
	Refunded   int64  `json:"refunded"`
}

// ShipmentData is a parcel, or what is to become one.
type ShipmentData struct {
	ShipmentID     string         `json:"shipmentId"`
	State          string         `json:"state"`
	Carrier        string         `json:"carrier,omitempty"`
	TrackingNumber string         `json:"trackingNumber,omitempty"`
	PromisedBy     time.Time      `json:"promisedBy,omitzero"`
	Replaces       string         `json:"replaces,omitempty"`
	Value          *Money         `json:"value,omitempty"`
	Lines          []ShipmentLine `json:"lines"`
}

// ShipmentLine is what of a line is in the parcel.
type ShipmentLine struct {
	Line     int32  `json:"line"`
	SKU      string `json:"sku"`
	Quantity int32  `json:"quantity"`
}

// InvoiceData is an invoice and what was credited of it.
type InvoiceData struct {
	Invoice  string       `json:"invoice"`
	State    string       `json:"state"`
	IssuedAt time.Time    `json:"issuedAt,omitzero"`
	Net      *Money       `json:"net,omitempty"`
	Tax      *Money       `json:"tax,omitempty"`
	Freight  *Money       `json:"freight,omitempty"`
	Credits  []CreditData `json:"credits,omitempty"`
}

// CreditData is a credit note.
type CreditData struct {
	CreditNote string `json:"creditNote"`
	Net        Money  `json:"net"`
	Tax        Money  `json:"tax"`
	Freight    Money  `json:"freight"`
}

// CancellationData is what became of a wish to cancel.
type CancellationData struct {
	State string             `json:"state"`
	Lines []CancellationLine `json:"lines,omitempty"`
}

// CancellationLine is what was decided of a line.
type CancellationLine struct {
	Line      int32 `json:"line"`
	Cancelled int32 `json:"cancelled"`
	Kept      int32 `json:"kept"`
}

// Parcel is what a tracking number tells whoever holds it: the parcel, and
// nothing else of the order.
type Parcel struct {
	Tenant   string                `json:"tenant"`
	OrderID  string                `json:"orderId"`
	Shipment Section[ShipmentData] `json:"shipment"`
}

// Listed is an order in a customer's list.
type Listed struct {
	OrderID  string    `json:"orderId"`
	State    string    `json:"state"`
	PlacedAt time.Time `json:"placedAt"`
	AsOf     time.Time `json:"asOf"`
}

func (h history) answer() Answer {
	return Answer{
		Tenant: h.number.tenant, OrderID: h.number.order,
		Order:        sectionOf(h.section(sectionOrder), orderData),
		Payment:      sectionOf(h.section(sectionPayment), paymentData),
		Shipments:    sectionOf(h.section(sectionShipments), shipmentsData),
		Invoices:     sectionOf(h.section(sectionInvoices), invoicesData),
		Cancellation: sectionOf(h.section(sectionCancellation), cancellationData),
	}
}

func sectionOf[D any](facts []fact, data func([]fact) D) *Section[D] {
	if len(facts) == 0 {
		return nil
	}
	last := facts[len(facts)-1]
	s := &Section[D]{Source: last.words.Source, AsOf: last.at, Data: data(facts)}
	for _, f := range facts {
		s.Milestones = append(s.Milestones, step(f))
	}
	return s
}

func step(f fact) Step {
	s := Step{Code: f.words.Code, Says: f.words.Says, At: f.at, About: f.subject()}
	switch e := f.body.(type) {
	case paid:
		s.Money = &Money{e.Amount, e.Currency}
	case scanned:
		s.Place = e.Location
	}
	return s
}

// parcels are the shipments of an order that go by a tracking number.
func (h history) parcels(trackingNumber string) []Parcel {
	all := h.section(sectionShipments)
	var found []Parcel
	for _, id := range subjects(all) {
		facts := about(all, id)
		if !slices.ContainsFunc(facts, func(f fact) bool { return f.tracking() == trackingNumber }) {
			continue
		}
		found = append(found, Parcel{h.number.tenant, h.number.order, *sectionOf(facts, func(f []fact) ShipmentData { return shipmentData(id, f) })})
	}
	return found
}

// listed is the order's entry in its customer's list; false once its order section is gone.
func (h history) listed() (Listed, bool) {
	facts := h.section(sectionOrder)
	if len(facts) == 0 {
		return Listed{}, false
	}
	l := Listed{OrderID: h.number.order, State: state(facts), AsOf: facts[len(facts)-1].at}
	for _, f := range facts {
		if _, ok := f.body.(placed); ok {
			l.PlacedAt = f.at
		}
	}
	return l, true
}
