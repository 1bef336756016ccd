package reconciliation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// at is so many minutes after the start.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// event is something that the row is to learn.
type event struct {
	id   string
	at   time.Time
	step func(*Book, *topology.Turn) error
}

func happen[E any](r Rules, id string, at time.Time, e E, book func(*Ledger, E, Fact) (bool, error)) event {
	step := books(r, book)
	return event{id, at, func(b *Book, t *topology.Turn) error { return step(b, e, t) }}
}

// fixture plays the runtime to one row: it carries the row through its codec,
// and fires the timer once everything up to its deadline was delivered.
type fixture struct {
	t     interface{ Fatalf(string, ...any) }
	rules Rules
	codec topology.RowCodec
	book  *Book
	timer time.Time
	facts []topology.Fact
}

func newFixture(t interface{ Fatalf(string, ...any) }) *fixture {
	rules, err := DefaultRules()
	if err != nil {
		t.Fatalf("%v", err)
	}
	codec, err := topology.RowOf[Book]("reconciliation.ledger").Bind()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &fixture{t: t, rules: rules, codec: codec, book: new(Book)}
}

func (f *fixture) turn(now time.Time, id string, step func(*Book, *topology.Turn) error) {
	before, err := f.codec.Append(nil, f.book)
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	t := &topology.Turn{Now: now, Cause: topology.Cause{
		Key: "acme/web-1", Topic: "topic", Envelope: schemas.Envelope{ID: id, Order: "web-1"},
	}}
	switch err := step(f.book, t); {
	case topology.Dropped(err):
	case err != nil:
		f.t.Fatalf("%s: %v", id, err)
	default:
		if before, err = f.codec.Append(nil, f.book); err != nil {
			f.t.Fatalf("%v", err)
		}
		f.facts = append(f.facts, t.Outputs().Facts...)
		for _, tm := range t.Outputs().Timers {
			f.timer = tm.At
		}
	}
	row, err := f.codec.Decode(before)
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	f.book = row.(*Book)
}

func (f *fixture) deliver(events ...event) {
	for _, e := range events {
		f.turn(e.at, e.id, e.step)
	}
}

// fire lets the timer ring while its deadline is not after a time.
func (f *fixture) fire(until time.Time) {
	for n := 0; !f.timer.IsZero() && !f.timer.After(until); n++ {
		if n > 1000 {
			f.t.Fatalf("the timer rings for ever at %v: %+v", f.timer, f.book.Life)
		}
		now := f.timer
		f.timer = time.Time{}
		f.turn(now, "", f.rules.onGrace)
	}
}

// play delivers events in the order of their times, with the timer in between.
func (f *fixture) play(events ...event) {
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	for _, e := range events {
		f.fire(e.at.Add(-time.Nanosecond))
		f.deliver(e)
	}
}

// late is when every grace has passed.
var late = start.Add(1000 * time.Hour)

// told lists the facts: what happened to which code and subject, when.
func (f *fixture) told() (lines []string) {
	for _, p := range f.facts {
		lines = append(lines, describe(p))
	}
	return lines
}

func describe(p topology.Fact) string {
	when := func(e schemas.Envelope) string { return e.OccurredAt.Sub(start).String() }
	switch m := p.Message.(type) {
	case *mismatchDetected:
		return fmt.Sprintf("detected %s %s %s %d/%d %d at %s", m.Code, m.Subject, m.Severity, m.Expected, m.Actual, m.AtRisk, when(m.Envelope))
	case *mismatchChanged:
		return fmt.Sprintf("changed %s %s %s %d/%d %d at %s", m.Code, m.Subject, m.Severity, m.Expected, m.Actual, m.AtRisk, when(m.Envelope))
	case *mismatchCleared:
		return fmt.Sprintf("cleared %s %s at %s: %s", m.Code, m.Subject, when(m.Envelope), m.Reason)
	case *mismatchAccepted:
		return fmt.Sprintf("accepted %s %s %d at %s", m.Code, m.Subject, m.Delta, when(m.Envelope))
	}
	return p.Type
}

// The order of most tests: line 1 is two lamps for 10.00 each, line 2 a bulb
// for 5.00, with 1.00 freight a line.
func order(r Rules, minute int) event {
	e := placed{Currency: "EUR"}
	e.Lines = append(e.Lines, orderLine(1, 2, 1000), orderLine(2, 1, 500))
	return happen(r, "placed", at(minute), e, bookPlaced)
}

func orderLine(line, quantity int32, unit int64) (l struct {
	Line     int32 `avro:"line"`
	Quantity int32 `avro:"quantity"`
	UnitNet  int64 `avro:"unitNet"`
	Discount int64 `avro:"discount"`
	Freight  int64 `avro:"freight"`
	Tax      int64 `avro:"tax"`
}) {
	l.Line, l.Quantity, l.UnitNet, l.Freight = line, quantity, unit, 100
	return l
}

// allowed is the release of the whole order: cleared, held and reserved.
func allowed(r Rules, minute int) []event {
	return []event{
		happen(r, "cleared", at(minute), fraudCleared{}, bookCleared),
		happen(r, "held", at(minute), authorised{}, bookAuthorised),
		happen(r, "reserved", at(minute), reserved{[]Units{{1, 2}, {2, 1}}}, bookReserved),
	}
}

// left is a dispatch of units of line 1 and line 2, worth 10.50 and 6.00 each.
func left(r Rules, minute int, shipment string, last bool, units ...int32) event {
	e := dispatched{ShipmentID: shipment, Currency: "EUR", Last: last}
	for i, n := range units {
		if n == 0 {
			continue
		}
		net, freight := int64(n)*1000, int64(n)*50
		if i == 1 {
			net, freight = int64(n)*500, int64(n)*100
		}
		e.Value += net + freight
		e.Lines = append(e.Lines, struct {
			Line     int32 `avro:"line"`
			Quantity int32 `avro:"quantity"`
			Net      int64 `avro:"net"`
			Freight  int64 `avro:"freight"`
			Tax      int64 `avro:"tax"`
		}{int32(i + 1), n, net, freight, 0})
	}
	return happen(r, "left "+shipment, at(minute), e, bookDispatched)
}

func taken(r Rules, minute int, name string, amount int64) event {
	return happen(r, "taken "+name, at(minute), captured{1, name, name, amount, "EUR"}, bookCaptured)
}

func bill1(shipment string, line, units int32, net int64) billedLine {
	return billedLine{Line: line, ShipmentID: shipment, Quantity: units, Net: net, ContentHash: fmt.Sprint(shipment, line, units, net)}
}

func billed(r Rules, minute int, name string, lines ...billedLine) event {
	return happen(r, "invoice "+name, at(minute), invoiced{name, "EUR", lines}, bookInvoiced)
}

func unbilled(r Rules, minute int, name, invoice string, lines ...billedLine) event {
	return happen(r, "credit "+name, at(minute), credited{name, invoice, "EUR", lines}, bookCredited)
}

func takenBack(r Rules, minute int, invoice string) event {
	return happen(r, "void "+invoice, at(minute), voided{invoice}, bookVoided)
}

func BenchmarkEvent(b *testing.B) {
	rules, err := DefaultRules()
	if err != nil {
		b.Fatal(err)
	}
	events := append(allowed(rules, 1), order(rules, 0), left(rules, 60, "s1", true, 2, 1), taken(rules, 60, "s1", 2700),
		billed(rules, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500)))
	for b.Loop() {
		book := new(Book)
		for _, e := range events {
			if err := e.step(book, &topology.Turn{Now: e.at, Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{ID: e.id}}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
