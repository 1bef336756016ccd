package reconciliation

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// story draws an order's events: all that can happen to it, well or badly, at
// few enough times that many of them fall together.
func story(t *rapid.T, r Rules, minutes []int) []event {
	minute := func() int { return rapid.SampledFrom(minutes).Draw(t, "minute") }
	yes := func(what string) bool { return rapid.Bool().Draw(t, what) }
	units := rapid.Int32Range(0, 3)
	var events []event
	if rapid.IntRange(0, 9).Draw(t, "placed") > 0 {
		events = append(events, order(r, minute()))
	}
	if yes("cleared") {
		events = append(events, happen(r, "cleared", at(minute()), fraudCleared{}, bookCleared))
	}
	if yes("held") {
		events = append(events, happen(r, "held", at(minute()), authorised{}, bookAuthorised))
	}
	for n := range rapid.IntRange(0, 2).Draw(t, "reservations") {
		events = append(events, happen(r, fmt.Sprint("reserved ", n), at(minute()), reserved{[]Units{{1, units.Draw(t, "of 1")}, {2, 1}}}, bookReserved))
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "shipments") {
		events = append(events, left(r, minute(), fmt.Sprint("s", n), yes("last"), units.Draw(t, "of 1"), units.Draw(t, "of 2")))
	}
	if yes("stopped") {
		gone, kept := []Units{{1, units.Draw(t, "cancelled")}}, []Units{{1, units.Draw(t, "leaving")}}
		events = append(events, happen(r, "stopped", at(minute()), stopped{gone, kept}, bookStopped))
	}
	events = append(events, movements(t, r, minute)...)
	return append(events, papers(t, r, minute)...)
}

func movements(t *rapid.T, r Rules, minute func() int) (events []event) {
	amount := rapid.SampledFrom([]int64{0, 1, 600, 1050, 1051, 2100, 2700})
	for n := range rapid.IntRange(0, 3).Draw(t, "captures") {
		events = append(events, taken(r, minute(), fmt.Sprint("c", n), amount.Draw(t, "amount")))
	}
	if rapid.Bool().Draw(t, "received") {
		events = append(events, happen(r, "received", at(minute()), received{2, "r", amount.Draw(t, "amount"), "EUR", 0}, bookReceived))
	}
	if rapid.Bool().Draw(t, "refunded") {
		events = append(events, happen(r, "refunded", at(minute()), refunded{2, "r", "b", amount.Draw(t, "amount"), "EUR"}, bookRefunded))
	}
	return events
}

func papers(t *rapid.T, r Rules, minute func() int) (events []event) {
	lines := func() (all []billedLine) {
		for range rapid.IntRange(1, 2).Draw(t, "lines") {
			n := rapid.Int32Range(0, 3).Draw(t, "units")
			all = append(all, bill1(
				rapid.SampledFrom([]string{"s0", "s1", "s8"}).Draw(t, "shipment"), rapid.Int32Range(1, 2).Draw(t, "line"), n,
				int64(n)*rapid.SampledFrom([]int64{500, 1000, 1010, 1500}).Draw(t, "unit net")))
		}
		return all
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "invoices") {
		name := fmt.Sprint("i", n)
		events = append(events, billed(r, minute(), name, lines()...))
		if rapid.IntRange(0, 3).Draw(t, "void") == 0 {
			events = append(events, takenBack(r, minute(), name))
		}
		if rapid.IntRange(0, 3).Draw(t, "credit") == 0 {
			events = append(events, unbilled(r, minute(), "c"+name, name, lines()...))
		}
	}
	return events
}

// TestDifferencesAddUp: what the classifier names of an order, each unit once,
// is all that its ledgers differ by.
func TestDifferencesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t)
		f.deliver(story(t, f.rules, []int{0, 10, 60})...)
		l := &f.book.Ledger
		named := f.rules.classify(l.asOf(late))
		seen := map[string]bool{}
		for _, d := range named {
			if id := d.Code + " " + d.Subject; seen[id] {
				t.Fatalf("%s is named twice", id)
			} else if d.Expected == d.Actual && d.Code != shippedNotReleased && d.Code != unknownReference {
				t.Fatalf("%s is no difference: %+v", id, d)
			}
			seen[d.Code+" "+d.Subject] = true
		}
		if l.Placed != nil {
			checkUnits(t, l, named)
		} else {
			checkOrphans(t, l, named)
		}
		checkMoney(t, l, named)
	})
}

func live(l *Ledger, invoice string) bool {
	return !slices.ContainsFunc(l.Voids, func(v Void) bool { return v.Invoice == invoice })
}

