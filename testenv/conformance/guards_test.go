package conformance

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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
	"troupe/testenv/check"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
)

// member waits until the counting service has one member and returns its ID.
func (b *bench) member() string { return b.members(1)[0] }

// members waits until the group has so many, with all partitions given out.
func (b *bench) members(n int) (ids []string) {
	b.t.Helper()
	b.until(strconv.Itoa(n)+" members share the partitions", func() bool {
		groups, err := b.adm.DescribeGroups(b.t.Context(), b.prefix+"fraud")
		if err != nil {
			return false
		}
		ids = nil
		given := map[int32]bool{}
		for _, m := range groups[b.prefix+"fraud"].Members {
			ids = append(ids, m.MemberID)
			assigned, ok := m.Assigned.AsConsumer()
			if !ok {
				return false
			}
			for _, t := range assigned.Topics {
				for _, p := range t.Partitions {
					given[p] = true
				}
			}
		}
		return groups[b.prefix+"fraud"].State == "Stable" && len(ids) == n && len(given) == partitions
	})
	return ids
}

// expel takes a member out of the group without its knowledge, as a coordinator
// does that has not heard of it for too long.
func (b *bench) expel(id string) {
	b.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = b.prefix+"fraud", id
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = id
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(b.t.Context(), b.raw)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) publishAll(list []string) {
	b.t.Helper()
	for _, o := range list {
		b.publish(o)
	}
}

// armed lets a service arm a timer a day ahead for each order, and stops the
// clock an hour later.
func (b *bench) armed(list []string) {
	b.t.Helper()
	b.publishAll(list)
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	b.clock.At(nine.Add(time.Hour), "stop", func(context.Context) error { cancel(); return nil })
	if err := b.clock.Run(ctx); !errors.Is(err, context.Canceled) {
		b.t.Fatal(err)
	}
}

// settleUntil runs the clock until so many facts are there: while a task is on
// its way between two members, nobody tells the clock of its timers.
func (b *bench) settleUntil(n int) {
	b.t.Helper()
	b.until(strconv.Itoa(n)+" facts", func() bool { b.settle(); return len(b.read("fraud")) >= n })
}

// TestTimersFollowTheirTask, guard 1: tasks move while their members idle, and
// the session swallows revocations that nothing was polled between. A member
// that goes by callbacks fires the timers of what it has lost.
func TestTimersFollowTheirTask(t *testing.T) {
	b := newBench(t)
	service := counting(ringing, topology.Due("ring", onRing))
	running := []*instance{b.start("a", service)}
	list := orders(40)
	b.armed(list)
	for _, name := range []string{"b", "c"} {
		running = append(running, b.start(name, service))
		b.members(len(running))
	}
	b.settleUntil(len(list))
	for _, i := range running {
		i.end()
	}
	b.each(list)
}

// TestSilentRejoin, guard 1: a member is expelled without noticing, another
// does its work and goes, and it joins again under a new ID with the same
// partitions: no callback says so, and its offsets and rows are those of before.
func TestSilentRejoin(t *testing.T) {
	b := newBench(t)
	stall := newGate()
	const (
		honest int32 = iota
		fine
		rebalance
	)
	var beat atomic.Int32
	again := newGate()
	b.options = tap{answered: func(api kmsg.Key, answer []byte) {
		switch {
		case api == kmsg.Fetch:
			stall.pass()
		case api == kmsg.SyncGroup && again.shut.Load():
			again.arrive()
		case api == kmsg.Heartbeat && beat.Load() == fine:
			setError(answer, nil)
		case api == kmsg.Heartbeat && beat.CompareAndSwap(rebalance, honest):
			setError(answer, kerr.RebalanceInProgress)
		}
	}}.options()
	b.start("a", counting(clearing))
	t.Cleanup(stall.open)
	b.options = nil
	list := orders(30)
	b.publishAll(list[:10])
	b.settle()
	old := b.member()
	beat.Store(fine)
	stall.shut.Store(true)
	b.expel(old)
	second := b.start("b", counting(clearing))
	b.publishAll(list[10:20])
	b.settle()
	second.end()
	again.shut.Store(true)
	beat.Store(rebalance)
	await(t, again.arrived, "the first member has joined again")
	stall.open()
	b.publishAll(list[20:])
	b.settle()
	b.each(list)
}

