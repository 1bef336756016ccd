package clock

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Jump is a business clock that stands still while anything is unread,
// uncommitted or in hand, and then jumps to the next thing due.
//
// It compares positions instead of counting units, so a reader that starts
// over, or a message that is sent twice, cannot unbalance it: a partition is
// behind as long as one of its readers is before its published end.
type Jump struct {
	mu       sync.Mutex
	cond     *sync.Cond
	now      time.Time
	horizon  time.Time
	ends     map[place]int64
	readers  map[place]map[string]int64
	behind   int
	busy     map[string]int
	busySum  int
	alarms   map[*jumpAlarm]struct{}
	entries  calendar
	seq      uint64
	stopped  bool
	jumps    int64
	failures []error
	// Before is called, with the clock standing and everyone caught up, before
	// deadlines may fire: whoever must publish something first does it here.
	Before func(context.Context) error
	// Moved is called after each jump, to keep the clock's place on disk.
	Moved func(time.Time)
}

type place struct {
	topic     string
	partition int32
}

// NewJump makes a clock that stands at start.
func NewJump(start time.Time) *Jump {
	j := &Jump{
		now: start.UTC(), horizon: start.UTC().Add(-1), ends: map[place]int64{}, readers: map[place]map[string]int64{},
		busy: map[string]int{}, alarms: map[*jumpAlarm]struct{}{},
	}
	j.cond = sync.NewCond(&j.mu)
	return j
}

func (j *Jump) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

func (j *Jump) Horizon() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.horizon
}

func (j *Jump) Settled() bool { return true }
func (j *Jump) Tide() Tide    { return j }

// Jumps counts the jumps so far.
func (j *Jump) Jumps() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jumps
}

func (j *Jump) Published(topic string, partition int32, end int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := place{topic, partition}
	old := j.ends[p]
	if end <= old {
		return
	}
	j.ends[p] = end
	for _, at := range j.readers[p] {
		if at >= old && at < end {
			j.behind++
		}
	}
}

func (j *Jump) Subscribe(group, topic string, partitions int32) {
	for p := range partitions {
		j.move(group, topic, p, 0, true)
	}
}

func (j *Jump) Position(group, topic string, partition int32, offset int64) {
	j.move(group, topic, partition, offset, false)
}

// move sets a reader's place; onlyNew leaves one that is known where it is.
func (j *Jump) move(group, topic string, partition int32, offset int64, onlyNew bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := place{topic, partition}
	end, readers := j.ends[p], j.readers[p]
	if readers == nil {
		readers = map[string]int64{}
		j.readers[p] = readers
	}
	old, known := readers[group]
	if known && onlyNew {
		return
	}
	readers[group] = offset
	was, is := known && old < end, offset < end
	switch {
	case !was && is:
		j.behind++
	case was && !is:
		j.behind--
		j.signal()
	}
}

func (j *Jump) Busy(who string, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busySum += n - j.busy[who]
	if n == 0 {
		delete(j.busy, who)
	} else {
		j.busy[who] = n
	}
	j.signal()
}

func (j *Jump) signal() {
	if j.behind == 0 && j.busySum == 0 {
		j.cond.Broadcast()
	}
}

func (j *Jump) At(t time.Time, id string, do func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	heap.Push(&j.entries, entry{t, j.seq, id, do})
	j.cond.Broadcast()
}

type jumpAlarm struct {
	clock        *Jump
	name         string
	wake         func()
	due, leisure time.Time
}

func (j *Jump) Alarm(name string, wake func()) Alarm {
	a := &jumpAlarm{clock: j, name: name, wake: wake}
	j.mu.Lock()
	j.alarms[a] = struct{}{}
	j.mu.Unlock()
	return a
}

func (a *jumpAlarm) Set(due, leisure time.Time) {
	j := a.clock
	j.mu.Lock()
	a.due, a.leisure = due, leisure
	ringing := a.ringing(j.horizon)
	j.cond.Broadcast()
	j.mu.Unlock()
	if ringing {
		a.wake()
	}
}

func (a *jumpAlarm) Stop() {
	j := a.clock
	j.mu.Lock()
	delete(j.alarms, a)
	j.cond.Broadcast()
	j.mu.Unlock()
}

func (a *jumpAlarm) ringing(horizon time.Time) bool {
	return !a.due.IsZero() && !a.due.After(horizon) || !a.leisure.IsZero() && !a.leisure.After(horizon)
}

