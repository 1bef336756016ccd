package ordercapture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// channelOrder is an order as a channel sends it. Amounts are minor units of
// the currency, times RFC 3339.
type channelOrder struct {
	Tenant       string      `json:"tenant"`
	Channel      string      `json:"channel"`
	ChannelOrder string      `json:"channelOrder"`
	Customer     customer    `json:"customer"`
	Currency     string      `json:"currency"`
	Lines        []orderLine `json:"lines"`
	Tenders      []tender    `json:"tenders"`
	PromisedBy   time.Time   `json:"promisedBy"`
	PlacedAt     time.Time   `json:"placedAt"`
}

type customer struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	City       string `json:"city"`
	State      string `json:"state"`
	Postcode   string `json:"postcode"`
}

// nameLimit bounds a SKU and a node, of which others make keys, in bytes.
const nameLimit = 128

// OrderID is the estate's number of a channel's order: derived, so that nobody
// needs a table to find it.
func OrderID(channel, number string) string { return channel + "-" + number }

func ordersIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /orders", Doc: "orders of channels",
		Writes: []topology.Output{topology.Asks[placeOrder]("ordercapture"), topology.Publishes[customerRecorded]()},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in channelOrder
			whole := func() bool {
				return in.Tenant != "" && in.Channel != "" && in.ChannelOrder != "" && in.Customer.CustomerID != "" && !in.PlacedAt.IsZero()
			}
			if !partner.Read(w, r, &in, "tenant, channel, channelOrder, customer.customerId and placedAt", whole) {
				return
			}
			if i := slices.IndexFunc(in.Lines, func(l orderLine) bool { return max(len(l.SKU), len(l.Node)) > nameLimit }); i >= 0 {
				partner.Refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("lines[%d]: a SKU or a node of more than %d bytes", i, nameLimit))
				return
			}
			if !partner.Send(w, r, send, in.customer(), in.request()) {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(map[string]string{"order": OrderID(in.Channel, in.ChannelOrder)})
		},
	}
}

// content digests what makes two orders the same one. Who the customer is by
// name is not part of it: the log holds no trace of personal data.
func (o channelOrder) content() string {
	o.Customer = customer{CustomerID: o.Customer.CustomerID}
	b, err := json.Marshal(o)
	if err != nil {
		return "" // a struct of strings, numbers and times always encodes
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func (o channelOrder) request() topology.Request {
	order := OrderID(o.Channel, o.ChannelOrder)
	hash := o.content()
	return topology.Request{Inbox: "ordercapture", Key: o.Tenant + "/" + order, Message: &placeOrder{
		Envelope: schemas.Envelope{
			ID: schemas.FactID("PlaceOrder", o.Tenant, order, hash), OccurredAt: o.PlacedAt, Tenant: o.Tenant, Order: order,
			CorrelationID: schemas.FactID("flow", o.Tenant, order),
		},
		Channel: o.Channel, ChannelOrder: o.ChannelOrder, CustomerID: o.Customer.CustomerID, Currency: o.Currency,
		Lines: o.Lines, Tenders: o.Tenders, PromisedBy: o.PromisedBy, Origin: "NEW", RequestHash: hash,
	}}
}

func (o channelOrder) customer() topology.Request {
	c := o.Customer
	return topology.Request{Key: o.Tenant + "/" + c.CustomerID, Message: &customerRecorded{
		Envelope: schemas.Envelope{
			ID:         schemas.FactID("CustomerRecorded", o.Tenant, c.CustomerID, o.PlacedAt.UTC().Format(time.RFC3339Nano), c.Name, c.Email, c.City, c.State, c.Postcode),
			OccurredAt: o.PlacedAt, Tenant: o.Tenant, AggregateID: o.Tenant + "/" + c.CustomerID,
		},
		CustomerID: c.CustomerID, Name: c.Name, Email: c.Email, City: c.City, State: c.State, Postcode: c.Postcode,
	}}
}

func cancellationsIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /orders/{tenant}/{order}/cancellation", Doc: "requests to cancel an order",
		Writes: []topology.Output{topology.Asks[cancelOrder]("ordercapture")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				RequestedBy, Reason string
				At                  time.Time
			}
			if !partner.Read(w, r, &in, "requestedBy, reason and at", func() bool { return !in.At.IsZero() && in.RequestedBy != "" }) {
				return
			}
			tenant, order := r.PathValue("tenant"), r.PathValue("order")
			partner.Accept(w, r, send, topology.Request{Inbox: "ordercapture", Key: tenant + "/" + order, Message: &cancelOrder{
				Envelope: schemas.Envelope{
					ID:         schemas.FactID("CancelOrder", tenant, order, in.RequestedBy, in.At.UTC().Format(time.RFC3339Nano)),
					OccurredAt: in.At, Tenant: tenant, Order: order, CorrelationID: schemas.FactID("flow", tenant, order),
				},
				RequestedBy: in.RequestedBy, Reason: in.Reason,
			}})
		},
	}
}
