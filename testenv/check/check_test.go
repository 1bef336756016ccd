package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

const partitions = 4

var monday = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// log is a flow's records as they lie on the topics.
type log struct {
	estate  topology.Estate
	records []input
	rest    bool // nothing is due any more
}

type fields = map[string]any

func lineOf(n int32, quantity int64, more fields) []any {
	m := fields{"line": n, "quantity": quantity}
	for k, v := range more {
		m[k] = v
	}
	return []any{m}
}

func (l *log) tell(event string, f fields) *input {
	t, ok := l.estate.TopicOf(event)
	name, owner := t.Name, t.Owner
	if !ok {
		name, owner = "fraud.inbox", "fraud"
	}
	key := []byte("acme/web-1")
	home := kgo.StickyKeyPartitioner(nil).ForTopic(name).Partition(&kgo.Record{Key: key}, partitions)
	n := int64(1)
	for _, r := range l.records {
		if r.Topic == name {
			n++
		}
	}
	l.records = append(l.records, input{
		Record: Record{Topic: name, Partition: int32(home), Offset: n, Key: key, Value: fmt.Append(nil, event, f)},
		Envelope: schemas.Envelope{
			ID: fmt.Sprint(event, len(l.records)), Type: event, Source: owner, Tenant: "acme", Order: "web-1", OccurredAt: monday,
			AggregateID: "acme/web-1", AggregateSequence: n, CausationID: "intent-" + fmt.Sprint(len(l.records)),
		},
		fields: f,
	})
	return &l.records[len(l.records)-1]
}

// whole is an order from placing to closing, and two days of silence after it.
func whole(t *testing.T) *log {
	t.Helper()
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	l := &log{estate: estate}
	l.tell("OrderPlaced", fields{"lines": lineOf(1, 2, nil)})
	l.tell("FlowStarted", nil)
	l.tell("FraudScored", nil)
	l.tell("FraudCleared", nil)
	l.tell("PaymentAuthorized", fields{"authorisation": "a", "amount": int64(500), "outstanding": int64(0)})
	l.tell("StockReserved", fields{"onHand": int32(5), "reserved": int32(2)})
	l.tell("InventoryAllocated", fields{"lines": lineOf(1, 2, fields{"reservationId": "r"})})
	l.tell("ShipmentPlanned", fields{"shipmentId": "s"})
	l.tell("ShipmentDispatched", fields{"shipmentId": "s", "lines": lineOf(1, 2, nil), "unasked": false, "value": int64(400)})
	l.tell("ReservationConsumed", fields{"lines": lineOf(1, 2, fields{"reservationId": "r"})})
	l.tell("PaymentCaptured", fields{"authorisation": "a", "capture": "c", "shipmentId": "s", "tender": int32(1), "amount": int64(500)})
	l.tell("InvoiceIssued", fields{"invoice": "i", "lines": lineOf(1, 2, fields{"shipmentId": "s"})})
	l.tell("PaymentRefunded", fields{"receipt": "c", "amount": int64(100)})
	l.tell("NotificationSent", fields{"template": "order-placed", "factId": "f"})
	l.tell("MismatchDetected", fields{"mismatchId": "m", "number": int32(11)})
	l.tell("MismatchCleared", fields{"mismatchId": "m", "number": int32(11)})
	l.tell("ExceptionRaised", fields{"topic": "orders", "offset": int64(3), "cause": "poison"})
	l.tell("FlowClosed", nil)
	l.tell("OrderClosed", nil).OccurredAt = monday.Add(48 * time.Hour)
	return l
}

func (l *log) find(event string) *input {
	i := slices.IndexFunc(l.records, func(in input) bool { return in.Type == event })
	return &l.records[i]
}

func (l *log) drop(event string) {
	l.records = slices.DeleteFunc(l.records, func(in input) bool { return in.Type == event })
}

func (l *log) report(t *testing.T) Report {
	t.Helper()
	widths := map[string]int32{}
	for _, topic := range l.estate.Topics {
		widths[topic.Name] = partitions
	}
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(schemas.NewWire(catalogue, nil), l.estate, widths)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range l.records {
		c.take(in)
	}
	if l.rest {
		c.AtRest()
	}
	return c.Report()
}

func TestWholeLogHolds(t *testing.T) {
	l := whole(t)
	r := l.report(t)
	if r.Total() != 0 || len(r.Violations) != len(invariants) {
		t.Errorf("%+v", r)
	}
	// Topics may be read one after another, in any order.
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		order := rnd.Perm(len(l.estate.Topics) + 1)
		place := func(in input) int {
			i := slices.IndexFunc(l.estate.Topics, func(t topology.Topic) bool { return t.Name == in.Topic })
			return order[i+1]
		}
		slices.SortStableFunc(l.records, func(a, b input) int { return place(a) - place(b) })
		if r := l.report(t); r.Total() != 0 {
			t.Fatalf("in another order of topics: %+v", r)
		}
	}
}

