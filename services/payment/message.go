package payment

import (
	"time"

	"troupe/schemas"
)

// What this context publishes.
type (
	paymentPending struct {
		schemas.Envelope `avro:"envelope"`
		Prepaid          bool   `avro:"prepaid"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
	}
	paymentAuthorized struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32     `avro:"tender"`
		Kind             string    `avro:"kind"`
		Authorisation    string    `avro:"authorisation"`
		Amount           int64     `avro:"amount"`
		Currency         string    `avro:"currency"`
		ExpiresAt        time.Time `avro:"expiresAt"`
		Outstanding      int64     `avro:"outstanding"`
	}
	paymentReceived struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Kind             string `avro:"kind"`
		Receipt          string `avro:"receipt"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
		Outstanding      int64  `avro:"outstanding"`
	}
	paymentDeclined struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Kind             string `avro:"kind"`
		Reason           string `avro:"reason"`
	}
	authorizationExpired struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Authorisation    string `avro:"authorisation"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
	}
	paymentCaptured struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Kind             string `avro:"kind"`
		Authorisation    string `avro:"authorisation"`
		Capture          string `avro:"capture"`
		ShipmentID       string `avro:"shipmentId"`
		Asked            int64  `avro:"asked"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
	}
	captureFailed struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Authorisation    string `avro:"authorisation"`
		ShipmentID       string `avro:"shipmentId"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
		Reason           string `avro:"reason"`
	}
	captureUnknown struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Authorisation    string `avro:"authorisation"`
		ShipmentID       string `avro:"shipmentId"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
	}
	paymentVoided struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Authorisation    string `avro:"authorisation"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
	}
	paymentRefunded struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Receipt          string `avro:"receipt"`
		Refund           string `avro:"refund"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
		Reason           string `avro:"reason"`
	}
	refundFailed struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Receipt          string `avro:"receipt"`
		Amount           int64  `avro:"amount"`
		Currency         string `avro:"currency"`
		Reason           string `avro:"reason"`
	}
)

// What it writes to its own inbox: the provider's answers and later word.
type (
	tenderOpened struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32     `avro:"tender"`
		Status           string    `avro:"status"`
		Reference        string    `avro:"reference"`
		Amount           int64     `avro:"amount"`
		ExpiresAt        time.Time `avro:"expiresAt"`
		Reason           string    `avro:"reason"`
	}
	tenderSettled struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32     `avro:"tender"`
		Status           string    `avro:"status"`
		Reference        string    `avro:"reference"`
		Amount           int64     `avro:"amount"`
		ExpiresAt        time.Time `avro:"expiresAt"`
		Reason           string    `avro:"reason"`
		SettledAt        time.Time `avro:"settledAt"`
	}
	captureAnswered struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		ShipmentID       string `avro:"shipmentId"`
		Status           string `avro:"status"`
		Capture          string `avro:"capture"`
		Asked            int64  `avro:"asked"`
		Amount           int64  `avro:"amount"`
		Reason           string `avro:"reason"`
	}
	voidAnswered struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Status           string `avro:"status"`
		Amount           int64  `avro:"amount"`
		Reason           string `avro:"reason"`
	}
	refundAnswered struct {
		schemas.Envelope `avro:"envelope"`
		Tender           int32  `avro:"tender"`
		Status           string `avro:"status"`
		Refund           string `avro:"refund"`
		Amount           int64  `avro:"amount"`
		Reason           string `avro:"reason"`
	}
)

// What it reads of others, and of its own inbox.
type (
	placed struct {
		Currency string `avro:"currency"`
		Tenders  []struct {
			Sequence int32  `avro:"sequence"`
			Kind     string `avro:"kind"`
			Amount   int64  `avro:"amount"`
		} `avro:"tenders"`
	}
	dispatched struct {
		ShipmentID string `avro:"shipmentId"`
		Value      int64  `avro:"value"`
		Currency   string `avro:"currency"`
		Last       bool   `avro:"last"`
	}
	stopped  struct{}
	giveBack struct {
		Reason string `avro:"reason"`
	}
	settled struct {
		Tender    int32     `avro:"tender"`
		Status    string    `avro:"status"`
		Reference string    `avro:"reference"`
		Amount    int64     `avro:"amount"`
		ExpiresAt time.Time `avro:"expiresAt"`
		Reason    string    `avro:"reason"`
	}
)

// What it asks of the provider.
type (
	openRequest struct {
		Tender   int32  `avro:"tender"`
		Kind     string `avro:"kind"`
		Amount   int64  `avro:"amount"`
		Currency string `avro:"currency"`
	}
	captureRequest struct {
		Tender     int32  `avro:"tender"`
		Reference  string `avro:"reference"`
		ShipmentID string `avro:"shipmentId"`
		Amount     int64  `avro:"amount"`
		Currency   string `avro:"currency"`
		Last       bool   `avro:"last"`
	}
	voidRequest struct {
		Tender    int32  `avro:"tender"`
		Reference string `avro:"reference"`
	}
	refundRequest struct {
		Tender    int32  `avro:"tender"`
		Reference string `avro:"reference"`
		Amount    int64  `avro:"amount"`
	}
)
