package virtual

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// The probe is a service beside the estate's, with a set of each kind, of which it
// is known to the last fact what must become of its inputs. Its events are
// borrowed from the catalogue; what they mean here:
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
	// fraudScored is the outcome of the effect.
	fraudScored struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	scoreRead struct {
		Score int32 `avro:"score"`
	}
	callRequest struct {
		Number int32 `avro:"number"`
	}
	// counts is a row: what a key has had, by what brought it.
	counts struct {
		Inputs   int32 `avro:"inputs"`
		Rings    int32 `avro:"rings"`
		Outcomes int32 `avro:"outcomes"`
	}
	hopCount struct {
		Count int32 `avro:"count"`
	}
)

// What counted.
const (
	byStep   = "STEP"
	byTimer  = "TIMER"
	byEffect = "EFFECT"
	byHop    = "HOP"
)

// Every input is counted and goes over the hop; some arm a timer, call the world
// or are parked; some end the row behind the hop, which begins anew.
const (
	ringEvery = 5
	callEvery = 7
	parkEvery = 6
	endEvery  = 8
	ringAfter = 30 * time.Minute // business time
	parkAfter = 20 * time.Minute
)

const (
	probePrefix = "probe."
)

// probeEstate is the map of the probe: one topic in, one out.
func probeEstate() topology.Estate {
	topic := func(name string, events ...string) topology.Topic {
		return topology.Topic{Name: name, Owner: "risk", Key: "tenant/order", Events: events, Retention: topology.Retention{For: 30 * 24 * time.Hour}}
	}
	return topology.Estate{Version: 1, Partitions: partitions, Topics: []topology.Topic{
		topic("holds", "FraudHoldPlaced"), topic("counts", "FraudCleared", "FraudRejected"),
	}, Inboxes: []topology.Inbox{{Name: "risk", Writers: []string{"risk"}}, {Name: "risk.hops", Writers: []string{"risk"}}}}
}

// probe is the service. now is business time: what is parked waits for it, which
// no step of the estate may do.
func probe(world partner.Client, now func() time.Time) topology.Service {
	call := func(ctx context.Context, c topology.Call, r callRequest) (fraudScored, error) {
		var answer struct{ Number int32 }
		err := world.Post(ctx, "/calls", c.ID, r, &answer)
		return fraudScored{Decision: "CLEAR", Score: answer.Number}, err
	}
	onInput := func(r *counts, e scoreRead, t *topology.Turn) error {
		if e.Score%parkEvery == 0 && now().Before(t.Now.Add(parkAfter)) {
			return topology.Park(parkAfter, "its time has not come")
		}
		return countInput(r, e.Score, t)
	}
	return topology.Service{
		Name: "risk", Owner: "risk", Doc: "counts what it is given, in every way the runtime has",
		Publishes: []topology.Output{topology.Publishes[fraudCleared](), topology.Publishes[fraudRejected]()},
		Asks:      []topology.Output{topology.Asks[fraudReviewed]("risk.hops")},
		Sets: []topology.Set{
			topology.Keyed("", "order", "probe.counts",
				topology.On("FraudHoldPlaced", onInput),
				topology.Due("ring", onRing),
				topology.Outcome("call", topology.ByKey, call, onOutcome),
			),
			topology.Keyed("hops", "order behind a hop", "probe.hops", topology.Asked("FraudReviewed", onHop)),
		},
	}
}

func countInput(r *counts, number int32, t *topology.Turn) error {
	r.Inputs++
	n := strconv.Itoa(int(number))
	t.Publish(&fraudCleared{Score: r.Inputs, Basis: byStep + " " + n}, byStep, n)
	t.AskAs("risk.hops", "hop/"+t.Cause.Key, &fraudReviewed{Score: number}, n)
	if number%ringEvery == 0 {
		t.At(t.Now.Add(ringAfter), "ring", n)
	}
	if number%callEvery == 0 {
		t.Intend("call", callRequest{number}, n)
	}
	return nil
}