// TestRefusedEnd, guard 2: End says no, and this time nothing was committed: the
// group did not answer for its member. A runtime that goes on as if it were
// takes the inputs, when they come again, for repeats.
func TestRefusedEnd(t *testing.T) {
	b := newBench(t)
	var arm atomic.Int32
	b.options = tap{
		asked: func(api kmsg.Key) {
			if api == kmsg.TxnOffsetCommit {
				arm.CompareAndSwap(1, 2)
			}
		},
		answered: func(api kmsg.Key, answer []byte) {
			if api == kmsg.Heartbeat && arm.CompareAndSwap(2, 3) { // the one that End makes sure of its member with
				setError(answer, kerr.UnknownServerError)
			}
		},
	}.options()
	b.start("a", counting(clearing))
	list := orders(20)
	b.publish(list[0])
	b.settle()
	arm.Store(1)
	b.publishAll(list[1:])
	b.settle()
	if arm.Load() != 3 {
		t.Fatal("no transaction was refused: the test shows nothing")
	}
	b.each(list)
}

// TestFenced, guard 2: another process takes the transactional ID. Begin still
// succeeds after that.
func TestFenced(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing))
	list := orders(20)
	b.publishAll(list[:10])
	b.settle()
	b.take()
	b.publishAll(list[10:])
	b.settle()
	b.each(list)
}

// TestHungPredecessor, guard 2: a predecessor died in a transaction. Whoever
// reads what it wrote to would wait for the broker's timeout.
func TestHungPredecessor(t *testing.T) {
	b := newBench(t)
	first := b.start("a", counting(clearing))
	list := orders(20)
	b.publishAll(list[:10])
	b.settle()
	first.end()
	dead := b.take()
	if err := dead.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		for _, topic := range []string{"fraud", "fraud.state"} {
			r := &kgo.Record{Topic: b.prefix + topic, Partition: p, Key: []byte("rhalf"), Value: []byte("done")}
			if err := dead.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now()
	b.start("a", counting(clearing))
	b.publishAll(list[10:])
	b.settle()
	if waited := time.Since(began); waited > transactionTimeout {
		t.Errorf("the successor waited %v: until the broker gave up on its predecessor", waited)
	}
	b.each(list)
}

const transactionTimeout = 30 * time.Second

// take makes a client that has the transactional ID of instance a.
func (b *bench) take() *kgo.Client {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID(b.prefix+"fraud.a.0"),
		kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	if _, _, err := cl.ProducerID(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return cl
}

// TestTooLarge, guard 3: an output that the broker would refuse. It would be
// produced, refused and produced again for ever.
func TestTooLarge(t *testing.T) {
	b := newBench(t)
	b.limits.RecordBytes = 4 << 10
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		if turn.Cause.Envelope.Order == "web-1" {
			turn.Publish(&fraudCleared{Basis: strings.Repeat("x", 2*b.limits.RecordBytes)})
			return nil
		}
		return clearing(c, e, turn)
	}))
	b.publishAll(orders(4))
	b.settle()
	dead := b.read("fraud.dead")
	if len(dead) != 1 || headerOf(dead[0], "dead.order") != "web-1" || !strings.Contains(headerOf(dead[0], "dead.detail"), "more than the limit") {
		t.Errorf("%d dead letters, want one that names the limit", len(dead))
	}
	b.each([]string{"web-0", "web-2", "web-3"})
}

