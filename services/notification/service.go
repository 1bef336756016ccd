package notification

import (
	"context"

	"troupe/schemas"
	"troupe/topology"
)

// What this context publishes.
type (
	notificationSent struct {
		schemas.Envelope `avro:"envelope"`
		Template         string `avro:"template"`
		MessageID        string `avro:"messageId"`
		CustomerID       string `avro:"customerId"`
		FactID           string `avro:"factId"`
	}
	notificationSuppressed struct {
		schemas.Envelope `avro:"envelope"`
		Template         string `avro:"template"`
		CustomerID       string `avro:"customerId"`
		FactID           string `avro:"factId"`
		Reason           string `avro:"reason"`
	}
	notificationFailed struct {
		schemas.Envelope `avro:"envelope"`
		Template         string `avro:"template"`
		CustomerID       string `avro:"customerId"`
		FactID           string `avro:"factId"`
		Reason           string `avro:"reason"`
	}
	notificationUnknown struct {
		schemas.Envelope `avro:"envelope"`
		Template         string `avro:"template"`
		MessageID        string `avro:"messageId"`
		CustomerID       string `avro:"customerId"`
		FactID           string `avro:"factId"`
	}
)

// mailAnswered reaches its inbox: what became of a mail.
type mailAnswered struct {
	schemas.Envelope `avro:"envelope"`
	Template         string `avro:"template"`
	FactID           string `avro:"factId"`
	CustomerID       string `avro:"customerId"`
	MessageID        string `avro:"messageId"`
	Status           string `avro:"status"`
	Reason           string `avro:"reason"`
}

// What its steps read.
type (
	placed struct {
		ChannelOrder string `avro:"channelOrder"`
		CustomerID   string `avro:"customerId"`
	}
	dispatched struct {
		ShipmentID     string `avro:"shipmentId"`
		Carrier        string `avro:"carrier"`
		TrackingNumber string `avro:"trackingNumber"`
	}
	// cancelled is empty: that it happened is all that the customer is told, and
	// whose order it was is known from OrderPlaced.
	cancelled struct{}
)

// sendRequest is the intent of mail.send. It names the customer by ID only: an
// intent lies in the row's changelog, which a tombstone does not reach.
type sendRequest struct {
	Template       string `avro:"template"`
	FactID         string `avro:"factId"`
	CustomerID     string `avro:"customerId"`
	OrderNumber    string `avro:"orderNumber"`
	ShipmentID     string `avro:"shipmentId"`
	Carrier        string `avro:"carrier"`
	TrackingNumber string `avro:"trackingNumber"`
}

// Mailer sends mail. An error means that this attempt certainly sent none, and
// that another may be made.
type Mailer interface {
	Send(ctx context.Context, call topology.Call, r sendRequest) (mailAnswered, error)
}

// Service is the notification context.
func Service(mailer Mailer, directory *Directory) topology.Service {
	return topology.Service{
		Name: "notification", Owner: "service-desk",
		Doc: "writes to customers, at most one mail for each fact that is theirs to know",
		Publishes: []topology.Output{
			topology.Publishes[notificationSent](), topology.Publishes[notificationSuppressed](),
			topology.Publishes[notificationFailed](), topology.Publishes[notificationUnknown](),
		},
		Sets: []topology.Set{topology.Keyed("", "order", "notification.correspondence",
			topology.On("OrderPlaced", onPlaced),
			topology.On("ShipmentDispatched", onDispatched),
			topology.On("OrderCancelled", onCancelled),
			topology.Outcome("mail.send", topology.Never, mailer.Send, onAnswered),
		)},
		Views: []topology.View{directory.view()},
		Bounds: []topology.Bound{
			topology.AtMost("remembered-attempts", rememberedAttempts, "the oldest is forgotten: tried again, its mail ends as UNKNOWN"),
			topology.AtMost("mail-timeout", defaultTimeout, "the delivery is tried again; once the whole text was sent, the mail ends as UNKNOWN"),
		},
	}
}

func onPlaced(c *Correspondence, e placed, t *topology.Turn) error {
	c.place(e.CustomerID, e.ChannelOrder)
	return tell(c, Mail{Template: orderPlacedMail}, t)
}

func onDispatched(c *Correspondence, e dispatched, t *topology.Turn) error {
	return tell(c, Mail{
		Template: shipmentDispatchedMail, ShipmentID: e.ShipmentID, Carrier: e.Carrier, TrackingNumber: e.TrackingNumber,
	}, t)
}

func onCancelled(c *Correspondence, _ cancelled, t *topology.Turn) error {
	return tell(c, Mail{Template: orderCancelledMail}, t)
}

// tell adds the mail of the fact that caused the turn, and asks for every mail
// that can go out by now.
func tell(c *Correspondence, m Mail, t *topology.Turn) error {
	m.FactID = t.Cause.Envelope.ID
	if !c.add(m) {
		return topology.Drop("this fact was told of before")
	}
	for _, m := range c.ready() {
		t.Intend("mail.send", sendRequest{
			Template: m.Template, FactID: m.FactID, CustomerID: c.CustomerID, OrderNumber: c.OrderNumber,
			ShipmentID: m.ShipmentID, Carrier: m.Carrier, TrackingNumber: m.TrackingNumber,
		}, m.FactID)
	}
	return nil
}

func onAnswered(c *Correspondence, e mailAnswered, t *topology.Turn) error {
	var fact schemas.Message
	switch e.Status {
	case sent:
		fact = &notificationSent{Template: e.Template, MessageID: e.MessageID, CustomerID: e.CustomerID, FactID: e.FactID}
	case suppressed:
		fact = &notificationSuppressed{Template: e.Template, CustomerID: e.CustomerID, FactID: e.FactID, Reason: e.Reason}
	case failed:
		fact = &notificationFailed{Template: e.Template, CustomerID: e.CustomerID, FactID: e.FactID, Reason: e.Reason}
	case unknown:
		fact = &notificationUnknown{Template: e.Template, MessageID: e.MessageID, CustomerID: e.CustomerID, FactID: e.FactID}
	default:
		return topology.Poison("status %q is none of SENT, SUPPRESSED, FAILED, UNKNOWN", e.Status)
	}
	known, news := c.settle(e.FactID, e.Status)
	switch {
	case !known:
		return topology.Poison("an answer to a mail that nobody asked for, about fact %s", e.FactID)
	case !news:
		return topology.Drop("this mail was answered before")
	}
	t.Publish(fact, e.FactID)
	return nil
}
