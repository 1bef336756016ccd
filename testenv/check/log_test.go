package check

import (
	"fmt"
	"slices"
	"testing"
)

// tape writes a log as a broker does.
type tape struct {
	records []Record
	next    map[string]int64
}

func (t *tape) put(topic string, partition int32, r Record) {
	if t.next == nil {
		t.next = map[string]int64{}
	}
	at := fmt.Sprint(topic, "/", partition)
	r.Topic, r.Partition, r.Offset = topic, partition, t.next[at]
	t.next[at]++
	t.records = append(t.records, r)
}

// transaction writes state, output and offset, and ends them.
func (t *tape) transaction(w Writer, end map[string]Marker, topics ...string) {
	for _, topic := range topics {
		t.put(topic, 0, Record{Key: []byte("k"), Value: fmt.Append(nil, topic, w), Transactional: true, Writer: w})
	}
	for _, topic := range topics {
		if m := end[topic]; m != NoMarker {
			t.put(topic, 0, Record{Marker: m, Transactional: true, Writer: Writer{w.Producer, w.Epoch + 1}})
		}
	}
}

func all(m Marker) map[string]Marker {
	return map[string]Marker{"state": m, "out": m, "dead": m, "offsets": m}
}

func roleOf(topic string) Role {
	return map[string]Role{"state": State, "out": Output, "dead": Letters, "offsets": Offsets}[topic]
}

func found(list []Violation, invariant string) bool {
	return slices.ContainsFunc(list, func(v Violation) bool { return v.Invariant == invariant })
}

// TestTogether plants what a torn transaction leaves.
func TestTogether(t *testing.T) {
	good := func() *tape {
		l := &tape{}
		l.transaction(Writer{1, 1}, all(Commit), "state", "out", "offsets")
		l.transaction(Writer{1, 2}, all(Abort), "state", "out", "offsets")
		l.transaction(Writer{1, 3}, all(Commit), "offsets") // inputs that changed nothing
		l.transaction(Writer{1, 4}, all(Commit), "state", "offsets")
		l.transaction(Writer{1, 5}, all(Commit), "dead", "offsets")        // of what no step was given
		l.transaction(Writer{7, 1}, map[string]Marker{"in": Commit}, "in") // somebody else's
		return l
	}
	if wrong := Together(good().records, roleOf); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for name, spoil := range map[string]func(*tape){
		"no offset":                  func(l *tape) { l.transaction(Writer{1, 9}, all(Commit), "state", "out") },
		"no state":                   func(l *tape) { l.transaction(Writer{1, 9}, all(Commit), "out", "offsets") },
		"no offset of a dead letter": func(l *tape) { l.transaction(Writer{1, 9}, all(Commit), "dead") },
		"half of it": func(l *tape) {
			l.transaction(Writer{1, 9}, map[string]Marker{"state": Abort, "out": Commit, "offsets": Commit}, "state", "out", "offsets")
		},
		"offset alone": func(l *tape) {
			l.transaction(Writer{1, 9}, map[string]Marker{"state": Abort, "out": Abort, "offsets": Commit}, "state", "out", "offsets")
		},
	} {
		l := good()
		spoil(l)
		if !found(Together(l.records, roleOf), Torn) {
			t.Errorf("%s: nobody noticed", name)
		}
	}
}

// TestRead plants what a reader can be given wrongly.
func TestRead(t *testing.T) {
	l := &tape{}
	l.transaction(Writer{1, 1}, all(Commit), "out")
	l.transaction(Writer{1, 2}, all(Abort), "out")
	l.put("out", 0, Record{Key: []byte("k"), Value: []byte("of nobody's transaction")})
	l.transaction(Writer{2, 1}, nil, "out")
	f := Settle(l.records)
	if len(f.Committed) != 2 || len(f.Aborted) != 1 || len(f.Open) != 1 {
		t.Fatalf("%d committed, %d aborted, %d open; want 2, 1, 1", len(f.Committed), len(f.Aborted), len(f.Open))
	}
	if !found(Hanging(f), HungLog) || len(Hanging(Fates{})) > 0 {
		t.Error("a transaction that nobody ends is not noticed")
	}
	if wrong := Read(f, f.Committed); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	other := slices.Clone(f.Committed)
	other[1].Value = []byte("else")
	for invariant, read := range map[string][]Record{
		LostWrite:   f.Committed[1:],
		AbortedRead: append(slices.Clone(f.Committed), f.Aborted...),
		Doubled:     append(slices.Clone(f.Committed), f.Committed[0]),
		OtherBytes:  other,
	} {
		if !found(Read(f, read), invariant) {
			t.Errorf("%s: nobody noticed", invariant)
		}
	}
}

// TestEvents plants what can be wrong between events.
func TestEvents(t *testing.T) {
	event := func(topic string, offset int64, key, id, cause string) Told {
		return Told{Record: Record{Topic: topic, Offset: offset, Key: []byte(key)}, ID: id, Cause: cause}
	}
	causes := []Told{event("in", 0, "a", "1", ""), event("in", 1, "a", "2", ""), event("in", 2, "b", "3", ""), event("in", 3, "a", "1", "")}
	aborted := []Told{event("in", 4, "a", "9", "")}
	good := []Told{event("out", 0, "a", "x1", "1"), event("out", 1, "b", "x3", "3"), event("out", 2, "a", "x2", "2"), event("out", 3, "a", "timer", "")}
	if wrong := slices.Concat(Caused(good, causes, aborted), Once(good), Kept([]string{"x1"}, good)); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for invariant, wrong := range map[string][]Violation{
		Reordered:   Caused([]Told{good[2], good[1], good[0]}, causes, aborted),
		AbortedRead: Caused(append(slices.Clone(good), event("out", 4, "a", "x9", "9")), causes, aborted),
		Doubled:     Once(append(slices.Clone(good), good[0])),
		LostWrite:   Kept([]string{"x1", "x7"}, good),
	} {
		if !found(wrong, invariant) {
			t.Errorf("%s: nobody noticed", invariant)
		}
	}
}

// TestRows: a row is there, is nobody's, or is another.
func TestRows(t *testing.T) {
	want := map[string]int{"a": 1, "b": 2}
	if wrong := Rows("here", want, map[string]int{"a": 1, "b": 2}); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for name, have := range map[string]map[string]int{"lost": {"a": 1}, "stale": {"a": 1, "b": 1}, "of nobody": {"a": 1, "b": 2, "c": 1}} {
		if !found(Rows("here", want, have), OtherState) {
			t.Errorf("%s: nobody noticed", name)
		}
	}
}
