package check

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// What can be wrong with a log, whatever its records mean. The functions below
// look for each; all of them are told records in their order within a partition.
const (
	LostWrite   = "lost_write"        // it was committed, and is not there
	AbortedRead = "aborted_read"      // it was not committed, and was read, or something follows from it
	OtherBytes  = "other_bytes"       // it was read in other words than were written
	Doubled     = "doubled"           // it is there twice
	Reordered   = "reordered"         // under one key, what came first was answered later
	Torn        = "torn"              // state, output and offset of a transaction are not together
	OtherState  = "state_not_of_log"  // a row is not what its inputs come to
	HungLog     = "transaction_hangs" // nobody has ended it
)

// Writer is a transaction's producer. Where the broker gives every transaction an
// epoch of its own, as Kafka does from 4.0 on, it is one transaction.
type Writer struct {
	Producer int64
	Epoch    int16
}

// Marker says what a record is that ends a transaction on its partition.
type Marker int8

// Markers.
const (
	NoMarker Marker = iota // a record like others
	Commit
	Abort
)

// Fates is a log by what became of its records.
type Fates struct {
	Committed, Aborted, Open []Record
}

// Settle reads a log with its markers and what is not committed, and says what
// became of each record.
func Settle(log []Record) Fates {
	fate := map[int]Marker{}
	begun := map[lane][]int{}
	for i, r := range log {
		l := lane{r.Topic, r.Partition, r.Writer.Producer}
		switch {
		case r.Marker != NoMarker:
			for _, of := range begun[l] {
				fate[of] = r.Marker
			}
			delete(begun, l)
		case r.Transactional:
			begun[l] = append(begun[l], i)
		default:
			fate[i] = Commit
		}
	}
	var f Fates
	for i, r := range log {
		switch {
		case r.Marker != NoMarker:
		case fate[i] == Commit:
			f.Committed = append(f.Committed, r)
		case fate[i] == Abort:
			f.Aborted = append(f.Aborted, r)
		default:
			f.Open = append(f.Open, r)
		}
	}
	return f
}

// lane is a producer's way into a partition: one transaction at a time.
type lane struct {
	topic     string
	partition int32
	producer  int64
}

type place struct {
	topic     string
	partition int32
	offset    int64
}

func (r Record) place() place { return place{r.Topic, r.Partition, r.Offset} }

// Read compares what a reader of committed records was given with what the log
// holds: nothing less, nothing more, and in the same words.
func Read(f Fates, read []Record) (out []Violation) {
	given := map[place]Record{}
	for _, r := range read {
		if _, twice := given[r.place()]; twice {
			out = append(out, r.violates(Doubled, "it was read twice"))
		}
		given[r.place()] = r
	}
	for _, r := range f.Committed {
		have, there := given[r.place()]
		switch {
		case !there:
			out = append(out, r.violates(LostWrite, "it is committed and was not read"))
		case !bytes.Equal(have.Key, r.Key) || !bytes.Equal(have.Value, r.Value):
			out = append(out, r.violates(OtherBytes, "it was read in other words"))
		}
		delete(given, r.place())
	}
	for _, at := range slices.SortedFunc(maps.Keys(given), compare) {
		out = append(out, given[at].violates(AbortedRead, "it was read and is not committed"))
	}
	return out
}

func compare(a, b place) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
}

// Hanging names what nobody has ended: readers wait there for ever.
func Hanging(f Fates) (out []Violation) {
	told := map[lane]bool{}
	for _, r := range f.Open {
		if l := (lane{r.Topic, r.Partition, r.Writer.Producer}); !told[l] {
			told[l] = true
			out = append(out, r.violates(HungLog, "the transaction of producer %d, epoch %d is open", r.Writer.Producer, r.Writer.Epoch))
		}
	}
	return out
}

// Role is what a topic is to the workers whose transactions are looked at.
type Role int8

// Roles.
const (
	NoRole Role = iota
	State
	Output
	Letters // dead letters
	Offsets
)

