package stream

import (
	"bytes"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/table"
)

type published struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32 `avro:"score"`
}

func (w *worker) opened(t *testing.T, r *kgo.Record) published {
	t.Helper()
	f, err := w.config.Wire.Open(t.Context(), r.Value)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := schemas.NewReader[published](w.config.Wire, "FraudCleared")
	if err != nil {
		t.Fatal(err)
	}
	var p published
	if err := reader.Decode(f, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// bare is a hold that is of no order and no flow.
func (w *worker) bare(t *testing.T, key string, offset int64, at time.Time, e schemas.Envelope) *kgo.Record {
	t.Helper()
	e.ID, e.Type, e.Source, e.OccurredAt = schemas.FactID(key, strconv.FormatInt(offset, 10)), "FraudHoldPlaced", "bench", at
	value, err := w.config.Wire.Encode("holds", &holdPlaced{Envelope: e, Score: int32(offset), Reason: "measured"})
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: "holds", Offset: offset, Key: []byte(key), Value: value}
}

func shared(step func(*score, score, *topology.Turn) error) topology.Service {
	set := topology.Keyed[score]("", "order", "row")
	beside := topology.RowOf[score]("beside")
	set.Beside = &beside
	h := topology.SharedStep("FraudHoldPlaced", step)
	h.Trigger = topology.OnFact
	set.Handlers = append(set.Handlers, h)
	return topology.Service{Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()}, Sets: []topology.Set{set}}
}

// TestSharedRowIsOfNoFlow: what all keys share takes on nothing of the flow of one.
func TestSharedRowIsOfNoFlow(t *testing.T) {
	w := benched(t, shared(func(_ *score, e score, turn *topology.Turn) error {
		turn.Publish(&fraudCleared{Score: e.Score, Basis: "SCORE"}, strconv.Itoa(int(e.Score)))
		return nil
	}))
	turn, now := w.turns(t)
	turn(w.bare(t, "acme/web-1", 1, now.now, schemas.Envelope{Tenant: "acme", CorrelationID: "flow-1", Order: "web-1"}))
	for _, r := range turn(w.bare(t, "partition/0", 2, now.now, schemas.Envelope{})) {
		if p := w.opened(t, r); p.CorrelationID != "" {
			t.Errorf("a fact of no flow is told of as %q's", p.CorrelationID)
		}
	}
}

// TestSharedRowThatParked: nor does it where an input of it has waited.
func TestSharedRowThatParked(t *testing.T) {
	wait := true
	w := benched(t, shared(func(_ *score, e score, turn *topology.Turn) error {
		if wait {
			return topology.Park(time.Minute, "not yet")
		}
		turn.Publish(&fraudCleared{Score: e.Score, Basis: "SCORE"}, strconv.Itoa(int(e.Score)))
		return nil
	}))
	turn, now := w.turns(t)
	turn(w.bare(t, "acme/web-1", 1, now.now, schemas.Envelope{Tenant: "acme", CorrelationID: "flow-1", Order: "web-1"}))
	wait, now.now = false, now.now.Add(time.Hour)
	turn()
	for _, r := range turn(w.bare(t, "globex/web-2", 2, now.now, schemas.Envelope{Tenant: "", CorrelationID: "flow-2", Order: ""})) {
		if p := w.opened(t, r); p.Tenant != "" || p.Order != "" || string(r.Key) == "acme/web-1" {
			t.Errorf("published under key %q for tenant %q and order %q", r.Key, p.Tenant, p.Order)
		}
	}
}

// TestBreakerCountsOnce: inputs whose transaction is not committed come again, and are no
// further failures.
func TestBreakerCountsOnce(t *testing.T) {
	w := benched(t, topology.Service{
		Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(*score, score, *topology.Turn) error {
			return errors.New("defect")
		}))},
	})
	now := time.Now()
	for attempt := range 20 { // the broker does not take it; each time the session is built anew
		x := &transaction{began: time.Now()}
		err := w.take(t.Context(), x, fetched(w.hold(t, "web-1", 1, now), w.hold(t, "web-2", 2, now), w.hold(t, "web-3", 3, now)), map[partition]int64{})
		if err != nil {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
		for _, at := range w.tasks {
			at.release()
		}
	}
}

type noted struct {
	Sum []byte `avro:"sum"`
}

// TestStepThatFailsHasChangedNothing: also bytes that it has changed in place.
func TestStepThatFailsHasChangedNothing(t *testing.T) {
	fails := false
	w := benched(t, topology.Service{
		Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(r *noted, e score, turn *topology.Turn) error {
			if r.Sum == nil {
				r.Sum = []byte{0}
			}
			r.Sum[0]++
			if fails {
				return topology.Drop("after all not")
			}
			return nil
		}))},
	})
	turn, now := w.turns(t)
	turn(w.hold(t, "web-1", 1, now.now))
	of := w.tasks[taskID{"", 0}].table
	b, err := of.Get("Racme/web-1")
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	fails = true
	turn(w.hold(t, "web-1", 2, now.now))
	if after, _ := of.Get("Racme/web-1"); !bytes.Equal(before, after) {
		t.Errorf("what is committed was\n%x and is\n%x", before, after)
	}
}

