package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"troupe/schemas"
)

// order is what an order's invariants need of its facts.
type order struct {
	name                    string
	placed, flow, closed    bool
	at, closedAt            time.Time
	phase                   string
	ordered                 map[int32]int64 // by line
	cancelled               map[int32]int64
	left                    map[int32]int64
	unasked                 bool
	cleared, paid, promised bool
	planned                 []input
	held                    map[string]bool  // reservation → still held
	reservation             map[int32]string // of a line, the latest
	authorised, captured    map[string]int64
	shipmentTender          map[string]string // → capture
	received, refunded      map[string]int64
	units                   map[string]*matching // by shipment line
	documents               map[string][]billed
	reported                int   // mismatches of shipments and invoices that are open or accepted
	overdue, persons        int   // obligations that are overdue, people who were asked
	worth, paidIn           int64 // of what left; captured or received, less what went back
	differs                 int   // mismatches of any kind that are open
}

// matching is what left and what was billed of a shipment line.
type matching struct {
	left, billed int64
	at           time.Time
}

type billed struct {
	unit     string
	quantity int64
}

func (c *Checker) order(e schemas.Envelope) *order {
	key := e.Tenant + "/" + cmp.Or(e.Order, e.AggregateID)
	o := c.orders[key]
	if o == nil {
		o = &order{
			name: e.Order, ordered: map[int32]int64{}, cancelled: map[int32]int64{}, left: map[int32]int64{}, held: map[string]bool{}, reservation: map[int32]string{},
			authorised: map[string]int64{}, captured: map[string]int64{}, shipmentTender: map[string]string{},
			received: map[string]int64{}, refunded: map[string]int64{}, units: map[string]*matching{}, documents: map[string][]billed{},
		}
		c.orders[key] = o
	}
	return o
}

type book struct {
	fields []string
	book   func(c *Checker, o *order, in input)
}

// books says what is read of which fact, and how it is booked.
var books = map[string]book{
	"OrderPlaced":          {[]string{"lines"}, bookPlaced},
	"FlowStarted":          {nil, func(_ *Checker, o *order, _ input) { o.flow = true }},
	"FlowClosed":           {nil, func(_ *Checker, o *order, in input) { o.closed, o.closedAt = true, in.OccurredAt }},
	"FlowPhaseChanged":     {[]string{"phase"}, func(_ *Checker, o *order, in input) { o.phase = in.text("phase") }},
	"ObligationOverdue":    {nil, func(_ *Checker, o *order, _ input) { o.overdue++ }},
	"ObligationMet":        {nil, func(_ *Checker, o *order, _ input) { o.overdue-- }},
	"PersonNeeded":         {nil, func(_ *Checker, o *order, _ input) { o.persons++ }},
	"FraudCleared":         {nil, func(_ *Checker, o *order, _ input) { o.cleared = true }},
	"PaymentAuthorized":    {[]string{"authorisation", "amount", "outstanding"}, bookSecured},
	"PaymentReceived":      {[]string{"receipt", "amount", "outstanding"}, bookSecured},
	"PaymentCaptured":      {[]string{"authorisation", "capture", "shipmentId", "tender", "amount"}, bookCaptured},
	"PaymentRefunded":      {[]string{"receipt", "amount"}, bookRefunded},
	"InventoryAllocated":   {[]string{"lines"}, bookAllocated},
	"InventoryBackordered": {[]string{"lines"}, bookBackordered},
	"ReservationReleased":  {[]string{"lines"}, bookUnheld},
	"ReservationExpired":   {[]string{"lines"}, bookUnheld},
	"ReservationConsumed":  {[]string{"lines"}, bookUnheld},
	"StockReserved":        {[]string{"onHand", "reserved"}, bookStock},
	"StockAdjusted":        {[]string{"onHand", "reserved"}, bookStock},
	"ShipmentPlanned":      {[]string{"shipmentId"}, func(_ *Checker, o *order, in input) { o.planned = append(o.planned, in) }},
	"ShipmentDispatched":   {[]string{"shipmentId", "lines", "unasked", "value"}, bookDispatched},
	"FulfilmentStopped":    {[]string{"cancelled"}, bookStopped},
	"InvoiceIssued":        {[]string{"invoice", "lines"}, bookInvoice},
	"InvoiceVoided":        {[]string{"invoice"}, bookVoided},
	"CreditNoteIssued":     {[]string{"creditNote", "lines"}, bookCredit},
	"MismatchDetected":     {[]string{"mismatchId", "number"}, bookDetected},
	"MismatchCleared":      {[]string{"mismatchId", "number"}, bookSettled},
	"MismatchAccepted":     {[]string{"mismatchId", "number"}, bookSettled},
	"NotificationSent":     {[]string{"template", "factId"}, bookMail},
	"ExceptionRaised":      {[]string{"topic", "offset", "cause"}, bookException},
}

