package tracking

import (
	"encoding/json"
	"log/slog"
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
	h, err := v.history(n)
	switch {
	case err != nil:
		broken(w, err)
	case len(h.facts) == 0:
		partner.Refuse(w, http.StatusNotFound, "nothing has been heard of an order "+n.order+" of "+n.tenant)
	default:
		reply(w, h.answer())
	}
}

func (v *View) serveParcels(w http.ResponseWriter, r *http.Request) {
	tracking := r.PathValue("trackingNumber")
	var found []Parcel
	orders, err := v.carried(tracking)
	if err == nil {
		err = v.each(orders, func(h history) { found = append(found, h.parcels(tracking)...) })
	}
	if err != nil {
		broken(w, err)
		return
	}
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
	tenant, customer := r.PathValue("tenant"), r.PathValue("customer")
	var orders []Listed
	latest, total, err := v.placedBy(tenant, customer, listLimit)
	if err == nil {
		err = v.each(latest, func(h history) {
			if l, still := h.listed(); still {
				orders = append(orders, l)
			}
		})
	}
	if err != nil {
		broken(w, err)
		return
	}
	if len(orders) == 0 {
		partner.Refuse(w, http.StatusNotFound, "no order of a customer "+customer+" of "+tenant+" has been heard of")
		return
	}
	reply(w, struct {
		Tenant     string   `json:"tenant"`
		CustomerID string   `json:"customerId"`
		Total      int      `json:"total"` // more than are listed, if there are very many
		Orders     []Listed `json:"orders"`
	}{tenant, customer, total, orders})
}

// broken says that the view cannot read what it keeps.
func broken(w http.ResponseWriter, err error) {
	slog.Error("a view cannot be read", "view", "orders", "error", err)
	partner.Refuse(w, http.StatusInternalServerError, "the view cannot be read: its log says why")
}

func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an answer is as of now
	_ = json.NewEncoder(w).Encode(answer)
}
