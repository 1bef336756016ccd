package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/schemas"
	"troupe/services/triage"
	"troupe/topology"
	"troupe/topology/table"
)

// count is the row of the counting service.
type count struct {
	Orders int32 `avro:"orders"`
	Rings  int32 `avro:"rings"`
}

type placedRead struct {
	Currency string `avro:"currency"`
}

type fraudCleared struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32  `avro:"score"`
	Basis            string `avro:"basis"`
}

type fraudScored struct {
	schemas.Envelope `avro:"envelope"`
	Decision         string `avro:"decision"`
	Score            int32  `avro:"score"`
	Reason           string `avro:"reason"`
}

type request struct {
	Currency string `avro:"currency"`
}

// counting is a service whose step is given by the test.
func counting(step func(*count, placedRead, *topology.Turn) error, more ...topology.Step[count]) topology.Service {
	return topology.Service{
		Name: "fraud", Owner: "risk", Doc: "counts",
		Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets:      []topology.Set{topology.Keyed("", "order", "count", append([]topology.Step[count]{topology.On("OrderPlaced", step)}, more...)...)},
	}
}

func clearing(c *count, _ placedRead, t *topology.Turn) error {
	c.Orders++
	t.Publish(&fraudCleared{Score: c.Orders, Basis: "SCORE"}, strconv.Itoa(int(c.Orders)))
	return nil
}

// each says that every order was cleared exactly once.
func (b *bench) each(want []string) {
	b.t.Helper()
	got := b.scores()
	for _, o := range want {
		if !reflect.DeepEqual(got[o], []int32{1}) {
			b.t.Errorf("order %s: scores %v, want [1]", o, got[o])
		}
	}
	if len(got) != len(want) {
		b.t.Errorf("%d orders cleared, want %d", len(got), len(want))
	}
}

func TestForeignBytesBecomeDeadLetters(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing), triage.Service())
	good := b.framed("web-1")
	unknown := slices.Clone(good)
	binary.BigEndian.PutUint32(unknown[1:], 4711)
	for _, c := range []struct {
		order, cause string
		partition    int32
		value        []byte
	}{
		{"web-2", "framing", homeOf("web-2"), good[:3]},
		{"web-3", "schema", homeOf("web-3"), unknown},
		{"web-4", "body", homeOf("web-4"), good[:len(good)/2]},
		{"web-5", "partition", (homeOf("web-5") + 1) % partitions, b.framed("web-5")},
		{"web-6", "body", homeOf("web-6"), append(slices.Clone(good), 0)},
	} {
		before := len(b.read("fraud.dead"))
		b.put(c.order, c.partition, c.value)
		b.settle()
		dead := b.read("fraud.dead")
		if len(dead) != before+1 {
			t.Errorf("%s: %d dead letters, want one more than %d", c.cause, len(dead), before)
			continue
		}
		i := slices.IndexFunc(dead, func(r *kgo.Record) bool { return string(r.Key) == "acme/"+c.order })
		if i < 0 {
			t.Errorf("%s: no dead letter has the source's key", c.cause)
			continue
		}
		r := dead[i]
		if headerOf(r, "dead.cause") != c.cause || headerOf(r, "dead.topic") != "orders" || headerOf(r, "dead.partition") != strconv.Itoa(int(c.partition)) {
			t.Errorf("dead letter of %s: cause %q, source %s/%s: %s", c.order, headerOf(r, "dead.cause"), headerOf(r, "dead.topic"), headerOf(r, "dead.partition"), headerOf(r, "dead.detail"))
		}
		if string(r.Value) != string(c.value) {
			t.Errorf("%s: the value was changed", c.cause)
		}
	}
	if n := len(b.read("exceptions")); n != 5 {
		t.Errorf("%d exceptions raised, want one for each dead letter", n)
	}
	for p := range int32(partitions) { // every partition flows on
		for i := 0; ; i++ {
			if o := "web-9" + strconv.Itoa(i); homeOf(o) == p {
				b.publish(o)
				break
			}
		}
	}
	b.settle()
	if n := len(b.scores()); n != partitions {
		t.Errorf("%d orders cleared behind the dead letters, want %d", n, partitions)
	}
}

