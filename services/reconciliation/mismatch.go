package reconciliation

import (
	"cmp"
	"slices"
	"time"
)

// Book is the row of one order: what is known of it, and what was made of that.
type Book struct {
	Ledger Ledger `avro:"ledger"`
	Life   Life   `avro:"life"`
}

// Life is the mismatches of an order. It follows from the ledger and Settled
// alone, but for what was told.
type Life struct {
	Mismatches []Mismatch `avro:"mismatches"` // by code and subject
	Seen       time.Time  `avro:"seen"`       // the last instant that they take in
	Settled    time.Time  `avro:"settled"`    // deadlines were let pass up to here
	// Waits is set while a late fact is in the ledger and not yet in here: the
	// deadline without which nobody can say what it changes.
	Waits time.Time `avro:"waits"`
}

// Mismatch is a difference with a life. It has one as long as its row, so that
// it is known which were told.
type Mismatch struct {
	Code     string    `avro:"code"`
	Subject  string    `avro:"subject"`
	State    string    `avro:"state"`
	Since    time.Time `avro:"since"`
	Stage    int32     `avro:"stage"` // stages passed
	Severity string    `avro:"severity"`
	Expected int64     `avro:"expected"`
	Actual   int64     `avro:"actual"`
	AtRisk   int64     `avro:"atRisk"`
	Opened   bool      `avro:"opened"`   // it was told that it opened, once or more
	Accepted bool      `avro:"accepted"` // it was told that it is tolerated
}

// States of a mismatch.
const (
	pending  = "PENDING"
	open     = "OPEN"
	accepted = "ACCEPTED"
	gone     = "GONE"
)

// note is something to be told of a mismatch as it stood then.
type note struct {
	Mismatch
	kind     kind
	at       time.Time
	reason   string
	evidence []Fact
	amends   bool // what was told before
}

type kind int

const (
	detected kind = iota + 1
	changed
	cleared
	tolerated
)

// Reasons for which a mismatch is cleared.
const (
	partnerCame = "the ledgers agree again"
	smallNow    = "what is left lies within tolerance"
	cameLate    = "a fact that came late explains it"
)

func (m Mismatch) is(code, subject string) int {
	return cmp.Or(cmp.Compare(m.Code, code), cmp.Compare(m.Subject, subject))
}

func (f *Life) find(code, subject string) *Mismatch {
	at, found := slices.BinarySearchFunc(f.Mismatches, 0, func(m Mismatch, _ int) int { return m.is(code, subject) })
	if !found {
		return nil
	}
	return &f.Mismatches[at]
}

func (f *Life) add(m Mismatch) *Mismatch {
	at, _ := slices.BinarySearchFunc(f.Mismatches, m, func(had, m Mismatch) int { return had.is(m.Code, m.Subject) })
	f.Mismatches = slices.Insert(f.Mismatches, at, m)
	return &f.Mismatches[at]
}

// end leaves of a mismatch only what was told of it.
func (m *Mismatch) end() {
	*m = Mismatch{Code: m.Code, Subject: m.Subject, State: gone, Opened: m.Opened, Accepted: m.Accepted}
}

// tidy forgets what is gone and was never told.
func (f *Life) tidy() {
	f.Mismatches = slices.DeleteFunc(f.Mismatches, func(m Mismatch) bool { return m.State == gone && !m.Opened && !m.Accepted })
}

// learned brings the life up to a fact that the ledger has just taken in. One of
// an instant that was taken in before changes how that instant ended and all that
// followed.
func (r Rules) learned(b *Book, at time.Time) []note {
	f, l := &b.Life, &b.Ledger
	if !at.After(f.Seen) || !f.Waits.IsZero() {
		return r.anew(b)
	}
	notes, _ := r.walk(f, l, l.instants(f.Seen))
	return notes
}

// settle lets deadlines pass up to a time: everything up to there was read.
func (r Rules) settle(b *Book, until time.Time) []note {
	f, l := &b.Life, &b.Ledger
	f.Settled = latest(f.Settled, until)
	if !f.Waits.IsZero() {
		return r.anew(b)
	}
	notes, _ := r.walk(f, l, l.instants(f.Seen))
	return notes
}