func (in input) text(field string) string {
	s, _ := in.fields[field].(string)
	return s
}

func (in input) number(field string) int64 { return integer(in.fields[field]) }

func integer(v any) int64 {
	switch n := v.(type) {
	case int32:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

// each hands on the records of an array field.
func (in input) each(field string, take func(line map[string]any)) {
	items, _ := in.fields[field].([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			take(m)
		}
	}
}

func line(m map[string]any) int32 { return int32(integer(m["line"])) }

func bookPlaced(_ *Checker, o *order, in input) {
	o.placed, o.at = true, in.OccurredAt
	in.each("lines", func(m map[string]any) { o.ordered[line(m)] += integer(m["quantity"]) })
}

func bookSecured(_ *Checker, o *order, in input) {
	o.paid = o.paid || in.number("outstanding") == 0
	if in.Type == "PaymentReceived" {
		o.received[in.text("receipt")] += in.number("amount")
		o.paidIn += in.number("amount")
		return
	}
	o.authorised[in.text("authorisation")] += in.number("amount")
}

func bookRefunded(_ *Checker, o *order, in input) {
	o.refunded[in.text("receipt")] += in.number("amount")
	o.paidIn -= in.number("amount")
}

func bookCaptured(c *Checker, o *order, in input) {
	o.captured[in.text("authorisation")] += in.number("amount")
	o.received[in.text("capture")] += in.number("amount")
	o.paidIn += in.number("amount")
	key := fmt.Sprintf("%s/%d", in.text("shipmentId"), in.number("tender"))
	if before, twice := o.shipmentTender[key]; twice {
		c.say(capturedOnce, in, "shipment and tender %s by %s and %s", key, before, in.text("capture"))
	}
	o.shipmentTender[key] = in.text("capture")
}

func bookAllocated(_ *Checker, o *order, in input) {
	o.promised = true
	in.each("lines", func(m map[string]any) {
		id, _ := m["reservationId"].(string)
		o.held[id], o.reservation[line(m)] = true, id
	})
}

// bookBackordered knows that a count took back what it no longer covers.
func bookBackordered(_ *Checker, o *order, in input) {
	in.each("lines", func(m map[string]any) { o.held[o.reservation[line(m)]] = false })
}

func bookUnheld(_ *Checker, o *order, in input) {
	in.each("lines", func(m map[string]any) {
		id, _ := m["reservationId"].(string)
		o.held[id] = false
	})
}

func bookStock(c *Checker, _ *order, in input) {
	if in.number("onHand") < 0 || in.number("reserved") < 0 {
		c.say(stockNotBelow, in, "on hand %d, reserved %d", in.number("onHand"), in.number("reserved"))
	}
}

func (o *order) unit(shipment string, line int32) *matching {
	key := fmt.Sprintf("%s/%d", shipment, line)
	m := o.units[key]
	if m == nil {
		m = &matching{}
		o.units[key] = m
	}
	return m
}

func bookDispatched(_ *Checker, o *order, in input) {
	unasked, _ := in.fields["unasked"].(bool)
	o.unasked = o.unasked || unasked
	o.worth += in.number("value")
	in.each("lines", func(m map[string]any) {
		o.left[line(m)] += integer(m["quantity"])
		u := o.unit(in.text("shipmentId"), line(m))
		u.left += integer(m["quantity"])
		u.at = in.OccurredAt
	})
}

func bookStopped(_ *Checker, o *order, in input) {
	in.each("cancelled", func(m map[string]any) { o.cancelled[line(m)] += integer(m["quantity"]) })
}

func bookInvoice(_ *Checker, o *order, in input) { o.bill(in, in.text("invoice"), 1) }

func bookCredit(_ *Checker, o *order, in input) { o.bill(in, in.text("creditNote"), -1) }

func (o *order) bill(in input, document string, sign int64) {
	in.each("lines", func(m map[string]any) {
		shipment, _ := m["shipmentId"].(string)
		u := o.unit(shipment, line(m))
		u.billed += sign * integer(m["quantity"])
		if u.at.Before(in.OccurredAt) {
			u.at = in.OccurredAt
		}
		o.documents[document] = append(o.documents[document], billed{fmt.Sprintf("%s/%d", shipment, line(m)), sign * integer(m["quantity"])})
	})
}

func bookVoided(_ *Checker, o *order, in input) {
	for _, b := range o.documents[in.text("invoice")] {
		o.units[b.unit].billed -= b.quantity
	}
	delete(o.documents, in.text("invoice"))
}

func bookDetected(c *Checker, o *order, in input) {
	if c.differs[in.text("mismatchId")] {
		c.say(mismatchOnce, in, "mismatch %s is open already", in.text("mismatchId"))
		return
	}
	c.differs[in.text("mismatchId")] = true
	o.differs++
	if ofGoods(in) {
		o.reported++
	}
}

// ofGoods is true for the codes that speak of shipments and invoices.
func ofGoods(in input) bool { return slices.Contains([]int64{1, 3, 6, 7, 8}, in.number("number")) }

func bookSettled(c *Checker, o *order, in input) {
	if c.differs[in.text("mismatchId")] {
		o.differs--
		if ofGoods(in) {
			o.reported--
		}
	}
	c.differs[in.text("mismatchId")] = false
	if in.Type == "MismatchAccepted" && ofGoods(in) {
		o.reported++
	}
}

func bookMail(c *Checker, _ *order, in input) {
	key := in.text("template") + "/" + in.text("factId")
	if c.mails[key] {
		c.say(mailOnce, in, "a second mail %s", key)
	}
	c.mails[key] = true
}

func bookException(c *Checker, _ *order, in input) {
	if in.text("topic") == "" || in.text("cause") == "" || in.number("offset") < 0 {
		c.say(exceptionSource, in, "source %q@%d, cause %q", in.text("topic"), in.number("offset"), in.text("cause"))
	}
}

// judge says what does not hold of an order as a whole.
func (c *Checker) judge(key string, o *order) {
	whole := input{Record: Record{Offset: -1}, Envelope: schemas.Envelope{Order: key}}
	young := func(at time.Time) bool { return !c.rest && at.Add(underWay).After(c.latest) }
	for _, p := range o.planned {
		if !o.cleared || !o.paid || !o.promised {
			c.say(shipsReleased, p, "planned with cleared %v, paid %v, reserved %v", o.cleared, o.paid, o.promised)
		}
	}
	for l, n := range o.left {
		if o.placed && !o.unasked && n+o.cancelled[l] > o.ordered[l] {
			c.say(linesAddUp, whole, "line %d: %d left and %d cancelled of %d", l, n, o.cancelled[l], o.ordered[l])
		}
	}
	for a, n := range o.captured {
		if n > o.authorised[a] {
			c.say(capturedWithin, whole, "%d captured of %d authorised under %s", n, o.authorised[a], a)
		}
	}
	for r, n := range o.refunded {
		if n > o.received[r] {
			c.say(refundedWithin, whole, "%d refunded of %d received under %s", n, o.received[r], r)
		}
	}
	if o.placed && !young(o.at) && (!o.flow || !o.closed && o.phase == "") {
		c.say(accounted, whole, "it was placed, and no flow says where it is")
	}
	for id, held := range o.held {
		if held && o.closed && !young(o.closedAt) {
			c.say(reserved, whole, "reservation %s is still held", id)
		}
	}
	if c.rest && o.placed && o.overdue <= 0 && o.persons == 0 && o.differs == 0 {
		c.silent(whole, o)
	}
	c.match(whole, o, young)
}

// minor is what rounding may leave.
const minor = 1

// silent judges an order of which nobody was told anything.
func (c *Checker) silent(whole input, o *order) {
	if !o.closed {
		c.say(atRest, whole, "in phase %q it waits for nothing, and nobody was told", o.phase)
	}
	if over := o.paidIn - o.worth; over > minor || over < -minor {
		c.say(paidFor, whole, "goods for %d have left and %d is in hand, and nobody was told", o.worth, o.paidIn)
	}
}

// match looks for shipment lines that left and were billed in other numbers, on
// which reconciliation is silent.
func (c *Checker) match(whole input, o *order, young func(time.Time) bool) {
	var differ []string
	for unit, m := range o.units {
		if m.left != m.billed && !young(m.at) {
			differ = append(differ, fmt.Sprintf("%s: %d left, %d billed", unit, m.left, m.billed))
		}
	}
	if len(differ) > 0 && o.reported == 0 {
		c.say(matched, whole, "%s, and no mismatch says so", strings.Join(differ, "; "))
	}
}
