package history

import (
	"slices"
	"time"
)

// Counts is what must come out of a run, as far as the files alone can say. The
// limits are those of the default policies: a payment verdict is owed within 72
// hours (7 days where a tender is paid first), a delivery within a day of its
// promise, a release within 15 minutes of a dispatch, and a difference of 1 minor
// unit is none.
type Counts struct {
	Orders, Rejected, Placed                           int
	OrdersDispatched, ShipmentsDispatched, OrdersSplit int
	OrdersDelivered, DeliveryLate, VerdictLate         int
	ShippedNotReleased, PaidOtherwise                  int
	OrdersMixedTenders                                 int
	Cancelled, Voided, Refunded, CancellationsRefused  int
	Tenders                                            map[string]int
	TendersMoney, DispatchedMoney, RefundedMoney       int64
}

const (
	verdictWithin        = 72 * time.Hour
	prepaidVerdictWithin = 7 * 24 * time.Hour
	deliveryWithin       = 24 * time.Hour
	releaseWithin        = 15 * time.Minute
	differenceWithin     = 1
)

// Count counts orders.
func Count(orders []Order) Counts {
	c := Counts{Orders: len(orders), Tenders: map[string]int{}}
	for _, o := range orders {
		if len(o.Lines) == 0 {
			c.Rejected++
			continue
		}
		c.Placed++
		c.payment(&o)
		switch {
		case !o.Carrier.IsZero():
			c.shipped(&o)
		case o.Cancelled:
			c.cancelled(&o)
		}
	}
	return c
}

func (c *Counts) payment(o *Order) {
	var kinds []string
	for _, t := range o.Tenders {
		kinds = append(kinds, t.Kind)
		c.Tenders[t.Kind]++
		c.TendersMoney += t.Amount
	}
	slices.Sort(kinds)
	if len(slices.Compact(kinds)) > 1 {
		c.OrdersMixedTenders++
	}
	within := verdictWithin
	if o.prepaid() {
		within = prepaidVerdictWithin
	}
	if !o.Approved.IsZero() && o.Approved.After(o.Purchased.Add(within)) {
		c.VerdictLate++
	}
}

func (o *Order) prepaid() bool {
	return slices.ContainsFunc(o.Tenders, func(t Tender) bool { return t.Kind == prepaidKind })
}

// prepaidKind is the kind of tender that is paid before anything leaves.
const prepaidKind = "boleto"

func (c *Counts) shipped(o *Order) {
	c.OrdersDispatched++
	c.ShipmentsDispatched += len(o.Sellers())
	if len(o.Sellers()) > 1 {
		c.OrdersSplit++
	}
	if o.Cancelled {
		c.CancellationsRefused++
	}
	if !o.Delivered.IsZero() {
		c.OrdersDelivered++
	}
	if o.Delivered.IsZero() || o.Delivered.After(o.Promised.Add(deliveryWithin)) {
		c.DeliveryLate++
	}
	if o.Approved.IsZero() || o.Approved.After(o.Carrier.Add(releaseWithin)) {
		c.ShippedNotReleased++
	}
	difference := o.paid() - o.worth()
	if difference > differenceWithin || difference < -differenceWithin {
		c.PaidOtherwise++
	}
	c.DispatchedMoney += o.worth()
}

func (c *Counts) cancelled(o *Order) {
	c.Cancelled++
	if o.prepaid() {
		c.Refunded++
		c.RefundedMoney += o.paid()
		return
	}
	c.Voided++
}

func (o *Order) paid() (sum int64) {
	for _, t := range o.Tenders {
		sum += t.Amount
	}
	return sum
}

func (o *Order) worth() (sum int64) {
	for _, l := range o.Lines {
		sum += l.Price + l.Freight
	}
	return sum
}
