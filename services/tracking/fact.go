package tracking

import (
	"cmp"
	"strings"
	"time"
)

// What the view reads of each event. Names, addresses and free texts are not
// among it: what is not read cannot be told.
type (
	placed struct {
		Channel      string    `avro:"channel"`
		ChannelOrder string    `avro:"channelOrder"`
		CustomerID   string    `avro:"customerId"`
		Currency     string    `avro:"currency"`
		PromisedBy   time.Time `avro:"promisedBy"`
		Lines        []struct {
			Line     int32  `avro:"line"`
			SKU      string `avro:"sku"`
			Quantity int32  `avro:"quantity"`
			UnitNet  int64  `avro:"unitNet"`
			Discount int64  `avro:"discount"`
			Freight  int64  `avro:"freight"`
			Tax      int64  `avro:"tax"`
		} `avro:"lines"`
	}
	rejected struct {
		Channel      string `avro:"channel"`
		ChannelOrder string `avro:"channelOrder"`
		Reason       string `avro:"reason"` // ordering's own code, not a text
	}
	cancelled struct {
		Lines []struct {
			Line     int32 `avro:"line"`
			Quantity int32 `avro:"quantity"`
		} `avro:"lines"`
	}
	nothing struct{} // the envelope says it all

	paid struct {
		Amount   int64  `avro:"amount"`
		Currency string `avro:"currency"`
	}

	planned struct {
		ShipmentID string         `avro:"shipmentId"`
		Lines      []shipmentLine `avro:"lines"`
		Value      int64          `avro:"value"`
		Currency   string         `avro:"currency"`
		PromisedBy time.Time      `avro:"promisedBy"`
		Replaces   string         `avro:"replaces"`
	}
	dispatched struct {
		ShipmentID     string         `avro:"shipmentId"`
		Carrier        string         `avro:"carrier"`
		TrackingNumber string         `avro:"trackingNumber"`
		Lines          []shipmentLine `avro:"lines"`
		Value          int64          `avro:"value"`
		Currency       string         `avro:"currency"`
		PromisedBy     time.Time      `avro:"promisedBy"`
	}
	shipmentLine struct {
		Line     int32  `avro:"line"`
		SKU      string `avro:"sku"`
		Quantity int32  `avro:"quantity"`
	}
	inHouse struct {
		ShipmentID string `avro:"shipmentId"`
	}
	scanned struct {
		ShipmentID     string `avro:"shipmentId"`
		TrackingNumber string `avro:"trackingNumber"`
		Location       string `avro:"location"`
	}
	underWay struct {
		ShipmentID     string `avro:"shipmentId"`
		TrackingNumber string `avro:"trackingNumber"`
	}

	invoiced struct {
		Invoice  string `avro:"invoice"`
		Currency string `avro:"currency"`
		Net      int64  `avro:"net"`
		Tax      int64  `avro:"tax"`
		Freight  int64  `avro:"freight"`
	}
	voided struct {
		Invoice string `avro:"invoice"`
	}
	credited struct {
		CreditNote string `avro:"creditNote"`
		Invoice    string `avro:"invoice"`
		Currency   string `avro:"currency"`
		Net        int64  `avro:"net"`
		Tax        int64  `avro:"tax"`
		Freight    int64  `avro:"freight"`
	}

	decided struct {
		Accepted bool `avro:"accepted"`
		Lines    []struct {
			Line      int32 `avro:"line"`
			Cancelled int32 `avro:"cancelled"`
			Kept      int32 `avro:"kept"`
		} `avro:"lines"`
	}
)

// caseOfBody is which case of its event a fact is.
func caseOfBody(body any) string {
	d, ok := body.(decided)
	if !ok {
		return ""
	}
	if !d.Accepted {
		return "refused"
	}
	for _, l := range d.Lines {
		if l.Kept > 0 {
			return "partly"
		}
	}
	return "accepted"
}

// fact is an event that an order went through.
type fact struct {
	event string
	id    string
	words *Milestone
	at    time.Time
	seq   int64 // among the facts of its source about this order
	body  any
}

// compare puts facts of one section in the order in which a customer should
// read them. It looks at nothing but the facts, so replicas that read topics at
// different speeds agree. Sequences are compared only between facts of the same
// source: those of two sources count different things.
func (f fact) compare(g fact) int {
	return cmp.Or(f.at.Compare(g.at), cmp.Compare(f.words.turn, g.words.turn), cmp.Compare(f.seq, g.seq),
		cmp.Compare(f.words.rank, g.words.rank), strings.Compare(f.id, g.id))
}

// tracking is the number by which the carrier knows the parcel, "" where the
// fact does not say it.
func (f fact) tracking() string {
	switch e := f.body.(type) {
	case dispatched:
		return e.TrackingNumber
	case scanned:
		return e.TrackingNumber
	case underWay:
		return e.TrackingNumber
	}
	return ""
}

// subject is the shipment or document that a fact is about.
func (f fact) subject() string {
	switch e := f.body.(type) {
	case planned:
		return e.ShipmentID
	case dispatched:
		return e.ShipmentID
	case inHouse:
		return e.ShipmentID
	case scanned:
		return e.ShipmentID
	case underWay:
		return e.ShipmentID
	case invoiced:
		return e.Invoice
	case voided:
		return e.Invoice
	case credited:
		return e.Invoice
	}
	return ""
}
