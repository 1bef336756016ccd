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
	h.acquit([]inFlight{f.record(killer)}, nil)
	if h = again(t, dir, h, 2); h.any.Load() {
		t.Error("a record that was committed is still suspected")
	}
}

// TestHangarKnowsOutcomes: an outcome is the same wherever it lies in the inbox, but not
// to another version; a request is another at each place.
func TestHangarKnowsOutcomes(t *testing.T) {
	dir := t.TempDir()
	record := func(topic, typ string, offset int64, id string) *kgo.Record {
		return &kgo.Record{Topic: topic, Offset: offset, Headers: []kgo.RecordHeader{{Key: idHeader, Value: []byte(id)}, {Key: typeHeader, Value: []byte(typ)}}}
	}
	h := again(t, dir, nil, 1)
	f := h.flight(0, "fraud", "v1")
	f.outcomes["Scored"] = true
	f.enter(f.record(record("x.fraud.inbox", "Scored", 1, "a")))
	h = again(t, dir, h, 1)
	newer := h.flight(0, "fraud", "v2")
	newer.outcomes["Scored"] = true
	for _, c := range []struct {
		what string
		of   inFlight
		want int
	}{
		{"the outcome at another offset", f.record(record("x.fraud.inbox", "Scored", 2, "a")), 1},
		{"the outcome by its ID alone", f.outcome("a"), 1},
		{"another outcome", f.record(record("x.fraud.inbox", "Scored", 1, "b")), 0},
		{"a request of that ID", f.record(record("x.fraud.inbox", "Score", 1, "a")), 0},
		{"the outcome that is sent again", f.record(record("x.fraud.replay", "Scored", 1, "a")), 0},
		{"the outcome to another version", newer.record(record("x.fraud.inbox", "Scored", 1, "a")), 0},
	} {
		if got := h.ends(c.of); got != c.want {
			t.Errorf("%d ends on %s, want %d", got, c.what, c.want)
		}
	}
	h.acquit([]inFlight{f.outcome("a")}, []inFlight{f.outcome("a").buried()})
	h = again(t, dir, h, 1)
	if got := h.ends(f.outcome("a").buried()); got != 1 || h.ends(f.outcome("a")) != 0 {
		t.Errorf("an outcome that was buried is known %d times", got)
	}
}

// TestHangarHasRoomForSuspects: what was buried makes room for what ends the process now.
func TestHangarHasRoomForSuspects(t *testing.T) {
	dir := t.TempDir()
	h := again(t, dir, nil, 1)
	var buried []inFlight
	for i := range 2 * maxSuspects {
		buried = append(buried, inFlight{uint64(i), buriedKind, 0})
	}
	h.acquit(nil, buried)
	if len(h.suspects) > maxSuspects {
		t.Errorf("%d are kept in memory", len(h.suspects))
	}
	f := h.flight(0, "fraud", "v1")
	killer := f.record(&kgo.Record{Topic: "orders", Offset: 7})
	for n := range 3 {
		f.enter(killer)
		h = again(t, dir, h, 1)
		f = h.flight(0, "fraud", "v1")
		if got := h.ends(killer); got != n+1 {
			t.Fatalf("%d ends, want %d", got, n+1)
		}
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
