package reconciliation

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Ledger is what is known of one order, nil where nothing is. Every list is in the order of its
// facts' times and holds one entry a natural key, so that the order in which
// facts come leaves no trace. Amounts are minor units.
type Ledger struct {
	Currency string `avro:"currency"`
	Placed   *Fact  `avro:"placed"`
	Lines    []Line `avro:"lines"`

	Cleared    *Fact         `avro:"cleared"`
	Secured    *Fact         `avro:"secured"` // every tender is held or received
	Promises   []Promise     `avro:"promises"`
	Dispatches []Dispatch    `avro:"dispatches"`
	Stop       *Stop         `avro:"stop"`
	Cancelled  *Cancellation `avro:"cancelled"`

	Invoices  []Document `avro:"invoices"`
	Credits   []Document `avro:"credits"`
	Voids     []Void     `avro:"voids"`
	Movements []Movement `avro:"movements"`
}

// Fact is when something was so, and the record that shows it.
type Fact struct {
	At        time.Time `avro:"at"`
	Topic     string    `avro:"topic"`
	Partition int32     `avro:"partition"`
	Offset    int64     `avro:"offset"`
	EventID   string    `avro:"eventId"`
}

// Line is a line of the order.
type Line struct {
	Line     int32 `avro:"line"`
	Quantity int32 `avro:"quantity"`
	Net      int64 `avro:"net"`   // after discount
	Gross    int64 `avro:"gross"` // with freight and tax
}

// Units are units of a line.
type Units struct {
	Line     int32 `avro:"line"`
	Quantity int32 `avro:"quantity"`
}

// Promise is stock reserved for a line.
type Promise struct {
	Fact  `avro:"said"`
	Units `avro:"units"`
}

// Dispatch is a shipment that has left its node.
type Dispatch struct {
	Fact     `avro:"said"`
	Shipment string `avro:"shipment"`
	Value    int64  `avro:"value"`
	Last     bool   `avro:"last"` // nothing of the order is left to leave after it
	Parts    []Part `avro:"parts"`
}

// Part is units of a line in a shipment.
type Part struct {
	Units `avro:"units"`
	Gross int64 `avro:"gross"`
}

// Stop is shipment's word that nothing more will leave than what it names.
type Stop struct {
	Fact      `avro:"said"`
	Cancelled []Units `avro:"cancelled"`
	Leaving   []Units `avro:"leaving"` // has left or can no longer be held
}

// Cancellation is an accepted wish to cancel.
type Cancellation struct {
	Fact  `avro:"said"`
	Lines []Units `avro:"lines"`
}

// Document is an invoice or a credit note.
type Document struct {
	Fact   `avro:"said"`
	Number string   `avro:"number"`
	Of     string   `avro:"of"` // the invoice that a note credits
	Gross  int64    `avro:"gross"`
	Lines  []Billed `avro:"lines"`
}

// Billed is units of a shipment line in a document.
type Billed struct {
	Shipment string `avro:"shipment"`
	Units    `avro:"units"`
	Net      int64  `avro:"net"`
	Gross    int64  `avro:"gross"`
	Content  string `avro:"content"` // the same under another number is the same bill again
}

// Void takes an invoice back.
type Void struct {
	Fact    `avro:"said"`
	Invoice string `avro:"invoice"`
}

// Movement is money that came in, or with a minus went back.
type Movement struct {
	Fact      `avro:"said"`
	Reference string `avro:"reference"`
	Amount    int64  `avro:"amount"`
}

// Limits. A row beyond them is no order's.
const (
	maxFacts  = 256               // of one kind
	maxUnits  = 1_000_000         // of a line
	maxAmount = 1_000_000_000_000 // minor units, either way
)

func (f Fact) said() Fact { return f }

func (f Fact) compare(other Fact) int {
	return cmp.Or(f.At.Compare(other.At), cmp.Compare(f.EventID, other.EventID))
}

// replaces is true for an earlier word on something than the one that was had: of
// two that say the same, the earlier counts, whichever comes first.
func (f Fact) replaces(had Fact) bool { return f.compare(had) < 0 }

