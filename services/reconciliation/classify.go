package reconciliation

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"troupe/schemas/money"
)

// Difference is what two ledgers disagree on.
type Difference struct {
	Code, Subject    string
	Expected, Actual int64     // minor units, or units of a line
	AtRisk           int64     // minor units
	NotBefore        time.Time // its grace does not begin earlier
	Tolerated        bool
	Grave            bool
	// Absorbed is what of another difference is named here and nowhere else:
	// money not captured for what was not released, units not billed that were
	// never ordered.
	Absorbed int64
}

func (d Difference) delta() int64 { return d.Actual - d.Expected }

// classify names every difference that the ledger shows, each unit of it once.
func (r Rules) classify(l *Ledger) []Difference {
	c := classifier{rules: r, Ledger: l}
	c.release()
	c.match()
	if c.Placed == nil && r.knows(ordersLedger) {
		c.unknown()
	}
	c.unreleased()
	c.quantities()
	c.prices()
	c.money()
	return c.found
}

// classifier is a ledger with what follows from it.
type classifier struct {
	*Ledger
	rules    Rules
	released []release   // as the dispatches stand in the ledger
	items    []item      // every shipment line that left or was billed, in the order of its name
	overs    []overspill // lines of which more left than was ordered
	found    []Difference
}

// release is whether a dispatch had been allowed, and since when that and the
// dispatch both hold.
type release struct {
	done  bool
	since time.Time
}

// item is a line of a shipment: what left of it and what was billed.
type item struct {
	shipment string
	line     int32

	left      int32
	leftGross int64
	over      int32 // of these, beyond what was ordered

	billed      int32 // less credits
	billedNet   int64
	billedGross int64
	rounded     int64 // bills of a part of the order's line, each rounded by itself
}

func (i *item) name() string { return nameOf(i.shipment, i.line) }

// nameOf is the name of a shipment line.
func nameOf(shipment string, line int32) string { return shipment + "/" + strconv.Itoa(int(line)) }

// overspill is a line of which more left than was ordered.
type overspill struct {
	line           int32
	allowed, left  int32
	unbilled, risk int64
}

