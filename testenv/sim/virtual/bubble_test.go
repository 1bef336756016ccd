//go:build synctests

//go:debug randautoseed=0

package virtual

import (
	"flag"
	"io"
	"os"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seed   = flag.Uint64("seed", 1, "of the world, the faults and the network")
	tracer = flag.Bool("trace", false, "write what happens")
	number = flag.Int("faults", faults, "of the schedule")
)

// TestSeed plays one seed. It is the whole of a process, or the seed is not all
// that the run depends on.
func TestSeed(t *testing.T) {
	dir := t.TempDir()
	var out io.Writer
	if *tracer {
		out = os.Stderr
	}
	const processes = 2
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, *seed)
		v, err := run(t.Context(), setup{seed: *seed, dir: dir, processes: processes, orders: 8, trace: out}, schedule(*seed, *number, processes, faultTime-20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: hash %s of %d lines", *seed, v.hash, v.lines)
		for _, w := range v.wrong {
			t.Error(w)
		}
	})
}
