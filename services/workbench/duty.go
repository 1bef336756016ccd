package workbench

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Duty is a row of the process as the workbench needs it: who owes which event
// because of what. It is handed in, since the process is another context's.
type Duty struct {
	Name, Owner string
	Because     Sign     // what opens it
	Needs       [][]Sign // of each list one must have come too
	Events      []Sign   // what answers it
	Void        []Sign   // what makes it pointless
	Subject     string   // the field that names what it is about; "": the order
	Within      string   // how long it may take, for people
	NextAction  string
}

// Sign is an event with the values that its fields must have.
type Sign struct {
	Event string
	When  map[string]string
}

// of reports whether a fact is the sign.
func (s Sign) of(f fact) bool {
	if s.Event != f.event {
		return false
	}
	for field, want := range s.When {
		if !slices.Contains(f.values, ref{field, want}) {
			return false
		}
	}
	return true
}

func anyOf(signs []Sign, f fact) bool {
	return slices.ContainsFunc(signs, func(s Sign) bool { return s.of(f) })
}

// gauges are the fields of an event that some duty goes by.
func gauges(duties []Duty, event string) (fields []string) {
	for _, d := range duties {
		for _, s := range slices.Concat([]Sign{d.Because}, slices.Concat(d.Needs...), d.Events, d.Void) {
			if s.Event == event {
				fields = slices.AppendSeq(fields, maps.Keys(s.When))
			}
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

// expected lists what a flow is owed and nobody has called overdue.
func expected(facts []fact, duties []Duty, told func(event string) bool) []Owed {
	var out []Owed
	for _, d := range duties {
		if !slices.ContainsFunc(d.names(), told) || !d.ripe(facts) {
			continue // an answer that comes by an inbox is never seen here
		}
		for _, c := range d.causes(facts) {
			if d.answered(facts, c) {
				continue
			}
			o := Owed{Obligation: d.Name, Owner: d.Owner, Events: d.names(), Subject: c.subject, CauseID: c.fact.id, CauseType: c.fact.event, Since: c.fact.at, Within: d.Within, NextAction: d.NextAction}
			if !slices.ContainsFunc(out, o.same) {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b Owed) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Obligation, b.Obligation), strings.Compare(a.Subject, b.Subject))
	})
	return out
}

// names are the events that answer it, each once.
func (d Duty) names() (events []string) {
	for _, s := range d.Events {
		if !slices.Contains(events, s.Event) {
			events = append(events, s.Event)
		}
	}
	return events
}

// ripe is true when all that a duty needs besides its cause has come.
func (d Duty) ripe(facts []fact) bool {
	for _, need := range d.Needs {
		if !slices.ContainsFunc(facts, func(f fact) bool { return anyOf(need, f) }) {
			return false
		}
	}
	return true
}

type causing struct {
	subject string
	fact    fact
}

// causes are the last causes of a duty, one a subject.
func (d Duty) causes(facts []fact) []causing {
	var out []causing
	for _, f := range facts {
		if !d.Because.of(f) {
			continue
		}
		subject := ""
		for _, r := range f.about {
			if r.field == d.Subject {
				subject = r.value
			}
		}
		out = slices.DeleteFunc(out, func(c causing) bool { return c.subject == subject })
		out = append(out, causing{subject, f})
	}
	return out
}

func (d Duty) answered(facts []fact, c causing) bool {
	return slices.ContainsFunc(facts, func(f fact) bool {
		return (anyOf(d.Events, f) || anyOf(d.Void, f)) && f.after(c.fact.position) && f.names(d.Subject, c.subject)
	})
}

// Owed is an event that is owed and absent.
type Owed struct {
	Obligation string    `json:"obligation"`
	Owner      string    `json:"owner"`
	Events     []string  `json:"events"`
	Subject    string    `json:"subject,omitempty"`
	CauseID    string    `json:"causeId"`
	CauseType  string    `json:"causeType"`
	Overdue    bool      `json:"overdue"`
	DueAt      time.Time `json:"dueAt,omitzero"` // only where the process manager has said it
	Since      time.Time `json:"since,omitzero"`
	Within     string    `json:"within,omitempty"`
	Clock      string    `json:"clock,omitempty"`
	OwnerLag   int64     `json:"ownerLag,omitempty"` // records the owner had before it to read the cause
	NextAction string    `json:"nextAction,omitempty"`
	MetBy      string    `json:"metBy,omitempty"` // what met it, late
	MetAt      time.Time `json:"metAt,omitzero"`
}

func (o Owed) same(p Owed) bool {
	return o.Owner == p.Owner && o.Subject == p.Subject && slices.Equal(o.Events, p.Events)
}

// owed is an obligation as it is shown.
func (o *obligation) owed() Owed {
	s := o.said.value
	return Owed{
		Obligation: s.Obligation, Owner: s.Owner, Events: s.Events, Subject: s.Subject, CauseID: s.CauseID, CauseType: s.CauseType,
		Overdue: o.metBy == "", DueAt: s.DueAt.UTC(), Since: o.at, Clock: s.Clock, OwnerLag: s.OwnerLag, NextAction: s.NextAction,
		MetBy: o.metBy, MetAt: o.metAt,
	}
}
