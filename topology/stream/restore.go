package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology/table"
)

// restoring is a task on its way from what lies on disk to what its changelog
// says.
type restoring struct {
	task  *task
	span  *span
	hand  map[string]bool // rows with intents in hand, as far as it was read
	rows  int
	bytes int64 // of them
	log   *slog.Logger
}

// open makes tasks from what lies on disk and what the changelogs have beyond,
// all at once. It runs after the assignment: a predecessor's transaction is then
// either over or can no longer commit, so everything that counts lies before the
// high watermarks asked for now.
func (w *worker) open(ctx context.Context, ids []taskID, share table.Limits) (tasks []*task, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	c, err := newChangelogs(w.config)
	if err != nil {
		return nil, err
	}
	c.tells = true
	defer c.close()
	defer func() {
		if err == nil {
			return
		}
		for _, t := range tasks { // a checkpoint may run, and the next session opens the same tasks
			err = errors.Join(err, t.table.Abandon())
		}
	}()
	all := map[*span]*restoring{}
	for _, id := range ids {
		t, err := w.load(id)
		if err != nil {
			return tasks, err
		}
		t.table.Limit(share)
		tasks = append(tasks, t)
	}
	for attempt := 1; ; attempt++ {
		if err := w.begin(ctx, c, tasks, all); err != nil {
			return tasks, err
		}
		err := w.restore(ctx, c, all)
		var gone errGone
		if err != nil && (!errors.As(err, &gone) || attempt == w.limits.RestoreAttempts) {
			return tasks, err
		}
		if err := loaded(all); err != nil {
			return tasks, err
		}
		if err == nil {
			return tasks, settle(all)
		}
		w.log.Warn("a changelog was cut while it was read: the task begins anew", "reason", gone.Error())
		for s, r := range all {
			if s.topic == gone.of.topic && s.partition == gone.of.partition {
				if err := r.task.table.Wipe(); err != nil {
					return tasks, err
				}
				r.task.next = 0
			}
		}
	}
}

// load takes a task as it lies on disk.
func (w *worker) load(id taskID) (*task, error) {
	s := w.plan.sets[id.set]
	state, _, err := w.config.Store.Task(fmt.Sprintf("%s/%d", s.full, id.partition))
	if err != nil {
		return nil, err
	}
	return &task{
		id: id, home: partitionKey(id.partition, s.width), set: s, table: state, rows: map[string]*row{}, spare: &w.spare,
		next: state.Marker().Next,
	}, nil
}

// begin finds where each task goes on, and wipes one that cannot.
func (w *worker) begin(ctx context.Context, c *changelogs, tasks []*task, all map[*span]*restoring) error {
	clear(all)
	topics := map[string]bool{}
	for _, t := range tasks {
		topics[t.set.state] = true
	}
	now, err := c.extents(ctx, slices.Sorted(maps.Keys(topics))...)
	if err != nil {
		return err
	}
	spans, tables := map[*task]*span{}, map[*span]*table.Task{}
	for _, t := range tasks {
		s, err := now.span(t.set.state, t.id.partition)
		if err != nil {
			return err
		}
		if spans[t] = s; t.next <= t.table.Marker().Next { // else an attempt before this one has come further
			tables[s] = t.table
		}
	}
	if err := c.findForks(ctx, tables); err != nil {
		return err
	}
	for _, t := range tasks {
		s := spans[t]
		m := t.table.Marker()
		t.topic, t.epoch = s.id, s.epoch
		m.Next = max(m.Next, t.next)
		if why := stale(m, s, time.Now()); why != "" {
			w.log.Warn("state on disk is not gone on from: restoring from the changelog's start", "task", t.set.full, "partition", t.id.partition, "reason", why)
			if err := t.table.Wipe(); err != nil {
				return err
			}
			m.Next = 0
		}
		s.next = max(m.Next, s.next)
		t.next = s.next
		r := &restoring{task: t, span: s, hand: map[string]bool{}, log: w.log}
		keys, err := t.table.InHand("", math.MaxInt)
		if err != nil {
			return err
		}
		for _, k := range keys {
			r.hand[k] = true
		}
		all[s] = r
	}
	return nil
}

// stale says why a checkpoint cannot be gone on from: the changelog is another, or was
// cut, or the tombstones that the checkpoint has not seen may have been compacted away,
// which would bring closed rows back.
//
// A transaction's marker lies behind its last record: where that alone follows, nothing was
// missed.
func stale(m table.Marker, s *span, now time.Time) string {
	if why := another(m, s); why != "" {
		return why
	}
	switch {
	case m.Next < s.next && m.Next != 0:
		return fmt.Sprintf("the changelog begins at %d, behind %d where the state goes on", s.next, m.Next)
	case !m.Applied.IsZero() && m.Next+1 < s.end && now.Sub(m.Applied) > stateRetention/2:
		return fmt.Sprintf("it has not been brought on for %v, and tombstones are kept for %v", now.Sub(m.Applied).Round(time.Hour), stateRetention)
	}
	return ""
}

