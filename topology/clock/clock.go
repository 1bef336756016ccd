// Package clock tells business time. Three clocks: the wall's, a quickened one
// for demonstrations, and one that jumps to the next thing due once everyone
// has caught up, for running years of history in minutes.
//
// Whoever waits for a deadline sets an Alarm. Whoever has work that others
// cannot see says so to the Tide: what is published, how far each reader is,
// what is in hand. Only the jumping clock listens; for the others the Tide
// costs nothing.
package clock

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// Clock is business time.
type Clock interface {
	// Now is the business time.
	Now() time.Time
	// Horizon is the latest deadline that may fire. At one instant events, and
	// what they cause, come before timers: then Horizon is before Now.
	Horizon() time.Time
	// Settled is true when Horizon only moves once all that was published has
	// been read; else a reader must see to that itself before a timer fires.
	Settled() bool
	// Alarm makes an alarm. wake is called, from any goroutine, when a
	// deadline that was set may fire; it must not block.
	Alarm(name string, wake func()) Alarm
	// At runs do once at t; the calendar of the simulated world. A clock that
	// is stopped runs nothing more.
	At(t time.Time, id string, do func(context.Context) error)
	// Tide takes note of work in flight.
	Tide() Tide
}

// Alarm is one waiter's next deadline.
type Alarm interface {
	// Set replaces the deadlines: due is the next one that somebody waits for,
	// leisure the next that may as well never come (retention, repeats). Zero
	// means none.
	Set(due, leisure time.Time)
	Stop()
}

// Tide takes note of what is published and how far each reader has come.
type Tide interface {
	// Published says that records before end were written. Call it before
	// they become visible.
	Published(topic string, partition int32, end int64)
	// Position says that group has dealt with everything before offset.
	Position(group, topic string, partition int32, offset int64)
	// Subscribe says that group will read the topic's partitions from now on.
	Subscribe(group, topic string, partitions int32)
	// Busy says how much work who has in hand that no topic shows.
	Busy(who string, n int)
}

// Wall is the real clock: what the machine says is the time, also after that was set.
func Wall() Clock { return &quick{factor: 1} }

// Quick is a clock that starts at base and runs factor times as fast.
func Quick(base time.Time, factor float64) Clock {
	return &quick{factor: factor, start: time.Now(), base: base}
}

type quick struct {
	factor      float64
	start, base time.Time // both zero: the machine's time
}

func (q *quick) Now() time.Time {
	if q.start.IsZero() {
		return time.Now().Round(0).UTC() // without what the process has counted by itself
	}
	return q.base.Add(time.Duration(float64(time.Since(q.start)) * q.factor)).UTC()
}
func (q *quick) Horizon() time.Time { return q.Now() }
func (q *quick) Settled() bool      { return false }
func (q *quick) Tide() Tide         { return slack{} }

// after is how long it takes until t, rounded up: an alarm that rings a moment
// before its time is set again for no time at all.
func (q *quick) after(t time.Time) time.Duration {
	return max(0, time.Duration(math.Ceil(float64(t.Sub(q.Now()))/q.factor)))
}

func (q *quick) Alarm(_ string, wake func()) Alarm { return &quickAlarm{clock: q, wake: wake} }

func (q *quick) At(t time.Time, _ string, do func(context.Context) error) {
	// The calendar's owner retries and reports; here an error has no reader.
	time.AfterFunc(q.after(t), func() { _ = do(context.Background()) })
}

type quickAlarm struct {
	clock *quick
	wake  func()
	mu    sync.Mutex
	timer *time.Timer
}

func (a *quickAlarm) Set(due, leisure time.Time) {
	next := earlier(due, leisure)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if !next.IsZero() {
		a.timer = time.AfterFunc(a.clock.after(next), a.wake)
	}
}

func (a *quickAlarm) Stop() { a.Set(time.Time{}, time.Time{}) }

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

type slack struct{}

func (slack) Published(string, int32, int64)        {}
func (slack) Position(string, string, int32, int64) {}
func (slack) Subscribe(string, string, int32)       {}
func (slack) Busy(string, int)                      {}

// entry is something in the calendar of the jumping clock.
type entry struct {
	at  time.Time
	seq uint64
	id  string
	do  func(context.Context) error
}

type calendar []entry

func (c calendar) Len() int { return len(c) }
func (c calendar) Less(i, j int) bool {
	return c[i].at.Before(c[j].at) || c[i].at.Equal(c[j].at) && c[i].seq < c[j].seq
}
func (c calendar) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *calendar) Push(x any)   { *c = append(*c, x.(entry)) }
func (c *calendar) Pop() any     { o := *c; e := o[len(o)-1]; *c = o[:len(o)-1]; return e }

var _ heap.Interface = (*calendar)(nil)
