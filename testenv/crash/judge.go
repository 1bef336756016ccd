package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"troupe/testenv/check"
)

// history is what the log holds, read committed.
type history struct {
	inputs map[string][]int32 // of each order, the numbers in their order, each once
	facts  map[string][]fact  // of each order, as they stand on their partition

	records []check.Record // all of it
	told    map[string][]check.Told
}

// fact is a count that the subject has published.
type fact struct {
	id    string
	by    string // what counted: byStep, …
	about int32  // the input's number; a timer's: which ring
	count int32
}

// judge says what is wrong with what became of the inputs: a fact says what its
// key's row counted in memory when it was told.
func (h history) judge() (wrong []string) {
	say := func(order, format string, args ...any) {
		wrong = append(wrong, order+": "+fmt.Sprintf(format, args...))
	}
	for _, order := range slices.Sorted(maps.Keys(h.facts)) {
		if len(h.inputs[order]) == 0 {
			say(order, "facts of inputs that nobody committed: %v", h.facts[order])
		}
	}
	for _, order := range slices.Sorted(maps.Keys(h.inputs)) {
		got := map[string][]int32{}
		for _, f := range h.facts[order] {
			got[f.by] = append(got[f.by], f.about)
			if int(f.count) != len(got[f.by]) {
				say(order, "%s %d counts %d and is the %d. of its kind", f.by, f.about, f.count, len(got[f.by]))
			}
		}
		for by, want := range expected(h.inputs[order]) {
			have := got[by]
			if by == byEffect { // calls are answered in any order
				have = slices.Sorted(slices.Values(have))
			}
			if !slices.Equal(have, want) {
				say(order, "%s facts are about %v, want %v", by, have, want)
			}
		}
	}
	return wrong
}

// expected is what each way of counting must have been about, in its order.
func expected(inputs []int32) map[string][]int32 {
	want := map[string][]int32{byStep: inputs, byHop: inputs, byTimer: nil, byEffect: nil}
	for _, n := range inputs {
		if n%ringEvery == 0 {
			want[byTimer] = append(want[byTimer], int32(len(want[byTimer])+1))
		}
		if n%callEvery == 0 {
			want[byEffect] = append(want[byEffect], n)
		}
	}
	slices.Sort(want[byEffect])
	return want
}

// rows is what the inputs come to, of each order, before the hop and behind it.
func (h history) rows() (map[string]row, map[string]tally) {
	main, hops := map[string]row{}, map[string]tally{}
	for order, inputs := range h.inputs {
		want := expected(inputs)
		main[order] = row{Inputs: int32(len(inputs)), Rings: int32(len(want[byTimer])), Outcomes: int32(len(want[byEffect]))}
		hops[order] = tally{Count: int32(len(inputs))}
	}
	return main, hops
}

// missing is how many facts are still to come.
func (h history) missing() (n int) {
	for order, inputs := range h.inputs {
		for _, want := range expected(inputs) {
			n += len(want)
		}
		n -= len(h.facts[order])
	}
	return n
}

// parse splits "STEP 12".
func parse(basis string) (by string, about int32, err error) {
	by, number, _ := strings.Cut(basis, " ")
	_, err = fmt.Sscan(number, &about)
	return by, about, err
}
