package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"troupe/schemas"
	"troupe/testenv/check"
	"troupe/topology/stream"
)

// Event is one of the probe's that was opened.
type Event struct {
	ID, Cause string
	By        string // of a fact: what counted, ByStep, …
	About     int32  // the input's number; a timer's: which ring
	Count     int32  // of a fact
}

func (e Event) String() string { return fmt.Sprintf("%d:%d", e.About, e.Count) }

// Reader opens the probe's events.
type Reader struct {
	wire *schemas.Wire
	of   map[string]*schemas.FieldReader
}

// NewReader reads what a wire brings.
func NewReader(w *schemas.Wire) (*Reader, error) {
	r := &Reader{w, map[string]*schemas.FieldReader{}}
	for event, fields := range map[string][]string{
		"FraudHoldPlaced": {"score"}, "FraudReviewed": {"score"}, "FraudScored": {"score"}, "FraudCleared": {"score", "basis"}, "FraudRejected": {"score", "basis"},
	} {
		var err error
		if r.of[event], err = schemas.NewFieldReader(w, event, fields); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Open opens a record's value.
func (r *Reader) Open(ctx context.Context, value []byte) (Event, error) {
	frame, err := r.wire.Open(ctx, value)
	if err != nil {
		return Event{}, err
	}
	e, values, err := r.of[frame.Type].Decode(frame)
	if err != nil {
		return Event{}, err
	}
	score := values["score"].(int32)
	out := Event{ID: e.ID, Cause: e.CausationID, About: score}
	if basis, ok := values["basis"].(string); ok {
		out.Count = score
		_, err = fmt.Sscan(basis, &out.By, &out.About)
	}
	return out, err
}

// History is what the log holds of the probe, read committed.
type History struct {
	Inputs map[string][]int32 // of each key, the numbers in their order, each once
	Facts  map[string][]Event // of each key, as they stand on their partition

	seen map[string]bool
}

// NewHistory is one in which nothing has happened yet.
func NewHistory() *History {
	return &History{Inputs: map[string][]int32{}, Facts: map[string][]Event{}, seen: map[string]bool{}}
}

// Add takes what lies on any of the probe's topics.
func (h *History) Add(topic string, key []byte, e Event) {
	of := strings.TrimPrefix(string(key), overHop)
	switch topic {
	case Inputs:
		if !h.seen[e.ID] {
			h.Inputs[of] = append(h.Inputs[of], e.About)
		}
		h.seen[e.ID] = true
	case Facts:
		h.Facts[of] = append(h.Facts[of], e)
	}
}

// Wrong says what no moment may show; with whole also what the end must.
func (h *History) Wrong(whole bool) (out []string) {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(h.Inputs)), maps.Keys(h.Facts))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		for _, w := range wrong(h.Inputs[key], h.Facts[key], whole) {
			out = append(out, key+": "+w)
		}
	}
	return out
}

// wrong judges a key. A fact says what its row counted in memory when it was told.
func wrong(inputs []int32, facts []Event, whole bool) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	told, all, got := map[string]bool{}, expected(inputs), map[string][]Event{}
	for _, f := range facts {
		if told[f.ID] {
			say("fact %s %d is told twice", f.By, f.About)
		}
		told[f.ID] = true
		got[f.By] = append(got[f.By], f)
		if _, known := all[f.By]; !known {
			say("fact %s of nothing that counts", f.By)
		}
	}
	for _, by := range slices.Sorted(maps.Keys(all)) {
		have, want := got[by], all[by]
		if !begins(have, want, by == byCall) {
			say("%s facts are %v, want %v", by, have, want)
		} else if whole && len(have) < len(want) {
			say("%d of %d %s facts have come: %v of %v", len(have), len(want), by, have, want)
		}
	}
	return out
}

// begins reports whether facts are the first of those that are wanted. Calls are
// answered in any order, and counted as their answers come.
func begins(have, want []Event, anyOrder bool) bool {
	var left []int32 // what the next may be about
	for _, w := range want {
		left = append(left, w.About)
	}
	for i, f := range have {
		at := slices.Index(left, f.About)
		if at < 0 || at > 0 && !anyOrder || f.Count != want[i].Count {
			return false
		}
		left = slices.Delete(left, at, at+1)
	}
	return true
}

// expected is what each way of counting must tell, in its order.
func expected(inputs []int32) map[string][]Event {
	want := map[string][]Event{ByStep: nil, ByHop: nil, byTimer: nil, byCall: nil}
	hop := int32(0)
	for i, n := range inputs {
		hop++
		want[ByStep] = append(want[ByStep], Event{About: n, Count: int32(i + 1)})
		want[ByHop] = append(want[ByHop], Event{About: n, Count: hop})
		if n%endEvery == 0 {
			hop = 0
		}
		if n%ringEvery == 0 {
			k := int32(len(want[byTimer]) + 1)
			want[byTimer] = append(want[byTimer], Event{About: k, Count: k})
		}
		if n%callEvery == 0 {
			want[byCall] = append(want[byCall], Event{About: n, Count: int32(len(want[byCall]) + 1)})
		}
	}
	return want
}

// Missing is how many facts are still to come.
func (h *History) Missing() (n int) {
	for key, inputs := range h.Inputs {
		for _, want := range expected(inputs) {
			n += len(want)
		}
		n -= len(h.Facts[key])
	}
	return n
}

// WrongRows compares the changelogs with what the inputs come to. A row that has
// ended is none.
func (h *History) WrongRows(ctx context.Context, c stream.Config) ([]check.Violation, error) {
	rows, hopRows := map[string]counts{}, map[string]hops{}
	for key, inputs := range h.Inputs {
		want := expected(inputs)
		rows[key] = counts{Inputs: int32(len(inputs)), Rings: int32(len(want[byTimer])), Outcomes: int32(len(want[byCall]))}
		if last := want[ByHop][len(inputs)-1]; last.About%endEvery != 0 {
			hopRows[overHop+key] = hops{last.Count}
		}
	}
	before, err := compare(ctx, c, "", rows)
	after, errAfter := compare(ctx, c, hopSet, hopRows)
	return slices.Concat(before, after), errors.Join(err, errAfter)
}

func compare[R comparable](ctx context.Context, c stream.Config, set string, want map[string]R) ([]check.Violation, error) {
	rows, err := stream.Rows(ctx, c, Service(Config{}), set)
	if err != nil {
		return nil, err
	}
	have := map[string]R{}
	for key, row := range rows {
		have[key] = *row.(*R)
	}
	return check.Rows(fmt.Sprintf("the changelog of set %q", set), want, have), nil
}
