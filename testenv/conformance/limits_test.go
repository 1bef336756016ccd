package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/services/triage"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
)

// What `troupe limits` says of a limit, seen where it is reached, as far as it takes
// a broker; the others are in topology/stream.

// TestBreakerStopsTheProcess: a deployment whose every step fails stops, with what
// else runs in its process, and says why. What it has not buried yet is the next
// one's.
func TestBreakerStopsTheProcess(t *testing.T) {
	b := newBench(t)
	b.limits.BreakerMinimum = 5
	bad := b.start("a", counting(func(*count, placedRead, *topology.Turn) error { return errors.New("a bad deployment") }), triage.Service())
	list := orders(20)
	b.publishAll(list)
	if says := bad.refuses(); !strings.Contains(says, "service fraud") || !strings.Contains(says, "failed by defects") {
		t.Errorf("it ends with %q, which does not say what has failed", says)
	}
	buried := len(b.read("fraud.dead"))
	if buried >= b.limits.BreakerMinimum {
		t.Errorf("%d dead letters: the one that is too many was committed with the others", buried)
	}
	b.start("a", counting(clearing), triage.Service())
	b.settle()
	cleared := b.scores()
	if len(cleared)+buried != len(list) {
		t.Errorf("%d orders are cleared and %d were buried, want %d in all", len(cleared), buried, len(list))
	}
	for o, scores := range cleared {
		if !slices.Equal(scores, []int32{1}) {
			t.Errorf("order %s: scores %v, want [1]", o, scores)
		}
	}
}

// TestTransactionInputs: of a backlog, a transaction takes so many and no more; the
// rest of what was fetched goes into the next ones.
func TestTransactionInputs(t *testing.T) {
	const most = 8
	b := newBench(t)
	b.start("a", counting(clearing)).end() // makes the topics
	list := orders(10 * most)
	b.publishAll(list)
	b.limits.TransactionInputs = most
	var mu sync.Mutex
	var sizes []int
	run := 0
	b.rehearse = func(_ string, at stream.Point) error {
		mu.Lock()
		defer mu.Unlock()
		switch at {
		case stream.AtPolled:
			run = 0
		case stream.AtTaken:
			sizes = append(sizes, run)
		}
		return nil
	}
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		mu.Lock()
		run++
		mu.Unlock()
		return clearing(c, e, turn)
	}))
	b.settle()
	b.each(list)
	mu.Lock()
	defer mu.Unlock()
	if len(sizes) == 0 || slices.Max(sizes) != most {
		t.Errorf("transactions of %v inputs, want none of more than %d, and some full", sizes, most)
	}
}

// TestStopInABacklog: a worker that is told to stop ends its transaction with what it has
// polled, however much more was fetched and however old the transaction may become.
func TestStopInABacklog(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing)).end() // makes the topics
	list := orders(40)
	b.publishAll(list)
	b.limits.PollInputs, b.limits.TransactionAge = 1, patience
	running, told := make(chan *instance, 1), make(chan time.Time)
	var once sync.Once
	i := b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		once.Do(func() {
			(<-running).stop()
			told <- time.Now()
		})
		return clearing(c, e, turn)
	}))
	running <- i
	began := <-told
	i.end()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it ends %v after it was told to", took)
	}
	b.limits.PollInputs, b.limits.TransactionAge = 0, 0
	b.start("a", counting(clearing))
	b.settle()
	b.each(list)
}

// TestHoldTimers: a timer that is due waits for an input that lies on its topic and
// does not come, for so long and no longer, and somebody is told.
func TestHoldTimers(t *testing.T) {
	b := newBench(t)
	b.quick = clock.Quick(nine, 1)
	b.limits.HoldTimers, b.limits.EndSample = 500*time.Millisecond, 20*time.Millisecond
	told := b.listen("timers no longer wait")
	lag := newGate()
	b.options = tap{answered: func(api kmsg.Key, _ []byte) {
		if api == kmsg.Fetch {
			lag.pass()
		}
	}}.options()
	list := b.sameHome(homeOf("2"), 2)
	var since time.Time
	lags := sync.OnceFunc(func() { // before the timer is armed: nobody can be faster
		lag.shut.Store(true)
		b.publish(list[1])
		since = time.Now()
	})
	fired := make(chan time.Duration, len(list))
	b.start("a", counting(func(_ *count, _ placedRead, turn *topology.Turn) error {
		lags()
		turn.At(turn.Now, "ring", "")
		return nil
	}, topology.Due("ring", func(c *count, turn *topology.Turn) error {
		select {
		case fired <- time.Since(since):
		default: // again, after an abort
		}
		return onRing(c, turn)
	})))
	t.Cleanup(lag.open)
	b.publish(list[0])
	select {
	case held := <-fired:
		if held < b.limits.HoldTimers {
			t.Errorf("it fires after %v, want it to wait for %v", held, b.limits.HoldTimers)
		}
	case <-time.After(patience):
		t.Fatal("it waits for ever")
	}
	if len(told.heard) == 0 {
		t.Error("nobody is told that an input lags")
	}
	lag.open()
	b.until("both have rung", func() bool { return len(b.read("fraud")) == len(list) })
	b.each(list)
}

// TestEffectAttempts: a call that does not come back is given up and made again, as
// one that may be a repeat; at the last of so many tries the effect may say that it
// does not know, and that is the outcome.
func TestEffectAttempts(t *testing.T) {
	b := newBench(t)
	b.limits.EffectAttempts, b.limits.EffectTimeout, b.limits.EffectBackoff = 3, 50*time.Millisecond, time.Millisecond
	var mu sync.Mutex
	var calls []topology.Call
	b.start("a", asking(func(ctx context.Context, c topology.Call, _ request) (fraudScored, error) {
		mu.Lock()
		calls = append(calls, c)
		mu.Unlock()
		switch {
		case c.Last:
			return fraudScored{Decision: "UNKNOWN", Score: 1}, nil
		case c.Attempt == 1:
			<-ctx.Done()
			return fraudScored{}, ctx.Err()
		}
		return fraudScored{}, errors.New("it cannot tell")
	}, onScored))
	b.publish("web-1")
	b.settle()
	b.each([]string{"web-1"})
	if n := len(b.read("fraud.inbox")); n != 1 {
		t.Errorf("%d outcomes, want one", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != b.limits.EffectAttempts {
		t.Fatalf("%d calls, want %d", len(calls), b.limits.EffectAttempts)
	}
	for n, c := range calls {
		if c.ID != calls[0].ID || c.Attempt != n+1 || c.Again != (n > 0) || c.Last != (n+1 == b.limits.EffectAttempts) {
			t.Errorf("call %d says that it is %+v", n+1, c)
		}
	}
}
