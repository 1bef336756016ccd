package stream

import (
	"errors"
	"time"

	"troupe/schemas"
	"troupe/topology/table"
)

// task is a set's partition in this worker's hands.
type task struct {
	id    taskID
	home  string // the key of what is about the partition, not about a key
	set   *set
	table *table.Task
	rows  map[string]*row // that the open transaction works on, by changelog key
	spare *spareRows      // of the worker's transactions before
	next  int64           // changelog offset after the last one committed
	topic [16]byte
	epoch int32     // of the changelog's leader, before what was committed last was written
	since time.Time // a due timer waits for its inputs since
	told  time.Time // that it no longer does

	missing []string       // keys of rows that the batch at hand waits for
	waiting []*row         // the rows themselves
	changes []table.Change // of the transaction that is being applied
}

// row returns a key's row, opened.
func (t *task) row(key string) (*row, error) {
	r := t.want(key)
	if err := t.load(); err != nil {
		return nil, err
	}
	if err := t.open(r); err != nil {
		return nil, err
	}
	return r, r.err
}

// want returns a key's row, which is there once load has run: a batch wants all
// its rows first, so that those that lie on disk are read together.
func (t *task) want(key string) *row {
	r, ok := t.rows[key]
	if !ok {
		r = t.blank(key)
		t.rows[key] = r
		t.missing, t.waiting = append(t.missing, key), append(t.waiting, r)
	}
	return r
}

func (t *task) blank(key string) *row {
	r := t.spare.take()
	r.key = key
	return r
}

// load reads the rows that are wanted and not there.
func (t *task) load() error {
	if len(t.missing) == 0 {
		return nil
	}
	keys, rows := t.missing, t.waiting
	t.missing, t.waiting = t.missing[:0], t.waiting[:0]
	return t.table.GetAll(keys, func(i int, b []byte) { rows[i].bytes = b })
}

// open decodes a row that is loaded. One that cannot be read says so in its err;
// one that a newer program wrote ends the service, which must not go on beside it.
func (t *task) open(r *row) error {
	if r.opened {
		return nil
	}
	r.opened = true
	if r.err = t.set.decode(r, r.bytes); errors.Is(r.err, schemas.ErrNewerState) {
		return newer(t, r.key, r.err)
	}
	return nil
}

// deadline is when a row that is loaded wants to run, zero for never. It need not
// be opened for that: most entries of the index that are met are stale.
func (t *task) deadline(r *row) (time.Time, error) {
	if r.bytes == nil || r.opened && r.err == nil {
		return r.frame.deadline(), r.err
	}
	at, _, err := t.set.glance(r.bytes)
	return at, err
}

// release lets go of the rows that a transaction worked on. The table has what
// became of them.
func (t *task) release() {
	for _, r := range t.rows {
		t.spare.leave(r)
	}
	clear(t.rows)
}

// spareRows are kept to be filled again, by the tasks of a worker.
type spareRows struct{ rows []*row }

// maxSpareRows bounds them.
const maxSpareRows = 10_000

func (s *spareRows) take() *row {
	n := len(s.rows)
	if n == 0 {
		return &row{}
	}
	r := s.rows[n-1]
	s.rows = s.rows[:n-1]
	return r
}

func (s *spareRows) leave(r *row) {
	if len(s.rows) < maxSpareRows {
		*r = row{}
		s.rows = append(s.rows, r)
	}
}

// begin notes a row's place in the index before its first change; it reports
// whether this was the first.
func (r *row) begin() bool {
	if r.touched {
		return false
	}
	r.touched, r.was, r.wasHand = true, r.frame.deadline(), len(r.frame.Intents) > 0
	if !r.dirty {
		r.staged = r.bytes // until a step says otherwise: nothing would delete the row
	}
	return true
}

// commit makes what is staged the state in memory, and hands it to the table
// with the next flush.
func (t *task) commit(r *row) {
	change := table.Change{Key: r.key, Value: r.staged, Was: r.was, WasHand: r.wasHand}
	if r.staged != nil {
		change.Is, change.IsHand = r.frame.deadline(), len(r.frame.Intents) > 0
	}
	t.changes = append(t.changes, change)
}

// park hands a parked input to the table with the next flush; nil takes it away.
func (t *task) park(key string, value []byte) {
	t.changes = append(t.changes, table.Change{Key: key, Value: value})
}

// flush hands the committed changes to the table.
func (t *task) flush(at time.Time) error {
	err := t.table.Commit(t.changes, table.Marker{TopicID: t.topic, Next: t.next, Epoch: t.epoch, Applied: at})
	clear(t.changes)
	t.changes = t.changes[:0]
	return err
}

// keep writes the last checkpoint of a session that ends well. Until now nothing was
// missed, also where nothing came: a task that was quiet for days need not be restored anew.
func (t *task) keep(now time.Time) error {
	return errors.Join(t.flush(now), t.table.Checkpoint())
}

// current is a row's bytes as the steps so far have left them.
func (r *row) current() []byte {
	if r.dirty {
		return r.staged
	}
	return r.bytes
}
