package inventory

import "slices"

// Allocation is what one order has been promised. A line is open until it was
// asked for, then waits, is reserved, and in the end consumed, gone or released.
type Allocation struct {
	Lines     []Line `avro:"lines"`
	Round     int32  `avro:"round"`
	Cancelled bool   `avro:"cancelled"`
	Planned   bool   `avro:"planned"` // released to a node: reservations no longer expire
	Told      string `avro:"told"`    // the last fact: ALLOCATED, BACKORDERED; "" after an expiry
	Expired   bool   `avro:"expired"` // given back for want of a release; payment may yet bring it back

	Left []Departure `avro:"left"`
}

// Departure is a line that left its node, whether it was reserved by then or not.
type Departure struct {
	Line     int32  `avro:"line"`
	Shipment string `avro:"shipment"`
}

// Line is a line of the order and its one reservation.
type Line struct {
	Line        int32  `avro:"line"`
	SKU         string `avro:"sku"`
	Quantity    int32  `avro:"quantity"`
	Node        string `avro:"node"`
	Reservation string `avro:"reservation"`
	Status      string `avro:"status"`
}

// The statuses of a line. Ordered units are in exactly one of them, so the
// ledger adds up by construction.
const (
	Asked    = "ASKED"
	Short    = "SHORT"
	Reserved = "RESERVED"
	Consumed = "CONSUMED"
	Released = "RELEASED"
	Gone     = "GONE" // left although it was short: a count had said less than was there
)

// Facts told of the whole order.
const (
	allocatedTold   = "ALLOCATED"
	backorderedTold = "BACKORDERED"
)

func (a *Allocation) line(reservation string) *Line {
	for i := range a.Lines {
		if a.Lines[i].Reservation == reservation {
			return &a.Lines[i]
		}
	}
	return nil
}

// with lists the lines in a status.
func (a *Allocation) with(status string) (lines []Line) {
	for _, l := range a.Lines {
		if l.Status == status {
			lines = append(lines, l)
		}
	}
	return lines
}

// verdict says which fact the order's lines make true now; "" if none is news.
func (a *Allocation) verdict() string {
	if a.Cancelled || len(a.with(Asked)) > 0 {
		return ""
	}
	told := allocatedTold
	if len(a.with(Short)) > 0 {
		told = backorderedTold
	}
	if told == a.Told {
		return ""
	}
	a.Told = told
	a.Round++
	return told
}

// move takes every line of a status to another and lists them.
func (a *Allocation) move(from, to string, which func(Line) bool) (moved []Line) {
	for i := range a.Lines {
		if l := &a.Lines[i]; l.Status == from && which(*l) {
			l.Status = to
			moved = append(moved, *l)
		}
	}
	return moved
}

func every(Line) bool { return true }

// consumable takes the reserved lines of a shipment that has left, once every
// answer is in: till then the order is not known to be allocated.
func (a *Allocation) consumable(shipment string) []Line {
	if len(a.with(Asked)) > 0 {
		return nil
	}
	return a.move(Reserved, Consumed, a.leftWith(shipment))
}

// gone takes the lines of a shipment that left although they were short, once every
// answer is in: nobody waits for them any more.
func (a *Allocation) gone(shipment string) []Line {
	if len(a.with(Asked)) > 0 {
		return nil
	}
	return a.move(Short, Gone, a.leftWith(shipment))
}

func (a *Allocation) leftWith(shipment string) func(Line) bool {
	return func(l Line) bool { return slices.Contains(a.Left, Departure{l.Line, shipment}) }
}

// shipmentOf is the first shipment with which a line left.
func (a *Allocation) shipmentOf(line int32) string {
	i := slices.IndexFunc(a.Left, func(d Departure) bool { return d.Line == line })
	if i < 0 {
		return ""
	}
	return a.Left[i].Shipment
}

// shipments lists what has left, in its order.
func (a *Allocation) shipments() (out []string) {
	for _, d := range a.Left {
		if !slices.Contains(out, d.Shipment) {
			out = append(out, d.Shipment)
		}
	}
	return out
}
