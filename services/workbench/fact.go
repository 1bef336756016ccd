package workbench

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"troupe/topology"
)

// number names an order.
type number struct{ tenant, order string }

func (n number) compare(o number) int {
	return cmp.Or(strings.Compare(n.tenant, o.tenant), strings.Compare(n.order, o.order))
}

// numberOf is the order that a fact is about. An invoice for a number that
// nobody knows names none; its key then stands in.
func numberOf(c topology.Cause) (number, bool) {
	tenant, rest, _ := strings.Cut(c.Key, "/")
	n := number{cmp.Or(c.Envelope.Tenant, tenant), cmp.Or(c.Envelope.Order, rest)}
	return n, n.tenant != "" && n.order != ""
}

// position is where a record stands.
type position struct {
	topic     string
	partition int32
	offset    int64
}

// ref names a thing: a shipment, an invoice, a tender.
type ref struct{ field, value string }

// fact is something that happened to an order.
type fact struct {
	id, event, source, cause string
	at                       time.Time
	position                 position
	lane                     int
	says                     string
	about                    []ref
	values                   []ref // the values that duties go by
}

// names reports whether the fact is about the thing: one that names none of the
// kind is about all of them.
func (f fact) names(field, value string) bool {
	silent := true
	for _, r := range f.about {
		if r.field == field {
			if r.value == value {
				return true
			}
			silent = false
		}
	}
	return silent || field == ""
}

// after reports whether the fact may answer one at p: what stands before it on
// the same topic answered an earlier one.
func (f fact) after(p position) bool {
	return f.position.topic != p.topic || f.position.offset > p.offset
}

// inOrder sorts facts as they happened: at the same instant a cause comes
// before what it caused. It looks at nothing but the facts.
func inOrder(all map[string]fact) []fact {
	depth := map[string]int{}
	facts := make([]fact, 0, len(all))
	for _, f := range all {
		facts = append(facts, f)
	}
	slices.SortFunc(facts, fact.compare)
	for _, f := range facts {
		depthOf(f, all, depth)
	}
	slices.SortStableFunc(facts, func(f, g fact) int {
		return cmp.Or(f.at.Compare(g.at), cmp.Compare(depth[f.id], depth[g.id]))
	})
	return facts
}

func depthOf(f fact, all map[string]fact, depth map[string]int) int {
	if d, known := depth[f.id]; known {
		return d
	}
	depth[f.id] = 0 // a circle of causes ends here
	if cause, here := all[f.cause]; here && !cause.at.Before(f.at) {
		depth[f.id] = 1 + depthOf(cause, all, depth)
	}
	return depth[f.id]
}

// compare is the order of facts without their causes.
func (f fact) compare(g fact) int {
	return cmp.Or(f.at.Compare(g.at), cmp.Compare(f.lane, g.lane), strings.Compare(f.position.topic, g.position.topic),
		cmp.Compare(f.position.offset, g.position.offset), strings.Compare(f.id, g.id))
}

// latest is what was said last on a topic.
type latest[T any] struct {
	set    bool
	offset int64
	value  T
}

func (l *latest[T]) take(offset int64, v T) {
	if !l.set || offset >= l.offset {
		*l = latest[T]{true, offset, v}
	}
}
