package sim

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// place is a topic's partition.
type place struct {
	topic string
	n     int32
}

// record is what lies in a place.
type record struct {
	place
	offset   int64
	key      string
	value    []byte
	envelope schemas.Envelope     // as the value has it
	letter   *topology.DeadLetter // what the headers of a dead letter say
	txn      *txn                 // nil: written outside a transaction, and there at once
	shown    time.Time            // since when it can be read
}

// visible is true for what a reader of committed records is shown.
func (r *record) visible() bool { return r.txn == nil || r.txn.state == committed }

type txnState int

const (
	open txnState = iota
	committed
	aborted
)

// txn is a transaction as the broker knows it: outputs, the changelog's new
// values and the reader's offsets become true together, or never.
type txn struct {
	state   txnState
	group   string
	outputs []*record
	rows    []rowChange
	offsets map[place]int64
}

// rowChange is a record of a task's changelog; a nil value is a tombstone.
type rowChange struct {
	task  string
	key   string
	value []byte
}

// journal is the transactional log: what a broker keeps, and the only thing here
// that outlives a crash.
type journal struct {
	width   int32 // partitions of every topic
	places  map[place]*partition
	offsets map[string]map[place]int64   // group → committed
	tables  map[string]map[string][]byte // task → its changelog, compacted
	homes   map[string]int32             // of keys that were asked for
	puts    kgo.TopicPartitioner
}

type partition struct {
	records []*record
	settled int64 // before it no transaction is open
}

func newJournal(width int32) *journal {
	return &journal{width: width, places: map[place]*partition{}, offsets: map[string]map[place]int64{}, tables: map[string]map[string][]byte{},
		homes: map[string]int32{}, puts: kgo.StickyKeyPartitioner(nil).ForTopic("")}
}

// home is the partition of a key, by the client's own partitioner.
func (j *journal) home(key string) int32 {
	n, known := j.homes[key]
	if !known {
		n = int32(j.puts.Partition(&kgo.Record{Key: []byte(key)}, int(j.width)))
		j.homes[key] = n
	}
	return n
}

func (j *journal) at(p place) *partition {
	found := j.places[p]
	if found == nil {
		found = &partition{}
		j.places[p] = found
	}
	return found
}

func (j *journal) append(r *record) {
	p := j.at(r.place)
	r.offset = int64(len(p.records))
	p.records = append(p.records, r)
}

// end is where a reader stands who has read all: the last stable offset.
func (j *journal) end(at place) int64 {
	p := j.at(at)
	for p.settled < int64(len(p.records)) {
		if t := p.records[p.settled].txn; t != nil && t.state == open {
			break
		}
		p.settled++
	}
	return p.settled
}

// written is where the next record will lie, whatever becomes of those before.
func (j *journal) written(at place) int64 { return int64(len(j.at(at).records)) }

// produce appends a transaction's outputs. Nobody sees them before it commits.
func (j *journal) produce(t *txn) {
	for _, r := range t.outputs {
		r.txn = t
		j.append(r)
	}
}

func (j *journal) commit(t *txn) {
	t.state = committed
	for _, c := range t.rows {
		table := j.table(c.task)
		if c.value == nil {
			delete(table, c.key)
			continue
		}
		table[c.key] = c.value
	}
	j.move(t.group, t.offsets)
}

func (j *journal) abort(t *txn) {
	if t.state == open {
		t.state = aborted
	}
}

// move commits a group's offsets.
func (j *journal) move(group string, to map[place]int64) {
	if j.offsets[group] == nil {
		j.offsets[group] = map[place]int64{}
	}
	for p, at := range to {
		j.offsets[group][p] = at
	}
}

func (j *journal) table(task string) map[string][]byte {
	t := j.tables[task]
	if t == nil {
		t = map[string][]byte{}
		j.tables[task] = t
	}
	return t
}