// TestEveryInvariantIsBroken breaks each by one thing that a defect might do.
func TestEveryInvariantIsBroken(t *testing.T) {
	broken := map[string]func(l *log){
		oneWriter: func(l *log) { l.find("FraudCleared").Source = "payment" },
		eventOnce: func(l *log) {
			l.records = append(l.records, *l.find("FraudCleared"))
			l.records[len(l.records)-1].AggregateSequence = 0
		},
		eventBytes: func(l *log) { l.tell("FraudHoldPlaced", nil).ID = l.find("FraudCleared").ID },
		keyed:      func(l *log) { l.find("FraudCleared").Partition++ },
		sequence: func(l *log) {
			l.find("FlowClosed").AggregateSequence = 0
			l.tell("FlowPhaseChanged", fields{"phase": "CLOSED"}).AggregateSequence = -1
		},
		stockNotBelow:  func(l *log) { l.tell("StockAdjusted", fields{"onHand": int32(-1)}) },
		linesAddUp:     func(l *log) { l.tell("FulfilmentStopped", fields{"cancelled": lineOf(1, 1, nil)}) },
		shipsReleased:  func(l *log) { l.drop("FraudCleared") },
		capturedWithin: func(l *log) { l.find("PaymentCaptured").fields["amount"] = int64(501) },
		capturedOnce: func(l *log) {
			l.tell("PaymentCaptured", fields{"authorisation": "a", "capture": "d", "shipmentId": "s", "tender": int32(1)})
		},
		refundedWithin:  func(l *log) { l.find("PaymentRefunded").fields["amount"] = int64(501) },
		accounted:       func(l *log) { l.drop("FlowStarted") },
		reserved:        func(l *log) { l.drop("ReservationConsumed") },
		matched:         func(l *log) { l.drop("InvoiceIssued") },
		mismatchOnce:    func(l *log) { l.drop("MismatchCleared"); l.tell("MismatchDetected", fields{"mismatchId": "m"}) },
		mailOnce:        func(l *log) { l.tell("NotificationSent", fields{"template": "order-placed", "factId": "f"}) },
		exceptionSource: func(l *log) { l.find("ExceptionRaised").fields["topic"] = "" },
		effectOnce:      func(l *log) { l.tell("FraudScored", nil).CausationID = l.find("FraudScored").CausationID },
		atRest: func(l *log) {
			l.drop("FlowClosed")
			l.tell("FlowPhaseChanged", fields{"phase": "DELIVERED"})
			l.rest = true
		},
		correlated: func(l *log) {
			l.find("FraudCleared").CorrelationID = "flow-1"
			l.find("OrderClosed").CorrelationID = "flow-2"
		},
		paidFor: func(l *log) { l.find("ShipmentDispatched").fields["value"] = int64(300); l.rest = true },
	}
	for _, name := range invariants {
		if name == readable {
			continue // below: it is found before a record is opened
		}
		breakIt := broken[name]
		if breakIt == nil {
			t.Errorf("nothing breaks %s", name)
			continue
		}
		l := whole(t)
		breakIt(l)
		r := l.report(t)
		if r.Violations[name] != 1 || r.Total() != 1 {
			t.Errorf("%s was broken: %v %+v", name, r.Violations, r.Examples)
		}
	}
}

func TestUnreadableRecordIsFound(t *testing.T) {
	l := whole(t)
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(schemas.NewWire(catalogue, nil), l.estate, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"orders", "fraud.inbox"} { // what an inbox holds is its reader's to bury
		if err := c.Add(t.Context(), Record{Topic: topic, Value: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Add(t.Context(), Record{Topic: "customers"}); err != nil {
		t.Errorf("a tombstone: %v", err)
	}
	if r := c.Report(); r.Violations[readable] != 1 || r.Total() != 1 {
		t.Errorf("%+v", r)
	}
}

// TestYoungIsNotJudged: what may still be under way is no violation.
func TestYoungIsNotJudged(t *testing.T) {
	l := whole(t)
	l.drop("InvoiceIssued")
	l.drop("ReservationConsumed")
	l.drop("FlowStarted")
	l.find("OrderClosed").OccurredAt = monday.Add(time.Hour)
	if r := l.report(t); r.Total() != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAtRestSomebodyWasTold: what stays open is accepted once it was reported.
func TestAtRestSomebodyWasTold(t *testing.T) {
	for _, report := range []string{"ObligationOverdue", "PersonNeeded", "MismatchDetected"} {
		l := whole(t)
		l.drop("FlowClosed")
		l.tell("FlowPhaseChanged", fields{"phase": "DELIVERED"})
		l.tell(report, fields{"mismatchId": "other", "number": int32(11)})
		l.rest = true
		if r := l.report(t); r.Total() != 0 {
			t.Errorf("%s: %+v", report, r)
		}
	}
}