// checkUnits: per line, billed less what left is what 3 and 8 name too much,
// less what 7 names missing and what 6 takes in of that.
func checkUnits(t *rapid.T, l *Ledger, named []Difference) {
	for _, line := range []int32{1, 2} {
		var whole, sum, over int64
		for _, d := range l.Invoices {
			for _, b := range d.Lines {
				if b.Line == line && live(l, d.Number) {
					whole += int64(b.Quantity)
				}
			}
		}
		for _, d := range l.Credits {
			for _, b := range d.Lines {
				if b.Line == line && live(l, d.Of) {
					whole -= int64(b.Quantity)
				}
			}
		}
		for _, d := range l.Dispatches {
			for _, p := range d.Parts {
				if p.Line == line {
					whole -= int64(p.Quantity)
					over += int64(p.Quantity)
				}
			}
		}
		for _, u := range cmp.Or(l.Stop, new(Stop)).Cancelled {
			if u.Line == line {
				over += min(int64(u.Quantity), int64(l.Lines[line-1].Quantity))
			}
		}
		over = max(0, over-int64(l.Lines[line-1].Quantity))
		for _, d := range named {
			_, of, _ := strings.Cut(d.Subject, "/")
			switch d.Code {
			case duplicateInvoice, invoicedNotShipped, shippedNotInvoiced:
				if of == fmt.Sprint(line) {
					sum += d.delta()
				}
			case shippedNotOrdered:
				if d.Subject == fmt.Sprint(line) {
					sum -= d.Absorbed
					over -= d.delta()
				}
			}
		}
		if sum != whole || over != 0 {
			t.Fatalf("line %d: billed less dispatched is %d, named are %d; %d beyond the order are not named: %+v", line, whole, sum, over, named)
		}
	}
}

// checkOrphans: while nobody has placed the order, its documents are all that
// is said of what was billed.
func checkOrphans(t *rapid.T, l *Ledger, named []Difference) {
	for _, d := range named {
		if d.Code == duplicateInvoice || d.Code == invoicedNotShipped || d.Code == shippedNotOrdered || d.Code == priceVariance {
			t.Fatalf("%s cannot be known of an order that is not: %+v", d.Code, d)
		}
	}
	for _, d := range l.Invoices {
		is := slices.ContainsFunc(named, func(n Difference) bool { return n.Code == unknownReference && n.Subject == d.Number })
		if is != live(l, d.Number) {
			t.Fatalf("document %s: named %v", d.Number, is)
		}
	}
}

// checkMoney: money in hand less what left is what 11 names, less what the
// unreleased dispatches take in; but for money that waits for what is to leave.
func checkMoney(t *rapid.T, l *Ledger, named []Difference) {
	var whole, sum int64
	finished := false
	leaving := map[int32]int32{}
	for _, u := range cmp.Or(l.Stop, new(Stop)).Leaving {
		leaving[u.Line] += u.Quantity
	}
	for _, d := range l.Dispatches {
		whole -= d.Value
		finished = finished || d.Last
		for _, p := range d.Parts {
			leaving[p.Line] -= p.Quantity
		}
	}
	finished = finished || l.Stop != nil && leaving[1] <= 0 && leaving[2] <= 0
	for _, m := range l.Movements {
		whole += m.Amount
	}
	for _, d := range named {
		switch d.Code {
		case shippedNotReleased:
			sum -= d.Absorbed
		case capturedNotDispatched, dispatchedNotCaptured:
			sum += d.delta()
		}
	}
	if waits := whole > 0 && !finished; waits && sum != 0 || !waits && sum != whole {
		t.Fatalf("captured less dispatched is %d (finished: %v), named are %d: %+v", whole, finished, sum, named)
	}
}

// TestConverges: however an order's events are interleaved and repeated, its row
// ends the same and the same opens at the same times, as long as a timer waits
// for the events up to its deadline. And what is told is a story: nothing opens
// twice or clears unopened, and in the end it says what the row says.
func TestConverges(t *testing.T) {
	for name, minutes := range map[string][]int{
		"at one instant":   {30},
		"at many instants": {0, 1, 10, 15, 16, 30, 31, 60, 120, 240, 241, 1440},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				straight, shuffled := newFixture(t), newFixture(t)
				events := story(t, straight.rules, minutes)
				straight.play(events...)
				straight.fire(late)
				for _, e := range rapid.Permutation(append(slices.Clone(events), events...)).Draw(t, "order") {
					shuffled.deliver(e)
				}
				shuffled.fire(late)
				same(t, straight, shuffled)
			})
		})
	}
}

