package world

import (
	"net/http"
	"strconv"
	"time"
)

// authorisationLasts is how long the provider holds money.
const authorisationLasts = 180 * 24 * time.Hour

// held is a tender at the provider.
type held struct {
	Tender
	reference       string
	verdictAt       time.Time // zero: never
	voided          bool
	taken, returned int64
}

func (h *held) left() int64 { return h.Amount - h.taken }

// decided is true once the provider has answered for good.
func (h *held) decided(at time.Time) bool { return !h.verdictAt.IsZero() && !at.Before(h.verdictAt) }

// paidFirst is money that came before anything left; the rest is held.
func (h *held) paidFirst() bool { return h.Kind == "boleto" }

func (h *held) lastsUntil() time.Time { return h.verdictAt.Add(authorisationLasts) }

// tenderState is the provider's word on a tender, at once and later.
type tenderState struct {
	Status    string `json:"status"`
	Reference string `json:"reference"`
	Amount    int64  `json:"amount"`
	ExpiresAt int64  `json:"expiresAt"` // milliseconds since 1970; 0: never
	Reason    string `json:"reason"`
}

// openTender answers that the tender is pending; the verdict is called later.
func (w *World) openTender(r request, at time.Time) any {
	o := w.order(r.Tenant, r.Order, at)
	sequence := strconv.Itoa(int(r.Tender))
	h := &held{Tender: Tender{Sequence: r.Tender, Kind: r.Kind, Amount: r.Amount}, reference: number("T", r.Tenant, r.Order, sequence)}
	for _, known := range o.Tenders {
		h.Declined = h.Declined || known.Sequence == r.Tender && known.Declined
	}
	w.tenders[h.reference] = h
	if !o.VerdictAt.IsZero() {
		h.verdictAt = later(at, o.VerdictAt)
		v := h.verdict()
		w.call(h.verdictAt, "verdict/"+r.Tenant+"/"+r.Order+"/"+sequence, "payment/provider/events", map[string]any{
			"tenant": r.Tenant, "order": r.Order, "tender": r.Tender, "status": v.Status, "reference": v.Reference,
			"amount": v.Amount, "currency": r.Currency, "expiresAt": v.ExpiresAt, "reason": v.Reason,
		}, nil)
	}
	return tenderState{Status: "PENDING", Reference: h.reference, Amount: r.Amount}
}

func (h *held) verdict() tenderState {
	s := tenderState{Reference: h.reference, Amount: h.Amount}
	switch {
	case h.Declined:
		s.Status, s.Amount, s.Reason = "DECLINED", 0, "insufficient funds"
	case h.paidFirst():
		s.Status = "RECEIVED"
	default:
		s.Status, s.ExpiresAt = "AUTHORISED", h.lastsUntil().UnixMilli()
	}
	return s
}

// capture takes what is asked for; the last time, whatever is left: a shop
// settles the whole of what it was authorised.
func (w *World) capture(r request, at time.Time) any {
	h := w.tenders[r.Reference]
	switch {
	case h == nil:
		return refusal{http.StatusNotFound, "no such authorisation"}
	case !h.decided(at) || h.Declined || h.paidFirst() || h.voided || at.After(h.lastsUntil()):
		return map[string]any{"status": "FAILED", "reason": "the authorisation does not hold"}
	}
	amount := min(r.Amount, h.left())
	if r.Last {
		amount = h.left()
	}
	h.taken += amount
	name := number("C", r.Reference, r.ShipmentID)
	w.captures[name] = r.Reference
	return map[string]any{"status": "CAPTURED", "capture": name, "amount": amount}
}

func (w *World) void(r request, _ time.Time) any {
	h := w.tenders[r.Reference]
	if h == nil {
		return refusal{http.StatusNotFound, "no such authorisation"}
	}
	h.voided = true
	return map[string]any{"status": "VOIDED", "amount": h.left()}
}

// refund gives back at most what was taken.
func (w *World) refund(r request, at time.Time) any {
	h := w.tenderOf(r.Reference)
	if h != nil && h.paidFirst() && h.decided(at) {
		h.taken = h.Amount
	}
	switch {
	case h == nil:
		return refusal{http.StatusNotFound, "no such receipt or capture"}
	case h.returned+r.Amount > h.taken:
		return map[string]any{"status": "FAILED", "reason": "more than was taken"}
	}
	h.returned += r.Amount
	return map[string]any{"status": "REFUNDED", "refund": number("R", r.Reference, strconv.FormatInt(h.returned, 10)), "amount": r.Amount}
}

// tenderOf finds a tender by its own reference or by one of its captures'.
func (w *World) tenderOf(reference string) *held {
	if h := w.tenders[reference]; h != nil {
		return h
	}
	return w.tenders[w.captures[reference]]
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
