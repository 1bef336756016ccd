package stream

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// A step that panics is caught. One that exits, overflows its stack or eats all
// memory ends the process, and the next one polls the same record and ends too.
// So the process writes down what it is about to run, in memory that it shares
// with a file: a kill leaves it there, and it costs a few nanoseconds. A start
// that finds something there counts it; what was found often enough is buried
// without being run.
//
// An outcome is known by its ID: the world, asked again at the next start, answers with
// another record of the same. Once one was buried, so are the others that lie in the
// inbox, and this version does not ask again: the intent stays in hand until its dead
// letter is sent again to the replay topic, or another version asks once more.
//
// The file holds what the process has in flight now, a cell a worker, and the
// suspects of earlier ends. It outlives the process, not the machine: a power cut
// may forget a count, and one end more is needed.
const (
	flightFile   = "in-flight"
	flightMark   = 0x746c6601 // of this layout
	flightHeader = 8          // mark
	maxSuspects  = 256        // beyond, outcomes that were buried are forgotten first, then what was met least often
	suspectSize  = 32         // cause, partition, offset, count
	cellSize     = 64         // selector, two causes: the selected one is whole
	causeSize    = 24
)

// inFlight is what a worker runs: a record by its source, a timer, or an outcome.
type inFlight struct {
	what      uint64 // hash of service and topic; of service, set, key and timer; or of service, version and ID
	partition int64  // or one of those below
	offset    int64  // or deadline
}

// What stands for the partition of what is not known by its source.
const (
	timerKind   = -1
	outcomeKind = -2
	buriedKind  = -3 // an outcome that was buried: no suspect, but of what is in hand
)

// hangar holds what the workers of a process have in flight.
type hangar struct {
	mu       sync.Mutex
	page     []byte
	suspects map[inFlight]uint64 // times that the process ended on it
	any      atomic.Bool         // there are suspects
	close    func() error
}

// openHangar reads what an earlier process left behind, and makes room for so
// many workers.
func openHangar(dir string, workers int) (*hangar, error) {
	h := &hangar{suspects: map[inFlight]uint64{}, close: func() error { return nil }}
	size := flightHeader + maxSuspects*suspectSize + workers*cellSize
	if dir == "" {
		h.page = make([]byte, size)
		return h, nil
	}
	path := filepath.Join(dir, flightFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read what was in flight: %w", err)
	}
	h.recall(old)
	h.page = make([]byte, size)
	binary.LittleEndian.PutUint32(h.page, flightMark)
	h.save()
	if h.page, h.close, err = share(path, h.page); err != nil {
		return nil, fmt.Errorf("write down what is in flight: %w", err)
	}
	return h, nil
}

// recall takes the suspects from a page, and adds what was in flight when its
// process ended. A page of another layout says nothing.
func (h *hangar) recall(page []byte) {
	cells := flightHeader + maxSuspects*suspectSize
	if len(page) < cells || binary.LittleEndian.Uint32(page) != flightMark {
		return
	}
	for i := range maxSuspects {
		b := page[flightHeader+i*suspectSize:]
		if n := binary.LittleEndian.Uint64(b[causeSize:]); n > 0 {
			h.suspects[causeAt(b)] = n
		}
	}
	for b := page[cells:]; len(b) >= cellSize; b = b[cellSize:] {
		if at := binary.LittleEndian.Uint64(b); at == 1 || at == 2 {
			h.suspects[causeAt(b[8+(at-1)*causeSize:])]++
		}
	}
	h.any.Store(len(h.suspects) > 0)
}

func causeAt(b []byte) inFlight {
	return inFlight{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:])), int64(binary.LittleEndian.Uint64(b[16:]))}
}

func (f inFlight) put(b []byte) {
	binary.LittleEndian.PutUint64(b, f.what)
	binary.LittleEndian.PutUint64(b[8:], uint64(f.partition))
	binary.LittleEndian.PutUint64(b[16:], uint64(f.offset))
}

// save writes the suspects down. A count is written last and taken away first,
// so that a kill in between leaves no entry that is half of another.
func (h *hangar) save() {
	type suspect struct {
		inFlight
		n uint64
	}
	var list []suspect
	for f, n := range h.suspects {
		list = append(list, suspect{f, n})
	}
	weight := func(s suspect) uint64 {
		if s.partition == buriedKind {
			return 0
		}
		return s.n
	}
	slices.SortFunc(list, func(a, b suspect) int { return cmp.Compare(weight(b), weight(a)) })
	for _, s := range list[min(maxSuspects, len(list)):] {
		delete(h.suspects, s.inFlight)
	}
	for i := range maxSuspects {
		b := h.page[flightHeader+i*suspectSize:]
		count := word(b[causeSize:])
		count.Store(0)
		if i < len(list) {
			list[i].put(b)
			count.Store(list[i].n)
		}
	}
	h.any.Store(len(h.suspects) > 0)
}

// word is eight bytes of the page that are written at once.
func word(b []byte) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&b[0])) }

