package table

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Task is the state of one task. One goroutine uses it, its worker; only the
// checkpoint runs beside it.
type Task struct {
	store  *Store
	name   string
	opened int // which opening of the task this is

	abandoned chan struct{} // closed once nobody will use it any more
	limits    Limits
	marker    Marker

	cache    cache
	known    atomic.Int64           // bytes that each of the two filters may take
	added    *filter                // keys of rows since the task was opened
	before   atomic.Pointer[filter] // keys of rows that were on disk then; nil until they are counted
	pending  layer                  // committed, not yet given to a checkpoint
	inflight layer                  // in the running checkpoint
	done     chan error
	failed   error     // of a checkpoint: what comes after it must not be written, or its marker would claim what is not there
	started  time.Time // when pending got its first change
	index    index
}

// layer is what a checkpoint writes: rows, index entries, and up to where of the
// changelog they reach.
type layer struct {
	cells       []*cell
	marks       map[string]bool // true put, false deleted
	rows, index []entry         // of a restore, in place of both, in the order in which they came
	bytes       int64           // of the cells' keys and values
	gathered    int64           // bytes of rows and index, with what they take beside
	to          Marker
}

func newLayer() layer { return layer{marks: map[string]bool{}} }

// markOverhead is what an index entry takes: its time, its row's key again, and its
// place in a map. An estimate, in bytes.
const markOverhead = 128

// cached is what the layer's cells take in the cache, size what all of it takes. What a
// restore has gathered is in neither: it has a limit of its own.
func (l *layer) cached() int64 { return l.bytes + RowOverhead*int64(len(l.cells)) }
func (l *layer) size() int64   { return l.cached() + markOverhead*int64(len(l.marks)) }

// Task opens the state of a task. found is false if nothing of it lies on disk.
func (s *Store) Task(name string) (t *Task, found bool, err error) {
	t = &Task{store: s, name: name, limits: Limits{}.withDefaults(), pending: newLayer(), cache: cache{cells: map[string]*cell{}}, abandoned: make(chan struct{})}
	t.known.Store(t.limits.Filter / 2)
	t.added = newFilter(&t.known)
	t.opened = s.takeOver(name)
	b, err := s.get(markerKey(name))
	if err != nil {
		return nil, false, err
	}
	if b == nil {
		return t, false, t.Wipe()
	}
	if t.marker, err = decodeMarker(b); err != nil {
		return nil, false, fmt.Errorf("task %s: %w", name, err)
	}
	t.index = index{task: t}
	incarnation := t.marker.Incarnation // as it is now: a checkpoint or a wipe may move the marker before the count begins
	s.background(func(closing <-chan struct{}) { t.countKeys(incarnation, closing, t.abandoned) })
	return t, true, nil
}

func markerKey(name string) []byte { return append([]byte{markerSpace}, name...) }

// Marker says where to go on reading the changelog.
func (t *Task) Marker() Marker { return t.marker }

// Wipe forgets everything, to be restored from the start of the changelog.
func (t *Task) Wipe() error {
	if err := t.settle(true); err != nil {
		return err
	}
	if !t.store.isLatest(t.name, t.opened) {
		return ErrOvertaken
	}
	inc, err := t.store.incarnation()
	if err != nil {
		return err
	}
	if t.marker.Incarnation != 0 {
		if err := t.store.disk.drop(incarnationKey(t.marker.Incarnation, 0), markerKey(t.name)); err != nil {
			return err
		}
	}
	t.marker = Marker{Incarnation: inc}
	t.pending = newLayer()
	t.cache = cache{cells: map[string]*cell{}, limit: t.cache.limit, whole: true}
	t.added = newFilter(&t.known)
	t.before.Store(newFilter(&t.known))
	t.index = index{task: t}
	return nil
}

// countKeys finds out which rows the disk has. Until it is done the disk is asked
// for every row that is not in memory.
func (t *Task) countKeys(incarnation uint64, closing, abandoned <-chan struct{}) {
	found := newFilter(&t.known)
	prefix := spaceKey(rowSpace, incarnation, "")
	err := t.store.disk.scan(prefix, prefix, false, func(key, _ []byte) error {
		select {
		case <-closing:
			return errClosing
		case <-abandoned:
			return errClosing
		default:
		}
		found.add(string(key[len(prefix):]))
		return nil
	})
	if err == nil { // else the disk is asked, and will say what is wrong
		t.before.CompareAndSwap(nil, found)
	}
}