func TestPanicAndPoison(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		c.Orders = 99 // must not outlive the failure
		switch turn.Cause.Envelope.Order {
		case "web-1":
			panic("boom")
		case "web-2":
			return topology.Poison("never")
		case "web-3":
			return errors.New("not expected")
		case "web-4":
			turn.Publish(&fraudScored{Decision: "CLEAR"}) // not declared
			return nil
		}
		c.Orders = 0
		return clearing(c, e, turn)
	}))
	for _, o := range orders(6) {
		b.publish(o)
	}
	b.settle()
	causes := map[string]string{}
	for _, r := range b.read("fraud.dead") {
		causes[headerOf(r, "dead.order")] = headerOf(r, "dead.cause")
		if strings.Contains(headerOf(r, "dead.detail"), "boom") && !strings.Contains(headerOf(r, "dead.detail"), "runtime_test.go") {
			t.Errorf("the panic does not say where: %s", headerOf(r, "dead.detail"))
		}
	}
	want := map[string]string{"web-1": "defect", "web-2": "poison", "web-3": "defect", "web-4": "defect"}
	if !reflect.DeepEqual(causes, want) {
		t.Errorf("causes %v, want %v", causes, want)
	}
	b.each([]string{"web-0", "web-5"})
}

func TestParkedInputsKeepTheirOrder(t *testing.T) {
	b := newBench(t)
	var open atomic.Bool
	var mu sync.Mutex
	var seen []string
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		if !open.Load() && turn.Cause.Key == "acme/web-1" {
			return topology.Park(time.Hour, "not yet")
		}
		mu.Lock()
		seen = append(seen, turn.Cause.Envelope.ID)
		mu.Unlock()
		return clearing(c, e, turn)
	}))
	var ids []string
	for i := range 3 {
		ids = append(ids, schemas.FactID("again", strconv.Itoa(i)))
		b.publishAs("web-1", ids[i])
	}
	b.publish("web-2")
	b.clock.At(nine.Add(90*time.Minute), "open", func(context.Context) error { open.Store(true); return nil })
	b.settle()
	if got := b.scores(); !reflect.DeepEqual(got["web-1"], []int32{1, 2, 3}) || !reflect.DeepEqual(got["web-2"], []int32{1}) {
		t.Errorf("scores %v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	of := slices.DeleteFunc(seen, func(id string) bool { return !slices.Contains(ids, id) })
	if !slices.Equal(of, ids) {
		t.Errorf("parked inputs ran as %v, want %v", of, ids)
	}
	if b.clock.Now().Before(nine.Add(2 * time.Hour)) {
		t.Errorf("the clock stands at %v: the second try was not waited for", b.clock.Now())
	}
}

// TestParkedComeInPieces: what is parked under a key is more than one transaction takes. The
// rest of it comes with the next ones, in its order.
func TestParkedComeInPieces(t *testing.T) {
	b := newBench(t)
	b.limits.TransactionBytes = 1 << 10
	var open atomic.Bool
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		if !open.Load() {
			return topology.Park(time.Hour, "not yet")
		}
		return clearing(c, e, turn)
	}))
	var want []int32
	for i := range 30 {
		b.publishAs("web-1", schemas.FactID("again", strconv.Itoa(i)))
		want = append(want, int32(i+1))
	}
	b.clock.At(nine.Add(90*time.Minute), "open", func(context.Context) error { open.Store(true); return nil })
	b.settle()
	if got := b.scores(); !reflect.DeepEqual(got["web-1"], want) {
		t.Errorf("scores %v", got)
	}
}

func ringing(c *count, e placedRead, turn *topology.Turn) error {
	turn.At(turn.Now.Add(24*time.Hour), "ring", "")
	return nil
}

func onRing(c *count, turn *topology.Turn) error {
	c.Rings++
	turn.Publish(&fraudCleared{Score: c.Rings, Basis: "SCORE"}, strconv.Itoa(int(c.Rings)))
	return nil
}

