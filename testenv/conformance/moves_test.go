package conformance

import (
	"context"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/schemas"
	"troupe/topology"
)

// stateOf says what the group is doing.
func (b *bench) stateOf() string {
	b.t.Helper()
	groups, err := b.adm.DescribeGroups(b.t.Context(), b.prefix+"fraud")
	if err != nil {
		b.t.Fatal(err)
	}
	return groups[b.prefix+"fraud"].State
}

// startHeld starts an instance whose requests of a kind are held once the gate is shut.
func (b *bench) startHeld(name string, at kmsg.Key, services ...topology.Service) (*instance, *gate) {
	b.t.Helper()
	g := newGate()
	b.options = tap{asked: func(api kmsg.Key) {
		if api == at {
			g.pass()
		}
	}}.options()
	i := b.start(name, services...)
	b.options = nil
	b.t.Cleanup(g.open)
	return i, g
}

// caught lets a first order through the gate, and waits until the others are held
// there.
func (b *bench) caught(g *gate, list []string, where string) {
	b.t.Helper()
	b.publish(list[0])
	b.settle()
	g.shut.Store(true)
	b.publishAll(list[1:])
	await(b.t, g.arrived, where)
}

// TestRebalanceInTransaction, guards 1 and 8: another member comes while a
// transaction is about to end. The tasks that go wait for that end, and whoever
// gets them goes on behind it.
func TestRebalanceInTransaction(t *testing.T) {
	b := newBench(t)
	first, ending := b.startHeld("a", kmsg.EndTxn, counting(clearing))
	list := orders(40)
	b.caught(ending, list[:20], "a transaction is about to end")
	b.start("b", counting(clearing))
	b.until("the group rebalances", func() bool { return b.stateOf() == "PreparingRebalance" })
	b.publishAll(list[20:])
	ending.open()
	b.members(2)
	b.settle()
	first.end()
	b.settle()
	b.each(list)
}

// TestZombie, guards 1 and 2: a member stands still in the middle of a
// transaction, is given up, and wakes up once its successor has done the same
// inputs and more. What it had begun must leave no trace.
func TestZombie(t *testing.T) {
	for _, c := range []struct {
		name string
		at   kmsg.Key
	}{{"before it has produced", kmsg.Produce}, {"before it commits its offsets", kmsg.TxnOffsetCommit}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.limits.TransactionTimeout = shortTransaction
			first, stall := b.startHeld("a", c.at, counting(clearing))
			list := orders(40)
			b.caught(stall, list[:20], "a transaction has begun")
			b.expel(b.member())
			// What the zombie has produced hides what lies behind it until the broker
			// gives its transaction up; the state and the inputs are not hidden.
			b.start("b", counting(clearing))
			b.publishAll(list[20:])
			b.until("the successor has committed all", b.done)
			stall.open()
			b.members(2) // the zombie is one again
			b.settle()
			first.end()
			b.settle()
			b.each(list)
		})
	}
}

// shortTransaction lets the broker give a transaction up while a test waits.
const shortTransaction = 3 * time.Second

// TestExpelledInTransaction, guard 2: a member learns in the middle of a
// transaction that its group has given it up. Its client then waits for the
// transaction to end before it joins again, and the end for a heartbeat that the
// client sends no more: without a limit neither comes.
func TestExpelledInTransaction(t *testing.T) {
	b := newBench(t)
	b.limits.TransactionTimeout = shortTransaction
	produced, expelled := newGate(), newGate()
	b.options = tap{answered: func(api kmsg.Key, answer []byte) {
		switch {
		case api == kmsg.Produce:
			produced.pass()
		case api == kmsg.Heartbeat && errorOf(answer) == kerr.UnknownMemberID.Code:
			expelled.arrive()
		}
	}}.options()
	b.start("a", counting(clearing))
	t.Cleanup(produced.open)
	list := orders(20)
	b.caught(produced, list, "a transaction has begun")
	b.expel(b.member())
	await(t, expelled.arrived, "the member has learned that it is none")
	produced.open()
	b.settle()
	b.each(list)
}

// TestStopInTransaction, guard 2: a process is told to stop in the middle of a
// transaction. It ends it, or whoever takes its tasks over waits until the broker
// gives the transaction up.
func TestStopInTransaction(t *testing.T) {
	b := newBench(t)
	b.limits.TransactionTimeout, b.limits.RebalanceTimeout = 2*patience, 3*patience // or the broker might end it for us
	first, stall := b.startHeld("a", kmsg.Produce, counting(clearing))
	list := orders(20)
	b.caught(stall, list, "a transaction has begun")
	first.stop()
	stall.open()
	first.end()
	b.until("no transaction is open", func() bool { return len(b.open("fraud", "fraud.state")) == 0 }) // markers follow a commit's answer
	b.start("b", counting(clearing))
	b.settle()
	b.each(list)
}

// TestStopInDoubt, guard 2: a process is told to stop, and does not learn whether
// its last transaction was committed. That is no failure of the process, and what
// it has in memory is not kept; the next one goes on from what the broker says.
func TestStopInDoubt(t *testing.T) {
	for _, c := range []struct {
		name string
		at   kmsg.Key
	}{{"while it commits", kmsg.EndTxn}, {"while its session ends for that", kmsg.LeaveGroup}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			doubt := newGate()
			b.options = tap{
				asked: func(api kmsg.Key) {
					if api == c.at && api == kmsg.LeaveGroup {
						doubt.pass()
					}
				},
				answered: func(api kmsg.Key, answer []byte) {
					if api != kmsg.EndTxn || !doubt.shut.Load() {
						return
					}
					if api == c.at {
						doubt.pass()
					}
					setError(answer, kerr.UnknownServerError)
				},
			}.options()
			d := b.diary()
			first := b.start("a", counting(clearing))
			t.Cleanup(doubt.open)
			b.options = nil
			list := orders(20)
			b.caught(doubt, list, "a transaction is in doubt")
			first.stop()
			doubt.open()
			first.end()
			d.tells(t, "the last session before the stop failed", "not a clear yes")
			b.clears("a", nil)
			b.each(list)
			b.agrees("a", len(list))
		})
	}
}

