package stream

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/table"
)

type holdPlaced struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32  `avro:"score"`
	Reason           string `avro:"reason"`
}

type fraudCleared struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32  `avro:"score"`
	Basis            string `avro:"basis"`
}

type score struct {
	Score int32 `avro:"score"`
}

// echoing is the smallest service: one event in, one fact out, one row.
var echoing = topology.Service{
	Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
	Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(r *score, e score, t *topology.Turn) error {
		*r = e
		t.Publish(&fraudCleared{Score: e.Score, Basis: "SCORE"})
		return nil
	}))},
}

// benched is a worker of a service with one task and no broker.
func benched(b testing.TB, service topology.Service) *worker {
	b.Helper()
	registry := srfake.New()
	b.Cleanup(registry.Close)
	catalogue, err := schemas.Load()
	if err != nil {
		b.Fatal(err)
	}
	reg, err := schemas.NewRegistry(registry.URL())
	if err != nil {
		b.Fatal(err)
	}
	store, err := table.Open(table.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	c := Config{
		Brokers: []string{"nowhere"}, Instance: "a", Workers: 1, Wire: schemas.NewWire(catalogue, reg), Clock: clock.Wall(), Store: store,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: NewMetrics(prometheus.NewRegistry()),
		Estate: topology.Estate{Version: 1, Partitions: 1, Topics: []topology.Topic{
			{Name: "holds", Owner: "risk", Key: "order", Events: []string{"FraudHoldPlaced"}},
			{Name: "fraud", Owner: "risk", Key: "order", Events: []string{"FraudCleared"}},
		}},
	}
	p, err := newPlan(c, service)
	if err != nil {
		b.Fatal(err)
	}
	for topic, event := range map[string]string{"holds": "FraudHoldPlaced", "fraud": "FraudCleared"} {
		if err := c.Wire.Prepare(b.Context(), topic, event); err != nil {
			b.Fatal(err)
		}
	}
	s := p.sets[""]
	s.width = 1
	h, err := openHangar("", 1)
	if err != nil {
		b.Fatal(err)
	}
	w := &worker{
		name: "risk", config: c, limits: c.Limits.withDefaults(), plan: p, log: c.Log, metrics: c.Metrics, flight: h.flight(0, "risk", "v1"),
		wire: framer{wire: c.Wire, widths: &widths{n: map[string]int32{"fraud": 1, "risk.dead": 1}}},
	}
	state, _, err := store.Task("risk/0")
	if err != nil {
		b.Fatal(err)
	}
	state.Limit(table.Limits{Cache: w.limits.RowCacheBytes, Pending: w.limits.CheckpointBytes})
	t := &task{id: taskID{"", 0}, set: s, table: state, rows: map[string]*row{}, spare: &w.spare}
	w.tasks = map[taskID]*task{t.id: t}
	return w
}

// hold is a record of the service's input; its score is its offset.
func (w *worker) hold(b testing.TB, order string, offset int64, at time.Time) *kgo.Record {
	b.Helper()
	value, err := w.config.Wire.Encode("holds", &holdPlaced{
		Envelope: schemas.Envelope{ID: schemas.FactID(order, strconv.FormatInt(offset, 10)), Type: "FraudHoldPlaced", Source: "bench", OccurredAt: at, Tenant: "acme", Order: order, CorrelationID: schemas.FactID("flow", order)},
		Score:    int32(offset), Reason: "measured",
	})
	if err != nil {
		b.Fatal(err)
	}
	return &kgo.Record{Topic: "holds", Offset: offset, Key: []byte("acme/" + order), Value: value}
}

func fetched(records ...*kgo.Record) kgo.Fetches {
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "holds", Partitions: []kgo.FetchPartition{{Records: records}}}}}}
}

// turns gives the worker a clock that is moved by hand, and runs turns of its loop;
// each returns what it would tell.
func (w *worker) turns(t *testing.T) (turn func(...*kgo.Record) []*kgo.Record, now *replayClock) {
	now = &replayClock{Clock: w.config.Clock, now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
	w.config.Clock = now
	return func(polled ...*kgo.Record) []*kgo.Record {
		t.Helper()
		x := &transaction{began: time.Now()}
		err := w.take(t.Context(), x, fetched(polled...), map[partition]int64{})
		if err == nil {
			err = w.fire(t.Context(), x)
		}
		if err == nil && !x.empty() {
			err = x.apply(x.changelog(), time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range w.tasks {
			at.release()
		}
		return x.outputs
	}, now
}

// patient is a service that lets its inputs wait as long as it is told to, and notes
// those that it has tried, and run.
type patient struct {
	wait  bool
	tried []int32
	ran   []int32
	ends  bool // each that it runs ends its row
	drops bool // it does nothing with any
}

func (p *patient) benched(t *testing.T) *worker {
	t.Helper()
	return benched(t, topology.Service{
		Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(_ *score, e score, turn *topology.Turn) error {
			p.tried = append(p.tried, e.Score)
			if p.wait {
				return topology.Park(time.Hour, "not yet")
			}
			if p.drops {
				return topology.Drop("nothing to do")
			}
			p.ran = append(p.ran, e.Score)
			if p.ends {
				turn.End()
			}
			return nil
		}))},
	})
}