// release finds out which dispatches were allowed. Of a line's units those that
// left first use up its reservation; units that nobody ordered need none, they
// have a code of their own. Where nobody can know, all were.
func (c *classifier) release() {
	c.released = make([]release, 0, len(c.Dispatches))
	if !c.rules.knowsReleases() {
		for i := range c.Dispatches {
			c.released = append(c.released, release{true, c.Dispatches[i].At})
		}
		return
	}
	needed := map[int32]int32{}
	for _, d := range c.Dispatches {
		r := release{done: c.Cleared != nil && c.Secured != nil, since: latest(d.At, since(c.Cleared), since(c.Secured))}
		for _, p := range d.Parts {
			needed[p.Line] += p.Quantity
			n := needed[p.Line]
			if c.Placed != nil {
				l, _ := c.ordered(p.Line)
				n = min(n, l.Quantity)
			}
			i := slices.IndexFunc(c.Promises, func(s Promise) bool { return s.Line == p.Line && s.Quantity >= n })
			switch {
			case n == 0:
			case i < 0:
				r.done = false
			default:
				r.since = latest(r.since, c.Promises[i].At)
			}
		}
		c.released = append(c.released, r)
	}
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// item finds or adds a line; it stands where it is until the next one is added.
func (c *classifier) item(shipment string, line int32) *item {
	at, found := slices.BinarySearchFunc(c.items, 0, func(i item, _ int) int {
		return cmp.Or(cmp.Compare(i.shipment, shipment), cmp.Compare(i.line, line))
	})
	if !found {
		c.items = slices.Insert(c.items, at, item{shipment: shipment, line: line})
	}
	return &c.items[at]
}

// match gathers what left and what was billed per shipment line.
func (c *classifier) match() {
	parts := 0
	for i := range c.Dispatches {
		parts += len(c.Dispatches[i].Parts)
	}
	c.items = make([]item, 0, parts) // most of what is billed has left
	for n := range c.Dispatches {
		d := &c.Dispatches[n]
		for _, p := range d.Parts {
			i := c.item(d.Shipment, p.Line)
			i.left += p.Quantity
			i.leftGross += p.Gross
		}
	}
	if c.Placed != nil {
		c.spill()
	}
	for d := range c.invoices() {
		c.bill(d, 1)
	}
	for d := range c.credits() {
		c.bill(d, -1)
	}
}

// spill books the units that left beyond what was ordered.
func (c *classifier) spill() {
	for d, s := range c.spills() {
		i := c.item(d.Shipment, s.line)
		i.over += s.over
		o := slices.IndexFunc(c.overs, func(o overspill) bool { return o.line == s.line })
		if o < 0 {
			o = len(c.overs)
			c.overs = append(c.overs, overspill{line: s.line, allowed: s.allowed})
		}
		c.overs[o].left = s.left
		c.overs[o].risk += c.worth(i, s.over)
	}
	slices.SortFunc(c.overs, func(a, b overspill) int { return cmp.Compare(a.line, b.line) })
}

// bill adds a document's lines, or with a sign of -1 takes them off.
func (c *classifier) bill(d *Document, sign int32) {
	for _, b := range d.Lines {
		i := c.item(b.Shipment, b.Line)
		i.billed += sign * b.Quantity
		i.billedNet += int64(sign) * b.Net
		i.billedGross += int64(sign) * b.Gross
		if l, _ := c.ordered(b.Line); b.Quantity != l.Quantity {
			i.rounded++
		}
	}
}

// again is how many of an item's units are billed with the content of another, earlier
// document.
func (c *classifier) again(i *item) (units int32) {
	type bill struct{ document, content string }
	var first []bill // with some content
	for d := range c.invoices() {
		for _, b := range d.Lines {
			if b.Shipment != i.shipment || b.Line != i.line || b.Content == "" {
				continue
			}
			at := slices.IndexFunc(first, func(had bill) bool { return had.content == b.Content })
			switch {
			case at < 0:
				first = append(first, bill{d.Number, b.Content})
			case first[at].document != d.Number:
				units += b.Quantity
			}
		}
	}
	return units
}

// worth is the value of units of a shipment line: by the order's prices, else
// by what left, else by what was billed.
func (c *classifier) worth(i *item, units int32) int64 {
	switch l, ok := c.ordered(i.line); {
	case ok && l.Quantity > 0:
		return money.Share(l.Gross, 0, units, l.Quantity)
	case i.left > 0:
		return money.Share(i.leftGross, 0, units, i.left)
	case i.billed > 0:
		return money.Share(i.billedGross, 0, units, i.billed)
	}
	return 0
}

// unknown names the documents of an order that nobody has placed.
func (c *classifier) unknown() {
	for d := range c.invoices() {
		c.found = append(c.found, Difference{Code: unknownReference, Subject: d.Number, Actual: d.Gross, AtRisk: abs(d.Gross)})
	}
}

// unreleased names the dispatches that were not allowed. They take in what is
// not captured, up to what they are worth.
func (c *classifier) unreleased() {
	missing := max(0, c.dispatchedValue()-c.net())
	for i, d := range c.Dispatches {
		if c.released[i].done {
			continue
		}
		absorbed := min(missing, d.Value)
		missing -= absorbed
		c.found = append(c.found, Difference{
			Code: shippedNotReleased, Subject: d.Shipment, Actual: d.Value, AtRisk: d.Value, Absorbed: absorbed,
		})
	}
}

// quantities names what left, was ordered and was billed in different numbers.
func (c *classifier) quantities() {
	for n := range c.items {
		c.quantity(&c.items[n])
	}
	for _, o := range c.overs {
		c.found = append(c.found, Difference{
			Code: shippedNotOrdered, Subject: strconv.Itoa(int(o.line)), Expected: int64(o.allowed), Actual: int64(o.left),
			AtRisk: o.risk, Absorbed: o.unbilled,
		})
	}
}

// quantity compares a shipment line with its bills. What is unbilled of units
// that were never ordered is named there; what is billed beyond what left is
// billed again if the line had left or the bill is a copy, else too early.
func (c *classifier) quantity(i *item) {
	add := func(code string, expected, actual int32) {
		if expected != actual {
			if c.found == nil { // lines that have left and are not billed yet are most of what there is
				c.found = make([]Difference, 0, len(c.items))
			}
			c.found = append(c.found, Difference{
				Code: code, Subject: i.name(), Expected: int64(expected), Actual: int64(actual),
				AtRisk: abs(c.worth(i, actual-expected)),
			})
		}
	}
	switch excess := i.billed - i.left; {
	case excess < 0:
		absorbed := min(-excess, i.over)
		if o := slices.IndexFunc(c.overs, func(o overspill) bool { return o.line == i.line }); o >= 0 {
			c.overs[o].unbilled += int64(absorbed)
		}
		add(shippedNotInvoiced, i.left-absorbed, i.billed)
	case c.Placed == nil && c.rules.knows(ordersLedger): // the whole document is of nobody's order
	case i.left > 0:
		add(duplicateInvoice, i.left, i.billed)
	default:
		again := min(excess, c.again(i))
		add(invoicedNotShipped, i.left, i.billed-again)
		add(duplicateInvoice, i.billed-again, i.billed)
	}
}

// prices names the shipment lines that were billed at another unit net than the
// order's. A bill of a part may be a minor unit off the part's fair share, since
// its share depends on which units it is.
func (c *classifier) prices() {
	for n := range c.items {
		i := &c.items[n]
		l, ok := c.ordered(i.line)
		if !ok || l.Quantity <= 0 {
			continue
		}
		expected := money.Share(l.Net, 0, i.billed, l.Quantity)
		off := abs(i.billedNet - expected)
		if off <= i.rounded {
			continue
		}
		t := c.rules.Codes[priceVariance].Tolerance
		share := off*10_000 > t.BasisPoints*abs(expected)
		unit := off > t.UnitMinor*max(1, abs(int64(i.billed)))
		c.found = append(c.found, Difference{
			Code: priceVariance, Subject: i.name(), Expected: expected, Actual: i.billedNet, AtRisk: off,
			Tolerated: off < t.BelowMinor || !share && !unit, Grave: share && unit,
		})
	}
}

func (c *classifier) dispatchedValue() (sum int64) {
	for _, d := range c.Dispatches {
		sum += d.Value
	}
	return sum
}

// net is the money in hand: captured or received, less what went back.
func (c *classifier) net() (sum int64) {
	for _, m := range c.Movements {
		sum += m.Amount
	}
	return sum
}

// money compares the money in hand with what left. What pays for an unreleased
// dispatch is not too much, and what it lacks is not missing.
func (c *classifier) money() {
	if !c.rules.knows(paymentsLedger) {
		return
	}
	var owed int64
	for i, d := range c.Dispatches {
		if c.released[i].done {
			owed += d.Value
		}
	}
	all, net := c.dispatchedValue(), c.net()
	d := Difference{Actual: net}
	switch {
	case net < owed:
		d.Code, d.Expected, d.NotBefore = dispatchedNotCaptured, owed, c.uncovered(net)
	case net > all && c.finished():
		d.Code, d.Expected = capturedNotDispatched, all
	default:
		return
	}
	d.AtRisk = abs(d.delta())
	d.Tolerated = d.AtRisk <= c.rules.Codes[d.Code].Tolerance.Minor
	c.found = append(c.found, d)
}

// uncovered is since when the first dispatch is owed that the money does not
// cover.
func (c *classifier) uncovered(net int64) time.Time {
	type owed struct {
		since time.Time
		value int64
	}
	var all []owed
	for i, d := range c.Dispatches {
		if c.released[i].done {
			all = append(all, owed{c.released[i].since, d.Value})
		}
	}
	slices.SortStableFunc(all, func(a, b owed) int { return a.since.Compare(b.since) })
	for _, o := range all {
		if net -= o.value; net < 0 {
			return o.since
		}
	}
	return time.Time{}
}

// finished is true when nothing of the order is left to leave: its last
// shipment has left, or it was stopped and what could not be held has left.
func (c *classifier) finished() bool {
	if slices.ContainsFunc(c.Dispatches, func(d Dispatch) bool { return d.Last }) {
		return true
	}
	left := map[int32]int32{}
	for _, i := range c.items {
		left[i.line] += i.left
	}
	return c.Stop != nil && !slices.ContainsFunc(c.Stop.Leaving, func(u Units) bool { return left[u.Line] < u.Quantity })
}

func abs(n int64) int64 { return max(n, -n) }
