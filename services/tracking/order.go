package tracking

import (
	"slices"
	"strings"
)

// number names an order.
type number struct{ tenant, order string }

// history is what an order has been through: a set of facts by ID. Sets that took in
// the same facts are equal, however the facts came.
type history struct {
	number number
	facts  []fact // by ID
}

// section is the facts of a section as a customer should read them.
func (h history) section(name string) []fact {
	var facts []fact
	for _, f := range h.facts {
		if f.words.Section == name {
			facts = append(facts, f)
		}
	}
	slices.SortFunc(facts, fact.compare)
	return facts
}

// state is the code of the last milestone.
func state(facts []fact) string {
	if len(facts) == 0 {
		return ""
	}
	return facts[len(facts)-1].words.Code
}

// about picks the facts of one shipment or document.
func about(facts []fact, subject string) []fact {
	return slices.DeleteFunc(slices.Clone(facts), func(f fact) bool { return f.subject() != subject })
}

// subjects lists the shipments or documents in the order in which they turn up.
func subjects(facts []fact) []string {
	var names []string
	for _, f := range facts {
		if s := f.subject(); !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	return names
}

func (n number) compare(o number) int {
	if c := strings.Compare(n.tenant, o.tenant); c != 0 {
		return c
	}
	return strings.Compare(n.order, o.order)
}