func TestTimersOutliveTheProcess(t *testing.T) {
	for _, wiped := range []bool{false, true} {
		t.Run("wiped="+strconv.FormatBool(wiped), func(t *testing.T) {
			b := newBench(t)
			service := counting(ringing, topology.Due("ring", onRing))
			first := b.start("a", service)
			list := orders(20)
			for _, o := range list {
				b.publish(o)
			}
			ctx, cancel := context.WithCancel(t.Context())
			b.clock.At(nine.Add(time.Hour), "stop", func(context.Context) error { cancel(); return nil })
			if err := b.clock.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			first.end()
			if n := len(b.scores()); n != 0 {
				t.Fatalf("%d timers fired a day early", n)
			}
			if wiped {
				delete(b.dirs, "a")
			}
			b.start("a", service)
			b.settle()
			b.each(list)
			if at := b.clock.Now(); !at.Equal(nine.Add(24 * time.Hour)) {
				t.Errorf("the clock stands at %v, want the deadline", at)
			}
		})
	}
}

// TestLeisureIsNotWaitedFor: a deadline that nobody waits for does not keep a
// jumping clock running, and is met all the same when the clock goes further.
func TestLeisureIsNotWaitedFor(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(ringing, topology.Leisure("ring", onRing)))
	b.publish("web-1")
	b.settle()
	if at := b.clock.Now(); !at.Equal(nine) || len(b.scores()) != 0 {
		t.Fatalf("the clock went to %v for nobody", at)
	}
	b.clock.At(nine.Add(48*time.Hour), "later", func(context.Context) error { return nil })
	b.settle()
	b.each([]string{"web-1"})
}

// onScored clears an order once the world has answered.
func onScored(c *count, _ fraudScored, turn *topology.Turn) error {
	return clearing(c, placedRead{}, turn)
}

// asking is a service that asks the world about an order.
func asking(call func(context.Context, topology.Call, request) (fraudScored, error), answered func(*count, fraudScored, *topology.Turn) error) topology.Service {
	return topology.Service{
		Name: "fraud", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "count",
			topology.On("OrderPlaced", func(_ *count, e placedRead, turn *topology.Turn) error {
				turn.Intend("score", request(e), "")
				return nil
			}),
			topology.Outcome("score", topology.ByLookup, call, answered),
		)},
	}
}

// TestUnwritableOutcome: no record can hold what the world answers. It would answer the
// same again, so it is not asked again and again; other intents are none the worse.
func TestUnwritableOutcome(t *testing.T) {
	b := newBench(t)
	b.limits.EffectBackoff, b.limits.EffectBackoffMost = time.Millisecond, time.Millisecond
	stays := b.listen("an intent stays in hand")
	var calls atomic.Int32
	b.start("a", asking(func(_ context.Context, c topology.Call, _ request) (fraudScored, error) {
		if c.Envelope.Order == "web-1" {
			calls.Add(1)
			return fraudScored{Decision: "CLEAR", Score: 1, Reason: strings.Repeat("x", 2<<20)}, nil
		}
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}, onScored))
	b.publishAll([]string{"web-1", "web-2"})
	<-stays.heard
	b.until("the other is answered", func() bool { return len(b.read("fraud.inbox")) == 1 })
	b.until("the other is cleared", func() bool { return len(b.read("fraud")) == 1 })
	if n := calls.Load(); n != 1 {
		t.Errorf("the world was asked %d times", n)
	}
}

