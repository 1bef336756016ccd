package stream

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// again is what a process finds that starts where another ended without a word.
func again(t *testing.T, dir string, h *hangar, workers int) *hangar {
	t.Helper()
	next, err := openHangar(dir, workers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.close() })
	if h != nil {
		_ = h.close()
	}
	return next
}

func TestHangarCountsEnds(t *testing.T) {
	dir := t.TempDir()
	killer, other := &kgo.Record{Topic: "orders", Partition: 1, Offset: 7}, &kgo.Record{Topic: "orders", Partition: 1, Offset: 8}
	h := again(t, dir, nil, 2)
	for n := range 3 {
		f := h.flight(n%2, "fraud", "v1") // whichever worker gets the task
		f.enter(f.record(other))
		f.leave()
		f.enter(f.record(other))
		f.enter(f.record(killer))
		h = again(t, dir, h, 2+n)
		if got := h.ends(f.record(killer)); got != n+1 {
			t.Fatalf("%d ends on the record, want %d", got, n+1)
		}
		if got := h.ends(f.record(other)); got != 0 {
			t.Errorf("%d ends on a record that came back", got)
		}
		if got := h.ends(h.flight(0, "payment", "v1").record(killer)); got != 0 {
			t.Errorf("%d ends on the same record of another service", got)
		}
	}
	f := h.flight(0, "fraud", "v1")
	f.leave()
	h.acquit([]inFlight{f.record(killer)})
	if h = again(t, dir, h, 2); h.any.Load() {
		t.Error("a record that was committed is still suspected")
	}
}

// TestHangarKnowsAnswers: what lies in an inbox is the same wherever it lies, but not to
// another version.
func TestHangarKnowsAnswers(t *testing.T) {
	dir := t.TempDir()
	answer := func(offset int64, id string) *kgo.Record {
		return &kgo.Record{Topic: "x.fraud.inbox", Offset: offset, Headers: []kgo.RecordHeader{{Key: "type"}, {Key: idHeader, Value: []byte(id)}}}
	}
	h := again(t, dir, nil, 1)
	f := h.flight(0, "fraud", "v1")
	f.enter(f.record(answer(1, "a")))
	h = again(t, dir, h, 1)
	if got := h.ends(f.record(answer(2, "a"))); got != 1 {
		t.Errorf("%d ends on the same answer at another offset, want 1", got)
	}
	if got := h.ends(f.message("a")); got != 1 {
		t.Errorf("%d ends on the answer by its ID alone, want 1", got)
	}
	if got := h.ends(f.record(answer(1, "b"))); got != 0 {
		t.Errorf("%d ends on another answer at the same offset", got)
	}
	if got := h.ends(h.flight(0, "fraud", "v2").record(answer(1, "a"))); got != 0 {
		t.Errorf("%d ends of another version", got)
	}
}

// TestHangarIsBounded: beyond the limit the ones that were met least often go.
func TestHangarIsBounded(t *testing.T) {
	dir := t.TempDir()
	h := again(t, dir, nil, 1)
	for i := range 2 * maxSuspects {
		h.suspects[inFlight{1, 2, int64(i)}] = uint64(1 + i%2)
	}
	h.save()
	h = again(t, dir, h, 1)
	if len(h.suspects) != maxSuspects {
		t.Fatalf("%d suspects, want %d", len(h.suspects), maxSuspects)
	}
	for f, n := range h.suspects {
		if n != 2 {
			t.Errorf("%v was met once and is kept", f)
		}
	}
}

// TestHangarOfAnotherLayout: a file that is none, or torn, accuses nobody.
func TestHangarOfAnotherLayout(t *testing.T) {
	for _, b := range [][]byte{nil, {1, 2, 3}, make([]byte, 1<<16), []byte("something else that somebody left here")} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, flightFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if h := again(t, dir, nil, 1); len(h.suspects) > 0 {
			t.Errorf("%d suspects of %d bytes", len(h.suspects), len(b))
		}
	}
}

func BenchmarkEnterLeave(b *testing.B) {
	h, err := openHangar(b.TempDir(), 1)
	if err != nil {
		b.Fatal(err)
	}
	f := h.flight(0, "fraud", "v1")
	r := &kgo.Record{Topic: "orders", Partition: 1}
	for b.Loop() {
		r.Offset++
		f.enter(f.record(r))
		f.leave()
	}
}
