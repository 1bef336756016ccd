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
	var beat pulse
	again := newGate()
	b.options = tap{answered: func(api kmsg.Key, answer []byte) {
		switch {
		case api == kmsg.Fetch:
			stall.pass()
		case api == kmsg.SyncGroup && again.shut.Load():
			again.arrive()
		case api == kmsg.Heartbeat:
			beat.answered(answer)
		}
	}}.options()
	b.start("a", counting(clearing))
	t.Cleanup(stall.open)
	b.options = nil
	list := orders(30)
	b.publishAll(list[:10])
	b.settle()
	old := b.member()
	beat.is.Store(fine)
	stall.shut.Store(true)
	b.expel(old)
	second := b.start("b", counting(clearing))
	b.publishAll(list[10:20])
	b.settle()
	second.end()
	again.shut.Store(true)
	beat.is.Store(rebalance)
	await(t, again.arrived, "the first member has joined again")
	stall.open()
	b.publishAll(list[20:])
	b.settle()
	b.each(list)
}

// TestRejoinInTransaction, guard 1: the same, but the member is in a transaction when
// it has joined again. Nothing has told it, what it has in hand was done by another,
// and the broker takes its offsets as those of a member of the group.
func TestRejoinInTransaction(t *testing.T) {
	for _, c := range []struct {
		name  string
		stays bool
	}{{"the other has gone", false}, {"the other stays", true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			_, first := b.startOvertaken("a", counting(clearing))
			list := orders(30)
			b.publishAll(list[:10])
			b.settle()
			old := b.member()
			first.beat.is.Store(fine)
			first.fetched.shut.Store(true)
			b.expel(old)
			second := b.start("b", counting(clearing))
			b.publishAll(list[10:20])
			b.settle()
			if !c.stays {
				second.end()
			}
			first.joining.shut.Store(true)
			first.beat.is.Store(rebalance)
			first.takes(t)
			first.joining.open()
			await(t, first.again.arrived, "the first member has joined again")
			first.taken.open()
			b.publishAll(list[20:])
			b.settle()
			b.each(list)
		})
	}
}

// overtaken is an instance that is in the middle of a turn when it joins its group
// again. A turn that has begun holds a join up, so the join has to come first.
type overtaken struct {
	beat                           pulse
	fetched, joining, again, taken *gate
}

// startOvertaken starts an instance that can be held at what it fetches, at the answer
// to its join, and with a turn's steps behind it.
func (b *bench) startOvertaken(name string, services ...topology.Service) (*instance, *overtaken) {
	b.t.Helper()
	o := &overtaken{fetched: newGate(), joining: newGate(), again: newGate(), taken: newGate()}
	b.options = append(b.options, tap{answered: func(api kmsg.Key, answer []byte) {
		switch {
		case api == kmsg.Fetch:
			o.fetched.pass()
		case api == kmsg.JoinGroup:
			o.joining.pass()
		case api == kmsg.SyncGroup && o.joining.shut.Load():
			o.again.arrive()
		case api == kmsg.Heartbeat:
			o.beat.answered(answer)
		}
	}}.options()...)
	b.rehearse = o.taken.at(stream.AtTaken)
	i := b.start(name, services...)
	b.options, b.rehearse = nil, nil
	b.t.Cleanup(func() { o.fetched.open(); o.joining.open(); o.taken.open() })
	return i, o
}

// takes lets the instance, once it is joining, take in what it was kept from.
func (o *overtaken) takes(t *testing.T) {
	t.Helper()
	await(t, o.joining.arrived, "the member is joining")
	o.taken.shut.Store(true)
	o.fetched.open()
	await(t, o.taken.arrived, "its turn has run its steps")
}

// TestRevokedTwice, guard 1: tasks are taken from a worker twice while it rests, and
// its session swallows the second time. By what it was told the worker still has them;
// it fires their timers, as the one does who was given them, and the broker takes
// the offsets of both.
func TestRevokedTwice(t *testing.T) {
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
	service := counting(ringing, topology.Due("ring", onRing))
	running := []*instance{b.start("a", service)}
	t.Cleanup(produced.open)
	b.limits.CommitPause, b.limits.TransactionAge, b.rehearse = 0, 0, nil
	list := orders(40)
	b.armed(list[1:])
	produced.shut.Store(true)
	b.publish(list[0])
	await(t, produced.arrived, "a commit is under way")
	began := time.Now()
	var doors []*gate
	for _, name := range []string{"b", "c", "d"} {
		i, door := b.startOutside(name, service)
		running, doors = append(running, i), append(doors, door)
	}
	<-time.After(time.Until(began.Add(longRest))) // a worker rests for as long as its commit took
	produced.open()
	b.until("the commit is done", b.done)
	before := turns.Load()
	doors[0].open()
	b.members(2)
	doors[1].open()
	doors[2].open()
	b.members(4) // of four partitions: the first has lost some once more
	if turns.Load() != before {
		t.Fatal("the worker did not rest for long enough: the test shows nothing")
	}
	b.settleUntil(len(list))
	for _, i := range running {
		i.end()
	}
	b.each(list)
}

