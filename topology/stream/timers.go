package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"troupe/topology"
)

// fire runs the timers that are due.
//
// A deadline fires only once every input of its task was read up to an end
// sampled at or after it: what meets it may already lie in the topic. A clock
// that moves only when all is read spares the sample.
func (w *worker) fire(ctx context.Context, x *transaction) error {
	horizon := w.config.Clock.Horizon()
	fired := 0
	w.unfired = false
	for _, t := range w.inOrder() {
		at, _, err := t.table.Next()
		if err != nil {
			return err
		}
		if at.IsZero() || at.After(horizon) {
			t.since = time.Time{}
			continue
		}
		until, err := w.readUpTo(ctx, t, at, horizon)
		if err != nil {
			return err
		}
		for _, key := range t.table.Upcoming(until, w.limits.TimersAtOnce) {
			t.want(key)
		}
		if err := t.load(); err != nil {
			return err
		}
		for fired < w.limits.TimersAtOnce && x.bytes < w.limits.TransactionBytes {
			n, more, err := w.fireNext(ctx, x, t, until)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			fired += n
		}
		w.unfired = w.unfired || fired >= w.limits.TimersAtOnce || x.bytes >= w.limits.TransactionBytes
	}
	return nil
}

// inOrder lists the tasks, so that what fires first does not hang on a map.
func (w *worker) inOrder() []*task {
	return slices.SortedFunc(maps.Values(w.tasks), func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.id.set, b.id.set), cmp.Compare(a.id.partition, b.id.partition))
	})
}

// fireNext runs the due timers of the row with the earliest deadline.
func (w *worker) fireNext(ctx context.Context, x *transaction, t *task, horizon time.Time) (fired int, more bool, err error) {
	at, key, err := t.table.Next()
	if err != nil || at.IsZero() || at.After(horizon) {
		return 0, false, err
	}
	r := t.want(key)
	if err := t.load(); err != nil {
		return 0, false, err
	}
	due, err := t.deadline(r)
	if err == nil && !due.Equal(at) {
		if r.touched { // moved on by this transaction, which may yet fail: its commit says what the row has
			t.table.Pop()
		} else {
			t.table.Drop() // stale
		}
		return 0, true, nil
	}
	if err := t.open(r); err != nil {
		return 0, false, err
	}
	t.table.Pop()
	switch since, is := w.frozen[key]; {
	case r.err != nil:
		w.buryDeadline(x, t, r, at)
		return 1, true, nil
	case is && (!at.Before(since) || r.frame.parked() > 0): // when inputs that were parked run hangs on another clock
		return 0, true, nil
	}
	x.touch(t, r)
	if r.frame.parked() > 0 {
		return 1, true, w.unpark(ctx, x, t, r)
	}
	for _, tm := range dueTimers(r.frame.Timers, horizon) {
		if !r.frame.disarm(tm.Name, tm.Discriminator) {
			continue // a step before it took it back
		}
		if err := w.ring(x, t, r, tm); err != nil {
			return fired, true, err
		}
		fired++
	}
	return fired, true, nil
}

// buryDeadline tells a person of a row that cannot be read and wants to run; other rows'
// timers go on. The row is left as it is, the disk keeps its deadline: whoever takes up
// the task next tries once more, and tells of it once more, which is the same exception.
// So nothing is lost, and the breaker is not asked: at a start all such rows come first.
func (w *worker) buryDeadline(x *transaction, t *task, r *row, at time.Time) {
	err := fmt.Errorf("%w: the row is damaged; `troupe state rebuild` makes it anew, and its timers fire then", r.err)
	w.buryTimer(x, t, r, armed{At: at.UnixMilli()}, causeDefect, err, 1)
	x.pinned = append(x.pinned, t) // or nothing would fence the letter
}

func dueTimers(timers []armed, horizon time.Time) []armed {
	var due []armed
	for _, tm := range timers {
		if tm.At <= horizon.UnixMilli() {
			due = append(due, tm)
		}
	}
	slices.SortStableFunc(due, func(a, b armed) int { return int(a.At - b.At) })
	return due
}

// ring runs one timer's step.
func (w *worker) ring(x *transaction, t *task, r *row, tm armed) error {
	if err := w.restage(x, t, r); err != nil { // without the timer, whatever the step says
		return err
	}
	if w.wasBuried(t, r, tm) {
		return nil // it changed nothing else
	}
	h := t.set.timers[tm.Name]
	if h == nil {
		w.buryTimer(x, t, r, tm, causeDefect, fmt.Errorf("no step of this version is Due on the timer %s: it is of another", tm.Name), 1)
		return nil
	}
	at := time.UnixMilli(tm.At).UTC()
	key := r.key[1:]
	if !w.admitTimer(x, t, r, tm) {
		return nil
	}
	in := &input{task: t, key: key, row: r, handler: h, turn: topology.Turn{Now: at, Cause: topology.Cause{
		Envelope: r.frame.envelope(), Key: key, Timer: tm.Name, Discriminator: tm.Discriminator,
	}}}
	if t.set.beside != nil {
		in.beside = t.want(besideKey) // one that is damaged fails this timer, not the session
		if err := t.load(); err != nil {
			return err
		}
		if err := t.open(in.beside); err != nil {
			return err
		}
	}
	err := w.run(x, in)
	w.metrics.fired(w.plan.service.Name, w.config.Clock.Now().Sub(at))
	if err == nil || topology.Dropped(err) {
		return nil
	}
	var defect errDefect
	_, parked := topology.Parked(err)
	cause := causeDefect
	switch {
	case errors.As(err, &defect), parked: // a timer has nothing that could wait
	case topology.Poisoned(err):
		cause = causePoison
	default:
		return err
	}
	w.buryTimer(x, t, r, tm, cause, err, 1)
	x.breaker.count(cause == causeDefect, err)
	return w.breaker.with(x.breaker).check(w.limits)
}

