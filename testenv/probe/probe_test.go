package probe

import (
	"fmt"
	"testing"
)

// TestWrong plants each wrong that a crash can do.
func TestWrong(t *testing.T) {
	const inputs = 15 // two calls, three timers, and a row that ends behind the hop
	good := func() *History {
		h := NewHistory()
		for n := int32(1); n <= inputs; n++ {
			h.Add(Inputs, []byte("a"), Event{ID: fmt.Sprint("i", n), About: n})
			h.Add(Inputs, []byte("a"), Event{ID: fmt.Sprint("i", n), About: n}) // said twice
			h.Add(Facts, []byte("a"), Event{ID: fmt.Sprint("s", n), By: ByStep, About: n, Count: n})
			h.Add(Facts, []byte("hop/a"), Event{ID: fmt.Sprint("h", n), By: ByHop, About: n, Count: (n-1)%endEvery + 1})
		}
		for n := int32(1); n <= inputs/ringEvery; n++ {
			h.Add(Facts, []byte("a"), Event{ID: fmt.Sprint("t", n), By: byTimer, About: n, Count: n})
		}
		h.Add(Facts, []byte("a"), Event{ID: "c14", By: byCall, About: 14, Count: 1})
		h.Add(Facts, []byte("a"), Event{ID: "c7", By: byCall, About: 7, Count: 2})
		return h
	}
	if wrong := good().Wrong(true); len(wrong) > 0 || good().Missing() != 0 {
		t.Fatal(wrong)
	}
	early := good()
	early.Facts["a"] = early.Facts["a"][:9]
	if len(early.Wrong(false)) > 0 || len(early.Wrong(true)) == 0 || early.Missing() == 0 {
		t.Errorf("what is still to come is wrong at the end alone: %v, %v", early.Wrong(false), early.Wrong(true))
	}
	for name, spoil := range map[string]func(*History){
		"lost":       func(h *History) { h.Facts["a"] = h.Facts["a"][1:] },
		"told twice": func(h *History) { h.Facts["a"] = append(h.Facts["a"], h.Facts["a"][0]) },
		"done twice": func(h *History) {
			h.Facts["a"] = append(h.Facts["a"], Event{ID: "s99", By: ByStep, About: 15, Count: 16})
		},
		"reordered": func(h *History) { f := h.Facts["a"]; f[0].About, f[2].About = f[2].About, f[0].About },
		"aborted read": func(h *History) {
			h.Facts["a"] = append(h.Facts["a"], Event{ID: "s99", By: ByStep, About: 1003, Count: 16})
		},
		"out of air":       func(h *History) { h.Facts["b"] = []Event{{ID: "x", By: ByStep, About: 1, Count: 1}} },
		"of an unknown":    func(h *History) { h.Facts["a"] = append(h.Facts["a"], Event{ID: "x", By: "GUESS", About: 1, Count: 1}) },
		"torn":             func(h *History) { h.Facts["a"][2].Count = 1 }, // the output is there, the state was lost
		"the end was lost": func(h *History) { h.Facts["a"][2*endEvery+1].Count = endEvery + 1 },
		"called twice": func(h *History) {
			h.Facts["a"] = append(h.Facts["a"], Event{ID: "c99", By: byCall, About: 7, Count: 3})
		},
		"told for another": func(h *History) { f := h.Facts["a"]; f[len(f)-1].About = 14 },
	} {
		h := good()
		spoil(h)
		if len(h.Wrong(false)) == 0 {
			t.Errorf("%s: nobody noticed", name)
		}
	}
	for last, what := range []string{"nothing", "call", "calls", "timer"} {
		h := good()
		h.Facts["a"] = h.Facts["a"][:len(h.Facts["a"])-last]
		if lost := len(h.Wrong(true)) > 0; lost != (last > 0) || h.Missing() != last {
			t.Errorf("%s lost: %d are missing, %v", what, h.Missing(), h.Wrong(true))
		}
	}
}