// longRest is several times what a group needs for two rebalances.
const longRest = 4 * time.Second

// startOutside starts an instance whose members do not get into their group until the
// gate is opened.
func (b *bench) startOutside(name string, services ...topology.Service) (*instance, *gate) {
	b.t.Helper()
	door := newGate()
	door.shut.Store(true)
	b.options = tap{asked: func(api kmsg.Key) {
		if api == kmsg.JoinGroup {
			door.pass()
		}
	}}.options()
	i := b.start(name, services...)
	b.options = nil
	b.t.Cleanup(door.open)
	await(b.t, door.arrived, name+" is about to join")
	return i, door
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
	if waited := time.Since(began); waited > transactionTimeout/2 { // which began before
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
	long := strings.Repeat("x", 2<<20)
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		switch turn.Cause.Envelope.Order {
		case "web-1":
			turn.Publish(&fraudCleared{Basis: long})
		case "web-2":
			turn.PublishAs(long, &fraudCleared{Basis: "rules"})
		case "web-3":
			turn.Publish(&fraudCleared{Envelope: schemas.Envelope{Traceparent: long}, Basis: "rules"})
		default:
			return clearing(c, e, turn)
		}
		return nil
	}))
	b.publishAll(orders(6))
	b.settle()
	dead := b.read("fraud.dead")
	for _, letter := range dead {
		if !strings.Contains(headerOf(letter, "dead.detail"), "more than the limit") {
			t.Errorf("a dead letter does not name the limit: %s", headerOf(letter, "dead.detail"))
		}
	}
	if len(dead) != 3 {
		t.Errorf("%d dead letters, want 3", len(dead))
	}
	b.each([]string{"web-0", "web-4", "web-5"})
}

// TestLongTexts: texts of a foreign envelope become keys, headers and parts of rows. One
// that none of these can hold would come back as a record that the broker refuses, for ever.
func TestLongTexts(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing))
	long := strings.Repeat("x", 600<<10)
	changes := []func(*schemas.Envelope){
		func(e *schemas.Envelope) { e.Traceparent = long }, func(e *schemas.Envelope) { e.Tenant = long },
		func(e *schemas.Envelope) { e.CorrelationID = long }, func(e *schemas.Envelope) { e.Order = long },
	}
	list := orders(len(changes) + 2)
	for i, o := range list {
		m := placed(o)
		if i < len(changes) {
			changes[i](&m.Envelope)
		}
		value, err := b.wire.Encode("orders", m)
		if err != nil {
			t.Fatal(err)
		}
		b.put(o, homeOf(o), value)
	}
	b.settle()
	dead := b.read("fraud.dead")
	for _, letter := range dead {
		if headerOf(letter, "dead.cause") != "body" || !strings.Contains(headerOf(letter, "dead.detail"), "a text of the envelope is 614400 bytes") {
			t.Errorf("a dead letter says %s: %s", headerOf(letter, "dead.cause"), headerOf(letter, "dead.detail"))
		}
	}
	if len(dead) != len(changes) {
		t.Errorf("%d dead letters, want %d", len(dead), len(changes))
	}
	b.each(list[len(changes):])
}

