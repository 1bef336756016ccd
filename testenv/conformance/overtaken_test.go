package conformance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology"
	"troupe/topology/stream"
)

// What a worker may do behind whoever has its tasks by then, or has had them meanwhile.

// aWhile is for what would go wrong, and does not say so, to go wrong.
const aWhile = 300 * time.Millisecond

// TestRejoinInIdleTurn: as TestRejoinInTransaction, but what the member has in hand
// changes nothing, so that only offsets are committed.
func TestRejoinInIdleTurn(t *testing.T) {
	b := newBench(t)
	b.limits.IdleCommit = time.Nanosecond // as when a second has passed since the first of them
	b.limits.TransactionInputs = 1        // what else was fetched goes into the next transaction
	in := newGate()
	step := func(hold bool) topology.Service {
		return counting(func(c *count, e placedRead, turn *topology.Turn) error {
			if turn.Cause.Envelope.Order == "noop" {
				if hold {
					in.pass()
				}
				return topology.Drop("nothing to do")
			}
			if err := clearing(c, e, turn); err != nil {
				return err
			}
			turn.End()
			return nil
		})
	}
	_, o := b.startOvertaken("a", step(true))
	t.Cleanup(in.open)

	var list []string // all of one partition
	for _, w := range orders(200) {
		if homeOf(w) == homeOf("noop") && len(list) < 20 {
			list = append(list, w)
		}
	}
	home := homeOf("noop")
	b.publishAll(list[:10])
	b.settle()
	old := b.member()
	o.beat.is.Store(fine)
	o.fetched.shut.Store(true) // the next answer is held with what lies there now
	b.publish("noop")
	await(t, o.fetched.arrived, "the first member has fetched what changes nothing")
	b.expel(old)
	second := b.start("b", step(false))
	b.publishAll(list[10:20])
	committed := func() int64 {
		all, err := b.adm.FetchOffsets(t.Context(), b.prefix+"fraud")
		if err != nil {
			t.Fatal(err)
		}
		at, _ := all.Lookup(b.prefix+"orders", home)
		return at.At
	}
	b.until("the second has done it all", func() bool { return len(b.read("fraud")) == 20 && committed() >= 21 })
	before := committed()
	o.joining.shut.Store(true)
	o.beat.is.Store(rebalance)
	await(t, o.joining.arrived, "the member is joining")
	in.shut.Store(true)
	o.fetched.open()
	await(t, in.arrived, "its turn runs a step")
	o.joining.open()
	await(t, o.again.arrived, "the first member has joined again")
	<-time.After(aWhile)
	in.open()
	<-time.After(aWhile)
	if after := committed(); after < before {
		t.Errorf("the group's offset went back from %d to %d", before, after)
	}
	second.end()
	b.settle()
	b.each(list)
}

// TestTakenAndGivenBack: while a worker rests, its tasks go to another, which works on
// them and goes; by its latest assignment the worker has what it had.
func TestTakenAndGivenBack(t *testing.T) {
	b := newBench(t)
	b.limits.CommitPause, b.limits.TransactionAge = patience, patience
	produced := newGate()
	var turns atomic.Int32
	b.rehearse = func(_ string, at stream.Point) error {
		switch at {
		case stream.AtPolled:
			turns.Add(1)
		case stream.AtProduced:
			produced.pass()
		}
		return nil
	}
	list := orders(40)
	service := counting(clearing)
	b.start("a", service)
	t.Cleanup(produced.open)
	b.limits.CommitPause, b.limits.TransactionAge, b.rehearse = 0, 0, nil
	b.publishAll(list[1:])
	b.settle()
	produced.shut.Store(true)
	b.publish(list[0])
	await(t, produced.arrived, "a commit is under way")
	began := time.Now()
	i, door := b.startOutside("b", service)
	<-time.After(time.Until(began.Add(2 * longRest)))
	produced.open()
	b.until("the commit is done", b.done)
	before := turns.Load()
	door.open()
	b.members(2)
	for n, o := range list {
		b.publishAs(o, "again-"+strconv.Itoa(n))
	}
	b.until("the second has worked", func() bool { return len(b.read("fraud")) > len(list) })
	<-time.After(aWhile)
	i.end()
	b.members(1)
	if turns.Load() != before {
		t.Fatal("the worker did not rest for long enough: the test shows nothing")
	}
	b.settle()
	for o, scores := range b.scores() {
		if !slices.Equal(scores, []int32{1, 2}) {
			t.Errorf("order %s: scores %v, want [1 2]", o, scores)
		}
	}
	for n, o := range list {
		b.publishAs(o, "third-"+strconv.Itoa(n))
	}
	b.settle()
	for o, scores := range b.scores() {
		if !slices.Equal(scores, []int32{1, 2, 3}) {
			t.Errorf("order %s: scores %v, want [1 2 3]", o, scores)
		}
	}
}

