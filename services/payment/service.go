package payment

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"troupe/topology"
)

// Provider is the payment provider. An error means that it may be asked again;
// a refusal and an unknown outcome are answers.
type Provider interface {
	Open(ctx context.Context, call topology.Call, r openRequest) (tenderOpened, error)
	Capture(ctx context.Context, call topology.Call, r captureRequest) (captureAnswered, error)
	Void(ctx context.Context, call topology.Call, r voidRequest) (voidAnswered, error)
	Refund(ctx context.Context, call topology.Call, r refundRequest) (refundAnswered, error)
}

// Timers. Expiry is told from its like by the tender's number.
const (
	expiry       = "expiry"
	giveBackWait = "give-back"
	unnamed      = "unnamed"
)

// Service is the payment context.
func Service(provider Provider, policy Policy) topology.Service {
	return topology.Service{
		Name: "payment", Owner: "payments",
		Doc: "decides what an order's tenders pay for, and when money goes back",
		Publishes: []topology.Output{
			topology.Publishes[paymentPending](),
			topology.Publishes[paymentAuthorized](),
			topology.Publishes[paymentReceived](),
			topology.Publishes[paymentDeclined](),
			topology.Publishes[authorizationExpired](),
			topology.Publishes[paymentCaptured](),
			topology.Publishes[captureFailed](),
			topology.Publishes[captureUnknown](),
			topology.Publishes[paymentVoided](),
			topology.Publishes[paymentRefunded](),
			topology.Publishes[refundFailed](),
		},
		Sets: []topology.Set{topology.Keyed("", "order", "payment.account",
			topology.On("OrderPlaced", policy.onPlaced),
			topology.On("ShipmentDispatched", onDispatched),
			topology.On("FulfilmentStopped", onStopped),
			topology.Asked("VoidPayment", policy.onGiveBack),
			topology.Asked("RefundPayment", policy.onGiveBack),
			topology.Asked("TenderSettled", onSettled),
			topology.Outcome("psp.open", topology.ByLookup, provider.Open, onOpened),
			topology.Outcome("psp.capture", topology.ByLookup, provider.Capture, onCaptured),
			topology.Outcome("psp.void", topology.ByLookup, provider.Void, onVoided),
			topology.Outcome("psp.refund", topology.ByLookup, provider.Refund, onRefunded),
			topology.Due(expiry, onExpiry),
			topology.Due(giveBackWait, onGiveBackWaited),
			topology.Due(unnamed, onUnnamed),
		)},
		Intakes: []topology.Intake{providerIntake()},
		Bounds: []topology.Bound{
			topology.AtMost("tenders-of-unknown-order", MaxTenders, "the provider's word on one more is a dead letter"),
			topology.AtMost("give-back-wait", policy.GiveBackWaits, "shipment's word on what leaves is waited for no longer: money that pays for nothing goes back"),
		},
	}
}

func (p Policy) onPlaced(a *Account, e placed, t *topology.Turn) error {
	if a.Placed {
		return topology.Drop("the order is known")
	}
	paidFirst := false
	tenders := make([]Tender, 0, len(e.Tenders))
	for _, named := range e.Tenders {
		kind, ok := p.Kinds[named.Kind]
		if !ok {
			return topology.Poison("tender %d is of kind %q, which the policy does not list", named.Sequence, named.Kind)
		}
		paidFirst = paidFirst || kind.Mode == prepaid
		tenders = append(tenders, Tender{Sequence: named.Sequence, Kind: named.Kind, First: kind.First, Amount: named.Amount})
		t.Intend("psp.open", openRequest{named.Sequence, named.Kind, named.Amount, e.Currency}, number(named.Sequence))
	}
	for _, other := range a.place(e.Currency, paidFirst, tenders) {
		t.At(t.Now, unnamed, fmt.Sprintf("%d, %s over %d, reference %q", other.Sequence, other.Status, other.Secured, other.Reference))
	}
	if len(tenders) == 0 {
		t.Publish(&paymentDeclined{Reason: "the order names no tender"})
	}
	return advance(a, t)
}

func onOpened(a *Account, e tenderOpened, t *topology.Turn) error {
	return onSettled(a, settled{e.Tender, e.Status, e.Reference, e.Amount, e.ExpiresAt, e.Reason}, t)
}