// open lists the transactions that nobody has ended.
func (b *bench) open(topics ...string) (open []kadm.DescribedProducer) {
	b.t.Helper()
	var ask kadm.TopicsSet
	for _, topic := range topics {
		for p := range int32(partitions) {
			ask.Add(b.prefix+topic, p)
		}
	}
	described, err := b.adm.DescribeProducers(b.t.Context(), ask)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, p)
		}
	}
	return open
}

// TestRollingRestart: three members, each ended and started again in turn while
// orders come. Each finds its disk again.
func TestRollingRestart(t *testing.T) {
	b := newBench(t)
	running := map[string]*instance{}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		running[name] = b.start(name, counting(clearing))
	}
	b.members(len(names))
	var list []string
	send := func() {
		for range 20 {
			order := "web-" + strconv.Itoa(len(list))
			list = append(list, order)
			b.publish(order)
		}
	}
	for _, name := range names {
		send()
		running[name].end()
		send()
		running[name] = b.start(name, counting(clearing))
		send()
		b.members(len(names))
	}
	b.settle()
	b.each(list)
}

// TestParkedOutliveTheProcess: what waits under its key is state. It keeps its
// order through a restart, through a move, and where the process dies and its disk
// with it.
func TestParkedOutliveTheProcess(t *testing.T) {
	for _, c := range []struct {
		name, next string
		dies       bool
	}{{"restarted", "a", false}, {"moved", "b", false}, {"dead", "a", true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			var open atomic.Bool
			service := counting(func(c *count, e placedRead, turn *topology.Turn) error {
				if !open.Load() {
					return topology.Park(time.Hour, "not yet")
				}
				if c.Orders++; turn.Cause.Envelope.ID != schemas.FactID("again", strconv.Itoa(int(c.Orders))) {
					return topology.Poison("%s came as the %d.", turn.Cause.Envelope.ID, c.Orders)
				}
				turn.Publish(&fraudCleared{Score: c.Orders, Basis: "SCORE"}, strconv.Itoa(int(c.Orders)))
				return nil
			})
			var end func()
			if c.dies {
				end = b.mortal("a", service)
			} else {
				end = b.start("a", service).end
			}
			again := func(n int) { b.publishAs("web-1", schemas.FactID("again", strconv.Itoa(n))) }
			for n := range 3 {
				again(n + 1)
			}
			ctx, cancel := context.WithCancel(t.Context())
			b.clock.At(nine.Add(90*time.Minute), "stop", func(context.Context) error { cancel(); return nil })
			if err := b.clock.Run(ctx); err == nil {
				t.Fatal("nothing was parked: the clock ran out of deadlines")
			}
			end()
			open.Store(true)
			b.start(c.next, service)
			again(4)
			b.settle()
			if got := b.scores()["web-1"]; !reflect.DeepEqual(got, []int32{1, 2, 3, 4}) {
				t.Errorf("scores %v, want them in order; %d dead letters", got, len(b.read("fraud.dead")))
			}
		})
	}
}

// TestEffectMoves: a member calls the world and is given up before the answer.
// Who takes the task over asks whether the call was made; the answer that the
// first gets after all is one of the same, and told once.
func TestEffectMoves(t *testing.T) {
	b := newBench(t)
	var first, again atomic.Int32
	called, answer := make(chan struct{}, 1), make(chan struct{})
	service := func(patient bool) topology.Service {
		return asking(func(ctx context.Context, c topology.Call, _ request) (fraudScored, error) {
			if c.Again {
				again.Add(1)
			} else {
				first.Add(1)
			}
			if patient {
				select {
				case called <- struct{}{}:
				default: // it holds the intent a third time, and nobody waits for word of it
				}
				<-answer // deaf to its context: the world answers when it answers
			}
			return fraudScored{Decision: "CLEAR", Score: 1}, nil
		}, onScored)
	}
	b.start("a", service(true))
	answers := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(answers)
	b.publish("web-1")
	await(t, called, "the call is made")
	b.start("b", service(false))
	b.members(2)
	old := b.holder(homeOf("web-1"))
	b.expel(old)
	b.until("the intent was taken up by another, or the first holds it again", func() bool {
		return again.Load() > 0 || len(called) > 0
	})
	answers()
	b.settle()
	b.each([]string{"web-1"})
	if first.Load() != 1 {
		t.Errorf("%d calls that did not say they may be repeats, want 1", first.Load())
	}
}

// holder is the member that has a partition.
func (b *bench) holder(partition int32) (id string) {
	b.t.Helper()
	b.until("somebody has the partition", func() bool {
		groups, err := b.adm.DescribeGroups(b.t.Context(), b.prefix+"fraud")
		if err != nil {
			return false
		}
		for _, m := range groups[b.prefix+"fraud"].Members {
			assigned, _ := m.Assigned.AsConsumer()
			if assigned == nil {
				continue
			}
			for _, topic := range assigned.Topics {
				for _, p := range topic.Partitions {
					if p == partition {
						id = m.MemberID
					}
				}
			}
		}
		return id != ""
	})
	return id
}
