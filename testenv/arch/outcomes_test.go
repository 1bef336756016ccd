package arch

import (
	"testing"

	"troupe/testenv/check"
)

// TestOutcomesAreJudged: the checker knows the outcome of every effect, or would not see
// that an intent has two.
func TestOutcomesAreJudged(t *testing.T) {
	for _, s := range allServices(t) {
		for _, set := range s.Sets {
			for _, h := range set.Handlers {
				if h.Effect != nil && !check.IsOutcome(h.Effect.Outcome) {
					t.Errorf("%s of effect %s is not among the outcomes of testenv/check: add it", h.Effect.Outcome, h.Effect.Name)
				}
			}
		}
	}
}