func onRing(r *counts, t *topology.Turn) error {
	r.Rings++
	n := strconv.Itoa(int(r.Rings))
	t.Publish(&fraudCleared{Score: r.Rings, Basis: byTimer + " " + n}, byTimer, n)
	return nil
}

func onOutcome(r *counts, e fraudScored, t *topology.Turn) error {
	r.Outcomes++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudCleared{Score: r.Outcomes, Basis: byEffect + " " + n}, byEffect, n)
	return nil
}

func onHop(r *hopCount, e scoreRead, t *topology.Turn) error {
	r.Count++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudRejected{Score: r.Count, Basis: byHop + " " + n}, byHop, n)
	if e.Score%endEvery == 0 {
		t.End()
	}
	return nil
}

// history is what the log holds of the probe, read committed.
type history struct {
	inputs map[string][]int32 // of each key, the numbers in their order, each once
	facts  map[string][]fact  // of each key, as they stand on their partition
}

// fact is a count that the probe has published.
type fact struct {
	id    string
	by    string
	about int32 // the input's number; a timer's: which ring
	count int32
}

// wrong says what no moment may show; with whole also what the end must.
func (h history) wrong(whole bool) (out []string) {
	say := func(key, format string, args ...any) {
		out = append(out, "probe "+key+": "+fmt.Sprintf(format, args...))
	}
	for _, key := range slices.Sorted(maps.Keys(h.facts)) {
		if len(h.inputs[key]) == 0 {
			say(key, "facts of inputs that nobody committed: %v", h.facts[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.inputs)) {
		ids, got := map[string]bool{}, map[string][]fact{}
		for _, f := range h.facts[key] {
			if ids[f.id] {
				say(key, "fact %s %d is told twice", f.by, f.about)
			}
			ids[f.id] = true
			got[f.by] = append(got[f.by], f)
		}
		for by, want := range expected(h.inputs[key]) {
			have := got[by]
			for i, f := range have {
				if by == byEffect { // calls are answered in any order
					if !slices.ContainsFunc(want, func(w fact) bool { return w.about == f.about }) || int(f.count) != i+1 {
						say(key, "%s facts are %v, want those of %v", by, have, want)
					}
				} else if i >= len(want) || f.about != want[i].about || f.count != want[i].count {
					say(key, "%s facts are %v, want %v", by, have, want)
					break
				}
			}
			if whole && len(have) < len(want) {
				say(key, "%d of %d %s facts have come: %v of %v", len(have), len(want), by, have, want)
			}
		}
	}
	return out
}

// expected is what each way of counting must have told, in its order.
func expected(inputs []int32) map[string][]fact {
	want := map[string][]fact{byStep: nil, byHop: nil, byTimer: nil, byEffect: nil}
	hop := int32(0)
	for i, n := range inputs {
		want[byStep] = append(want[byStep], fact{about: n, count: int32(i + 1)})
		hop++
		want[byHop] = append(want[byHop], fact{about: n, count: hop})
		if n%endEvery == 0 {
			hop = 0
		}
		if n%ringEvery == 0 {
			k := int32(len(want[byTimer]) + 1)
			want[byTimer] = append(want[byTimer], fact{about: k, count: k})
		}
		if n%callEvery == 0 {
			k := int32(len(want[byEffect]) + 1)
			want[byEffect] = append(want[byEffect], fact{about: n, count: k})
		}
	}
	return want
}

// expectedRows is what a key's inputs come to. A row that has ended is none.
func expectedRows(inputs []int32) (row counts, behind hopCount) {
	want := expected(inputs)
	row = counts{Inputs: int32(len(want[byStep])), Rings: int32(len(want[byTimer])), Outcomes: int32(len(want[byEffect]))}
	for _, n := range inputs {
		if behind.Count++; n%endEvery == 0 {
			behind.Count = 0
		}
	}
	return row, behind
}

func (f fact) String() string { return fmt.Sprintf("%d:%d", f.about, f.count) }

// parseBasis splits "STEP 12".
func parseBasis(basis string) (by string, about int32, err error) {
	by, number, _ := strings.Cut(basis, " ")
	_, err = fmt.Sscan(number, &about)
	return by, about, err
}