func onSettled(a *Account, e settled, t *topology.Turn) error {
	news, err := a.answered(e.Tender, answer{Status: e.Status, Reference: e.Reference, Reason: e.Reason, Amount: e.Amount, ExpiresAt: e.ExpiresAt})
	if err != nil {
		return topology.Poison("the provider's word cannot be: %v", err)
	}
	if !news {
		return topology.Drop("tender %d is %s already", e.Tender, e.Status)
	}
	return advance(a, t)
}

func onDispatched(a *Account, e dispatched, t *topology.Turn) error {
	if a.Placed && e.Currency != a.Currency {
		return topology.Poison("shipment %s is worth %s, the order is paid in %s", e.ShipmentID, e.Currency, a.Currency)
	}
	news, err := a.dispatched(e.ShipmentID, e.Value, e.Last)
	if err != nil {
		return topology.Poison("the dispatch cannot be: %v", err)
	}
	if !news {
		return topology.Drop("shipment %s is known to have left", e.ShipmentID)
	}
	return advance(a, t)
}

func onStopped(a *Account, _ stopped, t *topology.Turn) error {
	a.Stopped = true
	t.Disarm(giveBackWait, "")
	return advance(a, t)
}

func (p Policy) onGiveBack(a *Account, e giveBack, t *topology.Turn) error {
	a.GiveBack, a.Reason = true, cmp.Or(a.Reason, e.Reason)
	if !a.Stopped {
		t.At(t.Now.Add(p.GiveBackWaits), giveBackWait, "")
	}
	return advance(a, t)
}

func onGiveBackWaited(a *Account, t *topology.Turn) error {
	a.Stopped = true
	return advance(a, t)
}

// onUnnamed tells a person what it is told at once where the order came first: money may be
// held for nothing.
func onUnnamed(_ *Account, t *topology.Turn) error {
	return topology.Poison("the provider spoke before the order came, which does not name this tender: %s", t.Cause.Discriminator)
}

func onExpiry(a *Account, t *topology.Turn) error {
	sequence, err := strconv.ParseInt(t.Cause.Discriminator, 10, 32)
	if err != nil {
		return topology.Poison("timer %s/%s names no tender", expiry, t.Cause.Discriminator)
	}
	tender, left := a.expire(int32(sequence))
	if left == 0 {
		return topology.Drop("nothing is held any more")
	}
	t.Publish(&authorizationExpired{Tender: tender.Sequence, Authorisation: tender.Reference, Amount: left, Currency: a.Currency}, number(tender.Sequence))
	return advance(a, t)
}

func onCaptured(a *Account, e captureAnswered, t *topology.Turn) error {
	c, err := a.took(e.Tender, e.ShipmentID, e.Status, e.Capture, e.Amount)
	if err != nil {
		return topology.Poison("the provider's answer cannot be: %v", err)
	}
	if c == nil {
		return topology.Drop("no capture of tender %d for %s is under way", e.Tender, e.ShipmentID)
	}
	from := a.tender(c.Tender)
	discriminator := []string{c.Shipment, number(c.Tender)}
	switch c.State {
	case captured:
		t.Publish(&paymentCaptured{
			Tender: c.Tender, Kind: from.Kind, Authorisation: from.Reference, Capture: c.Reference,
			ShipmentID: c.Shipment, Asked: c.Asked, Amount: c.Amount, Currency: a.Currency,
		}, discriminator...)
	case failed:
		t.Publish(&captureFailed{
			Tender: c.Tender, Authorisation: from.Reference, ShipmentID: c.Shipment,
			Amount: c.Asked, Currency: a.Currency, Reason: e.Reason,
		}, discriminator...)
	case unknown:
		t.Publish(&captureUnknown{
			Tender: c.Tender, Authorisation: from.Reference, ShipmentID: c.Shipment, Amount: c.Asked, Currency: a.Currency,
		}, discriminator...)
	}
	return advance(a, t)
}

