package workbench

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Status is what is going on, and what is wrong.
type Status struct {
	Headline string     `json:"headline"`
	Level    string     `json:"level"`         // good, warn or bad
	AsOf     time.Time  `json:"asOf,omitzero"` // the latest business time that was read
	Now      time.Time  `json:"now"`
	Causes   []Trouble  `json:"causes"`
	Phases   []Phase    `json:"phases"`
	Open     int        `json:"open"`
	Closed   int        `json:"closed"`
	Heard    []LastWord `json:"heard"`
}

// Trouble is one cause of what is wrong, with what hangs on it.
type Trouble struct {
	Kind  string    `json:"kind"`
	Level string    `json:"level"`
	Says  string    `json:"says"`
	Count int       `json:"count"`
	Of    string    `json:"of"` // what is counted: orders, flows, records
	Since time.Time `json:"since,omitzero"`
	Money sums      `json:"money,omitempty"`
	Link  string    `json:"link,omitempty"`

	rank int
}

// Phase is how many flows stand there.
type Phase struct {
	Phase string `json:"phase"`
	Flows int    `json:"flows"`
	Open  bool   `json:"open"`
}

// LastWord is how far a context's word reaches.
type LastWord struct {
	Source string    `json:"source"`
	At     time.Time `json:"at"`
}

// Levels.
const (
	good = "good"
	warn = "warn"
	bad  = "bad"
)

// Kinds of trouble; their order is their rank. An owner that is behind comes
// first: it may explain what follows.
const (
	ownerIsBehind  = "owner-behind"
	isOverdue      = "overdue"
	isMismatch     = "mismatch"
	needsPerson    = "needs-person"
	unusableRecord = "exception"
)

var ranks = [...]string{ownerIsBehind, isOverdue, isMismatch, needsPerson, unusableRecord}

// phaseNeedsPerson is the process manager's word for a flow that a person must settle.
const phaseNeedsPerson = "NEEDS_PERSON"

func (b *Bench) status() Status {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := Status{Now: b.config.Now().UTC(), Causes: []Trouble{}, Phases: []Phase{}, Heard: []LastWord{}}
	t := troubles{}
	phases := map[string]*Phase{}
	for _, f := range b.flows {
		b.count(f, &s, phases)
		t.flow(f, b.config.Duties)
	}
	t.behind(b.incidents)
	t.unusable(b.exceptions)
	s.Causes = t.ranked()
	for _, name := range slices.Sorted(maps.Keys(phases)) {
		s.Phases = append(s.Phases, *phases[name])
	}
	slices.SortStableFunc(s.Phases, func(a, b Phase) int { return cmp.Compare(placeOf(a.Phase), placeOf(b.Phase)) })
	for _, source := range slices.Sorted(maps.Keys(b.heard)) {
		at := b.heard[source]
		s.Heard = append(s.Heard, LastWord{source, at})
		if at.After(s.AsOf) {
			s.AsOf = at
		}
	}
	slices.SortStableFunc(s.Heard, func(x, y LastWord) int { return cmp.Compare(b.words.lane(x.Source), b.words.lane(y.Source)) })
	s.Headline, s.Level = headline(s.Causes)
	return s
}

func (b *Bench) count(f *flow, s *Status, phases map[string]*Phase) {
	name := f.standsAt()
	if phases[name] == nil {
		phases[name] = &Phase{Phase: name}
	}
	phases[name].Flows++
	phases[name].Open = phases[name].Open || !f.done()
	if f.done() {
		s.Closed++
	} else {
		s.Open++
	}
}

// lifeOfFlow are the phases in the order of a flow's life.
func lifeOfFlow() []string {
	return strings.Fields("UNKNOWN REJECTED PLACED HELD ALLOCATING BACKORDERED RELEASED PICKING PACKED PARTIALLY_DISPATCHED IN_TRANSIT DELIVERED CANCELLING COMPENSATING NEEDS_PERSON CLOSED CANCELLED")
}

// placeOf puts phases in the order of a flow's life.
func placeOf(phase string) int {
	life := lifeOfFlow()
	if i := slices.Index(life, phase); i >= 0 {
		return i
	}
	return len(life)
}