// TestStaleWithoutTopicIDs: brokers before 2.8 give topics no IDs.
func TestStaleWithoutTopicIDs(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		m table.Marker
		s span
	}{
		"cut short":     {table.Marker{Next: 100, Applied: now}, span{end: 50}},
		"too old":       {table.Marker{Next: 100, Applied: now.Add(-6 * 24 * time.Hour)}, span{end: 500}},
		"begins behind": {table.Marker{Next: 100, Applied: now}, span{next: 200, end: 500}},
	} {
		if stale(c.m, &c.s, now) == "" {
			t.Errorf("%s: it is gone on from", name)
		}
	}
}

// TestTimersInABacklog: timers that are due and were left for the next transaction are not
// made to wait for their inputs.
func TestTimersInABacklog(t *testing.T) {
	w := benched(t, ringing(inAnHour, func() {}))
	turn, now := w.turns(t)
	for n := range int64(3) {
		turn(w.hold(t, "web-"+string('a'+rune(n)), n, now.now))
	}
	w.limits.TimersAtOnce = 1
	now.now = now.now.Add(time.Hour)
	turn()
	alarm := &heard{}
	w.alarm = alarm
	w.config.Clock = unsettled{now}
	if err := w.setAlarm(); err != nil {
		t.Fatal(err)
	}
	if !alarm.due.Equal(now.now) {
		t.Errorf("the next are due at %s, the worker wakes at %s", now.now, alarm.due)
	}
}

type heard struct{ due time.Time }

func (h *heard) Set(due, _ time.Time) { h.due = due }
func (h *heard) Stop()                {}

// unsettled is a clock that does not wait for inputs to be read.
type unsettled struct{ *replayClock }

func (unsettled) Settled() bool { return false }

// TestTimerAtTheEpoch: a row has no deadline of 0, so a timer of that time would never fire.
func TestTimerAtTheEpoch(t *testing.T) {
	w := benched(t, ringing(func(time.Time) time.Time { return time.UnixMilli(0) }, func() {}))
	turn, now := w.turns(t)
	if buried := letters(t, turn(w.hold(t, "web-1", 1, now.now))); len(buried) != 1 {
		t.Errorf("dead letters %q, want one", buried)
	}
}

// TestIntentOfASharedRow: its outcome would find no way back.
func TestIntentOfASharedRow(t *testing.T) {
	service := shared(func(_ *score, e score, turn *topology.Turn) error {
		turn.Intend("score", e, "")
		return nil
	})
	w := benched(t, service)
	turn, now := w.turns(t)
	if buried := letters(t, turn(w.hold(t, "web-1", 1, now.now))); len(buried) != 1 {
		t.Errorf("dead letters %q, want one", buried)
	}
}

// TestTimerOfAnotherVersion: a row comes from a version that had a timer more. It is a dead
// letter, not forgotten.
func TestTimerOfAnotherVersion(t *testing.T) {
	w := benched(t, echoing)
	turn, now := w.turns(t)
	at := w.tasks[taskID{"", 0}]
	due := now.now.Add(time.Hour)
	b, err := at.set.encode(&row{key: "Racme/web-1", frame: frame{Deadline: due.UnixMilli(), Timers: []armed{{Name: "new", At: due.UnixMilli()}}}, state: at.set.row.New()}, new([]byte))
	if err != nil {
		t.Fatal(err)
	}
	if err := at.table.Commit([]table.Change{{Key: "Racme/web-1", Value: b, Is: due}}, at.table.Marker()); err != nil {
		t.Fatal(err)
	}
	now.now = due
	told := turn()
	if len(told) == 0 {
		t.Fatal("nothing is told of it")
	}
	if letter, err := deadLetter(told[0]); err != nil || letter.Cause != causeDefect {
		t.Errorf("the dead letter is %+v, %v", letter, err)
	}
}

// TestUnreadGoesWithItsTask: what was known of a task's offsets when another worker took it
// is not held against it when it comes back with rows.
func TestUnreadGoesWithItsTask(t *testing.T) {
	w := benched(t, echoing)
	id := taskID{"", 0}
	w.positions, w.unread = map[partition]int64{}, map[taskID]bool{}
	w.noteUnread(map[string]map[int32]kgo.Offset{"holds": {0: kgo.NewOffset().At(-1)}})
	if !w.unread[id] {
		t.Fatal("a task without offsets is not noted")
	}
	w.leave(map[taskID]bool{})
	if w.unread[id] {
		t.Error("it is still held against the task")
	}
}