func onVoided(a *Account, e voidAnswered, t *topology.Turn) error {
	from, err := a.gaveHold(e.Tender, e.Status)
	if err != nil {
		return topology.Poison("the provider's answer cannot be: %v", err)
	}
	if from == nil {
		return topology.Drop("no void of tender %d is under way", e.Tender)
	}
	if from.Void == voided {
		t.Publish(&paymentVoided{Tender: from.Sequence, Authorisation: from.Reference, Amount: e.Amount, Currency: a.Currency}, number(from.Sequence))
		return advance(a, t)
	}
	t.Publish(&refundFailed{
		Tender: from.Sequence, Receipt: from.Reference, Amount: a.held(from), Currency: a.Currency,
		Reason: "the void ended " + from.Void + ": " + e.Reason,
	}, from.Reference)
	return advance(a, t)
}

func onRefunded(a *Account, e refundAnswered, t *topology.Turn) error {
	r, err := a.gaveMoney(e.Tender, e.Status, e.Refund, e.Amount)
	if err != nil {
		return topology.Poison("the provider's answer cannot be: %v", err)
	}
	if r == nil {
		return topology.Drop("no refund of tender %d is under way", e.Tender)
	}
	if r.State == refunded {
		t.Publish(&paymentRefunded{
			Tender: r.Tender, Receipt: r.Of, Refund: r.Reference, Amount: r.Amount, Currency: a.Currency, Reason: a.Reason,
		}, r.Of)
		return advance(a, t)
	}
	t.Publish(&refundFailed{
		Tender: r.Tender, Receipt: r.Of, Amount: r.Amount, Currency: a.Currency,
		Reason: "the refund ended " + r.State + ": " + e.Reason,
	}, r.Of)
	return advance(a, t)
}

// advance does what the account has come to allow, whatever was learned last.
func advance(a *Account, t *topology.Turn) error {
	announce(a, t)
	a.allot()
	for _, c := range a.capturable() {
		t.Intend("psp.capture", captureRequest{
			Tender: c.Tender, Reference: a.tender(c.Tender).Reference, ShipmentID: c.Shipment,
			Amount: c.Asked, Currency: a.Currency, Last: c.Last,
		}, c.Shipment+"/"+number(c.Tender))
	}
	for _, hold := range a.voidable() {
		t.Intend("psp.void", voidRequest{hold.Sequence, hold.Reference}, number(hold.Sequence))
	}
	for _, r := range a.refundable() {
		t.Intend("psp.refund", refundRequest{r.Tender, r.Of, r.Amount}, number(r.Tender)+"/"+r.Of)
	}
	if a.nothingToReturn() {
		t.Publish(&paymentVoided{Currency: a.Currency}, "nothing")
	}
	watch(a, t)
	return a.check()
}

// announce publishes the provider's word on each tender, once.
func announce(a *Account, t *topology.Turn) {
	if a.firstPending() {
		t.Publish(&paymentPending{Prepaid: a.Prepaid, Amount: a.total(), Currency: a.Currency})
	}
	for d := a.untold(); d != nil; d = a.untold() {
		n := number(d.Sequence)
		switch d.Status {
		case authorised:
			t.Publish(&paymentAuthorized{
				Tender: d.Sequence, Kind: d.Kind, Authorisation: d.Reference, Amount: d.Secured,
				Currency: a.Currency, ExpiresAt: d.ExpiresAt, Outstanding: a.outstanding(),
			}, n)
		case received:
			t.Publish(&paymentReceived{
				Tender: d.Sequence, Kind: d.Kind, Receipt: d.Reference, Amount: d.Secured,
				Currency: a.Currency, Outstanding: a.outstanding(),
			}, n)
		case declined:
			t.Publish(&paymentDeclined{Tender: d.Sequence, Kind: d.Kind, Reason: d.Reason}, n)
		}
	}
}

// watch keeps a timer on every hold that can still expire, and on no other.
func watch(a *Account, t *topology.Turn) {
	for i := range a.Tenders {
		d := &a.Tenders[i]
		open := d.Status == authorised && !d.ExpiresAt.IsZero() && a.free(d) > 0
		switch {
		case open && !d.Armed:
			t.At(d.ExpiresAt, expiry, number(d.Sequence))
		case !open && d.Armed:
			t.Disarm(expiry, number(d.Sequence))
		}
		d.Armed = open
	}
}

func number(sequence int32) string { return strconv.Itoa(int(sequence)) }
