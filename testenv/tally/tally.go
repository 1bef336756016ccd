// Package tally counts what became of orders, from the public topics alone.
package tally

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"troupe/schemas"
)

// Report is what became of a run. Money is in minor units.
type Report struct {
	Orders               int              `json:"orders"`
	Rejected             int              `json:"rejected"`
	Placed               int              `json:"placed"`
	OrdersDispatched     int              `json:"orders_dispatched"`
	ShipmentsDispatched  int              `json:"shipments_dispatched"`
	OrdersSplit          int              `json:"orders_split"`
	OrdersDelivered      int              `json:"orders_delivered"` // all that left has arrived
	OrdersCancelled      int              `json:"orders_cancelled"`
	Invoices             int              `json:"invoices"`
	Mails                int              `json:"mails"`
	MailsUnknown         int              `json:"mails_unknown"`   // on their way when a process ended: not sent again
	Mismatches           map[string]int   `json:"mismatches"`      // code → orders that ever opened it
	MismatchesOpen       map[string]int   `json:"mismatches_open"` // code → orders
	MoneyAtRisk          map[string]int64 `json:"money_at_risk"`   // code → of what is open
	Overdue              map[string]int   `json:"overdue"`         // first event named in the obligation → orders
	Flows                map[string]int   `json:"flows"`           // phase → flows
	Tenders              map[string]int   `json:"tenders"`         // kind → tenders of placed orders
	OrdersMixedTenders   int              `json:"orders_mixed_tenders"`
	OrdersVoided         int              `json:"orders_voided"`
	OrdersRefunded       int              `json:"orders_refunded"`
	CancellationsRefused int              `json:"cancellations_refused"`
	Money                Money            `json:"money"`
	Exceptions           int              `json:"exceptions"`
	Raised               []string         `json:"-"`          // the exceptions, in words
	Invariants           map[string]int   `json:"invariants"` // name → violations
	Events               int              `json:"events"`
	Transactions         int              `json:"transactions"`
	WallSeconds          float64          `json:"wall_seconds"`
}

// Money is sums over all orders.
type Money struct {
	Tenders    int64 `json:"tenders"`
	Dispatched int64 `json:"dispatched"`
	Refunded   int64 `json:"refunded"`
}

// reads lists what a tally looks at, and the step that books it.
var reads = map[string]struct {
	fields []string
	book   func(*Tally, schemas.Envelope, map[string]any)
}{
	"OrderPlaced":        {[]string{"tenders"}, (*Tally).placed},
	"OrderRejected":      {nil, func(t *Tally, e schemas.Envelope, _ map[string]any) { t.order(e).rejected = true }},
	"OrderCancelled":     {nil, func(t *Tally, e schemas.Envelope, _ map[string]any) { t.order(e).cancelled = true }},
	"ShipmentDispatched": {[]string{"shipmentId", "value"}, (*Tally).dispatched},
	"ShipmentDelivered":  {[]string{"shipmentId"}, func(t *Tally, e schemas.Envelope, f map[string]any) { t.order(e).arrived[text(f["shipmentId"])] = true }},
	"InvoiceIssued": {[]string{"invoice"}, func(t *Tally, e schemas.Envelope, f map[string]any) {
		t.invoices[e.Tenant+"/"+text(f["invoice"])] = true
	}},
	"PaymentVoided":       {[]string{"authorisation"}, (*Tally).voided},
	"PaymentRefunded":     {[]string{"refund", "amount"}, (*Tally).refunded},
	"CancellationDecided": {[]string{"accepted"}, (*Tally).decided},
	"ObligationOverdue":   {[]string{"event"}, func(t *Tally, e schemas.Envelope, f map[string]any) { t.order(e).overdue[text(f["event"])] = true }},
	"FlowPhaseChanged":    {[]string{"phase"}, func(t *Tally, e schemas.Envelope, f map[string]any) { t.phases[e.CorrelationID] = text(f["phase"]) }},
	"MismatchDetected":    {[]string{"mismatchId", "code", "atRisk"}, (*Tally).mismatch},
	"MismatchChanged":     {[]string{"mismatchId", "code", "atRisk"}, (*Tally).mismatch},
	"MismatchCleared":     {[]string{"mismatchId"}, (*Tally).settled},
	"MismatchAccepted":    {[]string{"mismatchId"}, (*Tally).settled},
	"NotificationUnknown": {[]string{"messageId"}, func(t *Tally, _ schemas.Envelope, f map[string]any) { t.unknown[text(f["messageId"])] = true }},
	"ExceptionRaised":     {[]string{"exceptionId", "service", "topic", "partition", "offset", "cause", "detail"}, (*Tally).raised},
}

