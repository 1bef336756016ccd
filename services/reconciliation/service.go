package reconciliation

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// grace is the one timer of a row: the next deadline of its mismatches.
const grace = "grace"

// Service is the reconciliation context under some rules.
func Service(rules Rules) topology.Service {
	return topology.Service{
		Name: "reconciliation", Owner: "finance",
		Doc: "says where the ledgers of an order disagree, each difference once",
		Publishes: []topology.Output{
			topology.Publishes[mismatchDetected](), topology.Publishes[mismatchChanged](),
			topology.Publishes[mismatchCleared](), topology.Publishes[mismatchAccepted](),
		},
		Sets: []topology.Set{rules.set()},
		Bounds: []topology.Bound{
			topology.AtMost("facts-per-kind", maxFacts, "the event that brings one more about an order is a dead letter"),
			topology.AtMost("units-per-line", maxUnits, "an order, promise, dispatch or document with more is a dead letter"),
			topology.AtMost("minor-units", int64(maxAmount), "an event by which more would be booked is a dead letter"),
			topology.AtMost("evidence-per-mismatch", maxEvidence, "earlier records are left out of what is told"),
		},
	}
}

func (r Rules) set() topology.Set {
	orders := topology.Keyed("", "order", "reconciliation.ledger", r.steps()...)
	orders.Row = fromV1(orders.Row)
	return orders
}

// steps are those of the ledgers that are known: a topic that nobody writes need
// not be there.
func (r Rules) steps() []topology.Step[Book] {
	steps := []topology.Step[Book]{
		topology.On("ShipmentDispatched", books(r, bookDispatched)),
		topology.On("FulfilmentStopped", books(r, bookStopped)),
		topology.On("InvoiceIssued", books(r, bookInvoiced)),
		topology.On("InvoiceVoided", books(r, bookVoided)),
		topology.On("CreditNoteIssued", books(r, bookCredited)),
		topology.Due(grace, r.onGrace),
	}
	if r.knows(ordersLedger) {
		steps = append(steps,
			topology.On("OrderPlaced", books(r, bookPlaced)),
			topology.On("CancellationDecided", books(r, bookDecided)))
	}
	if r.knows(paymentsLedger) {
		steps = append(steps,
			topology.On("PaymentAuthorized", books(r, bookAuthorised)),
			topology.On("PaymentReceived", books(r, bookReceived)),
			topology.On("PaymentCaptured", books(r, bookCaptured)),
			topology.On("PaymentRefunded", books(r, bookRefunded)))
	}
	if r.knows(stockLedger) {
		steps = append(steps,
			topology.On("InventoryAllocated", books(r, bookReserved)),
			topology.On("ReservationConsumed", books(r, bookReserved)))
	}
	if r.knowsReleases() {
		steps = append(steps, topology.On("FraudCleared", books(r, bookCleared)))
	}
	return steps
}

// books makes a step of what takes an event into the ledger: then the life of
// the mismatches goes on to where the ledger is.
func books[E any](r Rules, book func(*Ledger, E, Fact) (news bool, err error)) func(*Book, E, *topology.Turn) error {
	return func(b *Book, e E, t *topology.Turn) error {
		c := &t.Cause
		news, err := book(&b.Ledger, e, Fact{At: t.Now, Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, EventID: c.Envelope.ID})
		switch {
		case err != nil:
			return topology.Poison("the event cannot be booked: %v", err)
		case !news:
			return topology.Drop("nothing here turns on it, or it is known")
		}
		r.tell(b, r.learned(b, t.Now), t)
		return nil
	}
}

func (r Rules) onGrace(b *Book, t *topology.Turn) error {
	r.tell(b, r.settle(b, t.Now), t)
	return nil
}

// tell publishes notes, and keeps the timer while something has a deadline.
func (r Rules) tell(b *Book, notes []note, t *topology.Turn) {
	for _, n := range notes {
		r.publish(n, b.Ledger.Currency, t)
	}
	if next := r.next(&b.Life); !next.IsZero() {
		t.At(next, grace, "")
	} else {
		t.Disarm(grace, "")
	}
}

// publish tells a note. What tells its fact from its like is the mismatch, since
// when it is, and what it was when: no count, so a replay makes no other. What
// puts right what was told is told from that by the fact that showed it.
func (r Rules) publish(n note, currency string, t *topology.Turn) {
	id := mismatchID(t.Cause.Key, n.Code, n.Subject)
	head := schemas.Envelope{AggregateID: id, OccurredAt: n.at}
	subject := cmp.Or(n.Subject, t.Cause.Envelope.Order)
	once := []string{id, millis(n.Since), millis(n.at), n.Severity, text(n.Expected), text(n.Actual), text(n.AtRisk)}
	if n.amends {
		once = append(once, cmp.Or(t.Cause.Envelope.ID, millis(t.Now)))
	}
	switch n.kind {
	case detected:
		t.Publish(r.describe(n, head, id, subject, currency), once...)
	case changed:
		t.Publish((*mismatchChanged)(r.describe(n, head, id, subject, currency)), once...)
	case cleared:
		t.Publish(&mismatchCleared{Envelope: head, MismatchID: id, Code: n.Code, Number: number(n.Code), Subject: subject, Reason: n.reason}, once...)
	case tolerated:
		t.Publish(&mismatchAccepted{
			Envelope: head, MismatchID: id, Code: n.Code, Number: number(n.Code), Subject: subject,
			AcceptedBy: fmt.Sprintf("tolerance of rules v%d", r.Version), Delta: n.Actual - n.Expected, Currency: currency,
		}, id)
	}
}

// mismatchID is the same for a difference whenever it comes back.
func mismatchID(key, code, subject string) string {
	return schemas.FactID("mismatch", key, code, subject)
}

func millis(at time.Time) string { return text(at.UnixMilli()) }

func text(n int64) string { return strconv.FormatInt(n, 10) }

func (r Rules) describe(n note, head schemas.Envelope, id, subject, currency string) *mismatchDetected {
	m := &mismatchDetected{
		Envelope: head, MismatchID: id, Code: n.Code, Number: number(n.Code), Subject: subject, Severity: n.Severity,
		Currency: currency, Expected: n.Expected, Actual: n.Actual, Delta: n.Actual - n.Expected, AtRisk: n.AtRisk,
		Repair: r.Codes[n.Code].Repair, Rules: r.Version, Evidence: []shown{},
	}
	for _, f := range n.evidence {
		m.Evidence = append(m.Evidence, shown{f.Topic, f.Partition, f.Offset, f.EventID})
	}
	return m
}
