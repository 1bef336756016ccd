package shipment

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Fulfilment is one order's way out of the nodes.
type Fulfilment struct {
	Placed     bool      `avro:"placed"`
	Currency   string    `avro:"currency"`
	PromisedBy time.Time `avro:"promisedBy"`
	Lines      []Line    `avro:"lines"`

	Cleared     bool        `avro:"cleared"`
	Paid        bool        `avro:"paid"`
	Allocations []Allocated `avro:"allocations"` // the last round; none while stock is short

	Stopped     bool       `avro:"stopped"`
	StopReason  string     `avro:"stopReason"`
	StopTold    bool       `avro:"stopTold"`
	Shipments   []Shipment `avro:"shipments"`
	Waiting     []Report   `avro:"waiting"` // of the warehouse, for the order
	WaitingScan []Scan     `avro:"waitingScan"`
}

// Line is a line of the order. Amounts are minor units.
type Line struct {
	Line     int32     `avro:"line"`
	SKU      string    `avro:"sku"`
	Quantity int32     `avro:"quantity"`
	Net      int64     `avro:"net"` // after discount
	Freight  int64     `avro:"freight"`
	Tax      int64     `avro:"tax"`
	Node     string    `avro:"node"`
	ShipBy   time.Time `avro:"shipBy"`
}

// Allocated is units of a line that a node has reserved.
type Allocated struct {
	Line        int32  `avro:"line"`
	Quantity    int32  `avro:"quantity"`
	Node        string `avro:"node"`
	Reservation string `avro:"reservation"`
}

// Shipment is what leaves one node together.
type Shipment struct {
	ID       string `avro:"id"`
	Node     string `avro:"node"`
	Status   string `avro:"status"`
	Parts    []Part `avro:"parts"`
	Unasked  bool   `avro:"unasked"`
	Released bool   `avro:"released"` // the warehouse has answered the release
	Held     string `avro:"held"`     // what became of holding it back
	Tracking string `avro:"tracking"`
}

// Part is units From+1 … From+Quantity of a line: the interval fixes its share
// of the line's value.
type Part struct {
	Line        int32  `avro:"line"`
	SKU         string `avro:"sku"`
	Quantity    int32  `avro:"quantity"`
	From        int32  `avro:"from"`
	Reservation string `avro:"reservation"`
}

// Statuses of a shipment, in the order in which they come.
const (
	planned    = "PLANNED"
	picking    = "PICKING"
	packed     = "PACKED"
	dispatched = "DISPATCHED"
	delivered  = "DELIVERED"
	lost       = "LOST"
	returned   = "RETURNED"
	cancelled  = "CANCELLED"
)

// What became of holding a shipment back.
const (
	wanted  = "WANTED" // until the warehouse has answered the release
	asked   = "ASKED"
	refused = "REFUSED"
)

// Report is the warehouse's word on goods.
type Report struct {
	Kind       string     `avro:"kind"`
	ShipmentID string     `avro:"shipmentId"` // "": nobody had asked
	Node       string     `avro:"node"`
	At         time.Time  `avro:"at"`
	Carrier    string     `avro:"carrier"`
	Tracking   string     `avro:"tracking"`
	Parcels    int32      `avro:"parcels"`
	Lines      []Reported `avro:"lines"`
}

// Reported is units of a line in a report.
type Reported struct {
	Line     int32  `avro:"line"`
	SKU      string `avro:"sku"`
	Quantity int32  `avro:"quantity"`
}

// Scan is the carrier's word on a parcel.
type Scan struct {
	Kind     string    `avro:"kind"`
	Tracking string    `avro:"tracking"`
	At       time.Time `avro:"at"`
	Location string    `avro:"location"`
	Reason   string    `avro:"reason"`
}

// maxWaiting bounds the reports that wait in a row, of either kind.
const maxWaiting = 100

// shipmentID derives the name of an order's shipment from a node.
func shipmentID(order, node string) string {
	sum := sha256.Sum256([]byte(order + "\x00" + node))
	return order + "." + hex.EncodeToString(sum[:4])
}

func (f *Fulfilment) line(number int32) *Line {
	i := slices.IndexFunc(f.Lines, func(l Line) bool { return l.Line == number })
	if i < 0 {
		return nil
	}
	return &f.Lines[i]
}

func (f *Fulfilment) shipment(match func(*Shipment) bool) *Shipment {
	for i := range f.Shipments {
		if match(&f.Shipments[i]) {
			return &f.Shipments[i]
		}
	}
	return nil
}

// units counts the units of a line in shipments that satisfy the condition.
func (f *Fulfilment) units(line int32, in func(*Shipment) bool) (n int32) {
	for i := range f.Shipments {
		if !in(&f.Shipments[i]) {
			continue
		}
		for _, p := range f.Shipments[i].Parts {
			if p.Line == line {
				n += p.Quantity
			}
		}
	}
	return n
}

func (s *Shipment) alive() bool { return s.Status != cancelled }

// left is true once the goods are out of the node, for good.
func (s *Shipment) left() bool {
	return s.Status == dispatched || s.Status == delivered || s.Status == lost || s.Status == returned
}

// holdable is true while the warehouse may still be asked to keep it.
func (s *Shipment) holdable() bool {
	return s.Status == planned || s.Status == picking || s.Status == packed
}

