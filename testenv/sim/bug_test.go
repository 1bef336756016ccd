package sim

import (
	"fmt"
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
	}
	e := estate(t)
	play(t, e, 1, within, None, func(r Result) { tell(t, r) })
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			found := map[string]int{}
			first := uint64(0)
			play(t, e, 1, within, p.bug, func(r Result) {
				if len(r.Violations) > 0 && (first == 0 || r.Seed < first) {
					first = r.Seed
				}
				var said []string
				for _, v := range r.Violations {
					if !slices.Contains(said, v.Invariant) {
						said = append(said, v.Invariant)
						found[v.Invariant]++
					}
				}
			})
			if found[p.by] == 0 {
				t.Errorf("in %d seeds %s has not found it", within, p.by)
			}
			t.Logf("first in seed %d; seeds in which it was found, of %d: %s", first, within, fmt.Sprint(found))
		})
	}
}