// absent says that the disk has no such row.
func (t *Task) absent(key string) bool {
	before := t.before.Load()
	return before != nil && !t.added.has(key) && !before.has(key)
}

// Limits bound what a task keeps in memory. The fewer checkpoints, the fewer rows
// are written twice, and the more of the changelog is read again after a crash.
type Limits struct {
	Cache   int64         // bytes of rows beside those that no checkpoint has written yet
	Pending int64         // bytes of those and of their index entries: a checkpoint begins; at twice as many, with those that it writes, a commit waits for it before it returns; default 8 MiB
	Filter  int64         // bytes for which keys are on disk: beyond them the disk is asked for every row that is not in memory; default 64 MiB
	Every   time.Duration // longest time between checkpoints of a task that changes; default 5 s
	Near    int           // deadlines that one scan takes; four times as many are kept, later ones are left to the disk; default 10,000
	Load    int64         // bytes of a restore that goes past the cache that are written at once; default 64 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Pending == 0 {
		l.Pending = 8 << 20
	}
	if l.Filter == 0 {
		l.Filter = 64 << 20
	}
	if l.Every == 0 {
		l.Every = 5 * time.Second
	}
	if l.Near == 0 {
		l.Near = 10_000
	}
	if l.Load == 0 {
		l.Load = 64 << 20
	}
	return l
}

// Limit sets the task's limits.
func (t *Task) Limit(l Limits) {
	t.limits = l.withDefaults()
	t.cache.limit = l.Cache
	t.known.Store(t.limits.Filter / 2)
	t.evict()
}

func (t *Task) evict() {
	pinned := t.pending.cached() + t.inflight.cached()
	if t.cache.bytes > t.cache.limit+pinned {
		t.cache.evict(pinned)
	}
}

func (t *Task) key(space byte, key string) []byte {
	return spaceKey(space, t.marker.Incarnation, key)
}

// Get returns the committed value of a changelog key, nil if there is none. The
// caller must not change it.
func (t *Task) Get(key string) ([]byte, error) {
	if v, ok := t.cache.get(key); ok || t.absent(key) {
		return v, nil
	}
	return t.store.get(t.key(rowSpace, key))
}