// allocated is true when stock is promised for every unit of every line.
func (f *Fulfilment) allocated() bool {
	for _, l := range f.Lines {
		var n int32
		for _, a := range f.Allocations {
			if a.Line == l.Line {
				n += a.Quantity
			}
		}
		if n < l.Quantity {
			return false
		}
	}
	return len(f.Lines) > 0
}

// plan makes the shipments that may now be made, one a node.
func (f *Fulfilment) plan(order string) []*Shipment {
	if !f.Placed || !f.Cleared || !f.Paid || f.Stopped || !f.allocated() {
		return nil
	}
	byNode := map[string][]Allocated{}
	for _, a := range f.Allocations {
		byNode[a.Node] = append(byNode[a.Node], a)
	}
	nodes := make([]string, 0, len(byNode))
	for n := range byNode {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	first := len(f.Shipments)
	for _, node := range nodes {
		if f.shipment(func(s *Shipment) bool { return s.Node == node }) != nil {
			continue // planned before, or gone unasked
		}
		s := Shipment{ID: shipmentID(order, node), Node: node, Status: planned}
		for _, a := range byNode[node] {
			s.Parts = f.take(s.Parts, a.Line, a.Quantity, a.Reservation)
		}
		if len(s.Parts) > 0 {
			f.Shipments = append(f.Shipments, s)
		}
	}
	return f.since(first)
}

func (f *Fulfilment) since(first int) (out []*Shipment) {
	for i := first; i < len(f.Shipments); i++ {
		out = append(out, &f.Shipments[i])
	}
	return out
}

// take adds units of a line that no shipment has yet, as many as there are.
func (f *Fulfilment) take(parts []Part, line, quantity int32, reservation string) []Part {
	l := f.line(line)
	if l == nil {
		return parts
	}
	from := f.units(line, (*Shipment).alive)
	for _, p := range parts {
		if p.Line == line {
			from += p.Quantity
		}
	}
	if quantity = min(quantity, l.Quantity-from); quantity <= 0 {
		return parts
	}
	return append(parts, Part{Line: line, SKU: l.SKU, Quantity: quantity, From: from, Reservation: reservation})
}

// unasked makes a shipment of goods that left without anybody's asking. What
// the order never named is in it too, so that reconciliation can say so.
func (f *Fulfilment) unasked(order string, r Report) *Shipment {
	s := Shipment{ID: shipmentID(order, r.Node), Node: r.Node, Status: planned, Unasked: true, Released: true}
	for _, reported := range r.Lines {
		had := len(s.Parts)
		s.Parts = f.take(s.Parts, reported.Line, reported.Quantity, f.reservation(reported.Line, r.Node))
		var taken int32
		if len(s.Parts) > had {
			taken = s.Parts[had].Quantity
		}
		if more := reported.Quantity - taken; more > 0 {
			from := int32(0)
			if l := f.line(reported.Line); l != nil {
				from = l.Quantity
			}
			s.Parts = append(s.Parts, Part{Line: reported.Line, SKU: reported.SKU, Quantity: more, From: from})
		}
	}
	known := func(other *Shipment) bool { return other.ID == s.ID }
	if f.shipment(known) != nil { // a second parcel of the node
		s.ID = shipmentID(order, r.Node+"\x00"+r.Tracking)
	}
	if f.shipment(known) != nil {
		return nil // the same parcel was reported before
	}
	f.Shipments = append(f.Shipments, s)
	return &f.Shipments[len(f.Shipments)-1]
}

func (f *Fulfilment) reservation(line int32, node string) string {
	for _, a := range f.Allocations {
		if a.Line == line && a.Node == node {
			return a.Reservation
		}
	}
	return ""
}

// last is true when nothing of the order is left to leave.
func (f *Fulfilment) last() bool {
	for _, l := range f.Lines {
		if f.units(l.Line, (*Shipment).left) < l.Quantity {
			return false
		}
	}
	return true
}

// shipBy is the earliest limit of a shipment's lines.
func (f *Fulfilment) shipBy(s *Shipment) (by time.Time) {
	for _, p := range s.Parts {
		if l := f.line(p.Line); l != nil && (by.IsZero() || l.ShipBy.Before(by)) {
			by = l.ShipBy
		}
	}
	return by
}

// stopped is, per line, what will not leave any more and what has left or can
// no longer be held; ok is false while the warehouse has yet to answer.
func (f *Fulfilment) stopped() (kept, gone []Reported, ok bool) {
	if !f.Placed || !f.Stopped || f.StopTold || f.shipment(func(s *Shipment) bool { return s.holdable() && s.Held != refused }) != nil {
		return nil, nil, false
	}
	for _, l := range f.Lines {
		n := min(l.Quantity, f.units(l.Line, (*Shipment).alive))
		if n > 0 {
			gone = append(gone, Reported{Line: l.Line, SKU: l.SKU, Quantity: n})
		}
		if n < l.Quantity {
			kept = append(kept, Reported{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity - n})
		}
	}
	f.StopTold = true
	return kept, gone, true
}

// rank orders the statuses that a shipment passes through on its way.
func rank(status string) int {
	return slices.Index([]string{planned, picking, packed, dispatched, delivered}, status)
}

// advance moves a shipment forward; false if it is there or beyond.
func (s *Shipment) advance(to string) bool {
	switch s.Status {
	case lost, returned:
		return false
	case cancelled:
		if to != dispatched {
			return false // only goods that left all the same undo a cancellation
		}
	default:
		if rank(s.Status) >= rank(to) {
			return false
		}
	}
	s.Status = to
	return true
}
