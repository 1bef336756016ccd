package notification

import (
	"cmp"
	"slices"
)

// Correspondence is what is written to the customer about one order.
type Correspondence struct {
	Placed      bool   `avro:"placed"` // OrderPlaced was seen: the two below are known
	CustomerID  string `avro:"customerId"`
	OrderNumber string `avro:"orderNumber"` // the channel's own: what the customer calls it
	// Mails are sorted by fact, so that a row does not depend on the order in
	// which its facts came. One for each fact that is told of: they are the
	// memory that keeps a repeat from becoming a second mail.
	Mails []Mail `avro:"mails"`
}

// Mail tells of one fact. Of the parcel it knows only what its text needs.
type Mail struct {
	FactID         string `avro:"factId"`
	Template       string `avro:"template"`
	State          string `avro:"state"`
	ShipmentID     string `avro:"shipmentId"`
	Carrier        string `avro:"carrier"`
	TrackingNumber string `avro:"trackingNumber"`
}

// The states of a mail. The last four are final, and are what the answer to
// mail.send says.
const (
	waiting    = "WAITING" // for OrderPlaced
	asked      = "ASKED"
	sent       = "SENT"
	suppressed = "SUPPRESSED"
	failed     = "FAILED"
	unknown    = "UNKNOWN"
)

// The mails, by the names of their templates.
const (
	orderPlacedMail        = "order-placed"
	shipmentDispatchedMail = "shipment-dispatched"
	orderCancelledMail     = "order-cancelled"
)

// place learns whose order it is.
func (c *Correspondence) place(customer, orderNumber string) {
	c.Placed, c.CustomerID, c.OrderNumber = true, customer, orderNumber
}

// add takes note of a mail; it reports whether that is news.
func (c *Correspondence) add(m Mail) bool {
	i, known := c.find(m.FactID)
	if known {
		return false
	}
	m.State = waiting
	c.Mails = slices.Insert(c.Mails, i, m)
	return true
}

// ready are the mails that can go out now, each of them once.
func (c *Correspondence) ready() []Mail {
	if !c.Placed {
		return nil
	}
	var out []Mail
	for i := range c.Mails {
		if c.Mails[i].State == waiting {
			c.Mails[i].State = asked
			out = append(out, c.Mails[i])
		}
	}
	return out
}

// settle writes down what became of a mail. known is false when nobody asked
// for one, news is false when its end was written down before.
func (c *Correspondence) settle(fact, state string) (known, news bool) {
	i, known := c.find(fact)
	if !known || c.Mails[i].State == waiting {
		return false, false
	}
	if c.Mails[i].State != asked {
		return true, false
	}
	c.Mails[i].State = state
	return true, true
}

func (c *Correspondence) find(fact string) (int, bool) {
	return slices.BinarySearchFunc(c.Mails, fact, func(m Mail, id string) int { return cmp.Compare(m.FactID, id) })
}
