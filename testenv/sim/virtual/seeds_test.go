package virtual

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 20, "how many seeds to play")
	from  = flag.Uint64("from", 1, "the first of them")
)

// oneRun is the real time that a seed may take: a watchdog for time that stands
// still, on a machine that has other things to do.
const oneRun = 5 * time.Minute

// built is where the simulation lies once it is built, under the tag with which
// the client's locks can be waited for in a bubble.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func simulation() (string, error) {
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "troupe-virtual-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "test", "-tags", "synctests", "-c", "-o", filepath.Join(built.dir, "virtual.test"), ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	return filepath.Join(built.dir, "virtual.test"), built.err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // what is left is in the system's temporary folder
	}
	os.Exit(code)
}

// play runs a seed in a process of its own, and returns what it said.
func play(t *testing.T, seed uint64, more ...string) (said string, err error) {
	t.Helper()
	path, err := simulation()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), oneRun, fmt.Errorf("not over after %v: time stands still, or something never ends", oneRun))
	defer cancel()
	c := exec.CommandContext(ctx, path, append([]string{"-test.run", "^TestSeed$", "-seed", fmt.Sprint(seed)}, more...)...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=2GiB", "GODEBUG=asyncpreemptoff=1,randautoseed=0")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err = errors.Join(c.Run(), context.Cause(ctx))
	return out.String(), err
}

// tries bounds how often a run is played that the embedded broker spoils.
const tries = 8

// judged plays seeds, from the first on, up to one that the broker does not spoil.
func judged(t *testing.T, first uint64, more ...string) (said string, err error) {
	t.Helper()
	for seed := first; seed < first+tries; seed++ {
		if said, err = play(t, seed, more...); !strings.Contains(said, unjudged) {
			return said, err
		}
	}
	t.Fatalf("none of %d runs could be judged, the last because\n%s", tries, tail(said))
	return said, err
}

// replay says how to see a seed again.
func replay(seed uint64) string {
	return fmt.Sprintf("play it again: make sim SEEDS=1 SEED=%d; or see what happens in it: GOMAXPROCS=1 GOGC=off GODEBUG=asyncpreemptoff=1 go test -tags synctests ./testenv/sim/virtual -run '^TestSeed$' -seed %d -trace", seed, seed)
}

func needsTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: it builds and runs the simulation")
	}
}

// TestSeeds plays seeds, as many at once as there are processors, up to the first
// that fails.
func TestSeeds(t *testing.T) {
	needsTime(t)
	began, next, done, spoilt := time.Now(), *from, 0, 0
	var mu sync.Mutex
	var players sync.WaitGroup
	for range runtime.NumCPU() {
		players.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				over := seed >= *from+uint64(*seeds) || t.Failed()
				mu.Unlock()
				if over {
					return
				}
				said, err := play(t, seed)
				if err != nil {
					t.Errorf("seed %d: %v\n%s\n%s", seed, err, tail(said), replay(seed))
					return
				}
				t.Log(line(said))
				mu.Lock()
				done++
				if strings.Contains(said, unjudged) {
					t.Log(tail(said))
					spoilt++
				}
				mu.Unlock()
			}
		})
	}
	players.Wait()
	t.Logf("%d seeds in %v, %d of them spoilt by the broker", done, time.Since(began).Round(time.Second), spoilt)
	if 4*spoilt > max(done, 4) {
		t.Errorf("%d of %d seeds were not judged", spoilt, done)
	}
}

// TestScheduleIsOfItsSeed: what befalls the estate is the same each time, though the
// order in which goroutines take it is not.
func TestScheduleIsOfItsSeed(t *testing.T) {
	of := func(seed uint64) []fault { return schedule(seed, faults, processes, faultsOver) }
	if !reflect.DeepEqual(of(7), of(7)) || reflect.DeepEqual(of(7), of(8)) {
		t.Error("a schedule cannot be played again")
	}
}

// TestPlantedBugs: what the estate does not have is found when it is put there.
func TestPlantedBugs(t *testing.T) {
	needsTime(t)
	for name, words := range map[string]string{
		"state applied before the commit": `probe: acme/web-\d+: (STEP|HOP) facts are \[[\d: ]*\], want \[1:1 `,
		"dirty read":                      `probe: acme/web-\d+: (STEP|HOP|EFFECT) facts are \[(\d+:\d+ )*10\d\d:`, // of a number that was never committed
		"dropped tombstone":               `is on the changelog and not on disk`,
		"double capture":                  `captured twice`,
		"garbled record":                  `at 47(\.0\d*)?s: invariant readable`, // at the step where it appears
		"lost timer":                      `probe: acme/web-\d+: (\d+ of \d+ )?TIMER facts`,
	} {
		t.Run(name, func(t *testing.T) {
			if harms[name] == nil {
				t.Fatal("nobody plants it")
			}
			said, err := judged(t, 2, "-harm", name)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(said, "--- FAIL") || !regexp.MustCompile(words).MatchString(said) {
				t.Errorf("it ends with %v, and says\n%s", err, tail(said))
			}
		})
	}
}

// TestScenarios plays what was found once.
func TestScenarios(t *testing.T) {
	needsTime(t)
	for name := range scenarios {
		t.Run(name, func(t *testing.T) {
			if said, err := judged(t, 1, "-scenario", name); err != nil {
				t.Errorf("%v\n%s", err, tail(said))
			}
		})
	}
}

// line is what a run says of itself.
func line(said string) string {
	for l := range strings.Lines(said) {
		if strings.HasPrefix(l, "seed ") {
			return strings.TrimSpace(l)
		}
	}
	return "nothing"
}

const tailLines = 30

func tail(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
