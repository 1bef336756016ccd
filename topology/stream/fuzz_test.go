package stream

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/schemas/readtest"
	"troupe/topology"
)

// fuzzed is a row's state with one of everything that a state may have.
type fuzzed struct {
	Text  string           `avro:"text"`
	Many  []string         `avro:"many"`
	Named map[string]int64 `avro:"named"`
	At    time.Time        `avro:"at"`
	Maybe *int32           `avro:"maybe"`
}

// rowsOf is a set that has rows and nothing else.
func rowsOf(t testing.TB) *set {
	t.Helper()
	s := &set{name: "", full: "fuzzed", remember: topology.DefaultRemember}
	var err error
	if s.row, err = topology.RowOf[fuzzed]("fuzzed").Bind(); err == nil {
		s.frame, err = schemas.NewState[frame]("troupe.frame")
	}
	if err == nil {
		s.parked, err = schemas.NewState[parkedInput]("troupe.parked")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzRow: whatever lies on a changelog is a row or an error, at the cost of its
// bytes; and what was read can be written and read again.
func FuzzRow(f *testing.F) {
	s := rowsOf(f)
	n := int32(7)
	whole := &row{key: "Racme/web-1", state: &fuzzed{"text", []string{"a", "b"}, map[string]int64{"x": 1}, time.UnixMilli(1700000000000).UTC(), &n}}
	whole.frame = frame{
		Tenant: "acme", Order: "web-1", Seen: make([]byte, 2*seenSize), Timers: []armed{{"ring", "1", 1700000000000}},
		Intents: []intent{{ID: "i", Effect: "score", Request: []byte{1, 2}}}, ParkedTo: 1, ParkedUntil: 1700000000001,
	}
	var scratch []byte
	good, err := s.encode(whole, &scratch)
	if err != nil {
		f.Fatal(err)
	}
	for cut := 0; cut <= len(good); cut += 7 {
		f.Add(good[:cut])
	}
	for at := 9; at < len(good); at += 5 { // a length of exabytes in each place
		f.Add(append(bytes.Clone(good[:at]), bytes.Repeat([]byte{0xff}, 9)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &row{key: "Racme/web-1"}
		var err error
		if took := readtest.Allocated(func() { err = s.decode(r, b) }); took > readtest.Allowed(b) {
			t.Fatalf("%d bytes took %d of memory", len(b), took)
		}
		if at, inHand, gerr := s.glance(b); b != nil && err == nil && (gerr != nil || at.UnixMilli() != r.frame.Deadline && r.frame.Deadline != 0 || inHand != r.frame.InHand) {
			t.Fatalf("a row that can be read is glanced at otherwise: %v, %v, %v", at, inHand, gerr)
		}
		if err != nil || b == nil {
			return
		}
		var scratch []byte
		again, err := s.encode(r, &scratch)
		if err != nil {
			t.Fatalf("a row was read and cannot be written: %v", err)
		}
		if what := s.differ(r.key, b, again); strings.Contains(what, "cannot be read") {
			t.Fatalf("a row was written and %s", what)
		}
	})
}

// FuzzParked: the same of what waits under a key.
func FuzzParked(f *testing.F) {
	s := rowsOf(f)
	good, err := s.parked.Append(nil, &parkedInput{Topic: "orders", Key: []byte("k"), Value: []byte("v"), Headers: []header{{"a", []byte("b")}}, Why: "later"})
	if err != nil {
		f.Fatal(err)
	}
	for cut := range len(good) + 1 {
		f.Add(good[:cut])
		f.Add(append(bytes.Clone(good[:cut]), bytes.Repeat([]byte{0xff}, 9)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p parkedInput
		if took := readtest.Allocated(func() { err := s.parked.Decode(b, &p); _ = err }); took > readtest.Allowed(b) {
			t.Fatalf("%d bytes took %d of memory", len(b), took)
		}
		_ = p.record()
	})
}

// FuzzDeadLetter: headers that anybody may have written are a dead letter or an
// error, and its ID is found without a panic.
func FuzzDeadLetter(f *testing.F) {
	f.Add("fraud", "orders", "1", "42", "1", "2026-01-05T09:00:00Z", "web-1", []byte("key"))
	f.Add("", "", "", "", "", "", "", []byte(nil))
	f.Add("fraud", "orders", "99999999999", "-1", "x", "yesterday", "\x00\n\x7f", []byte{0xff})
	f.Fuzz(func(t *testing.T, service, topic, partition, offset, attempts, at, order string, key []byte) {
		r := &kgo.Record{Key: key}
		for name, v := range map[string]string{
			deadService: service, deadTopic: topic, deadPartition: partition, deadOffset: offset, deadAttempts: attempts, deadAt: at, deadOrder: order,
		} {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(v)})
		}
		d, err := deadLetter(r)
		if err == nil && (d.Service == "" || d.Topic == "" || d.ID() == "") {
			t.Errorf("%+v is taken for a dead letter", d)
		}
	})
}

// FuzzInFlight: a file that was torn, or is none, is no reason not to start.
func FuzzInFlight(f *testing.F) {
	h, err := openHangar(f.TempDir(), 2)
	if err != nil {
		f.Fatal(err)
	}
	fl := h.flight(0, "fraud", "v1")
	fl.enter(fl.record(&kgo.Record{Topic: "orders", Partition: 1, Offset: 7}))
	f.Add(bytes.Clone(h.page))
	f.Add(h.page[:flightHeader+maxSuspects*suspectSize+3])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, page []byte) {
		h := &hangar{suspects: map[inFlight]uint64{}, page: make([]byte, flightHeader+maxSuspects*suspectSize)}
		h.recall(page)
		h.save()
		if len(h.suspects) > maxSuspects+len(page)/cellSize {
			t.Errorf("%d suspects of %d bytes", len(h.suspects), len(page))
		}
	})
}
