package probe

import (
	"context"
	"strconv"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// Its events are borrowed from the catalogue; what they mean here:
type (
	// fraudHoldPlaced is input n of a key: its score.
	fraudHoldPlaced struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	// fraudCleared says the count of a key's inputs after one of them.
	fraudCleared struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"` // what counted it, and the input's number
	}
	// fraudRejected is the same of the set behind the hop.
	fraudRejected struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"`
		Reason           string `avro:"reason"`
	}
	// fraudReviewed goes over the hop.
	fraudReviewed struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Reviewer         string `avro:"reviewer"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	// fraudScored is the outcome of the call.
	fraudScored struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	scoreRead struct {
		Score int32 `avro:"score"`
	}
	request struct {
		Number int32 `avro:"number"`
	}
	// counts is a row: what a key has had, by what brought it.
	counts struct {
		Inputs   int32 `avro:"inputs"`
		Rings    int32 `avro:"rings"`
		Outcomes int32 `avro:"outcomes"`
	}
	// hops is a row behind the hop.
	hops struct {
		Count int32 `avro:"count"`
	}
)

// What it has on the broker, without the prefix.
const (
	Name     = "risk"              // its group, and its first set
	Behind   = Name + "." + hopSet // its set behind the hop
	Inputs   = "holds"
	Facts    = "counts"
	Inbox    = Name + ".inbox" // outcomes
	HopInbox = Behind + ".inbox"
	State    = Name + topology.StateSuffix
	HopState = Behind + topology.StateSuffix
	Dead     = Name + ".dead"

	hopSet = "hops"
)

// What counted.
const (
	ByStep  = "STEP"
	ByHop   = "HOP"
	byTimer = "TIMER"
	byCall  = "EFFECT"
)

// Every input is counted and goes over the hop; some arm a timer, call the world
// or are parked; some end the row behind the hop, which begins anew.
const (
	ringEvery = 5
	parkEvery = 6
	callEvery = 7
	endEvery  = 8
)

// Estate is the probe's map: one topic in, one out.
func Estate(partitions int32) topology.Estate {
	topic := func(name string, events ...string) topology.Topic {
		return topology.Topic{Name: name, Owner: Name, Key: "tenant/order", Events: events, Retention: topology.Retention{For: 30 * 24 * time.Hour}}
	}
	return topology.Estate{Version: 1, Partitions: partitions, Topics: []topology.Topic{
		topic(Inputs, "FraudHoldPlaced"), topic(Facts, "FraudCleared", "FraudRejected"),
	}, Inboxes: []topology.Inbox{{Name: Name, Writers: []string{Name}}, {Name: Behind, Writers: []string{Name}}}}
}

// Config is what differs from place to place.
type Config struct {
	World     partner.Client // answers POST /calls with the number it is given
	RingAfter time.Duration
	ParkAfter time.Duration    // 0: nothing is parked
	Now       func() time.Time // which what is parked waits for, as no step of the estate may
}

// Service is the probe.
func Service(c Config) topology.Service {
	return topology.Service{
		Name: Name, Owner: Name, Doc: "counts what it is given, in every way the runtime has",
		Publishes: []topology.Output{topology.Publishes[fraudCleared](), topology.Publishes[fraudRejected]()},
		Asks:      []topology.Output{topology.Asks[fraudReviewed](Behind)},
		Sets: []topology.Set{
			topology.Keyed("", "order", "probe.counts",
				topology.On("FraudHoldPlaced", c.onInput),
				topology.Due("ring", onRing),
				topology.Outcome("call", topology.ByKey, c.call, onOutcome),
			),
			topology.Keyed(hopSet, "order behind a hop", "probe.hops", topology.Asked("FraudReviewed", onHop)),
		},
	}
}

func (c Config) call(ctx context.Context, call topology.Call, r request) (fraudScored, error) {
	var answer struct{ Number int32 }
	err := c.World.Post(ctx, "/calls", call.ID, r, &answer)
	return fraudScored{Decision: "CLEAR", Score: answer.Number}, err
}

func (c Config) onInput(r *counts, e scoreRead, t *topology.Turn) error {
	if c.ParkAfter > 0 && e.Score%parkEvery == 0 && c.Now().Before(t.Now.Add(c.ParkAfter)) {
		return topology.Park(c.ParkAfter, "its time has not come")
	}
	r.Inputs++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudCleared{Score: r.Inputs, Basis: ByStep + " " + n}, ByStep, n)
	t.AskAs(Behind, overHop+t.Cause.Key, &fraudReviewed{Score: e.Score}, n)
	if e.Score%ringEvery == 0 {
		t.At(t.Now.Add(c.RingAfter), "ring", n)
	}
	if e.Score%callEvery == 0 {
		t.Intend("call", request{e.Score}, n)
	}
	return nil
}

// overHop begins a key behind the hop.
const overHop = "hop/"

func onRing(r *counts, t *topology.Turn) error {
	r.Rings++
	n := strconv.Itoa(int(r.Rings))
	t.Publish(&fraudCleared{Score: r.Rings, Basis: byTimer + " " + n}, byTimer, n)
	return nil
}

func onOutcome(r *counts, e fraudScored, t *topology.Turn) error {
	r.Outcomes++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudCleared{Score: r.Outcomes, Basis: byCall + " " + n}, byCall, n)
	return nil
}

func onHop(r *hops, e scoreRead, t *topology.Turn) error {
	r.Count++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudRejected{Score: r.Count, Basis: ByHop + " " + n}, ByHop, n)
	if e.Score%endEvery == 0 {
		t.End()
	}
	return nil
}