// TestRegistryDown, guard 4: one record in the middle of a poll cannot be read
// for now. It is neither dropped nor buried, and what came before it is not done
// twice; whether the registry is away, does not let us in, or another answers in
// its place.
func TestRegistryDown(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
	}{
		{"away", http.StatusServiceUnavailable, ""},
		{"no credential", http.StatusUnauthorized, `{"error_code": 40101, "message": "Unauthorized"}`},
		{"no right", http.StatusForbidden, `{"error_code": 40301, "message": "User is denied operation"}`},
		{"a page of a proxy", http.StatusNotFound, "<html>no such page</html>"},
		{"a wrong address", http.StatusNotFound, `{"error_code": 404, "message": "HTTP 404 Not Found"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			front := b.frontRegistry(c.status, c.body)
			b.start("a", counting(clearing))
			b.publish("web-0")
			b.settle()
			list := orders(20)
			other := b.framedAs("web-10", b.another())
			front.down.Store(true)
			var records []*kgo.Record
			for _, o := range list[1:] {
				value := b.framed(o)
				if o == "web-10" {
					value = other
				}
				records = append(records, &kgo.Record{Partition: homeOf(o), Key: []byte("acme/" + o), Value: value})
			}
			b.send(records...)
			// The client asks again by itself; a rebuilt session asks anew.
			b.until("the registry is asked again and again, or the input is done without it", func() bool { return front.refused.Load() >= 3 || b.done() })
			front.down.Store(false)
			b.settle()
			b.each(list)
			if front.refused.Load() == 0 {
				t.Error("nobody asked the registry: the test shows nothing")
			}
			if n := len(b.read("fraud.dead")); n != 0 {
				t.Errorf("%d dead letters: what a registry answers to is no record's fault", n)
			}
		})
	}
}

// front stands before the registry, and answers in its place while it is down.
type front struct {
	down    atomic.Bool
	refused atomic.Int32 // so many, while it was
}

// frontRegistry lets what is started next reach the registry through a front.
func (b *bench) frontRegistry(status int, body string) *front {
	b.t.Helper()
	target, err := url.Parse(b.registry)
	if err != nil {
		b.t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.down.Load() {
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		f.refused.Add(1)
	}))
	b.t.Cleanup(server.Close)
	b.rewire(server.URL)
	return f
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
// zero, and the first that was polled is given back with an abort, for the group
// rebalances. A session that was given no explicit offset goes back to zero, which is
// not there.
func TestTrimmedInput(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing)).end() // makes the topics
	b.publishAll(orders(20))
	b.trim()
	alarm, rewound := b.listen(kerr.OffsetOutOfRange.Message), overhear("resetting to current committed state")
	b.options = []kgo.Opt{kgo.WithLogger(rewound)}
	b.limits.PollWait = longRest // its poll ends with records, or an empty one would be given back
	_, first := b.startOvertaken("a", counting(clearing))
	b.limits.PollWait = 0
	b.settle() // all that was published is behind the start
	first.fetched.shut.Store(true)
	first.joining.shut.Store(true)
	b.start("b", counting(clearing))
	await(t, first.joining.arrived, "the group rebalances")
	var list []string
	for n := range 20 {
		list = append(list, "later-"+strconv.Itoa(n))
	}
	b.publishAll(list)
	first.fetched.open()
	await(t, rewound.heard, "what was polled is given back")
	first.joining.open()
	b.settle()
	b.each(list)
	select {
	case why := <-alarm.heard:
		t.Error("an abort is no reason to look for what is not there:", why)
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

// TestOutsidersTransactions, guards 7 and 8: an input whose writers commit, abort
// and leave a transaction open. What is not committed is not read; the markers behind
// it, which are no records, and what lies open hold up neither clock. Once it is
// committed after all, it is read.
func TestOutsidersTransactions(t *testing.T) {
	for _, name := range []string{"jumping", "wall"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.except(check.Torn, "the outsider is no service: it has neither state nor offsets")
			if name == "wall" {
				b.quick = clock.Quick(nine, 12*3600) // a day takes two seconds: all is written before it is over
			}
			b.start("a", counting(ringing, topology.Due("ring", onRing)))
			list := orders(10)
			b.outsider(list, "committed")(kgo.TryCommit)
			b.outsider(list, "aborted")(kgo.TryAbort)
			end := b.outsider(list, "open")
			var want []string
			reads := func(writer string) {
				for _, o := range list {
					want = append(want, writer+o)
				}
				b.settleUntil(len(want))
				b.each(want)
			}
			reads("committed")
			end(kgo.TryCommit)
			reads("open")
		})
	}
}

// outsider writes orders in a transaction of its own. What it returns ends that,
// and is done when the markers are there and the clock knows of them.
func (b *bench) outsider(list []string, prefix string) (end func(kgo.TransactionEndTry)) {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID(b.prefix+prefix), kgo.TransactionTimeout(2*patience),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
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
	return func(how kgo.TransactionEndTry) {
		b.t.Helper()
		if err := cl.EndTransaction(b.t.Context(), how); err != nil {
			b.t.Fatal(err)
		}
		b.until("the markers are written", func() bool { return b.stable("orders") })
		for p, end := range b.ends("orders") {
			b.clock.Published(b.prefix+"orders", p, end)
		}
	}
}

// stable reports whether no transaction is open on a topic.
func (b *bench) stable(topic string) bool {
	stable, err := b.adm.ListCommittedOffsets(b.t.Context(), b.prefix+topic)
	if err != nil {
		return false
	}
	for p, end := range b.ends(topic) {
		if o, ok := stable.Lookup(b.prefix+topic, p); !ok || o.Offset != end {
			return false
		}
	}
	return true
}

// TestCommitInFlight, guard 8: a member is expelled between the commit of its
// offsets and the end of its transaction. Its successor waits, with the state and
// with the offsets, to learn how that ends: or it would do the same inputs again, or
// miss that they were done, or take for done what was not.
func TestCommitInFlight(t *testing.T) {
	for _, c := range []struct {
		name string
		ends func(*bench, *gate)
	}{
		{"it commits", func(_ *bench, ending *gate) { ending.open() }},
		{"it aborts", func(b *bench, ending *gate) { b.take(); ending.open() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			first, ending := b.startHeld("a", kmsg.EndTxn, counting(clearing))
			list := orders(20)
			b.caught(ending, list, "a transaction is about to end")
			b.expel(b.member())
			heir := b.watchRestore("b")
			second := b.start("b", counting(clearing))
			b.options, b.rehearse = nil, nil
			heir.waits(t)
			c.ends(b, ending)
			b.settle()
			first.end()
			b.publishAll(list) // once more: what was done is known to be
			b.settle()
			b.each(list)
			second.end()
			b.agrees("b", len(list))
		})
	}
}

// restoreWatch sees an instance ask for its changelogs, and go on.
type restoreWatch struct {
	asked  chan struct{} // each time
	goesOn *gate         // arrived at in the turn after that of the restore
}

// watchRestore watches the instance that is started next.
func (b *bench) watchRestore(name string) *restoreWatch {
	w := &restoreWatch{make(chan struct{}, 1000), newGate()}
	var begun atomic.Bool
	b.options = tap{askedBy: func(api kmsg.Key, client string) {
		if api != kmsg.Fetch || client != b.prefix+"changelogs."+name {
			return
		}
		begun.Store(true)
		select {
		case w.asked <- struct{}{}:
		default: // it waits for long enough
		}
	}}.options()
	b.rehearse = func(_ string, at stream.Point) error {
		if at == stream.AtPolled && begun.Load() {
			w.goesOn.arrive()
		}
		return nil
	}
	return w
}

// waits says that the restore asks again and again for what the broker holds back. One
// that has what it came for asks no more, and the next turn begins.
func (w *restoreWatch) waits(t *testing.T) {
	t.Helper()
	for range 4 {
		select {
		case <-w.asked:
		case <-w.goesOn.arrived:
			t.Fatal("the successor has its state before its predecessor's transaction has ended")
		case <-time.After(patience):
			t.Fatal("nobody reads a changelog: the test shows nothing")
		}
	}
}

// TestRebalanceWaitsForATurn, guard 8: another member comes while a worker is in the
// middle of a turn. The worker ends the turn first, or what it has done in it is
// thrown away, with each member that comes and goes.
func TestRebalanceWaitsForATurn(t *testing.T) {
	b := newBench(t)
	taken, moved := newGate(), newGate()
	var runs, atEnd, told, joins atomic.Int32
	b.options = tap{
		asked: func(api kmsg.Key) {
			if api == kmsg.JoinGroup && taken.shut.Load() && joins.Add(1) == 2 {
				moved.arrive() // it has given tasks up, and says so
			}
		},
		answered: func(api kmsg.Key, answer []byte) {
			if api == kmsg.Heartbeat && errorOf(answer) == kerr.RebalanceInProgress.Code && told.Add(1) == 3 {
				moved.arrive() // it has not joined for that: it will not before its turn is over
			}
		},
	}.options()
	hold := taken.at(stream.AtTaken)
	b.rehearse = func(worker string, at stream.Point) error {
		if at == stream.AtEnded && taken.shut.Load() {
			atEnd.CompareAndSwap(0, runs.Load())
		}
		return hold(worker, at)
	}
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		runs.Add(1)
		return clearing(c, e, turn)
	}))
	t.Cleanup(taken.open)
	b.options, b.rehearse = nil, nil
	list := orders(20)
	b.caught(taken, list, "a turn is under way")
	inHand := runs.Load()
	b.start("b", counting(clearing))
	await(t, moved.arrived, "the worker knows of the rebalance")
	taken.open()
	b.settle()
	b.each(list)
	if n := atEnd.Load(); n != inHand {
		t.Errorf("%d steps were run until the turn's end, want the %d of the turn: it was thrown away", n, inHand)
	}
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