// TestOvertakenBeforeMemoryKnows: a worker is expelled between the broker's yes and its
// own memory; another worker of the process takes the task up and goes on.
func TestOvertakenBeforeMemoryKnows(t *testing.T) {
	b := newBench(t)
	b.workers = 2
	b.limits.CheckpointBytes, b.limits.CheckpointEvery = 1, time.Nanosecond // each commit is followed by a checkpoint
	ended, applied := newGate(), newGate()
	var held atomic.Value
	var all []string
	for _, w := range orders(300) {
		if homeOf(w) == homeOf("web-0") {
			all = append(all, w)
		}
	}
	b.rehearse = func(worker string, at stream.Point) error {
		switch {
		case at == stream.AtEnded && ended.shut.Load() && held.CompareAndSwap(nil, worker):
			ended.pass()
		case at == stream.AtApplied && held.Load() == worker:
			applied.pass()
		}
		return nil
	}
	i := b.start("a", counting(clearing))
	t.Cleanup(func() { ended.open(); applied.open() })
	b.members(2)
	b.publishAll(all[:5])
	b.settle()
	ended.shut.Store(true)
	b.publish(all[0])          // a repeat changes nothing
	b.publishAs(all[0], "one") // what is committed and not yet known
	await(t, ended.arrived, "the broker has said yes")
	name := held.Load().(string)
	for _, id := range b.members(2) {
		if strings.HasPrefix(id, b.prefix+name) {
			b.expel(id)
		}
	}
	b.members(1)
	b.publishAs(all[0], "two") // by the other worker
	b.until("the other has gone on", func() bool { return len(b.scores()[all[0]]) == 3 })
	<-time.After(aWhile) // and has it on its disk
	applied.shut.Store(true)
	ended.open()
	await(t, applied.arrived, "its memory knows")
	<-time.After(aWhile) // and its disk
	b.publishAs(all[1], "three")
	b.until("the other goes on", func() bool { return len(b.scores()[all[1]]) == 2 })
	<-time.After(aWhile)
	applied.open()
	i.end()
}

// TestLostAndGoesOn: a member loses its session, though the group knows it still, and
// joins again with nothing in its hands: what it had goes to another at once. Until the
// answer to its sync comes, it takes it for its own.
func TestLostAndGoesOn(t *testing.T) {
	b := newBench(t)
	service := counting(ringing, topology.Due("ring", onRing))
	var fail atomic.Bool
	syncing := newGate()
	offsets := newGate()
	var armed atomic.Bool
	b.options = tap{answered: func(api kmsg.Key, answer []byte) {
		switch {
		case api == kmsg.Heartbeat && fail.CompareAndSwap(true, false):
			setError(answer, kerr.UnknownServerError)
		case api == kmsg.SyncGroup:
			syncing.pass()
		}
	}}.options()
	b.rehearse = func(_ string, at stream.Point) error {
		if at == stream.AtOffsets && armed.Load() {
			offsets.arrive()
		}
		return nil
	}
	a := b.start("a", service)
	b.options, b.rehearse = nil, nil
	t.Cleanup(syncing.open)
	list := orders(40)
	b.armed(list)
	b.members(1)
	other, door := b.startOutside("b", service)
	// the session is lost, and while it waits to join again the other joins
	syncing.shut.Store(true)
	fail.Store(true)
	b.until("the session is lost", func() bool { return !fail.Load() })
	door.open()
	await(t, syncing.arrived, "the first member has joined again, and does not know what it has")
	await(t, other.runner.Ready(), "the second is ready")
	armed.Store(true)
	done := make(chan struct{})
	go func() { defer close(done); b.settle() }()
	select {
	case <-offsets.arrived: // it commits what is not its own any more
	case <-time.After(10 * aWhile):
	}
	<-time.After(4 * aWhile)
	syncing.open()
	<-done
	a.end()
	other.end()
	b.each(list)
}

// TestAnswerOfARowThatHasEnded: a row ends while its call is under way; the answer is
// dropped, and the call is over.
func TestAnswerOfARowThatHasEnded(t *testing.T) {
	b := newBench(t)
	b.limits.EffectsAtOnce, b.limits.EffectsInHand = 2, 2
	called := make(chan struct{}, 100)
	let := make(chan struct{})
	call := func(ctx context.Context, c topology.Call, _ request) (fraudScored, error) {
		called <- struct{}{}
		<-let
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}
	service := topology.Service{
		Name: "fraud", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "count",
			topology.On("OrderPlaced", func(c *count, e placedRead, turn *topology.Turn) error {
				if c.Orders++; c.Orders == 2 {
					turn.End()
					return nil
				}
				turn.Intend("score", request(e), "")
				return nil
			}),
			topology.Outcome("score", topology.ByLookup, call, onScored),
		)},
	}
	b.start("a", service)
	for n := range 2 {
		b.publish(fmt.Sprint("web-", n))
	}
	<-called
	for n := range 2 {
		b.publishAs(fmt.Sprint("web-", n), fmt.Sprint("end-", n))
	}
	b.until("the rows have ended", func() bool {
		n := 0
		for _, r := range b.read("fraud.state") {
			if r.Value == nil {
				n++
			}
		}
		return n == 2
	})
	close(let)
	b.settle()
	for n := range 8 { // other orders, which are to be scored
		b.publish(fmt.Sprint("other-", n))
	}
	b.until("other orders are scored", func() bool { return len(b.scores()) == 8 })
}