// another says why a changelog does not hold what a checkpoint was written after.
func another(m table.Marker, s *span) string {
	switch {
	case m.Next == 0 && m.Applied.IsZero():
		return "" // nothing was ever written
	case m.TopicID != [16]byte{} && m.TopicID != s.id: // brokers before 2.8 give none
		return "the changelog was made anew"
	case m.Next > s.end:
		return fmt.Sprintf("the changelog ends at %d, before %d where the state has come", s.end, m.Next)
	case s.forked:
		return fmt.Sprintf("before %d, where the state goes on, the changelog has another record: it was cut, and has grown again", m.Next)
	}
	return ""
}

// restore reads what the changelogs have beyond the tables.
func (w *worker) restore(ctx context.Context, c *changelogs, all map[*span]*restoring) error {
	began := time.Now()
	p := newProgress(w.log, all)
	err := c.read(ctx, slices.Collect(maps.Keys(all)), w.limits.RestoreStall, func(s *span, records []*kgo.Record) error {
		r := all[s]
		if err := r.apply(records); err != nil {
			return err
		}
		p.say(len(records))
		return nil
	})
	for _, r := range all {
		if r.rows > 0 || err == nil {
			w.metrics.restored(r.task.set.full, r.rows, time.Since(began))
		}
	}
	return err
}

// loaded writes what the tables have gathered: nothing may read them, or go on from
// where they have come, before that.
func loaded(all map[*span]*restoring) error {
	for _, r := range all {
		if err := r.task.table.Loaded(); err != nil {
			return err
		}
	}
	return nil
}

// apply puts records of the changelog into the table.
func (r *restoring) apply(records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	t := r.task
	changes := make([]table.Change, 0, len(records))
	for _, rec := range records {
		change := table.Change{Key: string(rec.Key), Value: rec.Value}
		r.bytes += int64(len(rec.Key) + len(rec.Value))
		if len(rec.Key) == 0 {
			return fmt.Errorf("changelog %s/%d offset %d: a record without a key is no row", rec.Topic, rec.Partition, rec.Offset)
		}
		if rec.Value != nil && rec.Key[0] != parkedPrefix {
			var err error
			change.Is, change.IsHand, err = t.set.glance(rec.Value)
			if errors.Is(err, schemas.ErrNewerState) {
				return newer(t, string(rec.Key), err)
			}
			if err != nil { // it harms its own key alone: inputs of it become dead letters that say so
				r.log.Error("a row on the changelog is damaged: unless a later record of its key follows, its inputs become dead letters until `troupe state rebuild` makes it anew", "topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset, "key", change.Key[1:], "error", err)
			}
		}
		if change.WasHand = r.hand[change.Key]; change.WasHand != change.IsHand {
			if change.IsHand {
				r.hand[change.Key] = true
			} else {
				delete(r.hand, change.Key)
			}
		}
		changes = append(changes, change)
	}
	r.rows += len(records)
	last := records[len(records)-1]
	t.next = last.Offset + 1
	to := table.Marker{TopicID: t.topic, Next: t.next, Epoch: last.LeaderEpoch, Applied: last.Timestamp}
	if t.table.PastCache(r.span.end-t.next, r.bytes/int64(r.rows)) {
		return t.table.Load(changes, to)
	}
	for i := range changes {
		changes[i].Value = bytes.Clone(changes[i].Value) // or one row in memory holds the batch that it came in
	}
	return t.table.Commit(changes, to)
}

// newer ends the service for a row that a newer program wrote: to go on without
// it would be to decide without it, and another session reads the same.
func newer(t *task, key string, err error) error {
	return errStopService{fmt.Sprintf("%s/%d, row %q: %v", t.set.full, t.id.partition, key[1:], err)}
}

// settle notes how far the tables have come, also where there was nothing to
// read: the marker of a task that was wiped must not stay that of before.
func settle(all map[*span]*restoring) error {
	for _, r := range all {
		m := r.task.table.Marker()
		if r.rows > 0 || m.TopicID == r.task.topic {
			continue
		}
		if err := r.task.table.Commit(nil, table.Marker{TopicID: r.task.topic, Next: r.task.next, Epoch: -1, Applied: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// sayEvery is between two lines about a restore that takes long.
const sayEvery = 5 * time.Second

// progress tells how far a long restore has come.
type progress struct {
	log       *slog.Logger
	all       map[*span]*restoring
	whole     int64 // offsets
	rows      int
	began, at time.Time
}

func newProgress(log *slog.Logger, all map[*span]*restoring) *progress {
	p := &progress{log: log, all: all, began: time.Now(), at: time.Now()}
	p.whole = p.left()
	return p
}

func (p *progress) left() (n int64) {
	for s := range p.all {
		n += s.end - s.next
	}
	return n
}

func (p *progress) say(rows int) {
	p.rows += rows
	now := time.Now()
	if now.Sub(p.at) < sayEvery {
		return
	}
	p.at = now
	share := 1 - float64(p.left())/float64(p.whole)
	spent := now.Sub(p.began)
	args := []any{"tasks", len(p.all), "rows", p.rows, "percent", int(100 * share), "rows_per_second", int(float64(p.rows) / spent.Seconds())}
	if share > 0 {
		args = append(args, "eta", time.Duration(float64(spent)*(1-share)/share).Round(time.Second))
	}
	p.log.Info("restoring", args...)
}