// TestEffectAcrossACrash: the process dies after the call was made and before its
// outcome was written.
func TestEffectAcrossACrash(t *testing.T) {
	b := newBench(t)
	var calls, again atomic.Int32
	made := make(chan struct{})
	var once sync.Once
	call := func(ctx context.Context, c topology.Call, _ request) (fraudScored, error) {
		if c.Again {
			again.Add(1)
			return fraudScored{Decision: "CLEAR", Score: 1}, nil
		}
		calls.Add(1)
		once.Do(func() { close(made) })
		<-ctx.Done()
		return fraudScored{}, ctx.Err()
	}
	service := asking(call, onScored)
	die := b.mortal("a", service)
	b.publish("web-1")
	await(t, made, "the call is made")
	die()
	if n := len(b.scores()); n != 0 {
		t.Fatalf("%d facts before any outcome", n)
	}
	b.start("a", service)
	b.settle()
	b.each([]string{"web-1"})
	if calls.Load() != 1 || again.Load() != 1 {
		t.Errorf("%d first calls and %d after the crash, want 1 and 1: a call whose fate is unknown is never repeated blindly", calls.Load(), again.Load())
	}
}

// TestSentAgain: a dead letter that is copied to the set's replay topic once its cause is
// mended is taken like any input, once.
func TestSentAgain(t *testing.T) {
	b := newBench(t)
	var mended atomic.Bool
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		if !mended.Load() {
			return topology.Poison("not yet")
		}
		return clearing(c, e, turn)
	}))
	b.publish("web-1")
	b.until("it is buried", func() bool { return len(b.read("fraud.dead")) == 1 })
	mended.Store(true)
	dead := b.read("fraud.dead")[0]
	again := func() *kgo.Record { return &kgo.Record{Partition: dead.Partition, Key: dead.Key, Value: dead.Value} }
	b.sendTo("fraud.replay", again(), again())
	b.settle()
	b.each([]string{"web-1"})
	if n := len(b.read("fraud.dead")); n != 1 {
		t.Errorf("%d dead letters, want the first alone", n)
	}
}

// TestTimerIsBuried: a timer whose step fails leaves a dead letter that says which it
// was, whose, and why; other timers ring.
func TestTimerIsBuried(t *testing.T) {
	b := newBench(t)
	service := counting(func(_ *count, _ placedRead, turn *topology.Turn) error {
		turn.At(turn.Now, "ring", "")
		return nil
	}, topology.Due("ring", func(c *count, turn *topology.Turn) error {
		if turn.Cause.Key == "acme/web-1" {
			return errors.New("out of tune")
		}
		return clearing(c, placedRead{}, turn)
	}))
	b.start("a", service)
	b.publishAll(orders(3))
	b.settle()
	b.each([]string{"web-0", "web-2"})
	dead := b.read("fraud.dead")
	if len(dead) != 1 || string(dead[0].Key) != "acme/web-1" || headerOf(dead[0], "dead.order") != "web-1" ||
		headerOf(dead[0], "dead.topic") != "timer ring/ of fraud, key acme/web-1" || headerOf(dead[0], "dead.detail") != "out of tune" {
		t.Errorf("dead letters %v, want one that names the timer", dead)
	}
}

// TestTasksAreCounted: the tasks that a process says it has are those of all its
// workers, and none once it has stopped.
func TestTasksAreCounted(t *testing.T) {
	b := newBench(t)
	b.workers = 2
	i := b.start("a", counting(clearing))
	tasks := func() (n, busy int) {
		families, err := i.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if has := int(m.GetGauge().GetValue()); f.GetName() == "troupe_tasks" && has > 0 {
					n, busy = n+has, busy+1
				}
			}
		}
		return n, busy
	}
	b.until("each worker has its tasks", func() bool { n, busy := tasks(); return n == partitions && busy == b.workers })
	i.end()
	if n, _ := tasks(); n != 0 {
		t.Errorf("%d tasks after the end", n)
	}
}