// next is the deadline to be woken for; zero for none.
func (r Rules) next(f *Life) time.Time {
	if !f.Waits.IsZero() {
		return f.Waits
	}
	return r.deadline(f)
}

// walk leads the life through the instants at which something became so. It
// stops before a deadline that may not pass yet; through is false then.
func (r Rules) walk(f *Life, l *Ledger, instants []time.Time) (notes []note, through bool) {
	for _, at := range instants {
		passed, through := r.pass(f, l, at)
		notes = append(notes, passed...)
		if !through {
			return notes, false
		}
		f.Seen = at
		notes = append(notes, r.compare(f, l.asOf(at), at)...)
	}
	passed, _ := r.pass(f, l, f.Settled.Add(time.Nanosecond))
	return append(notes, passed...), true
}

// pass lets the deadlines before a time pass; through is false when one of them
// has to wait.
func (r Rules) pass(f *Life, l *Ledger, before time.Time) (notes []note, through bool) {
	for {
		due := r.deadline(f)
		switch {
		case due.IsZero() || !due.Before(before):
			return notes, true
		case due.After(f.Settled):
			return notes, false
		}
		notes = append(notes, r.ring(f, l, due)...)
	}
}

// deadline is when the next mismatch passes a stage; zero for never.
func (r Rules) deadline(f *Life) (next time.Time) {
	for _, m := range f.Mismatches {
		stages := r.Codes[m.Code].Stages
		if m.State != pending && m.State != open || int(m.Stage) >= len(stages) {
			continue
		}
		if due := m.Since.Add(stages[m.Stage].After); next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// ring takes the mismatches whose deadline it is past their stage.
func (r Rules) ring(f *Life, l *Ledger, at time.Time) (notes []note) {
	l = l.asOf(at)
	differences := r.classify(l)
	for i := range f.Mismatches {
		m := &f.Mismatches[i]
		rule := r.Codes[m.Code]
		if m.State != pending && m.State != open || int(m.Stage) >= len(rule.Stages) || m.Since.Add(rule.Stages[m.Stage].After).After(at) {
			continue
		}
		d := slices.IndexFunc(differences, func(d Difference) bool { return m.is(d.Code, d.Subject) == 0 })
		m.Stage++
		switch {
		case d < 0: // rules of another version saw one here
			m.end()
		case differences[d].Tolerated:
			m.State = accepted
			if !m.Accepted {
				m.Accepted = true
				notes = append(notes, note{Mismatch: *m, kind: tolerated, at: at})
			}
		default:
			k := changed
			if m.State == pending {
				k, m.State, m.Opened = detected, open, true
			}
			m.Severity = rule.severity(m.Stage, differences[d].Grave)
			notes = append(notes, note{Mismatch: *m, kind: k, at: at, evidence: l.evidence(m.Code, m.Subject)})
		}
	}
	return notes
}

func (r Rule) severity(stage int32, grave bool) string {
	if grave && r.Grave != "" {
		return r.Grave
	}
	return r.Stages[max(0, min(int(stage), len(r.Stages))-1)].Severity
}

// compare takes the differences of an instant, of which the ledger is, over what was
// known before.
func (r Rules) compare(f *Life, l *Ledger, at time.Time) (notes []note) {
	differences := r.classify(l)
	if more := len(differences) - len(f.Mismatches); more > 0 {
		f.Mismatches = slices.Grow(f.Mismatches, more)
	}
	for _, d := range differences {
		m := f.find(d.Code, d.Subject)
		if m == nil {
			m = f.add(Mismatch{Code: d.Code, Subject: d.Subject, State: gone})
		}
		if m.State == open && d.Tolerated {
			notes = append(notes, note{Mismatch: *m, kind: cleared, at: at, reason: smallNow})
			m.State = gone
		}
		if m.State == gone || m.State == accepted && !d.Tolerated {
			m.State, m.Since, m.Stage = pending, at, 0
		}
		before := *m
		m.Expected, m.Actual, m.AtRisk = d.Expected, d.Actual, d.AtRisk
		m.Severity = r.Codes[d.Code].severity(m.Stage, d.Grave)
		switch m.State {
		case pending:
			m.Since = latest(m.Since, d.NotBefore)
		case open:
			if !m.alike(before) {
				notes = append(notes, note{Mismatch: *m, kind: changed, at: at, evidence: l.evidence(d.Code, d.Subject)})
			}
		}
	}
	return append(notes, f.vanish(differences, at)...)
}

// alike is true when nothing is worth telling anew.
func (m Mismatch) alike(other Mismatch) bool {
	return m.Actual-m.Expected == other.Actual-other.Expected && m.AtRisk == other.AtRisk && m.Severity == other.Severity
}

// vanish ends the mismatches of which there is no difference any more.
func (f *Life) vanish(differences []Difference, at time.Time) (notes []note) {
	for i := range f.Mismatches {
		m := &f.Mismatches[i]
		if slices.ContainsFunc(differences, func(d Difference) bool { return m.is(d.Code, d.Subject) == 0 }) {
			continue
		}
		if m.State == open {
			notes = append(notes, note{Mismatch: *m, kind: cleared, at: at, reason: partnerCame})
		}
		m.end()
	}
	f.tidy()
	return notes
}

// anew walks a life once more from the first fact, and notes what that changes in
// what was told.
func (r Rules) anew(b *Book) (notes []note) {
	told, anew := b.Life, Life{Settled: b.Life.Settled}
	walked, through := r.walk(&anew, &b.Ledger, b.Ledger.instants(time.Time{}))
	if !through {
		b.Life.Waits = r.deadline(&anew)
		return nil
	}
	now := latest(told.Seen, told.Settled, anew.Seen)
	then := b.Ledger.asOf(anew.Seen)
	for _, had := range told.Mismatches {
		if (had.Opened || had.Accepted) && anew.find(had.Code, had.Subject) == nil { // of others nothing was told that could be put right
			anew.add(Mismatch{Code: had.Code, Subject: had.Subject, State: gone})
		}
	}
	for i := range anew.Mismatches {
		m := &anew.Mismatches[i]
		var had Mismatch
		if found := told.find(m.Code, m.Subject); found != nil {
			had = *found
		}
		notes = append(notes, m.untold(had, walked)...)
		if n, ok := m.correct(had, walked); ok {
			n.at, n.amends = now, true
			if slices.ContainsFunc(r.classify(then), func(d Difference) bool { return m.is(d.Code, d.Subject) == 0 }) {
				n.evidence = then.evidence(m.Code, m.Subject)
			}
			notes = append(notes, n)
		}
		m.Opened, m.Accepted = m.Opened || had.Opened, m.Accepted || had.Accepted
	}
	anew.tidy()
	b.Life = anew
	return notes
}

// untold are the notes of a mismatch whose like was never told before.
func (m *Mismatch) untold(had Mismatch, walked []note) (notes []note) {
	for _, n := range walked {
		before := had.Opened
		if n.kind == tolerated {
			before = had.Accepted
		}
		if n.is(m.Code, m.Subject) == 0 && !before {
			notes = append(notes, n)
		}
	}
	return notes
}

// correct is what to tell of a mismatch that was told before and stands
// otherwise now.
func (m *Mismatch) correct(had Mismatch, walked []note) (note, bool) {
	switch {
	case had.State == open && m.State != open:
		n := note{Mismatch: had, kind: cleared, reason: cameLate}
		for _, w := range walked {
			if w.kind == cleared && w.is(m.Code, m.Subject) == 0 {
				n.reason = w.reason
			}
		}
		return n, true
	case had.State != open && m.State == open && had.Opened:
		return note{Mismatch: *m, kind: detected}, true
	case had.State == open && m.State == open && !m.alike(had):
		return note{Mismatch: *m, kind: changed}, true
	}
	return note{}, false
}
