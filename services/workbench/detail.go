package workbench

import (
	"cmp"
	"net/url"
	"slices"
	"time"
)

// FlowAnswer is all that is known of a flow.
type FlowAnswer struct {
	Flow          FlowRow        `json:"flow"`
	CorrelationID string         `json:"correlationId,omitempty"`
	Now           time.Time      `json:"now"`
	Overdue       []Owed         `json:"overdue"`  // the process manager says so
	Expected      []Owed         `json:"expected"` // by event names alone
	Settled       []Owed         `json:"settled"`  // met, but late
	Facts         []FactRow      `json:"facts"`
	Part          Part           `json:"part"`
	Left          string         `json:"left,omitempty"` // what of the facts is not kept here
	Mismatches    []MismatchRow  `json:"mismatches"`
	Exceptions    []ExceptionRow `json:"exceptions"`
}

// FactRow is a fact as it is shown.
type FactRow struct {
	ID        string    `json:"id"`
	Event     string    `json:"event"`
	Source    string    `json:"source"`
	At        time.Time `json:"at"`
	Says      string    `json:"says"`
	CauseID   string    `json:"causeId,omitempty"`
	Cause     string    `json:"cause,omitempty"` // its type, where it is among the facts
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
}

// What is said of facts that are not kept.
const (
	onlySummary = "The flow closed long ago: only its summary is kept here. Its facts are on the topics."
	onlyLatest  = "The flow has very many facts: only the latest are kept here. The others are on the topics."
)

func (b *Bench) detail(n number, q url.Values) (FlowAnswer, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	f := b.flows[n]
	if f == nil {
		return FlowAnswer{}, false
	}
	a := FlowAnswer{
		Flow: f.row(b.config.Duties), CorrelationID: f.placed.value.correlation, Now: b.config.Now().UTC(),
		Overdue: []Owed{}, Expected: []Owed{}, Settled: []Owed{}, Facts: []FactRow{}, Mismatches: []MismatchRow{}, Exceptions: []ExceptionRow{},
	}
	facts := inOrder(f.facts)
	b.owed(f, facts, &a)
	for _, m := range f.differences() {
		a.Mismatches = append(a.Mismatches, m.row(n, b.words))
	}
	a.exceptions(b.exceptions)
	switch {
	case f.facts == nil:
		a.Left = onlySummary
	case f.trimmed:
		a.Left = onlyLatest
	}
	facts, a.Part = cut(facts, pageOf(q), factsPerPage)
	for _, x := range facts {
		a.Facts = append(a.Facts, FactRow{
			ID: x.id, Event: x.event, Source: x.source, At: x.at, Says: x.says, CauseID: x.cause, Cause: f.facts[x.cause].event,
			Topic: x.position.topic, Partition: x.position.partition, Offset: x.position.offset,
		})
	}
	return a, true
}

// owed lists what is overdue, what is expected besides, and what came late.
func (b *Bench) owed(f *flow, facts []fact, a *FlowAnswer) {
	for _, o := range f.overdue(b.config.Duties) {
		a.Overdue = append(a.Overdue, o.owed())
	}
	late := make([]*obligation, 0, len(f.obligation))
	for _, o := range f.obligation {
		if o.said.set && o.metBy != "" {
			late = append(late, o)
		}
	}
	slices.SortFunc(late, (*obligation).compare)
	for _, o := range late {
		a.Settled = append(a.Settled, o.owed())
	}
	if f.done() {
		return
	}
	for _, o := range expected(facts, b.config.Duties, func(event string) bool { return b.seen[event] }) {
		if !slices.ContainsFunc(a.Overdue, o.same) {
			a.Expected = append(a.Expected, o)
		}
	}
}

// exceptions adds those about the order; one whose tenant is not known may be
// another's, and is shown all the same.
func (a *FlowAnswer) exceptions(all map[string]exception) {
	for _, x := range all {
		if x.number.order == a.Flow.Order && cmp.Or(x.number.tenant, a.Flow.Tenant) == a.Flow.Tenant {
			a.Exceptions = append(a.Exceptions, x.row())
		}
	}
	slices.SortFunc(a.Exceptions, ExceptionRow.compare)
}
