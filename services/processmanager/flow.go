package processmanager

import (
	"fmt"
	"slices"
)

// Flow is one fulfilment. Its phase is derived from what has happened, never
// set, so that duplicates and reordering end in the same place.
type Flow struct {
	Definition string `avro:"definition"` // "" until the flow has begun
	Version    int32  `avro:"version"`
	Phase      string `avro:"phase"`
	Outcome    string `avro:"outcome"` // how it closed

	Ledger Ledger `avro:"ledger"`

	Held        bool `avro:"held"`
	Cleared     bool `avro:"cleared"`
	PaidFor     bool `avro:"paidFor"`
	Allocated   bool `avro:"allocated"`
	Backordered bool `avro:"backordered"`
	Failed      bool `avro:"failed"` // a compensation: somebody must decide

	Payments  []Payment  `avro:"payments"`
	Lines     []Line     `avro:"lines"`
	Shipments []Shipment `avro:"shipments"`
	Cancel    Cancel     `avro:"cancel"`
}

// Payment is one movement of money, known by its own reference, so that a repeat
// moves nothing.
type Payment struct {
	Event     string `avro:"event"`
	Reference string `avro:"reference"`
	Amount    int64  `avro:"amount"` // minor units
}

// moved sums up the movements of some kinds.
func (f *Flow) moved(events ...string) (sum int64) {
	for _, p := range f.Payments {
		if slices.Contains(events, p.Event) {
			sum += p.Amount
		}
	}
	return sum
}

// secured is the money that was held or came in first.
func (f *Flow) secured() int64 { return f.moved("PaymentAuthorized", "PaymentReceived") }

// collected is true when what has left is paid for, as far as there was money
// to take.
func (f *Flow) collected() bool {
	return f.PaidFor && f.moved("PaymentReceived", "PaymentCaptured") >= min(f.value(), f.secured())
}

// repaid is true when what was not kept for goods that left went back.
func (f *Flow) repaid() bool {
	return f.Cancel.Repaid && f.moved("PaymentVoided", "PaymentRefunded")+f.value() >= f.secured()
}

// Line is a line's units.
type Line struct {
	Line      int32 `avro:"line"`
	Quantity  int32 `avro:"quantity"`
	Cancelled int32 `avro:"cancelled"`
}

// Shipment is a shipment's way.
type Shipment struct {
	ID       string `avro:"id"`
	Status   string `avro:"status"`
	Units    []Unit `avro:"units"` // once it has left
	Value    int64  `avro:"value"` // once it has left, in minor units
	Invoiced bool   `avro:"invoiced"`
}

// Unit is units of a line in a shipment.
type Unit struct {
	Line     int32 `avro:"line"`
	Quantity int32 `avro:"quantity"`
}

// Cancel is a wish to end the flow early.
type Cancel struct {
	Requested bool   `avro:"requested"`
	Asked     bool   `avro:"asked"` // shipment was asked to stop
	Reason    string `avro:"reason"`
	Decided   bool   `avro:"decided"` // shipment has answered
	Told      bool   `avro:"told"`    // the decision was published
	Accepted  bool   `avro:"accepted"`
	Released  bool   `avro:"released"` // inventory has answered
	Repaid    bool   `avro:"repaid"`   // payment has begun to give back
}

// The phases. Those in openPhases need an obligation that ends them.
const (
	Placed              = "PLACED"
	Held                = "HELD"
	Allocating          = "ALLOCATING"
	Backordered         = "BACKORDERED"
	Released            = "RELEASED"
	Picking             = "PICKING"
	Packed              = "PACKED"
	PartiallyDispatched = "PARTIALLY_DISPATCHED"
	InTransit           = "IN_TRANSIT"
	Delivered           = "DELIVERED"
	Cancelling          = "CANCELLING"
	Compensating        = "COMPENSATING"
	NeedsPerson         = "NEEDS_PERSON"
	Closed              = "CLOSED"
	Cancelled           = "CANCELLED"
)

var openPhases = []string{
	Placed, Held, Allocating, Backordered, Released, Picking, Packed, PartiallyDispatched, InTransit, Delivered,
	Cancelling, Compensating, NeedsPerson,
}

// ledgerReads lists the fields that a flow's own books need, beside those of
// the definition.
var ledgerReads = map[string][]string{
	"OrderPlaced":           {"lines"},
	"CancellationRequested": {"reason"},
	"FraudHoldPlaced":       nil,
	"FraudCleared":          nil,
	"FraudRejected":         {"reason"},
	"PaymentAuthorized":     {"amount", "authorisation", "outstanding"},
	"PaymentReceived":       {"amount", "receipt", "outstanding"},
	"PaymentCaptured":       {"amount", "capture"},
	"PaymentVoided":         {"amount", "authorisation"},
	"PaymentRefunded":       {"amount", "refund"},
	"RefundFailed":          nil,
	"InventoryAllocated":    nil,
	"InventoryBackordered":  nil,
	"ReservationExpired":    nil,
	"ReservationReleased":   nil,
	"ShipmentPlanned":       {"shipmentId"},
	"PickingStarted":        {"shipmentId"},
	"ShipmentPacked":        {"shipmentId"},
	"ShipmentDispatched":    {"shipmentId", "lines", "value"},
	"ShipmentDelivered":     {"shipmentId"},
	"ParcelLost":            {"shipmentId"},
	"ReturnedToSender":      {"shipmentId"},
	"ShipmentCancelled":     {"shipmentId"},
	"FulfilmentStopped":     {"cancelled", "dispatched"},
	"InvoiceIssued":         {"lines"},
}