// TestUsedDiscriminator: a step that asks the world for something else under a name
// whose outcome has come is a defect: the world would repeat its old answer, and the
// call be lost without a word. To ask for the same again is how one hears what became
// of it.
func TestUsedDiscriminator(t *testing.T) {
	b := newBench(t)
	var calls atomic.Int32
	service := asking(func(context.Context, topology.Call, request) (fraudScored, error) {
		calls.Add(1)
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}, onScored)
	asks := 0
	service.Sets[0].Handlers[0] = topology.Keyed("", "order", "count", topology.On("OrderPlaced", func(_ *count, e placedRead, turn *topology.Turn) error {
		if asks++; asks == 3 {
			e.Currency = "BRL"
		}
		turn.Intend("score", request(e), "")
		return nil
	})).Handlers[0]
	b.start("a", service)
	b.publish("web-1")
	b.until("the outcome has come", func() bool { return len(b.scores()["web-1"]) == 1 })
	b.publishAs("web-1", "the same again")
	b.until("its outcome has come", func() bool { return calls.Load() == 2 })
	b.settle()
	b.publishAs("web-1", "something else")
	b.settle()
	dead := b.read("fraud.dead")
	if calls.Load() != 2 || len(dead) != 1 || !strings.Contains(headerOf(dead[0], "dead.detail"), "outcome for another request") {
		t.Errorf("%d calls and %d dead letters, want 2 and 1 that says why", calls.Load(), len(dead))
	}
}

// TestSilentPartner: a partner answers nobody while far more is asked of it than
// may be in hand, and the process is started anew in between. What waits in the rows is
// taken up when the partner answers again, each once, and never more at once than
// may be.
func TestSilentPartner(t *testing.T) {
	b := newBench(t)
	b.limits.EffectsAtOnce, b.limits.EffectsInHand = 2, 4
	var inFlight, most atomic.Int32
	answers := make(chan struct{})
	service := asking(func(ctx context.Context, _ topology.Call, _ request) (fraudScored, error) {
		n := inFlight.Add(1)
		defer inFlight.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		select {
		case <-answers:
			return fraudScored{Decision: "CLEAR", Score: 1}, nil
		case <-ctx.Done():
			return fraudScored{}, ctx.Err()
		}
	}, onScored)
	var list []string
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			list = append(list, "web-"+strconv.Itoa(i))
			b.publish(list[i])
		}
		b.until("the orders are read", func() bool { return b.consumed("fraud", "orders") })
	}
	first := b.start("a", service)
	publish(0, 40)
	first.end()
	b.start("a", service)
	publish(40, 60)
	close(answers)
	b.settle()
	b.each(list)
	if n := most.Load(); n != 2 {
		t.Errorf("%d calls at once, want 2", n)
	}
}