// readUpTo is the latest deadline, at or after at, that may fire.
func (w *worker) readUpTo(ctx context.Context, t *task, at, horizon time.Time) (time.Time, error) {
	if !w.placed(t) {
		return at.Add(-time.Nanosecond), nil
	}
	if w.config.Clock.Settled() {
		return horizon, nil
	}
	if (w.sampledAt.Before(at) || !w.endsKnown(t)) && time.Since(w.askedAt) >= w.limits.EndSample {
		if err := w.sample(ctx); err != nil {
			return time.Time{}, err
		}
	}
	if !w.sampledAt.Before(at) && w.caughtUp(t) {
		t.since = time.Time{}
		if w.sampledAt.Before(horizon) {
			return w.sampledAt, nil
		}
		return horizon, nil
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	if time.Since(t.since) > w.limits.HoldTimers {
		if time.Since(t.told) > w.limits.HoldTimers {
			t.told = time.Now()
			w.log.Error("an input lags: timers no longer wait for it", "set", t.set.full, "partition", t.id.partition, "behind", w.lagging(t), "since", t.since)
		}
		return horizon, nil
	}
	return at.Add(-time.Nanosecond), nil
}

// placed says whether the group has said where the task's inputs are read from. It
// gives tasks out before that, and their rows may be restored first: timers that fired
// in between would commit no offset, and nothing would fence them.
func (w *worker) placed(t *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.positions == nil {
		return true // a rebuild is in no group, and commits nothing
	}
	_, _, known := w.anchor(t.id)
	return known && !w.unread[t.id]
}

// sample asks for the ends of all inputs at once.
func (w *worker) sample(ctx context.Context) error {
	now := w.config.Clock.Now()
	w.askedAt = time.Now()
	ends, err := w.adm.ListCommittedOffsets(ctx, w.plan.inputs()...)
	if err != nil {
		return fmt.Errorf("ask for the inputs' ends: %w", err)
	}
	sampled := map[partition]int64{}
	for topic, ps := range ends {
		for p, o := range ps {
			if o.Err == nil {
				sampled[partition{topic, p}] = o.Offset
			}
		}
	}
	w.sampled, w.sampledAt = sampled, now
	return nil
}

// endsKnown is false where the broker did not say where each of the task's inputs
// ends: a partition between two leaders has none.
func (w *worker) endsKnown(t *task) bool {
	return !slices.ContainsFunc(t.set.inputs, func(topic string) bool {
		_, known := w.sampled[partition{topic, t.id.partition}]
		return !known
	})
}

func (w *worker) caughtUp(t *task) bool { return w.lagging(t) == "" }

// lagging names an input that is not yet read up to the sampled end, or of which
// that is not known.
func (w *worker) lagging(t *task) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range t.set.inputs {
		p := partition{topic, t.id.partition}
		switch end, known := w.sampled[p]; {
		case !known:
			return fmt.Sprintf("%s/%d, which does not say where it ends", topic, p.n)
		case w.positions[p] < end:
			return fmt.Sprintf("%s/%d at %d of %d", topic, p.n, w.positions[p], end)
		}
	}
	return ""
}

// setAlarm asks the clock to wake the loop for the next deadline.
func (w *worker) setAlarm() error {
	var due, leisure time.Time
	for _, t := range w.tasks {
		if !w.placed(t) {
			continue // the loop is woken when it is
		}
		at, r, err := t.nextDeadline()
		if err != nil {
			return err
		}
		if at.IsZero() {
			continue
		}
		if t.atLeisure(r) {
			leisure = earliest(leisure, at)
		} else {
			due = earliest(due, at)
		}
	}
	if !w.config.Clock.Settled() && !w.unfired && !due.IsZero() && !due.After(w.config.Clock.Horizon()) {
		due = w.config.Clock.Now().Add(w.limits.EndSample) // it waits for its inputs
	}
	w.alarm.Set(due, leisure)
	return nil
}

// nextDeadline is the earliest deadline and its row. Entries that their rows
// have moved on from are dropped on the way, or a clock would wake for nothing.
func (t *task) nextDeadline() (time.Time, *row, error) {
	for {
		at, key, err := t.table.Next()
		if err != nil || at.IsZero() {
			return time.Time{}, nil, err
		}
		r := t.want(key)
		if err := t.load(); err != nil {
			return time.Time{}, nil, err
		}
		due, err := t.deadline(r)
		if err != nil || due.Equal(at) {
			return at, r, t.open(r)
		}
		t.table.Drop()
	}
}

// atLeisure reports whether nobody waits for the row's next deadline.
func (t *task) atLeisure(r *row) bool {
	if r.err != nil || r.frame.parked() > 0 {
		return false
	}
	next := r.frame.deadline().UnixMilli()
	for _, tm := range r.frame.Timers {
		if h := t.set.timers[tm.Name]; tm.At == next && (h == nil || !h.Leisure) {
			return false
		}
	}
	return true
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
