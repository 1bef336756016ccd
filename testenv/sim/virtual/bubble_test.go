//go:build synctests

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
	seed   = flag.Uint64("seed", 1, "of the world, the faults and the network")
	tracer = flag.Bool("trace", false, "write what happens")
	number = flag.Int("faults", faults, "of the schedule")
	named  = flag.String("scenario", "", "a schedule by hand, instead of the seed's")
	plant  = flag.String("harm", "", "a bug to plant")
)

// TestSeed plays one seed. It is the whole of a process, or the seed is not all
// that the run depends on.
func TestSeed(t *testing.T) {
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
		for _, w := range v.wrong[:min(len(v.wrong), maxTold)] {
			t.Error(w)
		}
	})
}