// learn keeps the earliest of what is told once; it reports whether that is news.
func learn[E stamped](kept **E, e E) bool {
	if *kept != nil && !e.said().replaces((**kept).said()) {
		return false
	}
	*kept = &e
	return true
}

type stamped interface{ said() Fact }

// put takes a fact into its list; it reports whether that is news.
func put[E stamped](list *[]E, e E, same func(had E) bool) (bool, error) {
	if i := slices.IndexFunc(*list, same); i >= 0 {
		if !e.said().replaces((*list)[i].said()) {
			return false, nil
		}
		*list = slices.Delete(*list, i, i+1)
	}
	if len(*list) >= maxFacts {
		return false, fmt.Errorf("more than %d facts of type %T about one order", maxFacts, e)
	}
	at, _ := slices.BinarySearchFunc(*list, e, func(had, e E) int { return had.said().compare(e.said()) })
	*list = slices.Insert(*list, at, e)
	return true, nil
}

// in notes the currency: the order's own counts, before it is known the first
// by name.
func (l *Ledger) in(currency string) {
	if l.Placed == nil && currency != "" && (l.Currency == "" || currency < l.Currency) {
		l.Currency = currency
	}
}

func (l *Ledger) place(f Fact, currency string, lines []Line) bool {
	if !learn(&l.Placed, f) {
		return false
	}
	l.Currency, l.Lines = currency, lines
	return true
}

// promise notes stock reserved for lines. Of each size the first promise counts,
// so repeats and later rounds leave no trace.
func (l *Ledger) promise(f Fact, lines []Units) (news bool, err error) {
	for _, u := range lines {
		more, err := put(&l.Promises, Promise{f, u}, func(had Promise) bool { return had.Units == u })
		if err != nil {
			return false, err
		}
		news = news || more
	}
	return news, nil
}

func (l *Ledger) dispatch(d Dispatch) (bool, error) {
	return put(&l.Dispatches, d, func(had Dispatch) bool { return had.Shipment == d.Shipment })
}

func (l *Ledger) invoice(d Document) (bool, error) {
	return put(&l.Invoices, d, func(had Document) bool { return had.Number == d.Number })
}

func (l *Ledger) credit(d Document) (bool, error) {
	return put(&l.Credits, d, func(had Document) bool { return had.Number == d.Number })
}

func (l *Ledger) void(v Void) (bool, error) {
	return put(&l.Voids, v, func(had Void) bool { return had.Invoice == v.Invoice })
}

func (l *Ledger) move(m Movement) (bool, error) {
	return put(&l.Movements, m, func(had Movement) bool { return had.Reference == m.Reference })
}

// facts lists everything that is known, with its time.
func (l *Ledger) facts() iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		_ = once(l.Placed, yield) && once(l.Cleared, yield) && once(l.Secured, yield) && once(l.Stop, yield) && once(l.Cancelled, yield) &&
			each(l.Promises, yield) && each(l.Dispatches, yield) && each(l.Invoices, yield) &&
			each(l.Credits, yield) && each(l.Voids, yield) && each(l.Movements, yield)
	}
}

func once[E stamped](e *E, yield func(Fact) bool) bool { return e == nil || yield((*e).said()) }

func each[E stamped](list []E, yield func(Fact) bool) bool {
	for i := range list {
		if !yield(list[i].said()) {
			return false
		}
	}
	return true
}

func (l *Ledger) ordered(line int32) (Line, bool) {
	i := slices.IndexFunc(l.Lines, func(o Line) bool { return o.Line == line })
	if i < 0 {
		return Line{Line: line}, false
	}
	return l.Lines[i], true
}

// cancelled is what of a line is not wanted any more; shipment's word and the
// decision that follows it say the same.
func (l *Ledger) cancelled(line int32) (n int32) {
	if l.Stop != nil {
		n = unitsOf(l.Stop.Cancelled, line)
	}
	if l.Cancelled != nil {
		n = max(n, unitsOf(l.Cancelled.Lines, line))
	}
	return n
}