// Tally takes records in any order of topics; those of one partition in theirs.
type Tally struct {
	wire       *schemas.Wire
	readers    map[string]*schemas.FieldReader
	events     int
	orders     map[string]*order
	invoices   map[string]bool
	unknown    map[string]bool // mails
	phases     map[string]string
	open       map[string]difference
	exceptions map[string]string // ID → in words
}

type order struct {
	placed, rejected, cancelled, voided, refused bool
	tenders                                      map[int32]tender
	left                                         map[string]int64 // shipment → value
	arrived, overdue, mismatches                 map[string]bool
	refunds                                      map[string]int64
}

type tender struct {
	kind   string
	amount int64
}

type difference struct {
	order, code string
	atRisk      int64
}

// New makes an empty tally.
func New(wire *schemas.Wire) (*Tally, error) {
	t := &Tally{
		wire: wire, readers: map[string]*schemas.FieldReader{}, orders: map[string]*order{}, invoices: map[string]bool{}, unknown: map[string]bool{},
		phases: map[string]string{}, open: map[string]difference{}, exceptions: map[string]string{},
	}
	for name, r := range reads {
		reader, err := schemas.NewFieldReader(wire, name, r.fields)
		if err != nil {
			return nil, err
		}
		t.readers[name] = reader
	}
	return t, nil
}

// Add takes a record's value. What cannot be read is counted and told of no order:
// that it cannot is for a checker to say, who knows where it lies.
func (t *Tally) Add(ctx context.Context, value []byte) error {
	t.events++
	f, err := t.wire.Open(ctx, value)
	if schemas.IsUnavailable(err) {
		return fmt.Errorf("count: %w", err)
	}
	if err != nil {
		return nil
	}
	reader := t.readers[f.Type]
	if reader == nil {
		return nil
	}
	e, fields, err := reader.Decode(f)
	if err != nil {
		return nil
	}
	reads[f.Type].book(t, e, fields)
	return nil
}

func (t *Tally) order(e schemas.Envelope) *order {
	key := e.Tenant + "/" + e.Order
	o := t.orders[key]
	if o == nil {
		o = &order{
			tenders: map[int32]tender{}, left: map[string]int64{}, arrived: map[string]bool{}, overdue: map[string]bool{},
			mismatches: map[string]bool{}, refunds: map[string]int64{},
		}
		t.orders[key] = o
	}
	return o
}

func (t *Tally) placed(e schemas.Envelope, f map[string]any) {
	o := t.order(e)
	o.placed = true
	tenders, _ := f["tenders"].([]any)
	for _, item := range tenders {
		m, _ := item.(map[string]any)
		sequence, _ := m["sequence"].(int32)
		o.tenders[sequence] = tender{text(m["kind"]), amount(m["amount"])}
	}
}

func (t *Tally) dispatched(e schemas.Envelope, f map[string]any) {
	t.order(e).left[text(f["shipmentId"])] = amount(f["value"])
}

// voided counts a hold that was given back, not that there was none to give.
func (t *Tally) voided(e schemas.Envelope, f map[string]any) {
	o := t.order(e)
	o.voided = o.voided || text(f["authorisation"]) != ""
}

