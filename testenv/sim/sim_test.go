package sim

import (
	"flag"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

var (
	seed  = flag.Uint64("sim.seed", 0, "play this seed alone, and print its trace")
	seeds = flag.Uint64("sim.seeds", 1000, "play so many seeds")
)

// shared is the estate of all tests: its schemas are registered once.
var shared = sync.OnceValues(NewEstate)

func estate(t *testing.T) *Estate {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestMain lets the heap grow: a run makes much and keeps nothing.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// play runs seeds side by side, and hands on their results in no order.
func play(t *testing.T, e *Estate, from, to uint64, bug Bug, take func(Result)) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := range next {
				r, err := e.Run(n, bug, nil)
				mu.Lock()
				if err != nil {
					t.Errorf("seed %d: %v", n, err)
				}
				take(r)
				mu.Unlock()
			}
		})
	}
	for n := from; n <= to; n++ {
		next <- n
	}
	close(next)
	wg.Wait()
}

// TestSeeds plays invented days. One that fails says its seed:
//
//	go test ./testenv/sim -run TestSeeds -sim.seed 1234 -v
func TestSeeds(t *testing.T) {
	e := estate(t)
	if *seed != 0 {
		var lines io.Writer
		if testing.Verbose() {
			lines = os.Stdout
		}
		r, err := e.Run(*seed, None, lines)
		if err != nil {
			t.Fatal(err)
		}
		tell(t, r)
		t.Logf("seed %d, trace %016x: %d steps, %d records, %d orders, %d crashes, ended %v", r.Seed, r.Trace, r.Steps, r.Records, r.Orders, r.Crashes, r.Ended)
		return
	}
	var orders, crashes, records, steps int
	play(t, e, 1, *seeds, None, func(r Result) {
		orders, crashes, records, steps = orders+r.Orders, crashes+r.Crashes, records+r.Records, steps+r.Steps
		tell(t, r)
	})
	t.Logf("%d seeds: %d orders, %d records, %d steps, %d crashes", *seeds, orders, records, steps, crashes)
}

func tell(t *testing.T, r Result) {
	t.Helper()
	for _, v := range r.Violations {
		t.Errorf("seed %d, trace %016x: %s: %s", r.Seed, r.Trace, v.Invariant, v.Detail)
	}
}

// TestSameSeedSameTrace: what a seed has shown, it shows again.
func TestSameSeedSameTrace(t *testing.T) {
	e := estate(t)
	again, err := NewEstate()
	if err != nil {
		t.Fatal(err)
	}
	first := map[uint64]uint64{}
	play(t, e, 1, 20, None, func(r Result) { first[r.Seed] = r.Trace })
	traces := map[uint64]bool{}
	play(t, again, 1, 20, None, func(r Result) {
		if first[r.Seed] != r.Trace {
			t.Errorf("seed %d: trace %016x, and %016x before", r.Seed, r.Trace, first[r.Seed])
		}
		traces[r.Trace] = true
	})
	if len(traces) != len(first) {
		t.Errorf("%d traces of %d seeds: a seed changes nothing", len(traces), len(first))
	}
}