// Statuses of a shipment, in the order of its way.
var way = []string{"", "PLANNED", "PICKING", "PACKED", "DISPATCHED", "DELIVERED"}

const (
	gone     = "DISPATCHED"
	arrived  = "DELIVERED"
	stopped  = "CANCELLED"
	mislaid  = "LOST"
	returned = "RETURNED"
)

// book takes an event into the flow's books.
func (f *Flow) book(e Event) {
	switch e.Type {
	case "OrderPlaced":
		f.order(e)
	case "CancellationRequested", "FraudRejected":
		f.wishToCancel(e)
	case "FraudHoldPlaced":
		f.Held = true
	case "FraudCleared":
		f.Cleared = true
	case "PaymentAuthorized", "PaymentReceived", "PaymentCaptured", "PaymentVoided", "PaymentRefunded":
		f.bookMoney(e)
	case "RefundFailed":
		f.Failed = true
	case "InventoryAllocated":
		f.Allocated, f.Backordered = true, false
	case "InventoryBackordered":
		f.Allocated, f.Backordered = false, true
	case "ReservationExpired":
		f.Allocated = false
	case "ReservationReleased":
		f.Cancel.Released = true
	case "FulfilmentStopped":
		f.decide(e)
	case "ApproveStep", "OverrideStep":
		f.Failed = false
	default:
		f.bookShipment(e)
	}
}

// references names the field by which a movement of money is known.
var references = map[string]string{
	"PaymentAuthorized": "authorisation", "PaymentReceived": "receipt", "PaymentCaptured": "capture",
	"PaymentVoided": "authorisation", "PaymentRefunded": "refund",
}

func (f *Flow) bookMoney(e Event) {
	if outstanding, told := e.Fields["outstanding"]; told {
		f.PaidFor = f.PaidFor || number(outstanding) == 0
	}
	f.Cancel.Repaid = f.Cancel.Repaid || e.Type == "PaymentVoided" || e.Type == "PaymentRefunded"
	p := Payment{Event: e.Type, Amount: max(0, number(e.Fields["amount"]))}
	p.Reference, _ = e.Fields[references[e.Type]].(string)
	if !slices.Contains(f.Payments, p) {
		f.Payments = append(f.Payments, p)
	}
}

func (f *Flow) bookShipment(e Event) {
	switch e.Type {
	case "ShipmentPlanned":
		f.shipment(e).advance("PLANNED")
	case "PickingStarted":
		f.shipment(e).advance("PICKING")
	case "ShipmentPacked":
		f.shipment(e).advance("PACKED")
	case "ShipmentDispatched":
		s := f.shipment(e)
		s.advance(gone)
		s.Units = units(e.Fields["lines"])
		s.Value = number(e.Fields["value"])
	case "ShipmentDelivered":
		f.shipment(e).advance(arrived)
	case "ParcelLost":
		f.shipment(e).Status = mislaid
	case "ReturnedToSender":
		f.shipment(e).Status = returned
	case "ShipmentCancelled":
		f.shipment(e).Status = stopped
	case "InvoiceIssued":
		for _, l := range list(e.Fields["lines"]) {
			f.shipment(Event{Fields: l}).Invoiced = true
		}
	}
}

func (f *Flow) order(e Event) {
	for _, u := range units(e.Fields["lines"]) {
		f.line(u.Line).Quantity = u.Quantity
	}
}

// line is the one of that number, made if it is new.
func (f *Flow) line(number int32) *Line {
	i := slices.IndexFunc(f.Lines, func(l Line) bool { return l.Line == number })
	if i < 0 {
		i = len(f.Lines)
		f.Lines = append(f.Lines, Line{Line: number})
	}
	return &f.Lines[i]
}

func (f *Flow) wishToCancel(e Event) {
	if f.Cancel.Requested {
		return
	}
	f.Cancel.Requested = true
	f.Cancel.Reason = fmt.Sprint(e.Fields["reason"])
}

// decide takes shipment's word: what is held back is cancelled, if it is
// anything at all.
func (f *Flow) decide(e Event) {
	if f.Cancel.Decided {
		return
	}
	f.Cancel.Decided = true
	for _, u := range units(e.Fields["cancelled"]) {
		f.Cancel.Accepted = true
		f.line(u.Line).Cancelled = u.Quantity
	}
}

