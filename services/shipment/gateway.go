package shipment

import (
	"context"
	"net/http"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// Gateway asks a warehouse management system over HTTP. It keeps our
// idempotency key, so asking again is harmless.
type Gateway struct{ Partner partner.Client }

// Ask implements Warehouse. Silence to the last is a refusal: what nobody
// confirmed is neither released nor held, and the obligation says so in time.
func (g Gateway) Ask(ctx context.Context, call topology.Call, r warehouseRequest) (warehouseAnswered, error) {
	path, request := "/cancellations", map[string]any{
		"tenant": call.Envelope.Tenant, "order": call.Envelope.Order, "shipmentId": r.ShipmentID,
	}
	if r.Action == releaseAction {
		lines := []map[string]any{}
		for _, l := range r.Lines {
			lines = append(lines, map[string]any{"line": l.Line, "sku": l.SKU, "quantity": l.Quantity})
		}
		path = "/releases"
		request["node"], request["shipBy"], request["lines"] = r.Node, r.ShipBy, lines
	}
	var answer struct {
		Accepted bool   `json:"accepted"`
		Reason   string `json:"reason"`
	}
	if err := g.Partner.Post(ctx, path, call.ID, request, &answer); err != nil {
		if r.Action == cancelAction && partner.Refused(err, http.StatusNotFound) {
			// What it has never heard of it does not pick: a release that did not reach it.
			return warehouseAnswered{Action: r.Action, ShipmentID: r.ShipmentID, Accepted: true, Reason: err.Error()}, nil
		}
		if partner.Refused(err) || call.Last {
			return warehouseAnswered{Action: r.Action, ShipmentID: r.ShipmentID, Reason: err.Error()}, nil
		}
		return warehouseAnswered{}, err
	}
	return warehouseAnswered{Action: r.Action, ShipmentID: r.ShipmentID, Accepted: answer.Accepted, Reason: answer.Reason}, nil
}

// head is the envelope of a partner's report.
func head(desk, id, tenant, order string, at time.Time) schemas.Envelope {
	return schemas.Envelope{ID: schemas.FactID(desk, tenant, id), OccurredAt: at, Tenant: tenant, Order: order}
}

// warehouseIntake takes the warehouse's reports.
func warehouseIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /warehouse/events",
		Doc:     "picking, packing and leaving, as the warehouse reports them",
		Writes:  []topology.Output{topology.Asks[warehouseReported]("shipment")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				ID, Tenant, Order, Kind, ShipmentID, Node, Carrier, TrackingNumber string
				Parcels                                                            int32
				Lines                                                              []Reported
				At                                                                 time.Time
			}
			whole := func() bool { return in.ID != "" && in.Tenant != "" && in.Order != "" && !in.At.IsZero() }
			if !partner.Read(w, r, &in, "id, tenant, order and at", whole) {
				return
			}
			m := &warehouseReported{
				Envelope: head("shipment.warehouse", in.ID, in.Tenant, in.Order, in.At), Kind: in.Kind, ShipmentID: in.ShipmentID,
				Node: in.Node, At: in.At, Carrier: in.Carrier, TrackingNumber: in.TrackingNumber, Parcels: in.Parcels, Lines: in.Lines,
			}
			partner.Accept(w, r, send, topology.Request{Inbox: "shipment", Key: in.Tenant + "/" + in.Order, Message: m})
		},
	}
}

// carrierIntake takes the carrier's reports. The carrier knows the order as its
// consignor's reference.
func carrierIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /carrier/events",
		Doc:     "scans and deliveries, as the carrier reports them",
		Writes:  []topology.Output{topology.Asks[carrierReported]("shipment")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				ID, Tenant, Order, Kind, TrackingNumber, Location, Reason string
				At                                                        time.Time
			}
			whole := func() bool {
				return in.ID != "" && in.Tenant != "" && in.Order != "" && in.TrackingNumber != "" && !in.At.IsZero()
			}
			if !partner.Read(w, r, &in, "id, tenant, order, trackingNumber and at", whole) {
				return
			}
			m := &carrierReported{
				Envelope: head("shipment.carrier", in.ID, in.Tenant, in.Order, in.At), Kind: in.Kind,
				TrackingNumber: in.TrackingNumber, At: in.At, Location: in.Location, Reason: in.Reason,
			}
			partner.Accept(w, r, send, topology.Request{Inbox: "shipment", Key: in.Tenant + "/" + in.Order, Message: m})
		},
	}
}