func (t *Tally) refunded(e schemas.Envelope, f map[string]any) {
	t.order(e).refunds[text(f["refund"])] = amount(f["amount"])
}

func (t *Tally) decided(e schemas.Envelope, f map[string]any) {
	accepted, _ := f["accepted"].(bool)
	t.order(e).refused = !accepted
}

func (t *Tally) mismatch(e schemas.Envelope, f map[string]any) {
	code := text(f["code"])
	t.order(e).mismatches[code] = true
	t.open[text(f["mismatchId"])] = difference{e.Tenant + "/" + e.Order, code, amount(f["atRisk"])}
}

func (t *Tally) settled(_ schemas.Envelope, f map[string]any) { delete(t.open, text(f["mismatchId"])) }

func (t *Tally) raised(e schemas.Envelope, f map[string]any) {
	partition, _ := f["partition"].(int32)
	t.exceptions[text(f["exceptionId"])] = fmt.Sprintf("%s: %s of %s/%d@%d, order %q at %s: %s", text(f["service"]), text(f["cause"]),
		text(f["topic"]), partition, amount(f["offset"]), e.Order, e.OccurredAt.UTC().Format(time.RFC3339), text(f["detail"]))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func amount(v any) int64 {
	n, _ := v.(int64)
	return n
}

// Report sums up.
func (t *Tally) Report() Report {
	r := Report{
		Invoices: len(t.invoices), MailsUnknown: len(t.unknown), Exceptions: len(t.exceptions), Raised: slices.Sorted(maps.Values(t.exceptions)), Events: t.events, Invariants: map[string]int{},
		Mismatches: map[string]int{}, MismatchesOpen: map[string]int{}, MoneyAtRisk: map[string]int64{},
		Overdue: map[string]int{}, Flows: map[string]int{}, Tenders: map[string]int{},
	}
	for _, o := range t.orders {
		o.addTo(&r)
	}
	for _, phase := range t.phases {
		r.Flows[phase]++
	}
	seen := map[string]bool{}
	for _, d := range t.open {
		r.MoneyAtRisk[d.code] += d.atRisk
		if place := d.order + " " + d.code; !seen[place] {
			seen[place] = true
			r.MismatchesOpen[d.code]++
		}
	}
	return r
}

func (o *order) addTo(r *Report) {
	if !o.placed && !o.rejected {
		return // an orphan, of which only its document is known
	}
	r.Orders++
	count(&r.Rejected, o.rejected)
	count(&r.Placed, o.placed)
	count(&r.OrdersDispatched, len(o.left) > 0)
	count(&r.OrdersSplit, len(o.left) > 1)
	count(&r.OrdersDelivered, len(o.left) > 0 && len(o.arrived) == len(o.left))
	count(&r.OrdersCancelled, o.cancelled)
	count(&r.OrdersVoided, o.voided)
	count(&r.OrdersRefunded, len(o.refunds) > 0)
	count(&r.CancellationsRefused, o.refused)
	r.ShipmentsDispatched += len(o.left)
	for code := range o.mismatches {
		r.Mismatches[code]++
	}
	for event := range o.overdue {
		r.Overdue[event]++
	}
	kinds := map[string]bool{}
	for _, d := range o.tenders {
		kinds[d.kind] = true
		r.Tenders[d.kind]++
		r.Money.Tenders += d.amount
	}
	count(&r.OrdersMixedTenders, len(kinds) > 1)
	for _, value := range o.left {
		r.Money.Dispatched += value
	}
	for _, amount := range o.refunds {
		r.Money.Refunded += amount
	}
}

func count(n *int, is bool) {
	if is {
		*n++
	}
}

// Violations counts what does not hold.
func (r Report) Violations() (n int) {
	for _, v := range slices.Collect(maps.Values(r.Invariants)) {
		n += v
	}
	return n
}