// acquit forgets suspects whose transaction was committed, and notes the outcomes that
// it has buried.
func (h *hangar) acquit(list, buried []inFlight) {
	if len(list)+len(buried) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range list {
		delete(h.suspects, f)
	}
	for _, f := range buried {
		h.suspects[f] = 1
	}
	h.save()
}

// ends is how often the process has ended on it.
func (h *hangar) ends(f inFlight) int {
	if !h.any.Load() {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(h.suspects[f])
}

// flight is a worker's place in the hangar.
type flight struct {
	hangar           *hangar
	service, version string
	cell             []byte
	topics           map[string]flightTopic
	outcomes         map[string]bool // by the type of their message
}

type flightTopic struct {
	what    uint64
	answers bool // outcomes lie in it
}

func (h *hangar) flight(worker int, service, version string) *flight {
	at := flightHeader + maxSuspects*suspectSize + worker*cellSize
	return &flight{hangar: h, service: service, version: version, cell: h.page[at : at+cellSize], topics: map[string]flightTopic{}, outcomes: map[string]bool{}}
}

// knows has it tell the outcomes of a service from other messages.
func (f *flight) knows(p *plan) *flight {
	for _, s := range p.sets {
		for _, e := range s.effects {
			f.outcomes[e.Outcome] = true
		}
	}
	return f
}

// record names a record.
func (f *flight) record(r *kgo.Record) inFlight {
	t, known := f.topics[r.Topic]
	if !known {
		t = flightTopic{hash(f.service, r.Topic), len(f.outcomes) > 0 && strings.HasSuffix(r.Topic, topology.InboxTopic(""))}
		f.topics[r.Topic] = t
	}
	if t.answers && f.outcomes[headerOf(r, typeHeader)] {
		if id := headerOf(r, idHeader); id != "" {
			return f.outcome(id)
		}
	}
	return inFlight{t.what, int64(r.Partition), r.Offset}
}

// outcome names an outcome as a suspect.
func (f *flight) outcome(id string) inFlight {
	return inFlight{hash(f.service, f.version, id), outcomeKind, 0}
}

// buried names it once it is a dead letter.
func (f inFlight) buried() inFlight { return inFlight{f.what, buriedKind, 0} }

// timer names a timer of a row.
func (f *flight) timer(t *task, key, name, discriminator string, at time.Time) inFlight {
	return inFlight{hash(f.service, t.set.full, key, name, discriminator), timerKind, at.UnixMilli()}
}

// input names an input.
func (f *flight) input(in *input) inFlight {
	if in.record != nil {
		return f.record(in.record)
	}
	return f.timer(in.task, in.key, in.turn.Cause.Timer, in.turn.Cause.Discriminator, in.turn.Now)
}

func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// enter says what is run now; leave, that it has come back.
func (f *flight) enter(what inFlight) {
	at := word(f.cell)
	next := at.Load()%2 + 1 // the one that is not selected, or the second
	what.put(f.cell[8+(next-1)*causeSize:])
	at.Store(next)
}

func (f *flight) leave() { word(f.cell).Store(0) }

// admit says whether a record may be run, or buries it: it has ended the process
// too often. Nothing of it is read, since to read it may be what kills.
func (w *worker) admit(x *transaction, r *kgo.Record) bool {
	f := w.flight.record(r)
	ends := w.flight.hangar.ends(f)
	if ends > 0 {
		x.suspects = append(x.suspects, f)
	}
	switch {
	case ends >= w.limits.QuarantineAfter:
		w.bury(x, r, causeQuarantine, fmt.Errorf("the process ended %d times while this record was run", ends), int32(ends), "")
	case f.partition == outcomeKind && w.flight.hangar.ends(f.buried()) > 0:
		w.bury(x, r, causeQuarantine, errors.New("it answers as a record did on which the process has ended too often"), 0, "")
	default:
		return true
	}
	if f.partition == outcomeKind {
		x.buried = append(x.buried, f.buried())
	}
	return false
}

// unanswerable says that the outcome of an intent was buried here, since the process
// ended on it too often, or is about to be.
func (w *worker) unanswerable(intent string) bool {
	f := w.flight.outcome(outcomeID(intent))
	return w.flight.hangar.ends(f) >= w.limits.QuarantineAfter || w.flight.hangar.ends(f.buried()) > 0
}

// answered takes note that a transaction settles an intent.
func (w *worker) answered(x *transaction, intent string) {
	x.ended = append(x.ended, intent)
	if f := w.flight.outcome(outcomeID(intent)).buried(); w.flight.hangar.ends(f) > 0 { // it was sent again
		x.suspects = append(x.suspects, f)
	}
}

// admitTimer is admit for a timer.
func (w *worker) admitTimer(x *transaction, t *task, r *row, tm armed) bool {
	f := w.flight.timer(t, r.key[1:], tm.Name, tm.Discriminator, time.UnixMilli(tm.At))
	ends := w.flight.hangar.ends(f)
	if ends > 0 {
		x.suspects = append(x.suspects, f)
	}
	if ends >= w.limits.QuarantineAfter {
		w.buryTimer(x, t, r, tm, causeQuarantine, fmt.Errorf("the process ended %d times while its step was run", ends), int32(ends))
		return false
	}
	return true
}
