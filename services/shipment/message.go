package shipment

import (
	"time"

	"troupe/schemas"
)

// Parts of messages.
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
	stoppedLine struct {
		Line     int32 `avro:"line"`
		Quantity int32 `avro:"quantity"`
	}
)

// What this context publishes.
type (
	shipmentPlanned struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string         `avro:"shipmentId"`
		Node             string         `avro:"node"`
		Lines            []shipmentLine `avro:"lines"`
		Value            int64          `avro:"value"`
		Currency         string         `avro:"currency"`
		ShipBy           time.Time      `avro:"shipBy"`
		PromisedBy       time.Time      `avro:"promisedBy"`
		Replaces         string         `avro:"replaces"`
	}
	pickingStarted struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		Node             string `avro:"node"`
	}
	pickShort struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		Node             string `avro:"node"`
		Line             int32  `avro:"line"`
		Missing          int32  `avro:"missing"`
	}
	shipmentPacked struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		Node             string `avro:"node"`
		Parcels          int32  `avro:"parcels"`
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
	carrierScanned struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		TrackingNumber   string `avro:"trackingNumber"`
		Location         string `avro:"location"`
	}
	deliveryAttempted struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		TrackingNumber   string `avro:"trackingNumber"`
		Reason           string `avro:"reason"`
	}
	shipmentDelivered struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		TrackingNumber   string `avro:"trackingNumber"`
	}
	parcelLost struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		TrackingNumber   string `avro:"trackingNumber"`
	}
	returnedToSender struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		TrackingNumber   string `avro:"trackingNumber"`
		Reason           string `avro:"reason"`
	}
	shipmentCancelled struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string         `avro:"shipmentId"`
		Lines            []shipmentLine `avro:"lines"`
	}
	shipmentCancellationRefused struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string `avro:"shipmentId"`
		Reason           string `avro:"reason"`
	}
	fulfilmentStopped struct {
		schemas.Envelope `avro:"envelope"`
		Cancelled        []stoppedLine `avro:"cancelled"`
		Dispatched       []stoppedLine `avro:"dispatched"`
	}
)

// What it writes to its own inbox: the warehouse's answers, and the reports of
// warehouse and carrier.
type (
	warehouseAnswered struct {
		schemas.Envelope `avro:"envelope"`
		Action           string `avro:"action"`
		ShipmentID       string `avro:"shipmentId"`
		Accepted         bool   `avro:"accepted"`
		Reason           string `avro:"reason"`
	}
	warehouseReported struct {
		schemas.Envelope `avro:"envelope"`
		Kind             string     `avro:"kind"`
		ShipmentID       string     `avro:"shipmentId"`
		Node             string     `avro:"node"`
		At               time.Time  `avro:"at"`
		Carrier          string     `avro:"carrier"`
		TrackingNumber   string     `avro:"trackingNumber"`
		Parcels          int32      `avro:"parcels"`
		Lines            []Reported `avro:"lines"`
	}
	carrierReported struct {
		schemas.Envelope `avro:"envelope"`
		Kind             string    `avro:"kind"`
		TrackingNumber   string    `avro:"trackingNumber"`
		At               time.Time `avro:"at"`
		Location         string    `avro:"location"`
		Reason           string    `avro:"reason"`
	}
)

// What it reads.
type (
	placed struct {
		Currency   string    `avro:"currency"`
		PromisedBy time.Time `avro:"promisedBy"`
		Lines      []struct {
			Line     int32     `avro:"line"`
			SKU      string    `avro:"sku"`
			Quantity int32     `avro:"quantity"`
			UnitNet  int64     `avro:"unitNet"`
			Discount int64     `avro:"discount"`
			Freight  int64     `avro:"freight"`
			Tax      int64     `avro:"tax"`
			Node     string    `avro:"node"`
			ShipBy   time.Time `avro:"shipBy"`
		} `avro:"lines"`
	}
	nothing struct{}
	secured struct {
		Outstanding int64 `avro:"outstanding"`
	}
	allocation struct {
		Lines []struct {
			Line          int32  `avro:"line"`
			Quantity      int32  `avro:"quantity"`
			Node          string `avro:"node"`
			ReservationID string `avro:"reservationId"`
		} `avro:"lines"`
	}
	stop struct {
		Reason string `avro:"reason"`
	}
	report struct {
		Kind           string     `avro:"kind"`
		ShipmentID     string     `avro:"shipmentId"`
		Node           string     `avro:"node"`
		At             time.Time  `avro:"at"`
		Carrier        string     `avro:"carrier"`
		TrackingNumber string     `avro:"trackingNumber"`
		Parcels        int32      `avro:"parcels"`
		Lines          []Reported `avro:"lines"`
	}
	scan struct {
		Kind           string    `avro:"kind"`
		TrackingNumber string    `avro:"trackingNumber"`
		At             time.Time `avro:"at"`
		Location       string    `avro:"location"`
		Reason         string    `avro:"reason"`
	}
)

// What it asks of the warehouse.
type (
	warehouseRequest struct {
		Action     string     `avro:"action"`
		ShipmentID string     `avro:"shipmentId"`
		Node       string     `avro:"node"`
		ShipBy     time.Time  `avro:"shipBy"`
		Lines      []Reported `avro:"lines"`
	}
)
