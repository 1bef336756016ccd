package workbench

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// flow is what the view knows of an order's fulfilment. What it holds depends
// on the facts alone, not on the order in which topics were read.
type flow struct {
	number  number
	facts   map[string]fact // by ID; nil once only the summary is kept
	trimmed bool            // the earliest facts were left out
	last    time.Time

	placed     latest[placing]
	phase      latest[phasing]
	closed     latest[closing]
	rejected   bool // what ordering refused under this number
	asked      bool // to be cancelled
	decided    latest[string]
	obligation map[string]*obligation
	mismatches map[string]*mismatch
}

type placing struct {
	at, promised                   time.Time
	channel, customer, correlation string
	value                          Money
}

type phasing struct {
	name string
	at   time.Time
}

type closing struct {
	at      time.Time
	outcome string
}

// obligation is one that was said to be overdue, or met after it was.
type obligation struct {
	said  latest[obligationOverdue]
	at    time.Time // when it was said
	metBy string    // "" until it is met
	metAt time.Time
}

// mismatch is one difference over its life.
type mismatch struct {
	mismatchHead
	first time.Time
	size  latest[mismatchSized]
	state latest[standing]
}

// standing is where a difference has come to.
type standing struct {
	state, why string
	at         time.Time
	delta      int64
	currency   string
}

// States of a mismatch.
const (
	isOpen     = "open"
	isCleared  = "cleared"
	isAccepted = "accepted"
)

func newFlow(n number) *flow {
	return &flow{number: n, facts: map[string]fact{}, obligation: map[string]*obligation{}, mismatches: map[string]*mismatch{}}
}

// add takes in a fact. The first of an ID stays; beyond the limit the latest do.
func (f *flow) add(x fact, limit int) {
	if x.at.After(f.last) {
		f.last = x.at
	}
	if f.facts == nil {
		return
	}
	if _, known := f.facts[x.id]; known {
		return
	}
	f.facts[x.id] = x
	if len(f.facts) <= limit {
		return
	}
	f.trimmed = true
	first := x
	for _, y := range f.facts {
		if y.compare(first) < 0 {
			first = y
		}
	}
	delete(f.facts, first.id)
}

// owes is the obligation of that rule, subject and cause.
func (f *flow) owes(rule, subject, cause string) *obligation {
	key := strings.Join([]string{rule, subject, cause}, "\x00")
	o := f.obligation[key]
	if o == nil {
		o = &obligation{}
		f.obligation[key] = o
	}
	return o
}

func (f *flow) mismatch(h mismatchHead) *mismatch {
	m := f.mismatches[h.MismatchID]
	if m == nil {
		m = &mismatch{mismatchHead: h}
		f.mismatches[h.MismatchID] = m
	}
	return m
}

// overdue lists what is overdue now, the longest first. What a duty says has
// become pointless is not.
func (f *flow) overdue(duties []Duty) []*obligation {
	if f.closed.set {
		return nil
	}
	var due []*obligation
	for _, o := range f.obligation {
		if o.said.set && o.metBy == "" && !f.void(o, duties) {
			due = append(due, o)
		}
	}
	slices.SortFunc(due, (*obligation).compare)
	return due
}

func (o *obligation) compare(p *obligation) int {
	a, b := o.said.value, p.said.value
	return cmp.Or(a.DueAt.Compare(b.DueAt), strings.Compare(a.Obligation, b.Obligation),
		strings.Compare(a.Subject, b.Subject), strings.Compare(a.CauseID, b.CauseID))
}

// void reports whether a fact made an overdue obligation pointless: of that no
// fact is published.
func (f *flow) void(o *obligation, duties []Duty) bool {
	said := o.said.value
	i := slices.IndexFunc(duties, func(d Duty) bool { return d.Name == said.Obligation })
	cause, known := f.facts[said.CauseID]
	if i < 0 || !known {
		return false
	}
	for _, x := range f.facts {
		if anyOf(duties[i].Void, x) && x.after(cause.position) && x.names(duties[i].Subject, said.Subject) {
			return true
		}
	}
	return false
}

// standsAt is the phase, in the process manager's words where it has spoken.
func (f *flow) standsAt() string {
	switch {
	case f.closed.set:
		return f.closed.value.outcome
	case f.phase.set:
		return f.phase.value.name
	case f.placed.set:
		return "PLACED"
	case f.rejected:
		return "REJECTED"
	}
	return "UNKNOWN"
}

// done is true when nothing more is to be expected.
func (f *flow) done() bool { return f.closed.set || f.standsAt() == "REJECTED" }

func (f *flow) cancellation() string {
	if f.asked && !f.decided.set {
		return "asked for"
	}
	return f.decided.value
}

// since is the first that is known of the order.
func (f *flow) since() time.Time {
	if f.placed.set {
		return f.placed.value.at
	}
	return f.last
}

// differences lists the mismatches, by number and subject.
func (f *flow) differences() []*mismatch {
	all := make([]*mismatch, 0, len(f.mismatches))
	for _, m := range f.mismatches {
		all = append(all, m)
	}
	slices.SortFunc(all, (*mismatch).compare)
	return all
}

func (m *mismatch) compare(o *mismatch) int {
	return cmp.Or(cmp.Compare(m.Number, o.Number), m.first.Compare(o.first), strings.Compare(m.Subject, o.Subject), strings.Compare(m.MismatchID, o.MismatchID))
}