// TestParkedBehindTheEnd: where an input that was parked ends its row, what is
// parked behind it is run all the same, and the row is gone.
func TestParkedBehindTheEnd(t *testing.T) {
	p := &patient{ends: true}
	w := p.benched(t)
	turn, now := w.turns(t)
	for n := range int64(2) { // the second time as the first
		p.wait = true
		turn(w.hold(t, "web-1", 3*n+1, now.now), w.hold(t, "web-1", 3*n+2, now.now), w.hold(t, "web-1", 3*n+3, now.now))
		p.wait, now.now = false, now.now.Add(time.Hour)
		turn()
		if b, err := w.tasks[taskID{"", 0}].table.Get("Racme/web-1"); b != nil || err != nil {
			t.Errorf("the row has not ended: %q, %v", b, err)
		}
	}
	if want := []int32{1, 2, 3, 4, 5, 6}; !slices.Equal(p.ran, want) {
		t.Errorf("ran %v, want %v", p.ran, want)
	}
}

// TestParkedForNothing: a row that was made for what is parked, or has ended before that
// ran, goes with the last of it.
func TestParkedForNothing(t *testing.T) {
	for _, ended := range []bool{false, true} {
		p := &patient{wait: true, drops: !ended, ends: ended}
		w := p.benched(t)
		w.limits.TransactionBytes = 1 // one parked input a transaction
		turn, now := w.turns(t)
		turn(w.hold(t, "web-1", 1, now.now), w.hold(t, "web-1", 2, now.now))
		turn(w.hold(t, "web-1", 2, now.now))
		p.wait, now.now = false, now.now.Add(time.Hour)
		turn()
		p.drops = true
		for range 3 {
			turn()
		}
		if b, err := w.tasks[taskID{"", 0}].table.Get("Racme/web-1"); b != nil || err != nil {
			t.Errorf("ended: %v: of the row %q is left, %v", ended, b, err)
		}
	}
}

// TestParkedWhileTheOthersRun: an input that comes in the transaction in which what
// is parked under its key is tried again waits for the next one, not for ever.
func TestParkedWhileTheOthersRun(t *testing.T) {
	p := &patient{wait: true}
	w := p.benched(t)
	turn, now := w.turns(t)
	turn(w.hold(t, "web-1", 1, now.now))
	p.wait, now.now = false, now.now.Add(time.Hour)
	turn(w.hold(t, "web-1", 2, now.now))
	turn()
	if !slices.Equal(p.ran, []int32{1, 2}) {
		t.Errorf("ran %v, want 1 and 2", p.ran)
	}
}

// loses takes an entry out of the first task's table, as damage would.
func (w *worker) loses(t *testing.T, key string) *table.Task {
	t.Helper()
	of := w.tasks[taskID{"", 0}].table
	if err := of.Commit([]table.Change{{Key: key}}, of.Marker()); err != nil {
		t.Fatal(err)
	}
	return of
}

// TestParkedInputThatIsGone: one that a damaged changelog has lost costs neither the
// row nor what waits behind it.
func TestParkedInputThatIsGone(t *testing.T) {
	p := &patient{}
	w := p.benched(t)
	turn, now := w.turns(t)
	turn(w.hold(t, "web-1", 1, now.now))
	p.wait = true
	turn(w.hold(t, "web-1", 2, now.now), w.hold(t, "web-1", 3, now.now))
	of := w.loses(t, parkedKey("Racme/web-1", 0))
	p.wait, now.now = false, now.now.Add(time.Hour)
	turn()
	turn()
	if !slices.Equal(p.ran, []int32{1, 3}) {
		t.Errorf("ran %v, want 1 and 3", p.ran)
	}
	if b, err := of.Get("Racme/web-1"); b == nil || err != nil {
		t.Errorf("the row is gone: %v", err)
	}
}