// TestConvergesWithTimers is the same with timers in between: each fires as soon
// as the events up to its deadline were delivered, whatever later ones were too.
func TestConvergesWithTimers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		straight, shuffled := newFixture(t), newFixture(t)
		events := story(t, straight.rules, []int{0, 1, 10, 15, 16, 30, 31, 60, 120, 240, 241, 1440})
		straight.play(slices.Clone(events)...)
		straight.fire(late)
		waiting := rapid.Permutation(events).Draw(t, "order")
		for len(waiting) > 0 {
			shuffled.deliver(waiting[0])
			waiting = waiting[1:]
			read := late
			for _, e := range waiting {
				if before := e.at.Add(-time.Nanosecond); before.Before(read) {
					read = before
				}
			}
			shuffled.fire(read)
		}
		shuffled.fire(late)
		same(t, straight, shuffled)
	})
}

func same(t *rapid.T, straight, shuffled *fixture) {
	if !reflect.DeepEqual(straight.book, shuffled.book) {
		t.Fatalf("straight %+v\nshuffled %+v", straight.book, shuffled.book)
	}
	if a, b := opened(straight), opened(shuffled); !slices.Equal(a, b) {
		t.Fatalf("straight\n\t%s\nshuffled\n\t%s", strings.Join(straight.told(), "\n\t"), strings.Join(shuffled.told(), "\n\t"))
	}
	checkStory(t, straight)
	checkStory(t, shuffled)
}

// opened lists what opened or was accepted first.
func opened(f *fixture) (ids []string) {
	for _, p := range f.facts {
		switch m := p.Message.(type) {
		case *mismatchDetected:
			ids = append(ids, m.Code+" "+m.Subject)
		case *mismatchAccepted:
			ids = append(ids, m.Code+" "+m.Subject+" accepted")
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// checkStory reads the facts as a stranger would.
func checkStory(t *rapid.T, f *fixture) {
	delta := map[string]int64{} // of what is open, as last told
	ids := map[string]bool{}
	for _, p := range f.facts {
		fact := p.Type + strings.Join(p.Discriminator, "/")
		if ids[fact] {
			t.Fatalf("%s has the ID of another fact: %v", describe(p), f.told())
		}
		ids[fact] = true
		switch m := p.Message.(type) {
		case *mismatchDetected:
			if _, is := delta[m.Code+m.Subject]; is {
				t.Fatalf("%s, which is open: %v", describe(p), f.told())
			}
			delta[m.Code+m.Subject] = m.Delta
		case *mismatchChanged:
			if _, is := delta[m.Code+m.Subject]; !is {
				t.Fatalf("%s, which is not open: %v", describe(p), f.told())
			}
			delta[m.Code+m.Subject] = m.Delta
		case *mismatchCleared:
			if _, is := delta[m.Code+m.Subject]; !is {
				t.Fatalf("%s, which is not open: %v", describe(p), f.told())
			}
			delete(delta, m.Code+m.Subject)
		}
	}
	for _, m := range f.book.Life.Mismatches {
		subject := m.Subject
		if subject == "" {
			subject = "web-1"
		}
		told, is := delta[m.Code+subject]
		if is != (m.State == open) || is && told != m.Actual-m.Expected {
			t.Fatalf("told %d (open: %v), the row has %+v: %v", told, is, m, f.told())
		}
		delete(delta, m.Code+subject)
	}
	if len(delta) > 0 || !f.timer.IsZero() {
		t.Fatalf("open for ever: %v; a timer at %v", delta, f.timer)
	}
}

// TestLateFacts: a fact that comes after timers have passed it leaves the row as
// if it had come in time, and what was told is put right.
func TestLateFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		straight, tardy := newFixture(t), newFixture(t)
		events := story(t, straight.rules, []int{0, 1, 10, 15, 16, 30, 31, 60, 120, 240, 241, 1440})
		straight.play(slices.Clone(events)...)
		straight.fire(late)
		for _, e := range rapid.Permutation(events).Draw(t, "order") {
			tardy.deliver(e)
			tardy.fire(at(rapid.IntRange(0, 3000).Draw(t, "fired until")))
		}
		tardy.fire(late)
		checkStory(t, tardy)
		// It may have told of more, and remembers that; nothing stands otherwise.
		if a, b := standing(straight), standing(tardy); !slices.Equal(a, b) {
			t.Fatalf("in time %v\ntardy %v", a, b)
		}
		for _, id := range opened(straight) {
			if !slices.Contains(opened(tardy), id) {
				t.Fatalf("%s was never told: %v", id, tardy.told())
			}
		}
	})
}

func standing(f *fixture) (ids []string) {
	for _, m := range f.book.Life.Mismatches {
		if m.State != gone {
			ids = append(ids, fmt.Sprint(m.Code, m.Subject, m.State, m.Severity, m.Since, m.Expected, m.Actual))
		}
	}
	return ids
}