// TestOutcomeAnsweredAgain: the process ends after an outcome was committed and
// before its step, so the world is asked once more and answers in other words.
// The first answer stands, and the second is no dead letter.
func TestOutcomeAnsweredAgain(t *testing.T) {
	b := newBench(t)
	b.start("a", asking(func(context.Context, topology.Call, request) (fraudScored, error) {
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}, onScored))
	b.publish("web-1")
	b.settle()
	b.sendTo("fraud.inbox", b.reworded(b.read("fraud.inbox")[0]))
	b.settle()
	b.each([]string{"web-1"})
	if n := len(b.read("fraud.dead")); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// TestOutcomeOfNoUse: the step drops an outcome, or says that it can never be used.
// The call was made all the same, and a restart does not make it again; but for a
// defect, which the next binary may have mended. A clock that jumps waits for none.
func TestOutcomeOfNoUse(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict error
		calls   int32
	}{
		{"dropped", topology.Drop("known"), 1}, {"poison", topology.Poison("never"), 1}, {"defect", errors.New("not expected"), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			var calls atomic.Int32
			service := asking(func(context.Context, topology.Call, request) (fraudScored, error) {
				calls.Add(1)
				return fraudScored{Decision: "CLEAR", Score: 1}, nil
			}, func(*count, fraudScored, *topology.Turn) error { return c.verdict })
			first := b.start("a", service)
			b.publish("web-1")
			b.settle()
			first.end()
			b.start("a", service)
			b.settle()
			if n := calls.Load(); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

// reworded is the same outcome with another score.
func (b *bench) reworded(r *kgo.Record) *kgo.Record {
	b.t.Helper()
	reader, err := schemas.NewReader[fraudScored](b.wire, "FraudScored")
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := b.wire.Open(b.t.Context(), r.Value)
	if err != nil {
		b.t.Fatal(err)
	}
	var m fraudScored
	if err := reader.Decode(f, &m); err != nil {
		b.t.Fatal(err)
	}
	m.Score++
	value, err := b.wire.Encode("fraud.inbox", &m)
	if err != nil {
		b.t.Fatal(err)
	}
	return &kgo.Record{Partition: r.Partition, Key: r.Key, Value: value}
}

// TestUnknownEnd, guard 2: End says no although the broker committed. A runtime
// that goes on from memory doubles its outputs.
func TestUnknownEnd(t *testing.T) {
	b := newBench(t)
	var arm atomic.Int32
	b.options = tap{answered: func(api kmsg.Key, answer []byte) {
		if api == kmsg.EndTxn && arm.CompareAndSwap(1, 2) {
			setError(answer, kerr.UnknownServerError)
		}
	}}.options()
	b.start("a", counting(clearing))
	b.publish("web-0")
	b.settle()
	arm.Store(1)
	list := orders(10)
	for _, o := range list[1:] {
		b.publish(o)
	}
	b.settle()
	if arm.Load() != 2 {
		t.Fatal("no transaction was cut: the test shows nothing")
	}
	b.each(list)
}

// TestFailedProduce, guard 3: the broker refuses one output inside a commit, for
// its topic takes nothing of that size for a while. The client would commit the
// rest: the inputs' offsets and the state, without what was told of them.
func TestFailedProduce(t *testing.T) {
	b := newBench(t)
	refused := b.listen(kerr.MessageTooLarge.Message)
	b.start("a", counting(clearing))
	b.publish("web-0")
	b.settle()
	b.largest("fraud", 128) // room for a transaction's marker, and for no fact
	list := orders(10)
	b.publishAll(list[1:])
	b.until("an output is refused, or its input is done without it", func() bool { return len(refused.heard) > 0 || b.done() })
	b.largest("fraud", 1<<20)
	b.settle()
	b.each(list)
}

// done says that the counting service has committed all that orders holds.
func (b *bench) done() bool {
	b.t.Helper()
	committed, err := b.adm.FetchOffsets(b.t.Context(), b.prefix+"fraud")
	if err != nil {
		b.t.Fatal(err)
	}
	for p, end := range b.ends("orders") {
		if o, ok := committed.Lookup(b.prefix+"orders", p); end > 0 && (!ok || o.At < end) {
			return false
		}
	}
	return true
}

// largest sets the size of the largest batch that a topic takes.
func (b *bench) largest(topic string, bytes int) {
	b.t.Helper()
	value := strconv.Itoa(bytes)
	answers, err := b.adm.AlterTopicConfigs(b.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, b.prefix+topic)
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestRebalance, guards 1 and 8: members come and go under load. No task is
// split, nothing is lost or doubled.
func TestRebalance(t *testing.T) {
	b := newBench(t)
	first := b.start("a", counting(clearing))
	var list []string
	send := func(from string, n int) {
		for i := range n {
			o := from + strconv.Itoa(i)
			list = append(list, o)
			b.publish(o)
		}
	}
	send("a", 50)
	second := b.start("b", counting(clearing))
	send("b", 50)
	third := b.start("c", counting(clearing))
	send("c", 50)
	b.settle()
	first.end()
	send("d", 50)
	b.settle()
	third.end()
	send("e", 50)
	b.settle()
	second.end()
	b.each(list)
}

// TestRestoreFromNothing: the disk is lost, the changelog is not. What was seen
// before is still known.
func TestRestoreFromNothing(t *testing.T) {
	list := orders(30)
	b := ran(t, list)
	delete(b.dirs, "a")
	b.clears("a", list)
	b.each(list)
}

// TestStateIsVerified: what lies on disk after a clean stop is the changelog to
// the last byte, and a row that is not is found, whichever way it differs.
func TestStateIsVerified(t *testing.T) {
	b := newBench(t)
	first := b.start("a", counting(clearing))
	list := orders(30)
	for _, o := range list {
		b.publish(o)
	}
	b.settle()
	first.end()
	rows, differs := b.verified("a", nil)
	if rows != len(list) || len(differs) > 0 {
		t.Fatalf("%d rows, want %d; %v", rows, len(list), differs)
	}
	for _, c := range []struct {
		says   string
		change table.Change
	}{
		{"otherwise on disk", table.Change{Key: "Racme/" + list[0], Value: []byte("else")}},
		{"not on disk", table.Change{Key: "Racme/" + list[0]}},
		{"not on the changelog", table.Change{Key: "Racme/nobody", Value: []byte("else")}},
	} {
		if _, differs := b.verified("a", &c.change); !slices.ContainsFunc(differs, func(d string) bool { return strings.Contains(d, c.says) }) {
			t.Errorf("a row that is %s: %v", c.says, differs)
		}
	}
}

// TestStateOfATornCheckpointIsVerified: rows that lie on disk beyond the marker, as a
// crash between the two leaves them, are no drift: a start writes them anew.
func TestStateOfATornCheckpointIsVerified(t *testing.T) {
	list := orders(30)
	b := ran(t, list)
	store, err := table.Open(table.Config{Dir: b.dirs["a"]})
	if err != nil {
		t.Fatal(err)
	}
	for n := range partitions {
		task, _, err := store.Task(fmt.Sprintf("fraud/%d", n))
		if err != nil {
			t.Fatal(err)
		}
		before := task.Marker()
		before.Next /= 2
		if err := errors.Join(task.Commit(nil, before), task.Checkpoint()); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if rows, differs := b.verified("a", nil); rows != len(list) || len(differs) > 0 {
		t.Errorf("%d rows, want %d; %v", rows, len(list), differs)
	}
}

// verified compares an instance's disk with the changelogs, after a change to it
// that the runtime never made.
func (b *bench) verified(name string, change *table.Change) (rows int, differs []string) {
	b.t.Helper()
	store, err := table.Open(table.Config{Dir: b.dirs[name]})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			b.t.Error(err)
		}
	}()
	if change != nil {
		task, _, err := store.Task(fmt.Sprintf("fraud/%d", homeOf(strings.TrimPrefix(string(change.Key), "Racme/"))))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := errors.Join(task.Commit([]table.Change{*change}, task.Marker()), task.Checkpoint()); err != nil {
			b.t.Fatal(err)
		}
	}
	return b.drift(store)
}

// TestCoPartitioning: a set whose topics are counted differently is refused.
func TestCoPartitioning(t *testing.T) {
	b := newBench(t)
	b.estate.Topics[0].Partitions = partitions + 1
	err := topology.Validate(b.estate, []topology.Service{counting(clearing, topology.On("PaymentPending", func(*count, placedRead, *topology.Turn) error { return nil }))})
	if err == nil || !strings.Contains(err.Error(), "not co-partitioned") {
		t.Errorf("Validate says %v", err)
	}
}

// TestOwnerless: a service that may bury an input, and has no topic of its own and so
// none for dead letters, is refused.
func TestOwnerless(t *testing.T) {
	b := newBench(t)
	s := counting(clearing, topology.On("PaymentPending", func(*count, placedRead, *topology.Turn) error { return nil }))
	s.Name, s.Publishes = "loyalty", nil
	if err := topology.Validate(b.estate, []topology.Service{s}); err == nil || !strings.Contains(err.Error(), "loyalty owns no topic") {
		t.Errorf("Validate says %v", err)
	}
}

// TestInboxIsListed: a set that takes answers in an inbox that the estate does not
// list, or in which it may not write, is refused.
func TestInboxIsListed(t *testing.T) {
	b := newBench(t)
	s := asking(nil, onScored)
	for want, inboxes := range map[string][]topology.Inbox{
		"does not list": nil, "not among": {{Name: "fraud", Writers: []string{"payment"}}},
	} {
		b.estate.Inboxes = inboxes
		if err := topology.Validate(b.estate, []topology.Service{s}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %v Validate says %v", inboxes, err)
		}
	}
}
