package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology/table"
)

// task is a set's partition in this worker's hands.
type task struct {
	id    taskID
	home  string // the key of what is about the partition, not about a key
	set   *set
	table *table.Task
	rows  map[string]*row // decoded, by changelog key
	bytes int64           // of the rows' encodings
	limit int64
	next  int64 // changelog offset after the last one committed
	topic [16]byte
	since time.Time // a due timer waits for its inputs since
}

// row returns a key's row, from the cache or from the table.
func (t *task) row(key []byte) (*row, error) {
	if r, ok := t.rows[string(key)]; ok {
		r.used = true
		return r, nil
	}
	b, err := t.table.Get(key)
	if err != nil {
		return nil, err
	}
	r := &row{key: key, committed: b, used: true}
	if err := t.set.decode(r, b); err != nil {
		return nil, err
	}
	t.rows[string(key)] = r
	t.bytes += int64(len(b) + len(key))
	return r, nil
}

// evict makes room, between transactions: rows not used since the last pass go.
func (t *task) evict() {
	if t.bytes <= t.limit {
		return
	}
	for pass := 0; pass < 2 && t.bytes > t.limit*3/4; pass++ {
		for k, r := range t.rows {
			if t.bytes <= t.limit*3/4 {
				return
			}
			if r.used && pass == 0 {
				r.used = false
				continue
			}
			delete(t.rows, k)
			t.bytes -= int64(len(r.committed) + len(k))
		}
	}
}

// transaction stages what one commit will make true.
type transaction struct {
	outputs []*kgo.Record
	bytes   int
	touched []*touched
	byRow   map[*row]*touched
	parked  []parkedChange
	tasks   map[*task]bool
	started []startedIntent
	ended   []string // intents whose outcome has come
	inputs  int
}

// touched is a row that the transaction changes, as it was before.
type touched struct {
	task     *task
	row      *row
	deadline time.Time
	hand     bool
}

type parkedChange struct {
	task  *task
	key   []byte
	value []byte
}

type startedIntent struct {
	task   *task
	row    *row
	intent intent
}

func newTransaction() *transaction {
	return &transaction{byRow: map[*row]*touched{}, tasks: map[*task]bool{}}
}

// touch notes a row's place in the index before its first change.
func (x *transaction) touch(t *task, r *row) {
	x.tasks[t] = true
	if x.byRow[r] != nil {
		return
	}
	c := &touched{task: t, row: r, deadline: r.frame.deadline(), hand: len(r.frame.Intents) > 0}
	x.byRow[r] = c
	x.touched = append(x.touched, c)
}

func (x *transaction) empty() bool { return len(x.outputs) == 0 && len(x.touched) == 0 }

// changelog turns the staged rows into records, one a key.
func (x *transaction) changelog() []*kgo.Record {
	records := make([]*kgo.Record, 0, len(x.touched)+len(x.parked))
	for _, c := range x.touched {
		records = append(records, &kgo.Record{Topic: c.task.set.state, Partition: c.task.id.partition, Key: c.row.key, Value: c.row.staged})
	}
	for _, p := range x.parked {
		records = append(records, &kgo.Record{Topic: p.task.set.state, Partition: p.task.id.partition, Key: p.key, Value: p.value})
	}
	return records
}

// apply makes what was staged the state in memory, and hands it to the tables.
func (x *transaction) apply(next map[*task]int64, at time.Time) error {
	changes := map[*task][]table.Change{}
	for _, c := range x.touched {
		r := c.row
		c.task.bytes += int64(len(r.staged) - len(r.committed))
		r.committed, r.staged, r.dirty = r.staged, nil, false
		change := table.Change{Key: r.key, Value: r.committed, Was: c.deadline, WasHand: c.hand}
		if r.ended {
			delete(c.task.rows, string(r.key))
			c.task.bytes -= int64(len(r.committed) + len(r.key))
		} else {
			change.Is, change.IsHand = r.frame.deadline(), len(r.frame.Intents) > 0
		}
		changes[c.task] = append(changes[c.task], change)
	}
	for _, p := range x.parked {
		changes[p.task] = append(changes[p.task], table.Change{Key: p.key, Value: p.value})
	}
	for t, cs := range changes {
		if n, ok := next[t]; ok {
			t.next = n
		}
		if err := t.table.Commit(cs, table.Marker{TopicID: t.topic, Next: t.next, Epoch: -1, Applied: at}); err != nil {
			return err
		}
		t.evict()
	}
	return nil
}
