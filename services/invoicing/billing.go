package invoicing

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Billing is what one order has to do with the ERP.
type Billing struct {
	Asked     bool       `avro:"asked"`
	Rejected  bool       `avro:"rejected"`
	ERPNumber string     `avro:"erpNumber"`
	Shipments []Shipment `avro:"shipments"`
	Documents []string   `avro:"documents"` // kind and number of what was published
}

// Shipment is goods that left and are to be billed.
type Shipment struct {
	ID       string     `avro:"id"`
	Lines    []BillLine `avro:"lines"` // none once the ERP was asked
	Currency string     `avro:"currency"`
	Asked    bool       `avro:"asked"`
}

// BillLine is units of a line with their share of its value, in minor units.
type BillLine struct {
	Line     int32  `avro:"line"`
	SKU      string `avro:"sku"`
	Quantity int32  `avro:"quantity"`
	Net      int64  `avro:"net"`
	Freight  int64  `avro:"freight"`
	Tax      int64  `avro:"tax"`
}

// Alias says which order an ERP number stands for.
type Alias struct {
	OrderKey    string     `avro:"orderKey"`
	Order       string     `avro:"order"`
	Correlation string     `avro:"correlation"`
	Waiting     []Document `avro:"waiting"`
	Orphans     []Document `avro:"orphans"` // published for want of an order
}

// Document is an invoice, a credit note or the voiding of an invoice.
type Document struct {
	Number   string         `avro:"number"`
	Kind     string         `avro:"kind"`
	Currency string         `avro:"currency"`
	IssuedAt time.Time      `avro:"issuedAt"`
	RefersTo string         `avro:"refersTo"`
	Lines    []DocumentLine `avro:"lines"`
}

// DocumentLine is units of a shipment line in a document.
type DocumentLine struct {
	Line        int32  `avro:"line"`
	ShipmentID  string `avro:"shipmentId"`
	Quantity    int32  `avro:"quantity"`
	Net         int64  `avro:"net"`
	Freight     int64  `avro:"freight"`
	Tax         int64  `avro:"tax"`
	ContentHash string `avro:"contentHash"`
}

// The ERP's kinds of documents.
const (
	invoice = "INVOICE"
	credit  = "CREDIT"
	void    = "VOID"
)

// maxWaiting bounds the documents that wait for one booking.
const maxWaiting = 100

// left writes down a shipment; it reports whether that is news.
func (b *Billing) left(s Shipment) bool {
	if slices.ContainsFunc(b.Shipments, func(had Shipment) bool { return had.ID == s.ID }) {
		return false
	}
	b.Shipments = append(b.Shipments, s)
	return true
}

// billable marks and returns what the ERP is to be asked to bill now.
func (b *Billing) billable() (ask []Shipment) {
	if b.ERPNumber == "" {
		return nil
	}
	for i := range b.Shipments {
		if s := &b.Shipments[i]; !s.Asked {
			ask = append(ask, *s)
			s.Asked, s.Lines = true, nil
		}
	}
	return ask
}

// received notes a document; false if it was published before.
func (b *Billing) received(d Document) bool {
	id := d.Kind + " " + d.Number
	if slices.Contains(b.Documents, id) {
		return false
	}
	b.Documents = append(b.Documents, id)
	return true
}

// contentHash names what a document line bills, whatever the document's number:
// the same content under another number is a duplicate.
func (l DocumentLine) contentHash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d×%d %d %d %d", l.ShipmentID, l.Line, l.Quantity, l.Net, l.Freight, l.Tax))
	return hex.EncodeToString(sum[:8])
}

// known is true of a document of a kind that there is.
func (d Document) known() bool { return slices.Contains([]string{invoice, credit, void}, d.Kind) }

func (d Document) totals() (net, freight, tax int64) {
	for _, l := range d.Lines {
		net, freight, tax = net+l.Net, freight+l.Freight, tax+l.Tax
	}
	return net, freight, tax
}