// TestRegistryDown, guard 4: one record in the middle of a poll cannot be read
// for now. It is neither dropped nor buried, and what came before it is not done
// twice.
func TestRegistryDown(t *testing.T) {
	b := newBench(t)
	target, err := url.Parse(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	refused := make(chan struct{}, 1000)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			refused <- struct{}{}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	b.rewire(front.URL)
	b.start("a", counting(clearing))
	b.publish("web-0")
	b.settle()
	list := orders(20)
	other := b.framedAs("web-10", b.another())
	down.Store(true)
	var records []*kgo.Record
	for _, o := range list[1:] {
		value := b.framed(o)
		if o == "web-10" {
			value = other
		}
		records = append(records, &kgo.Record{Partition: homeOf(o), Key: []byte("acme/" + o), Value: value})
	}
	b.send(records...)
	for range 3 { // the client asks again by itself; a rebuilt session asks anew
		select {
		case <-refused:
		case <-time.After(patience):
			t.Fatal("nobody asked the registry: the test shows nothing")
		}
	}
	down.Store(false)
	b.settle()
	b.each(list)
	if n := len(b.read("fraud.dead")); n != 0 {
		t.Errorf("%d dead letters: that a registry is down is no record's fault", n)
	}
}

// rewire makes a new codec that reaches the registry at another address.
func (b *bench) rewire(address string) {
	b.t.Helper()
	catalogue, err := schemas.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	registry, err := schemas.NewRegistry(address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.wire = schemas.NewWire(catalogue, registry)
	if err := b.wire.Prepare(b.t.Context(), "orders", "OrderPlaced"); err != nil {
		b.t.Fatal(err)
	}
}

// another registers OrderPlaced once more, with other words, and returns its ID:
// one that no reader has met.
func (b *bench) another() int {
	b.t.Helper()
	catalogue, err := schemas.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	text := strings.Replace(catalogue.Type("OrderPlaced").Latest().Text, `"doc": "`, `"doc": "Of another house. `, 1)
	return b.register("strangers-OrderPlaced", text)
}

func (b *bench) register(subject, text string) int {
	b.t.Helper()
	registry, err := schemas.NewRegistry(b.registry)
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := registry.Register(b.t.Context(), subject, text)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// TestStalledTimers, guard 5: a member stalls with a transaction that timers
// alone made, and another takes its tasks and fires them. There is no input
// whose offset would fence the first when it goes on.
func TestStalledTimers(t *testing.T) {
	b := newBench(t)
	service := counting(ringing, topology.Due("ring", onRing))
	first, stall := b.startHeld("a", kmsg.Produce, service)
	list := orders(20)
	b.armed(list)
	old := b.member()
	stall.shut.Store(true)
	ran := make(chan error, 1)
	go func() { ran <- b.clock.Run(t.Context()) }()
	await(t, stall.arrived, "timers have come due")
	b.expel(old)
	b.start("b", service)
	b.until("the second member has fired", func() bool { return len(b.read("fraud")) == len(list) })
	stall.open()
	select {
	case err := <-ran:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatalf("the clock stands: %s", b.clock.Stuck())
	}
	first.end() // whatever it still does is done
	b.each(list)
}

// TestTimersBeforeOffsets, guard 5: a member has its tasks and their rows, and has
// not learned yet where it reads from: it has no offset to commit with a timer.
func TestTimersBeforeOffsets(t *testing.T) {
	b := newBench(t)
	service := counting(ringing, topology.Due("ring", onRing))
	first := b.start("a", service)
	list := orders(20)
	b.armed(list)
	first.end()
	where := newGate()
	where.shut.Store(true)
	b.options = tap{answered: func(api kmsg.Key, _ []byte) {
		if api == kmsg.OffsetFetch {
			where.pass()
		}
	}}.options()
	var early atomic.Bool
	b.rehearse = func(_ string, at stream.Point) error {
		if at == stream.AtTaken && !closed(where.opened) {
			early.Store(true)
		}
		return nil
	}
	b.start("a", service)
	t.Cleanup(where.open)
	ran := make(chan error, 1)
	go func() { ran <- b.clock.Run(t.Context()) }()
	await(t, where.arrived, "it has its tasks and asks for their offsets")
	within(50*askEvery, early.Load) // many times as long as a restore takes
	where.open()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if early.Load() {
		t.Error("timers fire in a transaction that has no offset")
	}
	b.each(list)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// listener is a log that a test can wait on.
type listener struct {
	slog.Handler
	words string
	heard chan string
}

func (b *bench) listen(words string) *listener {
	l := &listener{Handler: slog.DiscardHandler, words: words, heard: make(chan string, 1000)}
	b.log = slog.New(l)
	return l
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	if strings.Contains(text, l.words) {
		select {
		case l.heard <- text:
		default: // enough was heard
		}
	}
	return nil
}

// trim deletes all records of orders.
func (b *bench) trim() {
	b.t.Helper()
	to := kadm.Offsets{}
	for p, end := range b.ends("orders") {
		to.AddOffset(b.prefix+"orders", p, end, -1)
	}
	if _, err := b.adm.DeleteRecords(b.t.Context(), to); err != nil {
		b.t.Fatal(err)
	}
}

// TestTrimmedInput, guard 6: nothing is committed yet, the log begins behind
// zero, and the first transaction is aborted. A session that was given no
// explicit offset goes back to zero, which is not there.
func TestTrimmedInput(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing)).end() // makes the topics
	b.publishAll(orders(20))
	b.trim()
	ends := b.listen("built anew")
	b.start("a", counting(clearing))
	b.settle() // all that was published is behind the start
	b.start("b", counting(clearing))
	b.members(2) // what a lost of its tasks aborts its next transaction
	var list []string
	for n := range 20 {
		list = append(list, "later-"+strconv.Itoa(n))
	}
	b.publishAll(list)
	b.settle()
	b.each(list)
	select {
	case why := <-ends.heard:
		t.Error("an abort is no reason to start over:", why)
	default:
	}
}

// TestLostInput, guard 6: records were deleted before they were read. To go on
// behind the gap in silence would lose them.
func TestLostInput(t *testing.T) {
	b := newBench(t)
	list := orders(20)
	first := b.start("a", counting(clearing))
	b.publishAll(list)
	b.settle()
	first.end()
	for n := range 20 {
		b.publish("lost-" + strconv.Itoa(n))
	}
	b.trim()
	for n := range 20 {
		b.publish("later-" + strconv.Itoa(n))
	}
	alarm := b.listen(kerr.OffsetOutOfRange.Message)
	i := b.start("a", counting(clearing))
	for range 2 { // the second time after it was built anew
		select {
		case <-alarm.heard:
		case <-time.After(patience):
			t.Fatal("nobody says that records are missing")
		}
	}
	i.end()
	b.each(list)
}

// TestOutsidersTransactions, guards 7 and 8: an input whose writer commits,
// aborts and leaves a transaction open. What is not committed is not read, and
// the markers behind it, which are no records, hold up neither clock.
func TestOutsidersTransactions(t *testing.T) {
	for _, name := range []string{"jumping", "wall"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.except(check.Torn, "the outsider is no service: it has neither state nor offsets")
			if name == "wall" {
				b.quick = clock.Quick(nine, 4*24*3600) // a day takes a quarter of a second
			}
			b.start("a", counting(ringing, topology.Due("ring", onRing)))
			list := orders(10)
			b.outsider(list, "committed", kgo.TryCommit)
			b.outsider(list, "aborted", kgo.TryAbort)
			for p, end := range b.ends("orders") {
				b.clock.Published(b.prefix+"orders", p, end)
			}
			var want []string
			for _, o := range list {
				want = append(want, "committed"+o)
			}
			b.settleUntil(len(want))
			b.each(want)
		})
	}
}