// GetAll calls f with the committed value of each key by its place, nil where
// there is none. The caller must not change it. Those that memory does not have
// come last and sorted: what lies together on disk is read together, which a
// random order makes several times as slow.
func (t *Task) GetAll(keys []string, f func(i int, value []byte)) error {
	var missing []int
	for i, key := range keys {
		if v, ok := t.cache.get(key); ok || t.absent(key) {
			f(i, v)
		} else {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.SortFunc(missing, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	onDisk := make([][]byte, len(missing))
	for n, i := range missing {
		onDisk[n] = t.key(rowSpace, keys[i])
	}
	err := t.store.disk.read(onDisk, func(n int, v []byte) error {
		i := missing[n]
		if v != nil {
			v = t.cache.put(keys[i], bytes.Clone(v)).value
		}
		f(i, v)
		return nil
	})
	t.evict()
	return err
}

// Change is one key's committed value; nil deletes it.
type Change struct {
	Key   string
	Value []byte
	// Was and Is are the row's earliest deadline before and after, zero for
	// none; Hand says whether the row has intents in hand.
	Was, Is         time.Time
	WasHand, IsHand bool
}

// Commit takes what a transaction has committed, up to the changelog offset in
// to. The values must not be changed afterwards.
func (t *Task) Commit(changes []Change, to Marker) error {
	if len(t.pending.rows) > 0 { // come before what is committed now
		if err := t.startNext(); err != nil {
			return err
		}
	}
	if len(t.pending.cells) == 0 {
		t.started = time.Now()
	}
	for i := range changes {
		c := &changes[i]
		at := t.cache.cells[c.Key]
		// What is in memory was added, or read from disk. One that was deleted is
		// neither: the count of what lies there may have missed it.
		if at == nil || at.value == nil {
			t.added.add(c.Key)
		}
		if at != nil && at.pending {
			t.pending.bytes -= int64(len(at.value))
		}
		at = t.cache.set(at, c.Key, c.Value)
		if !at.pending {
			at.pending = true
			t.pending.cells = append(t.pending.cells, at)
			t.pending.bytes += int64(len(c.Key))
		}
		t.pending.bytes += int64(len(c.Value))
		t.index.change(c)
	}
	clear(t.index.popped)
	t.evict()
	to.Incarnation = t.marker.Incarnation
	t.pending.to = to
	return t.maybeCheckpoint()
}

// maybeCheckpoint starts a checkpoint if enough has changed. It waits for the
// one that runs only if memory has no room for more.
func (t *Task) maybeCheckpoint() error {
	waiting := t.pending.size()
	if err := t.settle(waiting+t.inflight.size() >= 2*t.limits.Pending); err != nil {
		return err
	}
	if t.done != nil || waiting < t.limits.Pending && time.Since(t.started) < t.limits.Every {
		return nil
	}
	t.start()
	return nil
}

// startNext waits for the checkpoint that runs, and starts one.
func (t *Task) startNext() error {
	if err := t.settle(true); err != nil {
		return err
	}
	t.start()
	return nil
}

func (t *Task) start() {
	t.inflight, t.pending = t.pending, newLayer()
	l := &t.inflight
	rows, index, marks, to := slices.Grow(l.rows, len(l.cells)), l.index, l.marks, l.to
	for _, at := range l.cells { // as they are now: a cell may change meanwhile
		at.pending, at.flying = false, true
		rows = append(rows, entry{t.key(rowSpace, at.key), at.value})
	}
	t.done = t.store.checkpoint(t.name, t.opened, func() error { return t.write(rows, index, marks, to) })
}

// mark is an index entry as it lies on the disk.
func (t *Task) mark(k string, put bool) entry {
	e := entry{key: t.key(indexSpace, k)}
	if put {
		e.value = []byte{}
	}
	return e
}

// settle takes note of a checkpoint that has ended; wait says to wait for it. Once one
// has failed, it says so for ever.
func (t *Task) settle(wait bool) error {
	if t.done == nil {
		return t.failed
	}
	var err error
	if wait {
		err = <-t.done
	} else {
		select {
		case err = <-t.done:
		default:
			return nil
		}
	}
	t.done = nil
	if err != nil {
		t.failed = fmt.Errorf("checkpoint of %s: %w", t.name, err)
		return t.failed
	}
	t.marker = t.inflight.to
	for _, at := range t.inflight.cells {
		at.flying = false
		if at.value == nil && !at.pending {
			t.cache.drop(at)
		}
	}
	t.inflight = layer{}
	return nil
}

// write puts a layer on the disk, the marker last and only once the rest
// lasts: a crash in between leaves rows that the changelog writes once more.
func (t *Task) write(rows, index []entry, marks map[string]bool, to Marker) error {
	index = slices.Grow(index, len(marks))
	for k, put := range marks {
		index = append(index, t.mark(k, put))
	}
	entries := make([]entry, 0, len(rows)+len(index))
	entries = appendSorted(appendSorted(entries, rows), index) // rowSpace comes before indexSpace
	if err := t.store.disk.write(entries, true); err != nil {
		return err
	}
	return t.store.disk.write([]entry{{markerKey(t.name), to.encode()}}, true)
}

// Checkpoint writes all that is committed, and waits for it.
func (t *Task) Checkpoint() error {
	if err := t.settle(true); err != nil {
		return err
	}
	if t.pending.to.Incarnation == 0 {
		return nil
	}
	t.start()
	return t.settle(true)
}

// Abandon waits for a running checkpoint and forgets the rest: after a failed
// transaction, or when the task has gone to another worker. What is committed
// comes back from the changelog. A checkpoint that has failed before is not told again.
func (t *Task) Abandon() error {
	select {
	case <-t.abandoned:
	default:
		close(t.abandoned)
	}
	if t.done == nil {
		return nil
	}
	if err := t.settle(true); !errors.Is(err, ErrOvertaken) {
		return err
	}
	return nil
}

// Each calls f with every committed row; rows that are in memory come first. The
// value is valid during the call.
func (t *Task) Each(f func(key string, value []byte) error) error {
	seen := map[string]bool{}
	for k, at := range t.cache.cells {
		seen[k] = true
		if at.value == nil {
			continue
		}
		if err := f(k, at.value); err != nil {
			return err
		}
	}
	return t.scan(rowSpace, "", func(key string, value []byte) error {
		if seen[key] {
			return nil
		}
		return f(key, value)
	})
}

// scan walks the keys of a space from a key on.
func (t *Task) scan(space byte, from string, f func(key string, value []byte) error) error {
	prefix := t.key(space, "")
	return t.store.disk.scan(prefix, t.key(space, from), space == rowSpace, func(key, value []byte) error {
		return f(string(key[len(prefix):]), value)
	})
}