// Together looks at each transaction as a whole. It is committed everywhere or
// nowhere. If it has state, outputs or dead letters it has offsets, and if it has
// outputs it has state: what one of them says without the others is said again, or
// lost, after a crash. A dead letter may be of an input that no row has heard of.
func Together(log []Record, role func(topic string) Role) (out []Violation) {
	all := map[Writer]*parts{}
	begun := map[lane][]Record{}
	for _, r := range log {
		l := lane{r.Topic, r.Partition, r.Writer.Producer}
		if r.Marker == NoMarker {
			if r.Transactional && role(r.Topic) != NoRole {
				begun[l] = append(begun[l], r)
			}
			continue
		}
		for _, of := range begun[l] {
			p := all[of.Writer]
			if p == nil {
				p = &parts{first: of}
				all[of.Writer] = p
			}
			p.seen[role(of.Topic)][r.Marker] = true
		}
		delete(begun, l)
	}
	for _, w := range slices.SortedFunc(maps.Keys(all), func(a, b Writer) int {
		return cmp.Or(cmp.Compare(a.Producer, b.Producer), cmp.Compare(a.Epoch, b.Epoch))
	}) {
		if wrong := all[w].judge(); wrong != "" {
			out = append(out, all[w].first.violates(Torn, "the transaction of producer %d, epoch %d %s", w.Producer, w.Epoch, wrong))
		}
	}
	return out
}

// parts is what a transaction consists of.
type parts struct {
	first Record
	seen  [Offsets + 1][Abort + 1]bool // by role and end
}

func (p *parts) judge() string {
	committed := func(r Role) bool { return p.seen[r][Commit] }
	told := committed(State) || committed(Output) || committed(Letters)
	aborted := p.seen[State][Abort] || p.seen[Output][Abort] || p.seen[Letters][Abort] || p.seen[Offsets][Abort]
	switch {
	case (told || committed(Offsets)) && aborted:
		return "is committed here and aborted there"
	case told && !committed(Offsets):
		return "has state, outputs or dead letters, and no offsets"
	case committed(Output) && !committed(State):
		return "has outputs, and no state"
	}
	return ""
}

// Told is a record that was opened: an event, and what caused it.
type Told struct {
	Record
	ID, Cause string
}

// Once finds events that are told twice.
func Once(told []Told) (out []Violation) {
	seen := map[string]bool{}
	for _, e := range told {
		if seen[e.ID] {
			out = append(out, e.violates(Doubled, "event %s was told before", e.ID))
		}
		seen[e.ID] = true
	}
	return out
}

// Caused finds events that follow from what was never committed, and events of one
// key whose causes lie on one partition in another order than they do.
func Caused(told, causes, aborted []Told) (out []Violation) {
	at := map[string]Told{}
	for _, c := range causes {
		if _, before := at[c.ID]; !before { // a repeat changes nothing
			at[c.ID] = c
		}
	}
	never := map[string]bool{}
	for _, a := range aborted {
		never[a.ID] = true
	}
	type answer struct{ topic, key, to string }
	last := map[answer]Told{}
	for _, e := range told {
		cause, known := at[e.Cause]
		if !known {
			if never[e.Cause] {
				out = append(out, e.violates(AbortedRead, "event %s follows from %s, which was aborted", e.ID, e.Cause))
			}
			continue
		}
		way := answer{e.Topic, string(e.Key), cause.Topic}
		if before := last[way]; cause.Partition == before.Partition && cause.Offset < before.Offset {
			out = append(out, e.violates(Reordered, "event %s answers offset %d of %s, after an answer to offset %d", e.ID, cause.Offset, cause.Topic, before.Offset))
		}
		last[way] = cause
	}
	return out
}

// Kept finds what a writer was told is committed, and is not told.
func Kept(acknowledged []string, told []Told) (out []Violation) {
	there := map[string]bool{}
	for _, e := range told {
		there[e.ID] = true
	}
	for _, id := range acknowledged {
		if !there[id] {
			out = append(out, Violation{Invariant: LostWrite, Offset: -1, Detail: fmt.Sprintf("event %s was acknowledged and is not there", id)})
		}
	}
	return out
}

// Rows compares what rows must have come to with what some place has of them.
func Rows[S comparable](where string, want, have map[string]S) (out []Violation) {
	keys := map[string]bool{}
	for k := range want {
		keys[k] = true
	}
	for k := range have {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, wanted := want[k]
		h, there := have[k]
		switch {
		case !there:
			out = append(out, Violation{Invariant: OtherState, Offset: -1, Order: k, Detail: fmt.Sprintf("%s has no row, want %v", where, w)})
		case !wanted:
			out = append(out, Violation{Invariant: OtherState, Offset: -1, Order: k, Detail: fmt.Sprintf("%s has %v of a key that nobody wrote", where, h)})
		case w != h:
			out = append(out, Violation{Invariant: OtherState, Offset: -1, Order: k, Detail: fmt.Sprintf("%s has %v, want %v", where, h, w)})
		}
	}
	return out
}

func (r Record) violates(invariant, format string, args ...any) Violation {
	return Violation{
		Invariant: invariant, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: string(r.Key), Detail: fmt.Sprintf(format, args...),
	}
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s/%d offset %d, %q: %s", v.Invariant, v.Topic, v.Partition, v.Offset, v.Order, v.Detail)
}