func unitsOf(list []Units, line int32) (n int32) {
	for _, u := range list {
		if u.Line == line {
			n += u.Quantity
		}
	}
	return n
}

// spilt is what of a dispatch left beyond what was ordered of a line, and what had
// left of the line with it.
type spilt struct{ line, allowed, left, over int32 }

// spills finds the units that left beyond what was ordered: of each line those that
// left last.
func (l *Ledger) spills() iter.Seq2[*Dispatch, spilt] {
	return func(yield func(*Dispatch, spilt) bool) {
		left := map[int32]int32{}
		for i := range l.Dispatches {
			d := &l.Dispatches[i]
			for _, p := range d.Parts {
				o, _ := l.ordered(p.Line)
				allowed := max(0, o.Quantity-l.cancelled(p.Line))
				before := max(left[p.Line], allowed)
				left[p.Line] += p.Quantity
				over := left[p.Line] - before
				if over > 0 && !yield(d, spilt{p.Line, allowed, left[p.Line], over}) {
					return
				}
			}
		}
	}
}

// invoices are those that were not taken back.
func (l *Ledger) invoices() iter.Seq[*Document] {
	return l.standing(l.Invoices, func(d *Document) string { return d.Number })
}

// credits are those of such invoices: with the invoice went what was credited of it.
func (l *Ledger) credits() iter.Seq[*Document] {
	return l.standing(l.Credits, func(d *Document) string { return d.Of })
}

func (l *Ledger) standing(documents []Document, invoice func(*Document) string) iter.Seq[*Document] {
	return func(yield func(*Document) bool) {
		for i := range documents {
			d := &documents[i]
			if slices.ContainsFunc(l.Voids, func(v Void) bool { return v.Invoice == invoice(d) }) {
				continue
			}
			if !yield(d) {
				return
			}
		}
	}
}

// instants are the times after another at which something became so, from the
// first to the last.
func (l *Ledger) instants(after time.Time) []time.Time {
	var all []time.Time
	for f := range l.facts() {
		if f.At.After(after) {
			all = append(all, f.At)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// asOf is the ledger without what became so only later, l itself where that is
// nothing. Lists are cut, not copied: they are in the order of time.
func (l *Ledger) asOf(at time.Time) *Ledger {
	if !l.last().After(at) {
		return l
	}
	then := *l
	if since(l.Placed).After(at) {
		then.Placed, then.Lines = nil, nil
	}
	if since(l.Cleared).After(at) {
		then.Cleared = nil
	}
	if since(l.Secured).After(at) {
		then.Secured = nil
	}
	if since(l.Stop).After(at) {
		then.Stop = nil
	}
	if since(l.Cancelled).After(at) {
		then.Cancelled = nil
	}
	then.Promises, then.Dispatches = upTo(l.Promises, at), upTo(l.Dispatches, at)
	then.Invoices, then.Credits, then.Voids = upTo(l.Invoices, at), upTo(l.Credits, at), upTo(l.Voids, at)
	then.Movements = upTo(l.Movements, at)
	return &then
}

// last is when the latest of all facts became so.
func (l *Ledger) last() time.Time {
	at := latest(since(l.Placed), since(l.Cleared), since(l.Secured), since(l.Stop), since(l.Cancelled))
	at = latest(at, end(l.Promises), end(l.Dispatches), end(l.Invoices))
	return latest(at, end(l.Credits), end(l.Voids), end(l.Movements))
}

// since is when something became so; zero if it did not.
func since[E stamped](e *E) time.Time {
	if e == nil {
		return time.Time{}
	}
	return (*e).said().At
}

func end[E stamped](list []E) time.Time {
	if len(list) == 0 {
		return time.Time{}
	}
	return list[len(list)-1].said().At
}

func upTo[E stamped](list []E, at time.Time) []E {
	n := len(list)
	for n > 0 && list[n-1].said().At.After(at) {
		n--
	}
	return list[:n]
}
