package reconciliation

import "troupe/schemas"

// What this context publishes.
type (
	shown struct {
		Topic     string `avro:"topic"`
		Partition int32  `avro:"partition"`
		Offset    int64  `avro:"offset"`
		EventID   string `avro:"eventId"`
	}
	mismatchDetected struct {
		schemas.Envelope `avro:"envelope"`
		MismatchID       string  `avro:"mismatchId"`
		Code             string  `avro:"code"`
		Number           int32   `avro:"number"`
		Subject          string  `avro:"subject"`
		Severity         string  `avro:"severity"`
		Currency         string  `avro:"currency"`
		Expected         int64   `avro:"expected"`
		Actual           int64   `avro:"actual"`
		Delta            int64   `avro:"delta"`
		AtRisk           int64   `avro:"atRisk"`
		Repair           string  `avro:"repair"`
		Rules            int32   `avro:"rules"`
		Evidence         []shown `avro:"evidence"`
	}
	mismatchChanged mismatchDetected
	mismatchCleared struct {
		schemas.Envelope `avro:"envelope"`
		MismatchID       string `avro:"mismatchId"`
		Code             string `avro:"code"`
		Number           int32  `avro:"number"`
		Subject          string `avro:"subject"`
		Reason           string `avro:"reason"`
	}
	mismatchAccepted struct {
		schemas.Envelope `avro:"envelope"`
		MismatchID       string `avro:"mismatchId"`
		Code             string `avro:"code"`
		Number           int32  `avro:"number"`
		Subject          string `avro:"subject"`
		AcceptedBy       string `avro:"acceptedBy"`
		Delta            int64  `avro:"delta"`
		Currency         string `avro:"currency"`
	}
)

// What it reads.
type (
	placed struct {
		Currency string `avro:"currency"`
		Lines    []struct {
			Line     int32 `avro:"line"`
			Quantity int32 `avro:"quantity"`
			UnitNet  int64 `avro:"unitNet"`
			Discount int64 `avro:"discount"`
			Freight  int64 `avro:"freight"`
			Tax      int64 `avro:"tax"`
		} `avro:"lines"`
	}
	fraudCleared struct{}
	authorised   struct {
		Outstanding int64 `avro:"outstanding"`
	}
	received struct {
		Tender      int32  `avro:"tender"`
		Receipt     string `avro:"receipt"`
		Amount      int64  `avro:"amount"`
		Currency    string `avro:"currency"`
		Outstanding int64  `avro:"outstanding"`
	}
	captured struct {
		Tender     int32  `avro:"tender"`
		Capture    string `avro:"capture"`
		ShipmentID string `avro:"shipmentId"`
		Amount     int64  `avro:"amount"`
		Currency   string `avro:"currency"`
	}
	refunded struct {
		Tender   int32  `avro:"tender"`
		Receipt  string `avro:"receipt"`
		Refund   string `avro:"refund"`
		Amount   int64  `avro:"amount"`
		Currency string `avro:"currency"`
	}
	reserved struct {
		Lines []Units `avro:"lines"`
	}
	dispatched struct {
		ShipmentID string `avro:"shipmentId"`
		Lines      []struct {
			Line     int32 `avro:"line"`
			Quantity int32 `avro:"quantity"`
			Net      int64 `avro:"net"`
			Freight  int64 `avro:"freight"`
			Tax      int64 `avro:"tax"`
		} `avro:"lines"`
		Value    int64  `avro:"value"`
		Currency string `avro:"currency"`
		Last     bool   `avro:"last"`
	}
	stopped struct {
		Cancelled  []Units `avro:"cancelled"`
		Dispatched []Units `avro:"dispatched"`
	}
	decided struct {
		Accepted bool `avro:"accepted"`
		Lines    []struct {
			Line      int32 `avro:"line"`
			Cancelled int32 `avro:"cancelled"`
		} `avro:"lines"`
	}
	billedLine struct {
		Line        int32  `avro:"line"`
		ShipmentID  string `avro:"shipmentId"`
		Quantity    int32  `avro:"quantity"`
		Net         int64  `avro:"net"`
		Freight     int64  `avro:"freight"`
		Tax         int64  `avro:"tax"`
		ContentHash string `avro:"contentHash"`
	}
	invoiced struct {
		Invoice  string       `avro:"invoice"`
		Currency string       `avro:"currency"`
		Lines    []billedLine `avro:"lines"`
	}
	credited struct {
		CreditNote string       `avro:"creditNote"`
		Invoice    string       `avro:"invoice"`
		Currency   string       `avro:"currency"`
		Lines      []billedLine `avro:"lines"`
	}
	voided struct {
		Invoice string `avro:"invoice"`
	}
)
