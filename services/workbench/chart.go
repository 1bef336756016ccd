package workbench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Chart is a flow drawn: a lane for each context, time from left to right. Idle
// time is squeezed, since a flow has a busy minute and then quiet days.
type Chart struct {
	Width, Height int
	Lanes         []Lane
	Ticks         []Tick
	Now           int // 0: the flow is done, and time has stopped
	Says          string
}

// Lane is a context's row.
type Lane struct {
	Name      string
	Y, Middle int
	Marks     []Mark
}

// Mark is a fact, or several at the same instant, or something that is owed.
type Mark struct {
	X, Y  int
	Kind  string // fact, phase, trouble, overdue, expected
	Count int    // shown where several facts fall together
	Text  string // what a pointer over it shows
	To    int    // to where a dashed line goes from an owed event
}

// Tick is a time on the axis.
type Tick struct {
	X          int
	Text, Date string
}

// Measures of the chart, in pixels.
const (
	laneHeight  = 40
	axisHeight  = 44
	margin      = 28
	leastGap    = 22.0 // between two instants
	mostGap     = 110.0
	gapPerScale = 11.0 // for each doubling of the idle minutes
	tickGap     = 76   // between two labels
	afterNow    = 56   // room for what is expected
	leastWidth  = 1040 // a chart that is narrower is stretched
)

// chart draws an answer.
func (b *Bench) chart(a FlowAnswer) Chart {
	axis := axisOf(a)
	c := Chart{Width: axis.width, Lanes: b.lanes(a)}
	c.Height = axisHeight + laneHeight*len(c.Lanes)
	for i := range c.Lanes {
		l := &c.Lanes[i]
		l.Y = axisHeight + laneHeight*i
		l.Middle = l.Y + laneHeight/2
		l.Marks = marks(a, l.Name, axis, l.Middle)
	}
	if axis.open {
		c.Now = axis.x(a.Now)
	}
	c.Ticks = axis.ticks()
	c.Says = fmt.Sprintf("Timeline of %d facts in %d lanes; the table below says the same.", len(a.Facts), len(c.Lanes))
	return c
}

// lanes are the contexts that have spoken or owe something.
func (b *Bench) lanes(a FlowAnswer) []Lane {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, f := range a.Facts {
		add(f.Source)
	}
	for _, o := range slices.Concat(a.Overdue, a.Expected) {
		add(o.Owner)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(b.words.lane(x), b.words.lane(y)), strings.Compare(x, y))
	})
	lanes := make([]Lane, 0, len(names))
	for _, n := range names {
		lanes = append(lanes, Lane{Name: n})
	}
	return lanes
}

// marks are what a lane shows.
func marks(a FlowAnswer, lane string, axis axis, y int) []Mark {
	var out []Mark
	for _, f := range a.Facts {
		if f.Source != lane {
			continue
		}
		x, text := axis.x(f.At), clock(f.At)+"  "+f.Event+"  "+f.Says
		if n := len(out); n > 0 && out[n-1].X == x {
			out[n-1].Count++
			out[n-1].Text += "\n" + text
			out[n-1].Kind = worse(out[n-1].Kind, kindOf(f.Event))
			continue
		}
		out = append(out, Mark{X: x, Y: y, Kind: kindOf(f.Event), Count: 1, Text: text})
	}
	end := axis.x(a.Now)
	for _, o := range a.Overdue {
		if o.Owner == lane {
			out = append(out, Mark{X: axis.x(o.DueAt), Y: y, Kind: "overdue", To: end, Text: o.sentence(a.Now)})
		}
	}
	ahead := 0
	for _, o := range a.Expected {
		if o.Owner == lane {
			ahead++ // several stand beside each other: when they will come nobody knows
			out = append(out, Mark{X: end + min(14*ahead, afterNow-10), Y: y, Kind: "expected", Text: o.sentence(a.Now)})
		}
	}
	return out
}

func kindOf(event string) string {
	switch event {
	case "ObligationOverdue", "PersonNeeded", "MismatchDetected", "MismatchChanged", "PaymentDeclined", "CaptureFailed", "CaptureUnknown", "RefundFailed",
		"FraudRejected", "ErpBookingRejected", "ParcelLost", "ReturnedToSender", "PickShort", "OrderRejected", "NotificationFailed", "NotificationUnknown":
		return "trouble"
	case "FlowPhaseChanged":
		return "phase"
	}
	return "fact"
}

func worse(a, b string) string {
	if a == "trouble" || b == "trouble" {
		return "trouble"
	}
	if a == "fact" || b == "fact" {
		return "fact"
	}
	return a
}

// sentence says what is owed in one line.
func (o Owed) sentence(now time.Time) string {
	says := o.Owner + " owes " + strings.Join(o.Events, " or ")
	if o.Subject != "" {
		says += " for " + o.Subject
	}
	if o.Overdue {
		return says + ", due " + clock(o.DueAt) + ", " + ago(o.DueAt, now)
	}
	if o.Within != "" {
		says += ", " + o.Within
	}
	return says
}

// axis maps instants to pixels.
type axis struct {
	at    []time.Time
	to    []int
	width int
	open  bool
}

func axisOf(a FlowAnswer) axis {
	x := axis{open: a.Flow.ClosedAt.IsZero() && a.Part.Page == a.Part.Pages}
	for _, f := range a.Facts {
		x.at = append(x.at, f.At)
	}
	for _, o := range a.Overdue {
		x.at = append(x.at, o.DueAt)
	}
	if x.open {
		x.at = append(x.at, a.Now)
	}
	slices.SortFunc(x.at, time.Time.Compare)
	x.at = slices.CompactFunc(x.at, time.Time.Equal)
	x.spread()
	return x
}

// spread gives every instant its place.
func (a *axis) spread() {
	at, places := 0.0, make([]float64, len(a.at))
	for i := 1; i < len(a.at); i++ {
		idle := a.at[i].Sub(a.at[i-1]).Minutes()
		at += min(mostGap, leastGap+gapPerScale*math.Log2(1+idle))
		places[i] = at
	}
	around := float64(2 * margin)
	if a.open {
		around += afterNow
	}
	stretch := 1.0
	if at > 0 && at+around < leastWidth {
		stretch = (leastWidth - around) / at
	}
	for _, p := range places {
		a.to = append(a.to, margin+int(p*stretch))
	}
	a.width = int(max(leastWidth, at+around))
}

// x is where an instant lies; what falls outside lies at the edge.
func (a axis) x(t time.Time) int {
	if len(a.at) == 0 {
		return margin
	}
	i, _ := slices.BinarySearchFunc(a.at, t, time.Time.Compare)
	return a.to[min(i, len(a.to)-1)]
}

// ticks label as many instants as there is room for; the date stands where it
// changes.
func (a axis) ticks() []Tick {
	var out []Tick
	date := ""
	for i, t := range a.at {
		if n := len(out); n > 0 && a.to[i]-out[n-1].X < tickGap {
			continue
		}
		tick := Tick{X: a.to[i], Text: t.Format("15:04")}
		if d := t.Format("2 Jan 2006"); d != date {
			tick.Date, date = d, d
		}
		out = append(out, tick)
	}
	return out
}
