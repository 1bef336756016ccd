package invoicing

import (
	"time"

	"troupe/schemas"
)

// What this context publishes.
type (
	erpOrderBooked struct {
		schemas.Envelope `avro:"envelope"`
		ERPNumber        string `avro:"erpNumber"`
	}
	erpBookingRejected struct {
		schemas.Envelope `avro:"envelope"`
		Reason           string `avro:"reason"`
	}
	invoiceIssued struct {
		schemas.Envelope `avro:"envelope"`
		Invoice          string         `avro:"invoice"`
		ERPNumber        string         `avro:"erpNumber"`
		Currency         string         `avro:"currency"`
		Net              int64          `avro:"net"`
		Tax              int64          `avro:"tax"`
		Freight          int64          `avro:"freight"`
		Lines            []DocumentLine `avro:"lines"`
	}
	invoiceVoided struct {
		schemas.Envelope `avro:"envelope"`
		Invoice          string `avro:"invoice"`
		Reason           string `avro:"reason"`
	}
	creditNoteIssued struct {
		schemas.Envelope `avro:"envelope"`
		CreditNote       string         `avro:"creditNote"`
		Invoice          string         `avro:"invoice"`
		Currency         string         `avro:"currency"`
		Net              int64          `avro:"net"`
		Tax              int64          `avro:"tax"`
		Freight          int64          `avro:"freight"`
		Lines            []DocumentLine `avro:"lines"`
	}
)

// What it writes to its own inboxes.
type (
	erpBookingAnswered struct {
		schemas.Envelope `avro:"envelope"`
		Accepted         bool   `avro:"accepted"`
		ERPNumber        string `avro:"erpNumber"`
		Reason           string `avro:"reason"`
	}
	erpBillingAnswered struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		Accepted         bool   `avro:"accepted"`
		Reason           string `avro:"reason"`
	}
	invoiceReceived struct {
		schemas.Envelope `avro:"envelope"`
		Invoice          string         `avro:"invoice"`
		ERPNumber        string         `avro:"erpNumber"`
		Kind             string         `avro:"kind"`
		Currency         string         `avro:"currency"`
		IssuedAt         time.Time      `avro:"issuedAt"`
		RefersTo         string         `avro:"refersTo"`
		Lines            []DocumentLine `avro:"lines"`
	}
	erpNumberAssigned struct {
		schemas.Envelope `avro:"envelope"`
		ERPNumber        string `avro:"erpNumber"`
		OrderKey         string `avro:"orderKey"`
		OrderID          string `avro:"order"`
		Correlation      string `avro:"correlationId"`
	}
	erpDocumentReceived struct {
		schemas.Envelope `avro:"envelope"`
		Document         string         `avro:"document"`
		ERPNumber        string         `avro:"erpNumber"`
		Kind             string         `avro:"kind"`
		Currency         string         `avro:"currency"`
		IssuedAt         time.Time      `avro:"issuedAt"`
		RefersTo         string         `avro:"refersTo"`
		Lines            []DocumentLine `avro:"lines"`
	}
)

// What it reads.
type (
	placed struct {
		Currency string `avro:"currency"`
		Lines    []struct {
			Line     int32  `avro:"line"`
			SKU      string `avro:"sku"`
			Quantity int32  `avro:"quantity"`
			UnitNet  int64  `avro:"unitNet"`
			Discount int64  `avro:"discount"`
			Freight  int64  `avro:"freight"`
			Tax      int64  `avro:"tax"`
		} `avro:"lines"`
	}
	dispatched struct {
		ShipmentID string     `avro:"shipmentId"`
		Currency   string     `avro:"currency"`
		Lines      []BillLine `avro:"lines"`
	}
	document struct {
		Invoice   string         `avro:"invoice"`
		ERPNumber string         `avro:"erpNumber"`
		Kind      string         `avro:"kind"`
		Currency  string         `avro:"currency"`
		IssuedAt  time.Time      `avro:"issuedAt"`
		RefersTo  string         `avro:"refersTo"`
		Lines     []DocumentLine `avro:"lines"`
	}
	assigned struct {
		OrderKey      string `avro:"orderKey"`
		Order         string `avro:"order"`
		CorrelationID string `avro:"correlationId"`
	}
	delivered struct {
		Document  string         `avro:"document"`
		ERPNumber string         `avro:"erpNumber"`
		Kind      string         `avro:"kind"`
		Currency  string         `avro:"currency"`
		IssuedAt  time.Time      `avro:"issuedAt"`
		RefersTo  string         `avro:"refersTo"`
		Lines     []DocumentLine `avro:"lines"`
	}
)

// What it asks of the ERP.
type (
	bookRequest struct {
		Currency string     `avro:"currency"`
		Lines    []BillLine `avro:"lines"`
	}
	billRequest struct {
		ERPNumber  string     `avro:"erpNumber"`
		ShipmentID string     `avro:"shipmentId"`
		Currency   string     `avro:"currency"`
		Lines      []BillLine `avro:"lines"`
	}
)
