package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/table"
)

// RebuildTime says what time an input came at, which decides when timers fire
// between the inputs.
type RebuildTime int

// The ways. A run in quickened or jumping time wrote its records at other times
// than they speak of.
const (
	ByRecord RebuildTime = iota // when its record was written
	ByEvent                     // when what it tells of occurred
)

// Rebuild makes the state of a service that is stopped anew, from the topics it
// has read: every input from the first to the group's committed offsets runs
// through the same steps, into tables of its own. Effects are not run, for their
// outcomes lie in the inbox; outputs are dropped, for they were published.
type Rebuild struct {
	Tasks []RebuildTask

	config Config
	by     RebuildTime
	plan   *plan
	widths *widths
	logs   *changelogs
	store  *table.Store
	worker *worker
	clock  *replayClock
	buried map[source]string // the cause of each
}

// RebuildTask is a task that is rebuilt, and what became of it.
type RebuildTask struct {
	Name    string // set/partition
	Inputs  []RebuildInput
	Records int64 // offsets of the inputs: what there is to do
	Rows    int   // on the changelog
	Differs []Difference

	set       *set
	partition int32
}

// RebuildInput is a stretch of an input topic.
type RebuildInput struct {
	Topic    string // without the prefix
	From, To int64  // To is the group's committed offset

	span *span
}

// Difference is a row that came out otherwise than it lies on the changelog.
type Difference struct {
	Key  string // of the row, as the service knows it
	What string

	changelog string
	rebuilt   []byte // nil: there is no such row
}

type source struct {
	topic     string
	partition int32
	offset    int64
}

// Bounds of a rebuild.
const (
	rebuildBatch  = 500                      // inputs between two commits to its own tables
	rebuildBeyond = 2 * 365 * 24 * time.Hour // how far timers run behind the last input where no row says where the service stood
	applyBatch    = 1000                     // rows written in one transaction
)

// NewRebuild looks at what there is to do, and refuses what cannot be done: a
// service that runs, and inputs that are gone. c needs no store, clock or metrics.
func NewRebuild(ctx context.Context, c Config, s topology.Service, by RebuildTime) (_ *Rebuild, err error) {
	r := &Rebuild{by: by, clock: &replayClock{Clock: clock.Wall()}, buried: map[source]string{}}
	c.Clock, c.Metrics = r.clock, NewMetrics(prometheus.NewRegistry())
	c.Instance = orElse(c.Instance, "rebuild")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	c.Limits.BreakerMinimum = math.MaxInt // what failed then fails now
	r.config = c
	if err := topology.Validate(c.Estate, []topology.Service{s}); err != nil {
		return nil, err
	}
	if r.plan, err = newPlan(c, s); err != nil {
		return nil, err
	}
	if r.logs, err = newChangelogs(c); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.plan.prepare(ctx, c); err != nil {
		return nil, err
	}
	if r.widths, err = measure(ctx, c, r.logs.adm, []*plan{r.plan}); err != nil {
		return nil, err
	}
	if err := r.stopped(ctx); err != nil {
		return nil, err
	}
	if err := r.stretches(ctx); err != nil {
		return nil, err
	}
	if r.store, err = table.Open(table.Config{}); err != nil {
		return nil, err
	}
	h, err := openHangar("", 1)
	if err != nil {
		return nil, err
	}
	r.worker = &worker{
		name: s.Name + ".rebuild", config: c, limits: c.Limits, plan: r.plan, log: slog.New(slog.DiscardHandler), metrics: c.Metrics,
		wire: framer{wire: c.Wire, prefix: c.Prefix, widths: r.widths}, flight: h.flight(0, s.Name, c.Version()), buried: r.buried,
	}
	return r, nil
}

// Close lets go of what a rebuild has opened.
func (r *Rebuild) Close() error {
	r.logs.close()
	if r.store == nil {
		return nil
	}
	return r.store.Close()
}

// stopped refuses a service that runs: it would go on from what it has in memory.
func (r *Rebuild) stopped(ctx context.Context) error {
	group := r.config.topic(r.plan.service.Name)
	groups, err := r.logs.adm.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return fmt.Errorf("describe group %s: %w", group, err)
	}
	if n := len(groups[group].Members); n > 0 {
		return fmt.Errorf("service %s runs: its group has %d members; stop them all first", r.plan.service.Name, n)
	}
	return nil
}