// outsider writes orders in a transaction of its own and returns when its
// markers are there.
func (b *bench) outsider(list []string, prefix string, end kgo.TransactionEndTry) {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID(b.prefix+prefix), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	var records []*kgo.Record
	for _, o := range list {
		o = prefix + o
		records = append(records, &kgo.Record{Topic: b.prefix + "orders", Partition: homeOf(o), Key: []byte("acme/" + o), Value: b.framed(o)})
	}
	if err := cl.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	if err := cl.EndTransaction(b.t.Context(), end); err != nil {
		b.t.Fatal(err)
	}
	b.until("the markers are written", func() bool {
		stable, err := b.adm.ListCommittedOffsets(b.t.Context(), b.prefix+"orders")
		if err != nil {
			return false
		}
		for p, end := range b.ends("orders") {
			if o, ok := stable.Lookup(b.prefix+"orders", p); !ok || o.Offset != end {
				return false
			}
		}
		return true
	})
}

// TestCommitInFlight, guard 8: a member is expelled between the commit of its
// offsets and the end of its transaction. Its successor waits, with the state and
// with the offsets, to learn how that ends, or it would do the same inputs again.
func TestCommitInFlight(t *testing.T) {
	b := newBench(t)
	ending := newGate()
	b.options = tap{asked: func(api kmsg.Key) {
		if api == kmsg.EndTxn {
			ending.pass()
		}
	}}.options()
	b.start("a", counting(clearing))
	t.Cleanup(ending.open)
	list := orders(20)
	b.publish(list[0])
	b.settle()
	old := b.member()
	ending.shut.Store(true)
	b.publishAll(list[1:])
	await(t, ending.arrived, "a transaction is about to end")
	b.expel(old)
	restoring, restored := make(chan struct{}), make(chan struct{})
	fetched, goesOn := sync.OnceFunc(func() { close(restoring) }), sync.OnceFunc(func() { close(restored) })
	b.options = tap{asked: func(api kmsg.Key) {
		if api == kmsg.Fetch { // of the changelog: the inputs' offsets are not stable
			fetched()
		}
	}}.options()
	b.rehearse = func(_ string, at stream.Point) error {
		select {
		case <-restoring:
			if at == stream.AtPolled { // the turn of the loop in which it restored is over
				goesOn()
			}
		default:
		}
		return nil
	}
	b.start("b", counting(clearing))
	await(t, restoring, "the successor reads its predecessor's state")
	select {
	case <-restored:
		t.Fatal("the successor has its state before its predecessor's transaction has ended")
	case <-time.After(askEvery):
	}
	ending.open()
	b.settle()
	b.each(list)
}

// TestLimitsAreConsistent, guards 3 and 8: a transaction that outlives the
// rebalance would be committed by a member that has lost its tasks; a record that
// the client never takes would be tried for ever.
func TestLimitsAreConsistent(t *testing.T) {
	for _, c := range []struct {
		limits stream.Limits
		says   string
	}{
		{stream.Limits{}, ""},
		{stream.Limits{TransactionTimeout: time.Minute, RebalanceTimeout: time.Minute}, "transaction timeout"},
		{stream.Limits{EffectTimeout: 2 * time.Minute}, "effect timeout"},
		{stream.Limits{RecordBytes: 1 << 20}, "record bytes"},
	} {
		err := stream.Config{Limits: c.limits}.Validate()
		for _, says := range []string{"transaction timeout", "effect timeout", "record bytes"} {
			if got := strings.Contains(err.Error(), says); got != (says == c.says) {
				t.Errorf("%+v: %v", c.limits, err)
			}
		}
	}
}