// quiet is true when nothing is unread, in hand or ringing.
func (j *Jump) quiet() bool {
	if j.behind > 0 || j.busySum > 0 {
		return false
	}
	for a := range j.alarms {
		if a.ringing(j.horizon) {
			return false
		}
	}
	return true
}

// wait blocks until all is quiet, the clock is stopped or ctx is done.
func (j *Jump) wait(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for !j.quiet() && ctx.Err() == nil && !j.stopped {
		j.cond.Wait()
	}
	return ctx.Err()
}

// maxFailures bounds the calendar failures that are remembered.
const maxFailures = 100

// Run jumps until the calendar is empty and no deadline is left that somebody
// waits for, or ctx is done. It returns the failures of calendar entries.
func (j *Jump) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		j.mu.Lock()
		j.cond.Broadcast()
		j.mu.Unlock()
	})
	defer stop()
	for {
		if err := j.wait(ctx); err != nil {
			return err
		}
		j.mu.Lock()
		next, what := j.next()
		switch what {
		case nothing:
			err := errors.Join(j.failures...)
			j.mu.Unlock()
			return err
		case happening:
			j.mu.Unlock()
			j.happen(ctx, next)
		case deadline:
			j.mu.Unlock()
			if err := j.ring(ctx, next); err != nil {
				return err
			}
		}
	}
}

type kind int

const (
	nothing kind = iota
	happening
	deadline
)

// next is the earliest instant at which something is due, and whether an event
// of the calendar is: events come before deadlines.
func (j *Jump) next() (time.Time, kind) {
	var due, leisure time.Time
	for a := range j.alarms {
		due, leisure = earlier(due, a.due), earlier(leisure, a.leisure)
	}
	if len(j.entries) == 0 && due.IsZero() {
		return time.Time{}, nothing
	}
	at := earlier(due, leisure)
	if len(j.entries) > 0 && (at.IsZero() || !j.entries[0].at.After(at)) {
		return j.entries[0].at, happening
	}
	return at, deadline
}

func (j *Jump) advance(to time.Time) {
	if to.After(j.now) {
		j.now = to
		j.jumps++
		if j.Moved != nil {
			j.Moved(to)
		}
	}
}

// happen runs the calendar's entries of one instant, side by side: they are
// partners that know nothing of each other.
func (j *Jump) happen(ctx context.Context, at time.Time) {
	j.mu.Lock()
	j.advance(at)
	var due []entry
	for len(j.entries) > 0 && !j.entries[0].at.After(at) && len(due) < maxAtOnce {
		due = append(due, heap.Pop(&j.entries).(entry))
	}
	j.busySum++
	j.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range due {
		wg.Go(func() {
			if err := e.do(ctx); err != nil && ctx.Err() == nil {
				j.mu.Lock()
				if len(j.failures) < maxFailures {
					j.failures = append(j.failures, fmt.Errorf("calendar %s: %w", e.id, err))
				}
				j.mu.Unlock()
			}
		})
	}
	wg.Wait()
	j.mu.Lock()
	j.busySum--
	j.signal()
	j.mu.Unlock()
}

// maxAtOnce bounds the calendar entries that run side by side.
const maxAtOnce = 64

// ring lets the deadlines up to at fire.
func (j *Jump) ring(ctx context.Context, at time.Time) error {
	j.mu.Lock()
	j.advance(at)
	j.mu.Unlock()
	if j.Before != nil {
		if err := j.Before(ctx); err != nil {
			return err
		}
		if err := j.wait(ctx); err != nil {
			return err
		}
	}
	j.mu.Lock()
	if n, what := j.next(); what != deadline || n.After(at) {
		j.mu.Unlock() // what was published first has changed what comes next
		return nil
	}
	j.horizon = at
	var wake []func()
	for a := range j.alarms {
		if a.ringing(at) {
			wake = append(wake, a.wake)
		}
	}
	j.mu.Unlock()
	for _, w := range wake {
		w()
	}
	return nil
}

// Stuck says in words what the clock waits for: for a person who wonders why
// nothing moves.
func (j *Jump) Stuck() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for p, readers := range j.readers {
		for group, at := range readers {
			if end := j.ends[p]; at < end {
				out = append(out, fmt.Sprintf("%s is at %d of %d in %s/%d", group, at, end, p.topic, p.partition))
			}
		}
	}
	for who, n := range j.busy {
		out = append(out, fmt.Sprintf("%s has %d in hand", who, n))
	}
	for a := range j.alarms {
		if a.ringing(j.horizon) {
			out = append(out, fmt.Sprintf("%s has a deadline to meet", a.name))
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return strings.Join(out, "; ")
}
