//go:debug randautoseed=0

package virtual

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

var (
	seed   = flag.Uint64("seed", 0, "of the world, the faults and the network; 0: none is played")
	tracer = flag.Bool("trace", false, "write what happens")
	number = flag.Int("faults", faults, "of the schedule")
	named  = flag.String("scenario", "", "a schedule by hand, instead of the seed's")
	plant  = flag.String("harm", "", "a bug to plant")
)

// TestSeed plays one seed. TestSeeds gives each a process of its own, built with
// -tags synctests: without it a lock of the client's is none that a bubble can wait
// for, and time stands still.
func TestSeed(t *testing.T) {
	if *seed == 0 {
		t.Skip("TestSeeds plays it")
	}
	u := setup{seed: *seed, dir: t.TempDir(), processes: processes, orders: orders}
	if *tracer {
		u.trace = os.Stderr
	}
	if *plant != "" {
		u.harm = harms[*plant]()
	}
	plan := schedule(*seed, *number, processes, faultsOver)
	if *named != "" {
		plan = scenarios[*named]
	}
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, *seed)
		v, err := run(t.Context(), u, plan)
		if err != nil { // the bubble holds what nobody has ended: there is no way out of it but this
			fmt.Printf("--- FAIL: seed %d: %v\n", *seed, err)
			_ = os.RemoveAll(u.dir)
			os.Exit(1)
		}
		fmt.Printf("seed %d: trace %s of %d lines\n", *seed, v.hash, v.lines)
		if len(v.wrong) > 0 && len(v.stuck) > 0 { // whatever is missing may be what they owe
			fmt.Println(unjudged, v.stuck)
			return
		}
		for _, w := range v.wrong[:min(len(v.wrong), maxTold)] {
			t.Error(w)
		}
	})
}
