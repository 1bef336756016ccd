package reconciliation

import (
	"slices"
	"strconv"
)

// maxEvidence bounds what a mismatch shows; the latest records show most.
const maxEvidence = 8

// evidence is what a mismatch shows of its records, in the order of their times. It
// is asked for what is told alone: most differences are gone before anyone hears of
// them.
func (l *Ledger) evidence(code, subject string) []Fact {
	facts := l.about(code, subject)
	slices.SortFunc(facts, Fact.compare)
	facts = slices.CompactFunc(facts, func(a, b Fact) bool { return a.compare(b) == 0 })
	return facts[max(0, len(facts)-maxEvidence):]
}

// about lists the records that a mismatch of that code and subject is made of, in no
// order, and perhaps more than once.
func (l *Ledger) about(code, subject string) (facts []Fact) {
	switch code {
	case unknownReference:
		for d := range l.invoices() {
			if d.Number == subject {
				facts = append(facts, d.Fact)
			}
		}
	case shippedNotReleased:
		for _, d := range l.Dispatches {
			if d.Shipment == subject {
				facts = append(facts, d.Fact)
			}
		}
	case shippedNotOrdered:
		for d, s := range l.spills() {
			if strconv.Itoa(int(s.line)) == subject {
				facts = append(facts, d.Fact)
			}
		}
	case dispatchedNotCaptured, capturedNotDispatched:
		for _, d := range l.Dispatches {
			facts = append(facts, d.Fact)
		}
		for _, m := range l.Movements {
			facts = append(facts, m.Fact)
		}
	default:
		facts = l.aboutItem(subject)
		if code == priceVariance && l.Placed != nil {
			facts = append(facts, *l.Placed)
		}
	}
	return facts
}

// aboutItem lists what left of a shipment line and what was billed of it.
func (l *Ledger) aboutItem(name string) (facts []Fact) {
	for _, d := range l.Dispatches {
		if slices.ContainsFunc(d.Parts, func(p Part) bool { return nameOf(d.Shipment, p.Line) == name }) {
			facts = append(facts, d.Fact)
		}
	}
	bills := func(d *Document) {
		if slices.ContainsFunc(d.Lines, func(b Billed) bool { return nameOf(b.Shipment, b.Line) == name }) {
			facts = append(facts, d.Fact)
		}
	}
	for d := range l.invoices() {
		bills(d)
	}
	for d := range l.credits() {
		bills(d)
	}
	return facts
}
