package workbench

import (
	"cmp"
	"container/heap"
	"errors"
	"html/template"
	"strings"
	"sync"
	"time"

	"troupe/topology"
)

// What is kept at most; see the package comment for what happens then.
const (
	factsPerFlow   = 2_000
	wholeClosed    = 20_000
	exceptionsKept = 10_000
	detailLimit    = 300 // runes of an exception's detail
)

type limits struct{ factsPerFlow, wholeClosed, exceptions int }

// Config is what the workbench is told.
type Config struct {
	Now    func() time.Time // the time by which things are late
	Duties []Duty           // the process, for what is expected; none: only what is overdue is shown
	Codes  []string         // the differences that reconciliation may find
	Base   string           // the path that the handler is mounted under, without a slash at the end
}

// Validate says what is missing.
func (c Config) Validate() error {
	if c.Now == nil {
		return errors.New("workbench: it needs a clock")
	}
	if strings.HasSuffix(c.Base, "/") || c.Base != "" && !strings.HasPrefix(c.Base, "/") {
		return errors.New("workbench: a base begins with a slash and does not end with one")
	}
	return nil
}

// Bench is what is known of every flow, kept in memory and filled from the topics.
type Bench struct {
	config Config
	limits limits
	words  *Words
	pages  map[string]*template.Template
	seen   map[string]bool // the events that are read
	err    error           // why it cannot work; keeps the view from starting

	mu         sync.RWMutex
	flows      map[number]*flow
	closed     byAge[number] // closed flows that are whole
	incidents  map[incidentKey]*latest[incident]
	exceptions map[string]exception
	raised     byAge[string]
	dropped    int // exceptions beyond the limit
	heard      map[string]time.Time
}

// incidentKey names an owner's falling behind: a partition's process manager
// sees only the owner's place on its own partition.
type incidentKey struct {
	owner, topic string
	partition    int32
}

type incident struct {
	behind bool
	flows  int64
	since  time.Time
}

type exception struct {
	exceptionRaised
	number number // as far as it is known
	at     time.Time
}

// New is an empty workbench. What is wrong with c is said when it binds.
func New(c Config) *Bench {
	b := &Bench{
		config: c, limits: limits{factsPerFlow, wholeClosed, exceptionsKept},
		flows: map[number]*flow{}, incidents: map[incidentKey]*latest[incident]{}, exceptions: map[string]exception{}, heard: map[string]time.Time{},
	}
	var words, pages error
	b.words, words = ReadWords(defaultWords)
	b.pages, pages = readPages(c.Base)
	b.err = errors.Join(c.Validate(), words, pages)
	b.seen = map[string]bool{}
	for _, h := range b.Service().Views[0].Handlers {
		b.seen[h.Event] = true
	}
	return b
}

// hear notes how far a context's word reaches.
func (b *Bench) hear(c topology.Cause) {
	if at := c.Envelope.OccurredAt.UTC(); at.After(b.heard[c.Envelope.Source]) {
		b.heard[c.Envelope.Source] = at
	}
}

// asOf is the latest business time that was read.
func (b *Bench) asOf() time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var last time.Time
	for _, at := range b.heard {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// flow is the one of an order, made if it is new.
func (b *Bench) flow(n number) *flow {
	f := b.flows[n]
	if f == nil {
		f = newFlow(n)
		b.flows[n] = f
	}
	return f
}

// close books the end of a flow. Of more than the limit, those that closed
// first keep only a summary.
func (b *Bench) close(f *flow, end closing, offset int64) {
	first := !f.closed.set
	f.closed.take(offset, end)
	if !first {
		return
	}
	heap.Push(&b.closed, aged[number]{end.at, f.number.tenant + "/" + f.number.order, f.number})
	if b.closed.Len() > b.limits.wholeClosed {
		old := heap.Pop(&b.closed).(aged[number])
		b.flows[old.value].facts = nil
	}
}

// except books an exception.
func (b *Bench) except(x exception) {
	if _, known := b.exceptions[x.ExceptionID]; known {
		return
	}
	b.exceptions[x.ExceptionID] = x
	heap.Push(&b.raised, aged[string]{x.at, x.ExceptionID, x.ExceptionID})
	if b.raised.Len() > b.limits.exceptions {
		b.dropped++
		delete(b.exceptions, heap.Pop(&b.raised).(aged[string]).value)
	}
}

// byAge is a heap with the oldest on top; the name settles ties, so that what
// is let go does not depend on what was read first.
type byAge[T any] []aged[T]

type aged[T any] struct {
	at    time.Time
	name  string
	value T
}

func (h byAge[T]) Len() int { return len(h) }
func (h byAge[T]) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), strings.Compare(h[i].name, h[j].name)) < 0
}
func (h byAge[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is heap.Push's.
func (h *byAge[T]) Push(x any) { *h = append(*h, x.(aged[T])) }

// Pop is heap.Pop's.
func (h *byAge[T]) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
