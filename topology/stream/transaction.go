package stream

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// transaction stages what one commit will make true.
type transaction struct {
	began    time.Time
	inputs   int
	bytes    int  // of what it stages
	behind   bool // more lies on the broker of what was polled last
	touched  []touched
	parked   []parkedChange
	outputs  []*kgo.Record
	started  []startedIntent
	ended    []string   // intents whose outcome has come
	suspects []inFlight // that are over once this is committed
	buried   []inFlight // outcomes that are dead letters then
	pinned   []*task    // of which nothing is changed, but something told
	breaker  breaker
	slab     slab
}

// touched is a row that the transaction changes.
type touched struct {
	task *task
	row  *row
}

type parkedChange struct {
	task  *task
	key   string
	value []byte
}

type startedIntent struct {
	task     *task
	key      string
	envelope schemas.Envelope
	intent   intent
	answerTo string // key of the records that reach the row, where it is not the row's
}

// detached has texts and bytes of its own: the intent is kept until its call is over, and
// longer by who remembers its ID, while those of the input lie in the batch that was
// fetched with it, and those of a row in the row.
func (s startedIntent) detached() startedIntent {
	e, i := &s.envelope, &s.intent
	for _, text := range []*string{
		&e.Tenant, &e.Region, &e.ProductLine, &e.Order, &e.CorrelationID, &e.Traceparent,
		&i.ID, &i.Effect, &i.Discriminator, &i.CauseID, &s.answerTo,
	} {
		*text = strings.Clone(*text)
	}
	i.Request = bytes.Clone(i.Request)
	return s
}

// touch takes a row into the transaction; it reports whether it was not yet.
func (x *transaction) touch(t *task, r *row) bool {
	if !r.begin() {
		return false
	}
	x.touched = append(x.touched, touched{t, r})
	return true
}

// parks says whether the transaction itself lets an input wait under this key.
func (x *transaction) parks(t *task, key string) bool {
	return slices.ContainsFunc(x.parked, func(c parkedChange) bool { return c.task == t && c.key == key && c.value != nil })
}

// untouch takes back the latest touch.
func (x *transaction) untouch() {
	last := len(x.touched) - 1
	x.touched[last].row.touched = false
	x.touched = x.touched[:last]
}

func (x *transaction) empty() bool { return len(x.outputs) == 0 && len(x.touched) == 0 }

// tasks calls f with each task that the transaction is about, at least once.
func (x *transaction) tasks(f func(*task)) {
	var last *task
	for _, c := range x.touched {
		if c.task != last {
			last = c.task
			f(c.task)
		}
	}
	for _, t := range x.pinned {
		f(t)
	}
}

// changelog turns the staged rows into records, one a key: first the rows, then
// what is parked.
func (x *transaction) changelog() []*kgo.Record {
	records := make([]*kgo.Record, 0, len(x.touched)+len(x.parked)+len(x.outputs))
	add := func(t *task, key string, value []byte) {
		r := x.slab.record()
		r.Topic, r.Partition, r.Key, r.Value = t.set.state, t.id.partition, x.slab.copy(key), value
		records = append(records, r)
	}
	for _, c := range x.touched {
		add(c.task, c.row.key, c.row.staged)
	}
	for _, p := range x.parked {
		add(p.task, p.key, p.value)
	}
	return records
}

// apply makes what was staged the state in memory, and hands it to the tables.
// records are those of changelog, with the offsets that they were given.
func (x *transaction) apply(records []*kgo.Record, at time.Time) error {
	for i, c := range x.touched {
		c.task.commit(c.row)
		c.task.next = max(c.task.next, records[i].Offset+1)
	}
	for i, p := range x.parked {
		p.task.park(p.key, p.value)
		p.task.next = max(p.task.next, records[len(x.touched)+i].Offset+1)
	}
	var err error
	x.tasks(func(t *task) {
		if err == nil && len(t.changes) > 0 {
			err = t.flush(at)
		}
	})
	return err
}

// slab hands out the records and bytes of a transaction in large pieces: what is
// made for every record costs more to allocate than to fill. They are let go of
// together, once the broker has them.
type slab struct {
	records pieces[kgo.Record]
	headers pieces[kgo.RecordHeader]
	bytes   pieces[byte]
	scratch []byte
}

func (s *slab) record() *kgo.Record { return &s.records.take(1, 8, 256)[0] }

// header hands out room for n headers.
func (s *slab) header(n int) []kgo.RecordHeader { return s.headers.take(n, 32, 1024)[:0] }

// copy keeps a copy of b.
func (s *slab) copy(b string) []byte {
	k := s.room(len(b))
	copy(k, b)
	return k
}

func (s *slab) room(n int) []byte { return s.bytes.take(n, 2<<10, 64<<10) }

// pieces are handed out from one that is made when the last is used up, twice as
// large: a service with little to do makes small ones.
type pieces[T any] struct {
	left []T
	size int
}

// take hands out n, of a piece that is first long or more, up to most.
func (p *pieces[T]) take(n, first, most int) []T {
	if n > most/4 {
		return make([]T, n)
	}
	if len(p.left) < n {
		p.size = min(max(first, 2*p.size, n), most)
		p.left = make([]T, p.size)
	}
	k := p.left[:n:n]
	p.left = p.left[n:]
	return k
}
