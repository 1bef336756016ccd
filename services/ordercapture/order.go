package ordercapture

import (
	"errors"
	"fmt"
	"strings"
)

// Order is what ordering knows of one order. Its words are ordering's own:
// whether it was paid, picked or billed is not among them.
type Order struct {
	Status          string `avro:"status"` // "" until the channel's request was decided
	Content         string `avro:"content"`
	CustomerID      string `avro:"customerId"`
	CancelRequested bool   `avro:"cancelRequested"`
	Early           *Early `avro:"early"` // a wish to cancel that was quicker than the order
}

// Early is who wished to cancel an order that had not arrived, and why.
type Early struct {
	RequestedBy string `avro:"requestedBy"`
	Reason      string `avro:"reason"`
}

// The statuses.
const (
	Placed    = "PLACED"
	Rejected  = "REJECTED"
	Cancelled = "CANCELLED"
	Closed    = "CLOSED"
)

// Reasons for refusing an order.
const (
	NoLines         = "NO_LINES"
	NoTenders       = "NO_TENDERS"
	BadQuantity     = "BAD_QUANTITY"
	BadAmount       = "BAD_AMOUNT"
	UnknownCurrency = "UNKNOWN_CURRENCY"
	LineTwice       = "LINE_TWICE"
	TenderTwice     = "TENDER_TWICE"
)

// refusal is why an order cannot be placed.
type refusal struct{ reason, detail string }

// errOtherContent says that a number was used for two different orders.
var errOtherContent = errors.New("the channel's order number was used before, for an order with other content")

// decide takes a channel's request. news is false for a true repeat.
func (o *Order) decide(content, customer string, r *refusal) (news bool, err error) {
	if o.Content != "" {
		if o.Content != content {
			return false, errOtherContent
		}
		return false, nil
	}
	o.Content, o.CustomerID, o.Status = content, customer, Placed
	if r != nil {
		o.Status = Rejected
	}
	return true, nil
}

// askToCancel reports whether the request is to be carried on: once, and also
// for an order that is closed, so that somebody is told no.
func (o *Order) askToCancel() bool {
	if o.Status != Placed && o.Status != Closed || o.CancelRequested {
		return false
	}
	o.CancelRequested = true
	return true
}

// cancel follows the process manager's decision.
func (o *Order) cancel() bool {
	if o.Status != Placed {
		return false
	}
	o.Status = Cancelled
	return true
}

// end closes the order; a cancelled one stays cancelled but is closed once too.
func (o *Order) end() bool {
	if o.Status == "" || o.Status == Rejected || o.Status == Closed {
		return false
	}
	o.Status = Closed
	return true
}

// examine looks for what makes an order impossible to fulfil. A tender of zero
// is none of it: vouchers run empty.
func examine(currency string, lines []orderLine, tenders []tender) *refusal {
	if len(lines) == 0 {
		return &refusal{NoLines, "the order has no line"}
	}
	if len(tenders) == 0 {
		return &refusal{NoTenders, "the order says nothing of how it is paid"}
	}
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return &refusal{UnknownCurrency, fmt.Sprintf("%q is no ISO 4217 code", currency)}
	}
	seen := map[int32]bool{}
	for _, l := range lines {
		switch {
		case seen[l.Line]:
			return &refusal{LineTwice, fmt.Sprintf("line %d is there twice", l.Line)}
		case l.Quantity < 1:
			return &refusal{BadQuantity, fmt.Sprintf("line %d has quantity %d", l.Line, l.Quantity)}
		case l.UnitNet < 0 || l.Freight < 0 || l.Tax < 0 || l.Discount < 0 || l.Discount > l.UnitNet*int64(l.Quantity):
			return &refusal{BadAmount, fmt.Sprintf("line %d has an amount that cannot be", l.Line)}
		}
		seen[l.Line] = true
	}
	paid := map[int32]bool{}
	for _, t := range tenders {
		switch {
		case paid[t.Sequence]:
			return &refusal{TenderTwice, fmt.Sprintf("tender %d is there twice", t.Sequence)}
		case t.Amount < 0:
			return &refusal{BadAmount, fmt.Sprintf("tender %d has amount %d", t.Sequence, t.Amount)}
		}
		paid[t.Sequence] = true
	}
	return nil
}