// TestParkedInputThatIsGoneBehindTheEnd: nor does it keep a row that has ended.
func TestParkedInputThatIsGoneBehindTheEnd(t *testing.T) {
	p := &patient{wait: true, ends: true}
	w := p.benched(t)
	turn, now := w.turns(t)
	turn(w.hold(t, "web-1", 1, now.now), w.hold(t, "web-1", 2, now.now))
	of := w.loses(t, parkedKey("Racme/web-1", 1))
	p.wait, now.now = false, now.now.Add(time.Hour)
	turn()
	if b, err := of.Get("Racme/web-1"); b != nil || err != nil || !slices.Equal(p.ran, []int32{1}) {
		t.Errorf("ran %v, and the row that ended is %q, %v", p.ran, b, err)
	}
}

// TestParkedWithoutEnd: a damaged row that says that more is parked than anything can
// be holds up a transaction no longer than the most that can be parked would.
func TestParkedWithoutEnd(t *testing.T) {
	p := &patient{}
	w := p.benched(t)
	turn, now := w.turns(t)
	turn(w.hold(t, "web-1", 1, now.now))
	at := w.tasks[taskID{"", 0}]
	r, err := at.row("Racme/web-1")
	if err != nil {
		t.Fatal(err)
	}
	r.frame.ParkedTo, r.frame.ParkedUntil = 1<<40, now.now.UnixMilli()
	damaged, err := at.set.encode(r, new([]byte))
	if err != nil {
		t.Fatal(err)
	}
	at.release()
	if err := at.table.Commit([]table.Change{{Key: "Racme/web-1", Value: damaged, Is: now.now}}, at.table.Marker()); err != nil {
		t.Fatal(err)
	}
	turn()
	if r, err = at.row("Racme/web-1"); err != nil || r.frame.ParkedFrom != int64(w.limits.ParkedPerKey) {
		t.Errorf("%d were skipped, %v, want %d", r.frame.ParkedFrom, err, w.limits.ParkedPerKey)
	}
}

// TestDamagedRowWithIntents: a row that cannot be read harms its own key alone, also
// where it has intents in hand: its task is taken up.
func TestDamagedRowWithIntents(t *testing.T) {
	w := benched(t, echoing)
	at := w.tasks[taskID{"", 0}]
	damaged, err := at.set.frame.Append(nil, &frame{InHand: true, Intents: []intent{{ID: "i", Effect: "score"}}})
	if err != nil {
		t.Fatal(err)
	}
	damaged = append(damaged, "no row"...)
	if err := at.table.Commit([]table.Change{{Key: "Racme/web-1", Value: damaged, IsHand: true}}, table.Marker{Next: 1}); err != nil {
		t.Fatal(err)
	}
	e := newEffects(w)
	defer e.stop()
	e.resume(at)
	if err := e.refill(); err != nil {
		t.Errorf("the session would be built anew for ever: %v", err)
	}
	if len(e.lanes[undeclared].left) != 0 {
		t.Error("the row is looked at again and again")
	}
	if r, err := at.row("Racme/web-1"); r == nil || err == nil {
		t.Errorf("the row is read as %+v, %v: the test shows nothing", r, err)
	}
}

