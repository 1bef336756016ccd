package edge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"troupe/topology/partner"
)

// status is where an order is, as several services have it.
type status struct {
	Tenant       string  `json:"tenant"`
	OrderID      string  `json:"orderId"`
	Order        section `json:"order"`
	Payment      section `json:"payment"`
	Shipments    section `json:"shipments"`
	Invoices     section `json:"invoices"`
	Cancellation section `json:"cancellation"`
	Customer     section `json:"customer"`
}

// section is one service's word, or why it is not there.
type section struct {
	Source     string          `json:"source"`
	AsOf       time.Time       `json:"asOf,omitzero"`
	Status     string          `json:"status"`
	Milestones json.RawMessage `json:"milestones,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Reason     string          `json:"reason,omitempty"`
}

// The statuses of a section.
const (
	current     = "current"     // what is known is here
	missing     = "missing"     // asked, and there is nothing
	unavailable = "unavailable" // not known: whoever knows did not answer
)

// heard is a section as tracking tells it.
type heard struct {
	Source     string          `json:"source"`
	AsOf       time.Time       `json:"asOf"`
	Milestones json.RawMessage `json:"milestones"`
	Data       json.RawMessage `json:"data"`
}

// tracked is what is read of tracking's answer; it may say more.
type tracked struct {
	Order        *heard `json:"order"`
	Payment      *heard `json:"payment"`
	Shipments    *heard `json:"shipments"`
	Invoices     *heard `json:"invoices"`
	Cancellation *heard `json:"cancellation"`
}

func (s *server) serveStatus(w http.ResponseWriter, r *http.Request) {
	tenant, order := r.PathValue("tenant"), r.PathValue("order")
	if err := errors.Join(identifier("tenant", tenant), identifier("order", order)); err != nil {
		partner.Refuse(w, http.StatusNotFound, "no order can have this address: "+err.Error())
		return
	}
	var t tracked
	err := s.tracking.look(r.Context(), pathOf("orders", tenant, order), &t)
	if errors.Is(err, errUnknown) {
		s.retryLater(w.Header())
		partner.Refuse(w, http.StatusNotFound, "nothing is known of this order; if it was accepted a moment ago, it may still be on its way: please ask again")
		return
	}
	a := status{Tenant: tenant, OrderID: order}
	for _, p := range []struct {
		into   *section
		source string // who would have told
		heard  *heard
	}{
		{&a.Order, "ordercapture", t.Order}, {&a.Payment, "payment", t.Payment}, {&a.Shipments, "shipment", t.Shipments},
		{&a.Invoices, "invoicing", t.Invoices}, {&a.Cancellation, "ordercapture", t.Cancellation},
	} {
		*p.into = told(p.source, p.heard, err)
	}
	a.Customer = s.customer(r.Context(), tenant, t.Order, err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an answer is as of now
	_ = json.NewEncoder(w).Encode(a)
}

func told(source string, h *heard, err error) section {
	switch {
	case err != nil:
		return section{Source: source, Status: unavailable, Reason: err.Error()}
	case h == nil:
		return section{Source: source, Status: missing, Reason: "nothing has been heard of it yet"}
	}
	return section{Source: h.Source, AsOf: h.AsOf, Status: current, Milestones: h.Milestones, Data: h.Data}
}

// known is what of a customer is passed on: who that is, by name or address,
// stays in the CRM.
type known struct {
	CustomerID string `json:"customerId"`
	Tier       string `json:"tier"`
}

// customer asks the CRM about the order's customer. Who that is stands in the
// order section, so without it there is nobody to ask about.
func (s *server) customer(ctx context.Context, tenant string, order *heard, err error) section {
	if err != nil {
		return section{Source: s.crm.name, Status: unavailable, Reason: "the order that names the customer is unavailable: " + err.Error()}
	}
	var of known
	if order != nil {
		if err := json.Unmarshal(order.Data, &of); err != nil {
			return section{Source: s.crm.name, Status: unavailable, Reason: "tracking names the customer in a shape that is not agreed"}
		}
	}
	if identifier("customerId", of.CustomerID) != nil {
		return section{Source: s.crm.name, Status: missing, Reason: "no customer of this order is known yet"}
	}
	var is known
	switch err := s.crm.look(ctx, pathOf("customers", tenant, of.CustomerID), &is); {
	case errors.Is(err, errUnknown):
		return section{Source: s.crm.name, AsOf: s.config.Now().UTC(), Status: missing, Reason: "the CRM does not know this customer"}
	case err != nil:
		return section{Source: s.crm.name, Status: unavailable, Reason: err.Error()}
	case is.CustomerID != of.CustomerID:
		return section{Source: s.crm.name, Status: unavailable, Reason: "the CRM answered about another customer"}
	}
	data, err := json.Marshal(is)
	if err != nil {
		return section{Source: s.crm.name, Status: unavailable, Reason: "the CRM's answer cannot be passed on"}
	}
	return section{Source: s.crm.name, AsOf: s.config.Now().UTC(), Status: current, Data: data}
}