// stretches finds what of the inputs each task has read. What was read and is
// gone cannot be run again, and to leave it out would be to make another state.
func (r *Rebuild) stretches(ctx context.Context) error {
	group := r.config.topic(r.plan.service.Name)
	committed, err := r.logs.adm.FetchOffsets(ctx, group)
	if err != nil {
		return fmt.Errorf("committed offsets of %s: %w", group, err)
	}
	now, err := r.logs.extents(ctx, r.plan.inputs()...)
	if err != nil {
		return err
	}
	var gone []error
	for _, name := range sortedKeys(r.plan.sets) {
		set := r.plan.sets[name]
		for p := range set.width {
			t := RebuildTask{Name: fmt.Sprintf("%s/%d", set.full, p), set: set, partition: p}
			for _, topic := range set.inputs {
				s, err := now.span(topic, p)
				if err != nil {
					return err
				}
				at, has := committed.Lookup(topic, p)
				if !has || at.At <= 0 {
					continue // nothing of it was ever read
				}
				if s.next > 0 {
					gone = append(gone, fmt.Errorf("%s/%d begins at offset %d: what was before is beyond its retention", topic, p, s.next))
				}
				s.end = min(at.At, s.end)
				in := RebuildInput{Topic: topic[len(r.config.Prefix):], From: s.next, To: s.end, span: s}
				t.Inputs = append(t.Inputs, in)
				t.Records += in.To - in.From
			}
			r.Tasks = append(r.Tasks, t)
		}
	}
	if len(gone) > 0 {
		return fmt.Errorf("the state of %s cannot be made anew from its inputs: %w", r.plan.service.Name, errors.Join(gone...))
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Compare runs the inputs of every task and holds what comes out against the
// changelog. told hears, now and then, of how many of all offsets are done.
func (r *Rebuild) Compare(ctx context.Context, told func(done int64)) error {
	if err := r.deadLetters(ctx); err != nil {
		return err
	}
	done := int64(0)
	for i := range r.Tasks {
		t := &r.Tasks[i]
		live, err := r.changelog(ctx, t)
		if err == nil && len(live) > 0 && len(t.Inputs) == 0 {
			err = errors.New("it has rows, and by its group's offsets it has read nothing: brokers forget those of a group that nobody is in for offsets.retention.minutes; a start of the service says how to set them")
		}
		if err != nil {
			return fmt.Errorf("rebuild %s: %w", t.Name, err)
		}
		r.worker.frozen = r.frozen(t, live)
		made, err := r.run(ctx, t, t.horizon(live, r.worker.frozen), func(n int64) { told(done + n) })
		if err == nil {
			t.Rows = len(live)
			err = t.compare(live, made.table)
		}
		if err != nil {
			return fmt.Errorf("rebuild %s: %w", t.Name, err)
		}
		done += t.Records
		told(done)
		if err := made.table.Wipe(); err != nil {
			return err
		}
	}
	return nil
}

// deadLetters reads which inputs and timers were buried. They changed nothing then, whatever
// the steps would make of them today, and one in quarantine would end us too.
// What was mended since came as a record of its own.
func (r *Rebuild) deadLetters(ctx context.Context) error {
	now, err := r.logs.extents(ctx, r.plan.dead)
	if err != nil {
		return err
	}
	var spans []*span
	for p := range now.details[r.plan.dead].Partitions {
		s, err := now.span(r.plan.dead, p)
		if err != nil {
			return err
		}
		spans = append(spans, s)
	}
	return r.logs.read(ctx, spans, r.config.Limits.RestoreStall, func(_ *span, records []*kgo.Record) error {
		for _, rec := range records {
			d, err := deadLetter(rec)
			if err != nil {
				return fmt.Errorf("%s/%d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
			r.buried[source{r.config.topic(d.Topic), d.Partition, d.Offset}] = d.Cause
		}
		return nil
	})
}

// changelog reads a task's rows as they are.
func (r *Rebuild) changelog(ctx context.Context, t *RebuildTask) (rows map[string][]byte, err error) {
	now, err := r.logs.extents(ctx, t.set.state)
	if err != nil {
		return nil, err
	}
	s, err := now.span(t.set.state, t.partition)
	if err != nil {
		return nil, err
	}
	rows = map[string][]byte{}
	err = r.logs.read(ctx, []*span{s}, r.config.Limits.RestoreStall, func(_ *span, records []*kgo.Record) error {
		for _, rec := range records {
			if rec.Value == nil {
				delete(rows, string(rec.Key))
			} else {
				rows[string(rec.Key)] = bytes.Clone(rec.Value) // or one row holds the batch that it came in
			}
		}
		return nil
	})
	return rows, err
}

// horizon is up to which time the service had fired a task's timers: before the earliest
// that is armed, zero if none is. What is frozen holds it up no longer.
func (t *RebuildTask) horizon(rows map[string][]byte, frozen map[string]time.Time) (horizon time.Time) {
	for key, value := range rows {
		if key == "" || key[0] == parkedPrefix {
			continue
		}
		if at, _, err := t.set.glance(value); err == nil && !at.IsZero() && frozen[key].IsZero() {
			horizon = earliest(horizon, at)
		}
	}
	if !horizon.IsZero() {
		horizon = horizon.Add(-time.Millisecond)
	}
	return horizon
}

// frozen finds the rows of a task of which a dead letter tells that they could not be
// read when they were due, and that are as they were then: since when each waits for the
// mended one.
func (r *Rebuild) frozen(t *RebuildTask, rows map[string][]byte) map[string]time.Time {
	frozen := map[string]time.Time{}
	nameless := r.config.timerSource(t.set, t.partition, rowKey(""), armed{}).topic
	for from := range r.buried {
		key, is := strings.CutPrefix(from.topic, nameless)
		value, there := rows[rowKey(key)]
		if !is || !there || from.partition != t.partition {
			continue
		}
		at := time.UnixMilli(from.offset).UTC()
		if due, _, err := t.set.glance(value); (err != nil || due.Equal(at)) && at.After(frozen[rowKey(key)]) {
			frozen[rowKey(key)] = at
		}
	}
	return frozen
}

// run runs a task's inputs, merged by the time at which they were written, with
// the timers between them.
func (r *Rebuild) run(ctx context.Context, rt *RebuildTask, horizon time.Time, told func(int64)) (*task, error) {
	state, _, err := r.store.Task(rt.Name)
	if err != nil {
		return nil, err
	}
	t := &task{
		id: taskID{rt.set.name, rt.partition}, home: partitionKey(rt.partition, rt.set.width), set: rt.set, table: state,
		rows: map[string]*row{}, spare: &r.worker.spare,
	}
	state.Limit(table.Limits{Cache: r.config.Limits.RowCacheBytes})
	run := &rerun{worker: r.worker, clock: r.clock, task: t, x: &transaction{}, by: r.by}
	r.clock.now = time.Time{}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	var heads []*head
	for _, in := range rt.Inputs {
		h := &head{records: make(chan []*kgo.Record)}
		heads = append(heads, h)
		g.Go(func() error {
			defer close(h.records)
			return r.logs.read(ctx, []*span{in.span}, r.config.Limits.RestoreStall, func(_ *span, records []*kgo.Record) error {
				select {
				case h.records <- records:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	n := int64(0)
	for rec := next(heads); rec != nil; rec = next(heads) {
		if n++; n%rebuildBatch == 0 {
			told(n)
		}
		cause, buried := r.buried[source{rec.Topic, rec.Partition, rec.Offset}]
		if buried && (cause != causePoison || rec.Topic != rt.set.inbox) {
			continue
		}
		if err := run.input(ctx, rec, buried); err != nil {
			return nil, fmt.Errorf("%s/%d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if horizon.IsZero() {
		horizon = r.clock.now.Add(rebuildBeyond)
	}
	return t, errors.Join(run.timers(ctx, horizon), run.commit())
}

// head is the next records of an input.
type head struct {
	records chan []*kgo.Record
	ready   []*kgo.Record
}

// next takes the record that was written first; nil at the end of all.
func next(heads []*head) *kgo.Record {
	var first *head
	for _, h := range heads {
		for len(h.ready) == 0 {
			more, open := <-h.records
			if !open {
				break
			}
			h.ready = more
		}
		if len(h.ready) > 0 && (first == nil || h.ready[0].Timestamp.Before(first.ready[0].Timestamp)) {
			first = h
		}
	}
	if first == nil {
		return nil
	}
	rec := first.ready[0]
	first.ready = first.ready[1:]
	return rec
}

// rerun runs the steps of a task as its worker would, with nobody to hear of it.
type rerun struct {
	worker *worker
	clock  *replayClock
	task   *task
	x      *transaction
	by     RebuildTime
	offset int64
}

// input runs a record's step. Of one that was poison it does what that did: an
// outcome's intent is settled.
func (u *rerun) input(ctx context.Context, rec *kgo.Record, poison bool) error {
	if u.by == ByRecord {
		if err := u.until(ctx, rec.Timestamp); err != nil {
			return err
		}
	}
	in := &input{}
	wanted, err := u.worker.receive(ctx, u.x, u.task, rec, in)
	if err != nil || !wanted {
		return err
	}
	if u.by == ByEvent {
		err := u.task.load() // before the clock moves, which lets go of all rows
		if err == nil {
			err = u.until(ctx, in.turn.Now)
		}
		if err != nil {
			return err
		}
		in.want(rowKey(in.key))
	}
	if err := u.task.load(); err != nil {
		return err
	}
	u.x.inputs++
	if poison {
		err = u.settle(in)
	} else {
		err = u.worker.accept(u.x, in)
	}
	if err != nil {
		return err
	}
	if u.x.inputs < rebuildBatch {
		return nil
	}
	return u.commit()
}

func (u *rerun) settle(in *input) error {
	if err := in.open(); err != nil || in.row.err != nil {
		return err
	}
	return u.worker.settle(u.x, in)
}

// until lets business time come to at: what was due before has fired.
func (u *rerun) until(ctx context.Context, at time.Time) error {
	if !at.After(u.clock.now) {
		return nil
	}
	if err := u.timers(ctx, at.Add(-time.Millisecond)); err != nil {
		return err
	}
	u.clock.now = at
	return nil
}

// timers fires what is due, in the order of deadlines; the clock stands at each
// meanwhile.
func (u *rerun) timers(ctx context.Context, horizon time.Time) error {
	if err := u.commit(); err != nil { // the index knows what is committed
		return err
	}
	for {
		at, _, err := u.task.table.Next()
		if err != nil || at.IsZero() || at.After(horizon) {
			return err
		}
		if at.After(u.clock.now) {
			u.clock.now = at
		}
		if _, _, err := u.worker.fireNext(ctx, u.x, u.task, at); err != nil {
			return err
		}
		if err := u.commit(); err != nil {
			return err
		}
	}
}

// commit makes what was staged the state, as if the broker had said yes.
func (u *rerun) commit() error {
	defer u.task.release()
	if u.x.empty() && len(u.x.parked) == 0 {
		return nil
	}
	records := u.x.changelog()
	for _, rec := range records {
		rec.Offset = u.offset
		u.offset++
	}
	err := u.x.apply(records, time.Now())
	u.x = &transaction{}
	return err
}

// replayClock stands where a rebuild has come.
type replayClock struct {
	clock.Clock
	now time.Time
}

func (c *replayClock) Now() time.Time     { return c.now }
func (c *replayClock) Horizon() time.Time { return c.now }
func (c *replayClock) Settled() bool      { return true }

// Apply writes the rows that differ to the changelog: the service, once started,
// reads them behind its checkpoint. It must stay stopped meanwhile.
func (r *Rebuild) Apply(ctx context.Context) error {
	cl, err := kgo.NewClient(r.config.client("rebuild."+r.plan.service.Name,
		kgo.TransactionalID(r.config.topic(r.plan.service.Name+".rebuild")), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	var records []*kgo.Record
	for _, t := range r.Tasks {
		for _, d := range t.Differs {
			records = append(records, &kgo.Record{Topic: t.set.state, Partition: t.partition, Key: []byte(d.changelog), Value: d.rebuilt})
		}
	}
	for batch := range slices.Chunk(records, applyBatch) {
		if err := cl.BeginTransaction(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		err := cl.ProduceSync(ctx, batch...).FirstErr()
		if err == nil {
			err = r.stopped(ctx)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write rows: %w", err), cl.EndTransaction(ctx, kgo.TryAbort))
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("commit rows: %w", err)
		}
	}
	return nil
}
