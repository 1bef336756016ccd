package virtual

import (
	"context"
	"sync"
	"time"

	"troupe/topology/clock"
)

// speed is how many business seconds pass in a virtual one: days of business fit
// into minutes in which sessions, transactions and heartbeats keep their real times.
const speed = 1200

// begin is a Monday morning: desks and nodes are open.
var begin = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// skewed is a process's clock: it may be wrong, and be set while it runs.
type skewed struct {
	clock.Clock

	mu     sync.Mutex
	wrong  time.Duration // business time
	alarms []*skewedAlarm
}

func newSkewed(right clock.Clock) *skewed { return &skewed{Clock: right} }

func (s *skewed) by() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// set moves the clock: what waits for it is told, as a new deadline would be.
func (s *skewed) set(wrong time.Duration) {
	s.mu.Lock()
	s.wrong = wrong
	alarms := s.alarms
	s.mu.Unlock()
	for _, a := range alarms {
		a.again()
	}
}

func (s *skewed) Now() time.Time     { return s.Clock.Now().Add(s.by()) }
func (s *skewed) Horizon() time.Time { return s.Now() }

func (s *skewed) Alarm(name string, wake func()) clock.Alarm {
	a := &skewedAlarm{Alarm: s.Clock.Alarm(name, wake), clock: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms = append(s.alarms, a)
	return a
}

type skewedAlarm struct {
	clock.Alarm
	clock *skewed

	mu           sync.Mutex
	due, leisure time.Time
}

func (a *skewedAlarm) Set(due, leisure time.Time) {
	a.mu.Lock()
	a.due, a.leisure = due, leisure
	a.mu.Unlock()
	a.again()
}

func (a *skewedAlarm) again() {
	a.mu.Lock()
	defer a.mu.Unlock()
	by := a.clock.by()
	set := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(-by)
	}
	a.Alarm.Set(set(a.due), set(a.leisure))
}

// calendar is the world's: what fails in it is tried again, since a partner does
// not give up because the estate was down for a minute.
type calendar struct {
	clock.Clock
	ctx  context.Context
	open sync.WaitGroup // calls that are under way
}

const (
	callTries = 40
	callPause = 5 * time.Second
)

// At runs do at t, until the site is closed.
func (c *calendar) At(t time.Time, id string, do func(context.Context) error) {
	c.Clock.At(t, id, func(context.Context) error {
		c.open.Add(1)
		defer c.open.Done()
		var err error
		for range callTries {
			if err = do(c.ctx); err == nil || c.ctx.Err() != nil {
				return nil
			}
			select {
			case <-c.ctx.Done():
			case <-time.After(callPause):
			}
		}
		return err
	})
}
