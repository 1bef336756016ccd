package fraud

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/topology"
)

// TestOneVerdict: whatever the scoring service and the desk say, in any order and
// again, there is one final verdict, a hold comes before it, and both stand as
// they were given.
func TestOneVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Assessment
		var told []string
		decisions := rapid.SliceOf(rapid.SampledFrom([]string{clear, hold, reject})).Draw(t, "decisions")
		for _, d := range decisions {
			turn := &topology.Turn{Now: time.Unix(1, 0).UTC(), Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{ID: "1"}}}
			if err := onReviewed(&a, review{Decision: d, Score: 7}, turn); err != nil {
				t.Fatal(err)
			}
			for _, f := range turn.Outputs().Facts {
				told = append(told, f.Type)
			}
		}
		if want := expected(decisions); !slices.Equal(told, want) {
			t.Fatalf("%v told of %v, want %v", told, decisions, want)
		}
	})
}

// expected is what the first hold, before any verdict, and the first verdict say.
func expected(decisions []string) (facts []string) {
	for _, d := range decisions {
		switch d {
		case clear:
			return append(facts, "FraudCleared")
		case reject:
			return append(facts, "FraudRejected")
		}
		if len(facts) == 0 {
			facts = []string{"FraudHoldPlaced"}
		}
	}
	return facts
}

func TestAskedOnce(t *testing.T) {
	var a Assessment
	e := placed{CustomerID: "C-1", Currency: "EUR"}
	e.Tenders = append(e.Tenders, struct {
		Amount int64 `avro:"amount"`
	}{5288})
	for i := range 2 {
		turn := &topology.Turn{Now: time.Unix(1, 0).UTC()}
		err := onPlaced(&a, e, turn)
		if asked := len(turn.Outputs().Intents) == 1; asked != (i == 0) || topology.Dropped(err) != (i == 1) {
			t.Errorf("time %d: asked %v, %v", i+1, asked, err)
		}
	}
}

func TestUnknownDecisionIsPoison(t *testing.T) {
	if err := onReviewed(&Assessment{}, review{Decision: "MAYBE"}, &topology.Turn{}); err == nil || topology.Dropped(err) {
		t.Errorf("%v, want poison", err)
	}
}
