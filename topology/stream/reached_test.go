package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// What `troupe limits` says of a limit, seen where it is reached.

// letters are the dead letters among outputs: why, the source's offset, and how often
// it was tried.
func letters(t *testing.T, outputs []*kgo.Record) (list []string) {
	t.Helper()
	for _, r := range outputs {
		if r.Topic != topology.DeadTopic("risk") {
			continue
		}
		d, err := deadLetter(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d %d", d.Cause, d.Offset, d.Attempts))
	}
	return list
}

// TestParkAttempts: an input that parks is tried so often, the first time included.
// One that merely waited behind it has all its tries yet.
func TestParkAttempts(t *testing.T) {
	p := &patient{wait: true}
	w := p.benched(t)
	w.limits.ParkAttempts = 3
	turn, now := w.turns(t)
	buried := letters(t, turn(w.hold(t, "web-1", 1, now.now), w.hold(t, "web-1", 2, now.now)))
	for range 4 {
		now.now = now.now.Add(time.Hour)
		buried = append(buried, letters(t, turn())...)
	}
	if want := []string{"attempts 1 3", "attempts 2 3"}; !slices.Equal(buried, want) {
		t.Errorf("dead letters %q, want %q", buried, want)
	}
	if want := []int32{1, 1, 1, 2, 2, 2}; !slices.Equal(p.tried, want) {
		t.Errorf("tried %v, want %v", p.tried, want)
	}
}

// TestOneParkAttempt: with one try nothing ever parks.
func TestOneParkAttempt(t *testing.T) {
	w := (&patient{wait: true}).benched(t)
	w.limits.ParkAttempts = 1
	turn, now := w.turns(t)
	if buried := letters(t, turn(w.hold(t, "web-1", 1, now.now))); !slices.Equal(buried, []string{"attempts 1 1"}) {
		t.Errorf("dead letters %q, want one of the one try", buried)
	}
}

// TestParkedPerKey: what comes while so many wait under its key is a dead letter.
// Another key has room of its own, and so has this one once they have run.
func TestParkedPerKey(t *testing.T) {
	p := &patient{wait: true}
	w := p.benched(t)
	w.limits.ParkedPerKey = 2
	turn, now := w.turns(t)
	var polled []*kgo.Record
	for n := range int64(4) {
		polled = append(polled, w.hold(t, "web-1", n+1, now.now))
	}
	buried := letters(t, turn(append(polled, w.hold(t, "web-2", 5, now.now))...))
	if want := []string{"parked 3 0", "parked 4 0"}; !slices.Equal(buried, want) {
		t.Errorf("dead letters %q, want %q", buried, want)
	}
	p.wait, now.now = false, now.now.Add(time.Hour)
	buried = letters(t, turn())
	buried = append(buried, letters(t, turn(w.hold(t, "web-1", 6, now.now)))...)
	if want := []int32{1, 2, 5, 6}; !slices.Equal(p.ran, want) || len(buried) > 0 {
		t.Errorf("ran %v, want %v; dead letters %q", p.ran, want, buried)
	}
}

// TestKeyBytes: a key of the limit is taken, and one that is a byte longer is not.
func TestKeyBytes(t *testing.T) {
	p := &patient{}
	w := p.benched(t)
	w.limits.KeyBytes = len("acme/web-1")
	turn, now := w.turns(t)
	buried := letters(t, turn(w.hold(t, "web-1", 1, now.now), w.hold(t, "web-12", 2, now.now)))
	if !slices.Equal(p.ran, []int32{1}) || !slices.Equal(buried, []string{"key 2 1"}) {
		t.Errorf("ran %v and dead letters %q, want 1 and that of 2", p.ran, buried)
	}
}

// ringing is a service of which each input arms a timer.
func ringing(at func(now time.Time) time.Time, rings func()) topology.Service {
	return topology.Service{
		Name: "risk", Owner: "risk", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row",
			topology.On("FraudHoldPlaced", func(_ *score, _ score, turn *topology.Turn) error {
				turn.At(at(turn.Now), "ring", "")
				return nil
			}),
			topology.Due("ring", func(*score, *topology.Turn) error { rings(); return nil }),
		)},
	}
}

func inAnHour(now time.Time) time.Time { return now.Add(time.Hour) }

// TestTimersOfOneTransaction: timers that are due and find the transaction full go
// into the next ones, and none is lost.
func TestTimersOfOneTransaction(t *testing.T) {
	for _, c := range []struct {
		limit string
		set   func(*Limits)
		want  []int
	}{
		{"timers-at-once", func(l *Limits) { l.TimersAtOnce = 2 }, []int{2, 2, 1, 0}},
		{"transaction-bytes", func(l *Limits) { l.TransactionBytes = 1 }, []int{1, 1, 1, 1, 1, 0}},
	} {
		t.Run(c.limit, func(t *testing.T) {
			rung := 0
			w := benched(t, ringing(inAnHour, func() { rung++ }))
			turn, now := w.turns(t)
			for n := range int64(5) {
				turn(w.hold(t, fmt.Sprintf("web-%d", n), n, now.now))
			}
			c.set(&w.limits)
			now.now = now.now.Add(time.Hour)
			var got []int
			for range c.want {
				rung = 0
				turn()
				got = append(got, rung)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("turns fire %v timers, want %v", got, c.want)
			}
		})
	}
}

// TestBreaker: what it counts, and when it is enough.
func TestBreaker(t *testing.T) {
	l := Limits{BreakerMinimum: 3, BreakerShare: 0.5, BreakerWindow: 10}
	for _, c := range []struct {
		name, inputs string // + is done, - fails by a defect
		stops        bool
	}{
		{"fewer than breaker-minimum", "--", false},
		{"all that there are", "---", true},
		{"breaker-share of them", "+++---", false},
		{"more than breaker-share of them", "+++----", true},
		{"a window ago", "+++++++++" + "-" + "--", false}, // counted from zero behind the tenth
		{"of the next window", "+++++++++" + "-" + "---", true},
	} {
		var b breaker
		var err error
		for n, is := range c.inputs {
			var x breaker
			x.count(is == '-', nil)
			if is == '-' {
				err = b.with(x).check(l)
			}
			b.add(x, l)
			if err != nil && n < len(c.inputs)-1 {
				t.Errorf("%s: it stops at %q", c.name, c.inputs[:n+1])
			}
		}
		if stops := err != nil; stops != c.stops {
			t.Errorf("%s: after %q it says %v", c.name, c.inputs, err)
		}
		if c.stops && !strings.Contains(fmt.Sprint(err), "failed by defects") {
			t.Errorf("%s: it says %v", c.name, err)
		}
	}
}
