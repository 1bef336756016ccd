package ordercapture

import (
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// Parts of an order.
type (
	orderLine struct {
		Line     int32     `avro:"line" json:"line"`
		SKU      string    `avro:"sku" json:"sku"`
		Quantity int32     `avro:"quantity" json:"quantity"`
		UnitNet  int64     `avro:"unitNet" json:"unitNet"`
		Discount int64     `avro:"discount" json:"discount"`
		Freight  int64     `avro:"freight" json:"freight"`
		Tax      int64     `avro:"tax" json:"tax"`
		Node     string    `avro:"node" json:"node"`
		ShipBy   time.Time `avro:"shipBy" json:"shipBy"`
	}
	tender struct {
		Sequence int32  `avro:"sequence" json:"sequence"`
		Kind     string `avro:"kind" json:"kind"`
		Amount   int64  `avro:"amount" json:"amount"`
	}
	cancelledLine struct {
		Line     int32 `avro:"line"`
		Quantity int32 `avro:"quantity"`
	}
)

// What this context publishes.
type (
	orderPlaced struct {
		schemas.Envelope `avro:"envelope"`
		Channel          string      `avro:"channel"`
		ChannelOrder     string      `avro:"channelOrder"`
		CustomerID       string      `avro:"customerId"`
		Currency         string      `avro:"currency"`
		Lines            []orderLine `avro:"lines"`
		Tenders          []tender    `avro:"tenders"`
		PromisedBy       time.Time   `avro:"promisedBy"`
		Origin           string      `avro:"origin"`
	}
	orderRejected struct {
		schemas.Envelope `avro:"envelope"`
		Channel          string `avro:"channel"`
		ChannelOrder     string `avro:"channelOrder"`
		Reason           string `avro:"reason"`
		Detail           string `avro:"detail"`
	}
	cancellationRequested struct {
		schemas.Envelope `avro:"envelope"`
		RequestedBy      string `avro:"requestedBy"`
		Reason           string `avro:"reason"`
	}
	orderCancelled struct {
		schemas.Envelope `avro:"envelope"`
		CustomerID       string          `avro:"customerId"`
		Reason           string          `avro:"reason"`
		Lines            []cancelledLine `avro:"lines"`
	}
	orderClosed struct {
		schemas.Envelope `avro:"envelope"`
		Outcome          string `avro:"outcome"`
	}
	customerRecorded struct {
		schemas.Envelope `avro:"envelope"`
		CustomerID       string `avro:"customerId"`
		Name             string `avro:"name"`
		Email            string `avro:"email"`
		City             string `avro:"city"`
		State            string `avro:"state"`
		Postcode         string `avro:"postcode"`
	}
)

// What reaches its inbox, as its intake writes it.
type (
	placeOrder struct {
		schemas.Envelope `avro:"envelope"`
		Channel          string      `avro:"channel"`
		ChannelOrder     string      `avro:"channelOrder"`
		CustomerID       string      `avro:"customerId"`
		Currency         string      `avro:"currency"`
		Lines            []orderLine `avro:"lines"`
		Tenders          []tender    `avro:"tenders"`
		PromisedBy       time.Time   `avro:"promisedBy"`
		Origin           string      `avro:"origin"`
		RequestHash      string      `avro:"requestHash"`
	}
	cancelOrder struct {
		schemas.Envelope `avro:"envelope"`
		RequestedBy      string `avro:"requestedBy"`
		Reason           string `avro:"reason"`
	}
)

// What its steps read.
type (
	place struct {
		Channel      string      `avro:"channel"`
		ChannelOrder string      `avro:"channelOrder"`
		CustomerID   string      `avro:"customerId"`
		Currency     string      `avro:"currency"`
		Lines        []orderLine `avro:"lines"`
		Tenders      []tender    `avro:"tenders"`
		PromisedBy   time.Time   `avro:"promisedBy"`
		Origin       string      `avro:"origin"`
		RequestHash  string      `avro:"requestHash"`
	}
	cancel struct {
		RequestedBy string `avro:"requestedBy"`
		Reason      string `avro:"reason"`
	}
	decided struct {
		Accepted bool   `avro:"accepted"`
		Reason   string `avro:"reason"`
		Lines    []struct {
			Line      int32 `avro:"line"`
			Cancelled int32 `avro:"cancelled"`
		} `avro:"lines"`
	}
	flowClosed struct {
		Outcome string `avro:"outcome"`
	}
)

// cancelPatience is how long a cancellation waits for an order that has not
// arrived yet: the channel may be quicker with it than with the order.
const cancelPatience = 30 * time.Minute

// Service is the order capture context.
func Service() topology.Service {
	return topology.Service{
		Name: "ordercapture", Owner: "sales",
		Doc: "takes orders from channels, places or refuses them, and carries requests to cancel",
		Publishes: []topology.Output{
			topology.Publishes[orderPlaced](), topology.Publishes[orderRejected](), topology.Publishes[cancellationRequested](),
			topology.Publishes[orderCancelled](), topology.Publishes[orderClosed](),
		},
		Sets: []topology.Set{topology.Keyed("", "order", "ordercapture.order",
			topology.Asked("PlaceOrder", onPlace),
			topology.Asked("CancelOrder", onCancel),
			topology.Due("early-cancel", onEarly),
			topology.On("CancellationDecided", onDecided),
			topology.On("FlowClosed", onFlowClosed),
		)},
		Intakes: []topology.Intake{ordersIntake(), cancellationsIntake()},
		Bounds: []topology.Bound{
			topology.AtMost("name-bytes", nameLimit, "of a SKU or a node: the intake answers 422"),
			topology.AtMost("early-cancellation-wait", cancelPatience, "a dead letter says that nobody has placed the order; should it come, the wish is carried on"),
		},
	}
}

func onPlace(o *Order, e place, t *topology.Turn) error {
	refused := examine(e.Currency, e.Lines, e.Tenders)
	news, err := o.decide(e.RequestHash, e.CustomerID, refused)
	switch {
	case err != nil:
		return topology.Poison("order %s: %v", t.Cause.Envelope.Order, err)
	case !news:
		return topology.Drop("the same order again")
	case refused != nil:
		t.Publish(&orderRejected{Channel: e.Channel, ChannelOrder: e.ChannelOrder, Reason: refused.reason, Detail: refused.detail})
	default:
		t.Publish(&orderPlaced{
			Envelope: schemas.Envelope{CorrelationID: schemas.FactID("flow", t.Cause.Envelope.Tenant, t.Cause.Envelope.Order)},
			Channel:  e.Channel, ChannelOrder: e.ChannelOrder, CustomerID: e.CustomerID, Currency: e.Currency,
			Lines: e.Lines, Tenders: e.Tenders, PromisedBy: e.PromisedBy, Origin: e.Origin,
		})
	}
	if early := o.Early; early != nil {
		o.Early = nil
		t.Disarm("early-cancel", "")
		if o.askToCancel() {
			t.Publish(&cancellationRequested{RequestedBy: early.RequestedBy, Reason: early.Reason})
		}
	}
	return nil
}

// onEarly says aloud that somebody wishes to cancel what nobody has ordered.
func onEarly(o *Order, t *topology.Turn) error {
	if o.Early == nil {
		return topology.Drop("the order has come")
	}
	return topology.Poison("%s wishes to cancel order %s, which nobody has placed for %v", o.Early.RequestedBy, t.Cause.Key, cancelPatience)
}

func onCancel(o *Order, e cancel, t *topology.Turn) error {
	if o.Status == "" {
		o.Early = &Early{e.RequestedBy, e.Reason}
		t.At(t.Now.Add(cancelPatience), "early-cancel", "")
		return nil
	}
	if !o.askToCancel() {
		return topology.Drop("the order is %s, or its cancellation was asked for before", o.Status)
	}
	t.Publish(&cancellationRequested{RequestedBy: e.RequestedBy, Reason: e.Reason})
	return nil
}

func onDecided(o *Order, e decided, t *topology.Turn) error {
	if !e.Accepted || !o.cancel() {
		return topology.Drop("nothing is cancelled")
	}
	fact := &orderCancelled{CustomerID: o.CustomerID, Reason: e.Reason}
	for _, l := range e.Lines {
		if l.Cancelled > 0 {
			fact.Lines = append(fact.Lines, cancelledLine{l.Line, l.Cancelled})
		}
	}
	t.Publish(fact)
	return nil
}

func onFlowClosed(o *Order, e flowClosed, t *topology.Turn) error {
	if !o.end() {
		return topology.Drop("closed before")
	}
	t.Publish(&orderClosed{Outcome: e.Outcome})
	return nil
}