// TestDamagedRowWithAStaleDeadline: an entry that the row has moved on from is none, also
// once an input of the row was refused.
func TestDamagedRowWithAStaleDeadline(t *testing.T) {
	w := benched(t, echoing)
	turn, now := w.turns(t)
	at := w.tasks[taskID{"", 0}]
	due := now.now.Add(time.Hour)
	row, err := at.set.frame.Append(nil, &frame{Deadline: due.UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	row = append(row, "no state"...)
	for _, is := range []time.Time{now.now, due} { // as a restore has it that knows nothing of the first
		if err := at.table.Commit([]table.Change{{Key: "Racme/web-1", Value: row, Is: is}}, at.table.Marker()); err != nil {
			t.Fatal(err)
		}
	}
	if told := turn(w.hold(t, "web-1", 1, now.now)); len(told) != 1 || headerOf(told[0], deadTopic) != "holds" {
		t.Errorf("told %v, want the input alone", told)
	}
}

// TestOutcomeSentAgain: an outcome that was buried and is settled after all is not held
// against the next of its name.
func TestOutcomeSentAgain(t *testing.T) {
	w := benched(t, echoing)
	h := w.flight.hangar
	h.acquit(nil, []inFlight{w.flight.outcome(outcomeID("i")).buried()})
	if !w.unanswerable("i") || w.unanswerable("j") {
		t.Fatal("what was buried is not known")
	}
	x := &transaction{}
	w.answered(x, "i")
	h.acquit(x.suspects, x.buried)
	if w.unanswerable("i") || !slices.Equal(x.ended, []string{"i"}) {
		t.Errorf("it is held against the next; ended %v", x.ended)
	}
}

// TestDamagedRowWithTimers: a deadline of a row that cannot be read becomes a dead letter,
// once; the row stays as it is, and other rows' timers fire.
func TestDamagedRowWithTimers(t *testing.T) {
	w := benched(t, echoing)
	turn, now := w.turns(t)
	at := w.tasks[taskID{"", 0}]
	due := now.now.Add(time.Hour)
	f := frame{Deadline: due.UnixMilli(), RecordKey: "web-1", Timers: []armed{{Name: "gone", At: due.UnixMilli()}}}
	whole, err := at.set.encode(&row{key: "Racme/web-2", frame: f, state: at.set.row.New()}, new([]byte))
	if err != nil {
		t.Fatal(err)
	}
	row, err := at.set.frame.Append(nil, &f)
	if err != nil {
		t.Fatal(err)
	}
	row = append(row, "no state"...)
	if err := at.table.Commit([]table.Change{{Key: "Racme/web-1", Value: row, Is: due}, {Key: "Racme/web-2", Value: whole, Is: due}}, at.table.Marker()); err != nil {
		t.Fatal(err)
	}
	if told := turn(); len(told) != 0 {
		t.Fatalf("%d records before the deadline", len(told))
	}
	now.now = due
	x := &transaction{}
	if err := w.fire(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	of, told := 0, x.outputs
	x.tasks(func(*task) { of++ })
	if changed := x.changelog(); len(told) != 2 || len(changed) != 1 || string(changed[0].Key) != "Racme/web-2" || of < 2 {
		t.Fatalf("at the deadline %d letters, rows %v, tasks %d: want a letter of each, the second with its row, both fenced by their task", len(told), changed, of)
	}
	if err := x.apply(x.changelog(), time.Now()); err != nil {
		t.Fatal(err)
	}
	at.release()
	letter, err := deadLetter(told[0])
	if err != nil || letter.Cause != causeDefect || letter.Offset != due.UnixMilli() || !strings.Contains(letter.Topic, "acme/web-1") || !strings.Contains(letter.Detail, "state rebuild") {
		t.Errorf("the dead letter is %+v, %v", letter, err)
	}
	if b, err := at.table.Get("Racme/web-1"); !bytes.Equal(b, row) || err != nil {
		t.Errorf("the row has become %q, %v", b, err)
	}
	for range 3 {
		now.now = now.now.Add(time.Hour)
		if told := turn(); len(told) != 0 {
			t.Errorf("told again: %v", told)
		}
	}
	if r, err := at.row("Racme/web-2"); err != nil || len(r.frame.Timers) != 0 {
		t.Errorf("the other row's timer has not fired: %+v, %v", r, err)
	}
	if err := at.table.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	later, _, err := w.config.Store.Task("risk/0")
	if err != nil {
		t.Fatal(err)
	}
	if next, key, err := later.Next(); err != nil || key != "Racme/web-1" || !next.Equal(due) {
		t.Errorf("after a start %q is due at %v, %v: a binary that can read the row would never fire its timer", key, next, err)
	}
}

// BenchmarkTake: what one record costs in the loop, without a broker: decode,
// deduplicate, load, step, encode, and the change of memory and checkpoint. Every
// order is one that was never seen.
func BenchmarkTake(b *testing.B) {
	w := benched(b, echoing)
	t := w.tasks[taskID{"", 0}]
	inputs := Limits{}.withDefaults().PollInputs
	at, n := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), int64(0)
	for b.Loop() {
		b.StopTimer()
		polled := make([]*kgo.Record, inputs)
		for i := range polled {
			polled[i] = w.hold(b, fmt.Sprintf("web-%08d", n), n, at)
			n++
		}
		fetches := fetched(polled...)
		b.StartTimer()
		x := &transaction{began: time.Now()}
		if err := w.take(b.Context(), x, fetches, map[partition]int64{}); err != nil {
			b.Fatal(err)
		}
		changed := x.changelog()
		if len(changed) != inputs || len(x.outputs) != inputs {
			b.Fatalf("%d rows and %d facts of %d inputs", len(changed), len(x.outputs), inputs)
		}
		if err := x.apply(changed, time.Now()); err != nil {
			b.Fatal(err)
		}
		t.release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}
