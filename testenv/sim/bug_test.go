package sim

import (
	"slices"
	"testing"
)

// within is in how many seeds a planted bug must be found.
const within = 40

// TestPlantedBugsAreFound: an invariant that no bug breaks is decoration. The same
// seeds hold without the bug.
func TestPlantedBugsAreFound(t *testing.T) {
	planted := []struct {
		name string
		bug  Bug
		by   string // the invariant that must find it
	}{
		{"state written before the commit survives an abort", EarlyState, rowsRestorable},
		{"dirty read", DirtyRead, causedByCommitted},
		{"dropped tombstone", DroppedTombstone, rowsRestorable},
		{"double capture", BlindRepeat, bankAgrees},
		{"lost timer", LostTimer, timersFire},
		{"deduplication switched off", NoDeduplication, "event_bytes"},
		{"reordering within a key", Reordered, keyOrder},
		{"an unknown commit made again", UnknownIsNo, "event_once"},
		{"an output lost in a commit", LostOutput, "sequence"},
		{"a deadline before its inputs", HastyTimer, deadlineLast},
		{"offsets committed without their rows", TornCommit, rowsRestorable},
	}
	e := estate(t)
	play(t, e, 1, within, None, func(r Result) { tell(t, r) })
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			for n := uint64(1); n <= within; n++ {
				r, err := e.Run(n, p.bug, nil)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Invariant == p.by })
				if i >= 0 {
					t.Logf("in seed %d: %s: %s", n, p.by, r.Violations[i].Detail)
					return
				}
			}
			t.Errorf("in %d seeds %s has not found it", within, p.by)
		})
	}
}
