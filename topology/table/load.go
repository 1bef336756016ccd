package table

// load is how much of a task that is restored is written at once: all the room that it
// has, up to Limits.Load, since what lies in fewer tables is merged less often. One half
// of it is gathered, while the other is written.
func (l Limits) load() int64 { return min((l.Cache+2*l.Pending)/2, l.Load) }

// PastCache says that a restore which has so many rows to go, of so many bytes each, had
// better Load them: the cache has no room for them, and nothing is in memory yet. Without
// a disk there is nothing beside memory.
func (t *Task) PastCache(rows, size int64) bool {
	return t.store.dir != "" && len(t.cache.cells) == 0 && len(t.pending.marks) == 0 && rows*(size+RowOverhead) > t.limits.Cache
}

// Load is Commit for what a restore reads as long as it goes past the cache: without it
// and without maps, into tables as large as its room allows. It keeps the values until
// they are written. Loaded must be called before the task is read.
func (t *Task) Load(changes []Change, to Marker) error {
	t.cache.whole, t.index = false, index{task: t} // both know nothing of what is not in memory
	l := &t.pending
	for i := range changes {
		c := &changes[i]
		t.added.add(c.Key)
		l.load(&l.rows, entry{t.key(rowSpace, c.Key), c.Value})
		if !c.Is.IsZero() {
			l.load(&l.index, t.mark(deadlineKey(c.Is, c.Key), true))
		}
		if c.WasHand != c.IsHand {
			l.load(&l.index, t.mark(handKey(c.Key), c.IsHand))
		}
	}
	to.Incarnation = t.marker.Incarnation
	l.to = to
	if l.gathered < t.limits.load() {
		return nil
	}
	if err := t.startNext(); err != nil {
		return err
	}
	t.pending.rows, t.pending.index = make([]entry, 0, len(t.inflight.rows)), make([]entry, 0, len(t.inflight.index))
	return nil
}

// entryOverhead is what an entry takes beside its key and value: itself and its place
// in an order. In bytes.
const entryOverhead = 64

func (l *layer) load(to *[]entry, e entry) {
	*to = append(*to, e)
	l.gathered += int64(len(e.key)+len(e.value)) + entryOverhead
}

// Loaded writes the rest of what Load took, and waits for it.
func (t *Task) Loaded() error {
	if len(t.pending.rows) > 0 {
		if err := t.startNext(); err != nil {
			return err
		}
	}
	t.pending.rows, t.pending.index = nil, nil // what was made for more
	if len(t.inflight.rows) > 0 {
		return t.settle(true)
	}
	return nil
}
