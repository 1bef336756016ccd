package clock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

var nine = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// TestEventsComeBeforeDeadlines: at one instant the calendar's events, and what
// they publish, come before the deadlines of that instant.
func TestEventsComeBeforeDeadlines(t *testing.T) {
	j := NewJump(nine)
	var order []string
	var alarm Alarm
	alarm = j.Alarm("reader", func() {
		go func() {
			order = append(order, "deadline")
			alarm.Set(time.Time{}, time.Time{})
		}()
	})
	alarm.Set(nine.Add(time.Minute), time.Time{})
	j.Subscribe("group", "topic", 1)
	j.At(nine.Add(time.Minute), "event", func(context.Context) error {
		j.Published("topic", 0, 1)
		go func() {
			order = append(order, "read")
			j.Position("group", "topic", 0, 2) // past the marker, too
		}()
		return nil
	})
	if err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"read", "deadline"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if j.Jumps() != 1 {
		t.Errorf("%d jumps, want 1", j.Jumps())
	}
}

// TestClockStands while a reader is behind, however often it says so.
func TestClockStands(t *testing.T) {
	j := NewJump(nine)
	j.Subscribe("group", "topic", 1)
	j.Published("topic", 0, 3)
	j.Position("group", "topic", 0, 3)
	j.Position("group", "topic", 0, 1) // it starts over: a crash
	j.Published("topic", 0, 2)         // a repeat takes nothing back
	ran := false
	j.At(nine.Add(time.Hour), "later", func(context.Context) error { ran = true; return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := j.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || ran {
		t.Fatalf("the clock moved although group was behind: %v", err)
	}
	if j.Stuck() == "" {
		t.Error("nobody says what the clock waits for")
	}
	j.Position("group", "topic", 0, 3)
	if err := j.Run(t.Context()); err != nil || !ran {
		t.Fatalf("the clock stands although all is read: %v", err)
	}
}

// TestLeisureIsNotWaitedFor: retention alone does not keep the clock running,
// but fires on the way to what somebody waits for.
func TestLeisureIsNotWaitedFor(t *testing.T) {
	j := NewJump(nine)
	var mu sync.Mutex
	rang := 0
	var alarm Alarm
	alarm = j.Alarm("retention", func() {
		mu.Lock()
		rang++
		mu.Unlock()
		alarm.Set(time.Time{}, nine.Add(1000*time.Hour))
	})
	alarm.Set(time.Time{}, nine.Add(time.Hour))
	if err := j.Run(t.Context()); err != nil || rang != 0 {
		t.Fatalf("rang %d times for nobody: %v", rang, err)
	}
	j.At(nine.Add(2*time.Hour), "event", func(context.Context) error { return nil })
	if err := j.Run(t.Context()); err != nil || rang != 1 {
		t.Fatalf("rang %d times, want 1: %v", rang, err)
	}
	if want := nine.Add(2 * time.Hour); !j.Now().Equal(want) {
		t.Errorf("the clock stands at %v, want %v", j.Now(), want)
	}
}

// TestFailuresAreReported: a partner that cannot deliver does not stop time.
func TestFailuresAreReported(t *testing.T) {
	j := NewJump(nine)
	boom := errors.New("boom")
	j.At(nine, "event", func(context.Context) error { return boom })
	if err := j.Run(t.Context()); !errors.Is(err, boom) {
		t.Errorf("Run says %v", err)
	}
}
