package workbench

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What stands on a page at most.
const (
	flowsPerPage = 100
	factsPerPage = 200
	rowsPerPage  = 200
)

// Part is which part of a list is shown.
type Part struct {
	Page  int `json:"page"`
	Pages int `json:"pages"`
	First int `json:"first"` // from 1
	Last  int `json:"last"`
	Total int `json:"total"`
}

// cut takes a page out of a list; a page beyond the last is the last.
func cut[T any](all []T, page, size int) ([]T, Part) {
	p := Part{Pages: max(1, (len(all)+size-1)/size), Total: len(all)}
	p.Page = min(max(1, page), p.Pages)
	from := (p.Page - 1) * size
	to := min(from+size, len(all))
	if to > from {
		p.First, p.Last = from+1, to
	}
	return slices.Clone(all[from:to]), p
}

func pageOf(q url.Values) int {
	n, _ := strconv.Atoi(q.Get("page")) // none is the first; what is no page the handler refuses
	return n
}

// FlowRow is a flow in a list.
type FlowRow struct {
	Tenant       string    `json:"tenant"`
	Order        string    `json:"order"`
	Phase        string    `json:"phase"`
	PhaseSince   time.Time `json:"phaseSince,omitzero"`
	Outcome      string    `json:"outcome,omitempty"`
	PlacedAt     time.Time `json:"placedAt,omitzero"`
	PromisedBy   time.Time `json:"promisedBy,omitzero"`
	ClosedAt     time.Time `json:"closedAt,omitzero"`
	LastAt       time.Time `json:"lastAt"`
	CustomerID   string    `json:"customerId,omitempty"`
	Channel      string    `json:"channel,omitempty"`
	Value        *Money    `json:"value,omitempty"`
	Cancellation string    `json:"cancellation,omitempty"`
	Overdue      []string  `json:"overdue,omitempty"` // "shipment owes CarrierScanned", the longest overdue first
	OverdueSince time.Time `json:"overdueSince,omitzero"`
	Mismatches   []string  `json:"mismatches,omitempty"` // codes of those that are open
}

// Link is the flow's address.
func (r FlowRow) Link() string { return link(r.Tenant, r.Order) }

func link(tenant, order string) string {
	return "/flows/" + url.PathEscape(tenant) + "/" + url.PathEscape(order)
}

func (f *flow) row(duties []Duty) FlowRow {
	p := f.placed.value
	r := FlowRow{
		Tenant: f.number.tenant, Order: f.number.order, Phase: f.standsAt(), PhaseSince: f.phase.value.at, Outcome: f.closed.value.outcome,
		PlacedAt: p.at, PromisedBy: p.promised, ClosedAt: f.closed.value.at, LastAt: f.last, CustomerID: p.customer, Channel: p.channel,
		Cancellation: f.cancellation(),
	}
	if f.placed.set {
		r.Value = &p.value
	}
	for i, o := range f.overdue(duties) {
		if i == 0 {
			r.OverdueSince = o.said.value.DueAt.UTC()
		}
		r.Overdue = append(r.Overdue, o.said.value.Owner+" owes "+o.said.value.Event)
	}
	for _, m := range f.differences() {
		if m.state.value.state == isOpen && !slices.Contains(r.Mismatches, m.Code) {
			r.Mismatches = append(r.Mismatches, m.Code)
		}
	}
	return r
}

// Flows is a list of flows.
type Flows struct {
	Search  string    `json:"q,omitempty"`
	Phase   string    `json:"phase,omitempty"`
	Overdue string    `json:"overdue,omitempty"` // an event that is overdue, or "any"
	Owner   string    `json:"owner,omitempty"`   // who owes it
	Phases  []string  `json:"-"`
	Part    Part      `json:"part"`
	Flows   []FlowRow `json:"flows"`
}

// anyEvent asks for flows with whatever is overdue.
const anyEvent = "any"

// words are what a list can be asked for.
type words map[string]bool

func (w words) add(more ...string) {
	for _, word := range more {
		w[word] = true
	}
}