// shipment is the one that an event names, made if it is new.
func (f *Flow) shipment(e Event) *Shipment {
	id, _ := e.Fields["shipmentId"].(string)
	i := slices.IndexFunc(f.Shipments, func(s Shipment) bool { return s.ID == id })
	if i < 0 {
		i = len(f.Shipments)
		f.Shipments = append(f.Shipments, Shipment{ID: id})
	}
	return &f.Shipments[i]
}

// advance moves a shipment forward only; an end other than delivery stays.
func (s *Shipment) advance(to string) {
	if s.Status == stopped && to != gone || s.Status == mislaid || s.Status == returned {
		return
	}
	if s.Status == stopped || slices.Index(way, to) > slices.Index(way, s.Status) {
		s.Status = to
	}
}

func (s *Shipment) left() bool {
	return s.Status == gone || s.Status == arrived || s.Status == mislaid || s.Status == returned
}

// ended is true when nothing more is owed to a shipment.
func (s *Shipment) ended() bool { return s.left() && s.Status != gone }

// complete is true when every unit that is not cancelled has left.
func (f *Flow) complete() bool {
	for _, l := range f.Lines {
		var n int32
		for i := range f.Shipments {
			if !f.Shipments[i].left() {
				continue
			}
			for _, u := range f.Shipments[i].Units {
				if u.Line == l.Line {
					n += u.Quantity
				}
			}
		}
		if n < l.Quantity-l.Cancelled {
			return false
		}
	}
	return len(f.Lines) > 0
}

// any is true if a shipment satisfies the condition; every, if all that count do
// and there is one.
func (f *Flow) any(is func(*Shipment) bool) bool {
	for i := range f.Shipments {
		if is(&f.Shipments[i]) {
			return true
		}
	}
	return false
}

func (f *Flow) every(is func(*Shipment) bool) bool {
	some := false
	for i := range f.Shipments {
		s := &f.Shipments[i]
		if s.Status == stopped || s.Status == "" {
			continue
		}
		if !is(s) {
			return false
		}
		some = true
	}
	return some
}

func has(status string) func(*Shipment) bool {
	return func(s *Shipment) bool { return s.Status == status }
}

// compensated is true when everybody who was asked to undo has done all of it.
func (f *Flow) compensated() bool {
	return f.Cancel.Released && f.repaid()
}

// value is what has left, in minor units.
func (f *Flow) value() (sum int64) {
	for i := range f.Shipments {
		sum += f.Shipments[i].Value
	}
	return sum
}

// open is true while a cancellation is neither told nor refused.
func (c Cancel) open() bool { return (c.Requested || c.Decided) && !c.Told }

// nothingKept is true when every unit is cancelled. Whether a shipment has left
// says less: one that could not be held back leaves later.
func (f *Flow) nothingKept() bool {
	return !slices.ContainsFunc(f.Lines, func(l Line) bool { return l.Cancelled < l.Quantity })
}

// phase is where the flow stands.
func (f *Flow) phase() string {
	if f.Outcome != "" {
		return f.Outcome
	}
	if f.Failed {
		return NeedsPerson
	}
	if f.Cancel.open() {
		return Cancelling
	}
	if f.Cancel.Accepted && !f.compensated() {
		return Compensating
	}
	switch shipped := f.any((*Shipment).left); {
	case f.complete() && f.every((*Shipment).ended):
		return Delivered
	case f.complete() && shipped:
		return InTransit
	case shipped:
		return PartiallyDispatched
	case f.any(has("PICKING")):
		return Picking
	case f.any(has("PACKED")):
		return Packed
	case f.any(has("PLANNED")):
		return Released
	case f.Backordered:
		return Backordered
	case f.Held && !f.Cleared:
		return Held
	case f.Cleared && f.PaidFor:
		return Allocating
	}
	return Placed
}

// close says how a flow ends, "" while it does not: all that left has arrived,
// is paid for and billed; or nothing is kept and all is undone.
func (f *Flow) close() string {
	switch {
	case f.Outcome != "" || f.Failed || f.Cancel.open():
		return ""
	case f.Cancel.Accepted && !f.compensated():
		return ""
	case f.Cancel.Accepted && f.nothingKept():
		return Cancelled
	case f.complete() && f.collected() && f.every(func(s *Shipment) bool { return s.ended() && s.Invoiced }):
		return Closed
	}
	return ""
}

// list reads an array of records.
func list(v any) (out []map[string]any) {
	items, _ := v.([]any)
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func units(v any) (out []Unit) {
	for _, m := range list(v) {
		out = append(out, Unit{int32(number(m["line"])), int32(number(m["quantity"]))})
	}
	return out
}

func number(v any) int64 {
	switch n := v.(type) {
	case int32:
		return int64(n)
	case int64:
		return n
	case int:
		return int64(n)
	}
	return -1
}