// headline says in a line what matters most.
func headline(causes []Trouble) (says, level string) {
	n := map[string]int{}
	for _, c := range causes {
		n[c.Kind]++
	}
	late := n[ownerIsBehind] + n[isOverdue]
	var rest []string
	for _, part := range []struct{ kind, says string }{
		{isMismatch, "books disagree"}, {needsPerson, "a person must decide"}, {unusableRecord, "records could not be used"},
	} {
		if n[part.kind] > 0 {
			rest = append(rest, part.says)
		}
	}
	switch {
	case late > 0:
		return "Flows are late: " + causes[0].Says, bad
	case len(rest) > 0:
		return "All flows are on time, but " + strings.Join(rest, ", and "), warn
	}
	return "All flows are on time", good
}

// troubles gathers what is wrong, by cause.
type troubles map[string]*Trouble

func (t troubles) of(kind, name, counted string) *Trouble {
	key := kind + "\x00" + name
	if t[key] == nil {
		t[key] = &Trouble{Kind: kind, Level: bad, Of: counted}
	}
	return t[key]
}

func (x *Trouble) from(at time.Time) {
	if x.Since.IsZero() || at.Before(x.Since) {
		x.Since = at
	}
}

// flow adds what is wrong with a flow. Its value counts once a cause, however
// many things it is owed.
func (t troubles) flow(f *flow, duties []Duty) {
	hit := map[*Trouble]bool{}
	for _, o := range f.overdue(duties) {
		s := o.said.value
		x := t.of(isOverdue, s.Owner+"\x00"+s.Event, "orders")
		x.Says = s.Owner + " owes " + s.Event
		x.Link = "/flows?" + query("overdue", s.Event, "owner", s.Owner)
		x.from(s.DueAt.UTC())
		hit[x] = true
	}
	if f.standsAt() == phaseNeedsPerson {
		x := t.of(needsPerson, "", "orders")
		x.Level, x.Says, x.Link = warn, "a person must decide", "/flows?"+query("phase", phaseNeedsPerson)
		x.from(f.phase.value.at)
		hit[x] = true
	}
	for x := range hit {
		x.Count++
		x.Money.add(f.placed.value.value)
	}
	t.mismatches(f)
}

func (t troubles) mismatches(f *flow) {
	counted := map[*Trouble]bool{}
	for _, m := range f.mismatches {
		if m.state.value.state != isOpen {
			continue
		}
		x, s := t.of(isMismatch, m.Code, "orders"), m.size.value
		x.Says, x.Link = m.Code, "/mismatches?"+query("code", m.Code, "state", isOpen)
		x.rank = max(x.rank, severityOf(s.Severity))
		x.Level = warn
		if x.rank >= severityOf("high") {
			x.Level = bad
		}
		x.from(m.first)
		x.Money.add(Money{s.AtRisk, s.Currency})
		if !counted[x] {
			x.Count++
			counted[x] = true
		}
	}
}

func severityOf(s string) int {
	return slices.Index([]string{"low", "medium", "high", "critical"}, strings.ToLower(s)) + 1
}

func (t troubles) behind(incidents map[incidentKey]*latest[incident]) {
	for key, l := range incidents {
		if !l.value.behind {
			continue
		}
		x := t.of(ownerIsBehind, key.owner+"\x00"+key.topic, "flows")
		x.Count += int(l.value.flows)
		x.from(l.value.since)
		x.Says = key.owner + " is behind on " + key.topic
	}
}

func (t troubles) unusable(exceptions map[string]exception) {
	for _, e := range exceptions {
		x := t.of(unusableRecord, e.Cause, "records")
		x.Level = warn
		x.from(e.at)
		x.Count++
		x.Says = e.Cause
		x.Link = "/exceptions?" + query("cause", e.Cause)
	}
}

// ranked puts what matters most first: by kind, severity, then what hangs on it.
func (t troubles) ranked() []Trouble {
	out := make([]Trouble, 0, len(t))
	for _, x := range t {
		x.Says = x.sentence()
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(slices.Index(ranks[:], a.Kind), slices.Index(ranks[:], b.Kind)), cmp.Compare(b.rank, a.rank),
			cmp.Compare(b.Count, a.Count), a.Since.Compare(b.Since), strings.Compare(a.Says, b.Says))
	})
	return out
}

// sentence says the trouble with what is counted.
func (x *Trouble) sentence() string {
	what := count(x.Count, strings.TrimSuffix(x.Of, "s"))
	switch x.Kind {
	case ownerIsBehind:
		return x.Says + ": at least " + what + " wait" // its size is told once, when it begins
	case unusableRecord:
		return what + " could not be used: " + x.Says
	}
	return x.Says + " on " + what
}

// query writes pairs of names and values; what is empty is left out.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q.Encode()
}