// find takes a word in any case. One that there is not is refused: an empty list
// would look as if all were well.
func (w words) find(what, asked string) (string, error) {
	if asked == "" {
		return "", nil
	}
	there := slices.Sorted(maps.Keys(w))
	if i := slices.IndexFunc(there, func(word string) bool { return strings.EqualFold(word, asked) }); i >= 0 {
		return there[i], nil
	}
	return "", fmt.Errorf("no %s %q: there are %s", what, asked, cmp.Or(strings.Join(there, ", "), "none"))
}

// filter takes over what is asked for, if it can be: what the process tells of, and
// what has been heard.
func (l *Flows) filter(b *Bench) error {
	if l.Phase == "" && l.Overdue == "" && l.Owner == "" {
		return nil // all flows are asked for, and none need be looked at to know what there is
	}
	phases, events, owners := words{}, words{}, words{}
	phases.add(lifeOfFlow()...)
	events.add(anyEvent)
	for _, d := range b.config.Duties {
		owners.add(d.Owner)
		for _, s := range d.Events {
			events.add(s.Event)
		}
	}
	for _, f := range b.flows {
		phases.add(f.standsAt())
		for _, o := range f.obligation {
			if o.said.set {
				owners.add(o.said.value.Owner)
				events.add(o.said.value.Event)
			}
		}
	}
	var errs [3]error
	l.Phase, errs[0] = phases.find("phase", l.Phase)
	l.Overdue, errs[1] = events.find("event that can be overdue", l.Overdue)
	l.Owner, errs[2] = owners.find("context that owes events", l.Owner)
	return errors.Join(errs[:]...)
}

// list finds flows: the longest overdue first where that is asked for, else the
// youngest first.
func (b *Bench) list(q url.Values) (Flows, error) {
	l := Flows{Search: strings.TrimSpace(q.Get("q")), Phase: q.Get("phase"), Overdue: q.Get("overdue"), Owner: q.Get("owner")}
	if l.Owner != "" && l.Overdue == "" {
		l.Overdue = anyEvent
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := l.filter(b); err != nil {
		return l, err
	}
	var found []*flow
	since := map[*flow]time.Time{}
	for _, f := range b.flows {
		if phase := f.standsAt(); !slices.Contains(l.Phases, phase) {
			l.Phases = append(l.Phases, phase)
		}
		late, is := l.late(f, b.config.Duties)
		if is && (l.Phase == "" || l.Phase == f.standsAt()) && f.answers(l.Search) {
			found, since[f] = append(found, f), late
		}
	}
	slices.SortFunc(l.Phases, func(a, b string) int { return cmp.Or(cmp.Compare(placeOf(a), placeOf(b)), strings.Compare(a, b)) })
	slices.SortFunc(found, func(f, g *flow) int {
		return cmp.Or(since[f].Compare(since[g]), g.since().Compare(f.since()), f.number.compare(g.number))
	})
	found, l.Part = cut(found, pageOf(q), flowsPerPage)
	l.Flows = make([]FlowRow, 0, len(found))
	for _, f := range found {
		l.Flows = append(l.Flows, f.row(b.config.Duties))
	}
	return l, nil
}

// late is since when the asked-for event is overdue, and whether the flow
// belongs to the list at all.
func (l Flows) late(f *flow, duties []Duty) (time.Time, bool) {
	if l.Overdue == "" {
		return time.Time{}, true
	}
	for _, o := range f.overdue(duties) {
		s := o.said.value
		if (l.Overdue == anyEvent || l.Overdue == s.Event) && (l.Owner == "" || l.Owner == s.Owner) {
			return s.DueAt, true
		}
	}
	return time.Time{}, false
}

// answers reports whether the flow is meant: by its order number or the
// beginning of it, or by the whole number of a thing that a fact of it names.
func (f *flow) answers(search string) bool {
	if search == "" || strings.HasPrefix(f.number.order, search) || f.number.tenant+"/"+f.number.order == search || f.placed.value.correlation == search {
		return true
	}
	for _, x := range f.facts {
		if x.id == search || slices.ContainsFunc(x.about, func(r ref) bool { return len(search) > 2 && r.value == search }) {
			return true
		}
	}
	return false
}
