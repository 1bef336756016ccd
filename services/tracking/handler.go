package tracking

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"troupe/topology/partner"
)

// listLimit bounds a customer's list; the newest orders are told.
const listLimit = 200

// Handler answers where orders are.
func (v *View) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{tenant}/{order}", v.serveOrder)
	mux.HandleFunc("GET /tracking/{trackingNumber}", v.serveParcels)
	mux.HandleFunc("GET /customers/{tenant}/{customer}/orders", v.serveCustomer)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			partner.Refuse(w, http.StatusMethodNotAllowed, "this view is read only")
			return
		}
		partner.Refuse(w, http.StatusNotFound, "there is nothing at this address")
	})
	return mux
}

func (v *View) serveOrder(w http.ResponseWriter, r *http.Request) {
	n := number{r.PathValue("tenant"), r.PathValue("order")}
	v.mu.RLock()
	h := v.orders[n]
	var a Answer
	if h != nil {
		a = h.answer()
	}
	v.mu.RUnlock()
	if h == nil {
		partner.Refuse(w, http.StatusNotFound, "nothing has been heard of an order "+n.order+" of "+n.tenant)
		return
	}
	reply(w, a)
}

func (v *View) serveParcels(w http.ResponseWriter, r *http.Request) {
	tracking := r.PathValue("trackingNumber")
	var found []Parcel
	v.mu.RLock()
	for n := range v.byTracking[tracking] {
		found = append(found, v.orders[n].parcels(tracking)...)
	}
	v.mu.RUnlock()
	if len(found) == 0 {
		partner.Refuse(w, http.StatusNotFound, "no parcel with the tracking number "+tracking+" has left")
		return
	}
	// Carriers use numbers again: the latest parcel comes first.
	slices.SortFunc(found, func(a, b Parcel) int {
		if c := b.Shipment.AsOf.Compare(a.Shipment.AsOf); c != 0 {
			return c
		}
		if c := (number{a.Tenant, a.OrderID}).compare(number{b.Tenant, b.OrderID}); c != 0 {
			return c
		}
		return strings.Compare(a.Shipment.Data.ShipmentID, b.Shipment.Data.ShipmentID)
	})
	reply(w, struct {
		TrackingNumber string   `json:"trackingNumber"`
		Parcels        []Parcel `json:"parcels"`
	}{tracking, found})
}

func (v *View) serveCustomer(w http.ResponseWriter, r *http.Request) {
	c := customer{r.PathValue("tenant"), r.PathValue("customer")}
	var orders []Listed
	v.mu.RLock()
	for n := range v.byCustomer[c] {
		orders = append(orders, v.orders[n].listed())
	}
	v.mu.RUnlock()
	if len(orders) == 0 {
		partner.Refuse(w, http.StatusNotFound, "no order of a customer "+c.id+" of "+c.tenant+" has been heard of")
		return
	}
	slices.SortFunc(orders, func(a, b Listed) int {
		if c := b.PlacedAt.Compare(a.PlacedAt); c != 0 {
			return c
		}
		return strings.Compare(a.OrderID, b.OrderID)
	})
	total := len(orders)
	reply(w, struct {
		Tenant     string   `json:"tenant"`
		CustomerID string   `json:"customerId"`
		Total      int      `json:"total"` // more than are listed, if there are very many
		Orders     []Listed `json:"orders"`
	}{c.tenant, c.id, total, orders[:min(total, listLimit)]})
}

func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an answer is as of now
	_ = json.NewEncoder(w).Encode(answer)
}
