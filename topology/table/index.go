package table

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// index finds the rows that a deadline is due for, and those with intents in
// hand. An entry only says where to look: the row itself is asked, so one that
// is stale does no harm and is dropped when met.
//
// Deadlines before edge are in a heap; later ones lie on disk, and in the
// layers that are on their way there. A scan goes on from where the last one
// ended, never from the start: tombstones of fired deadlines lie there.
type index struct {
	task   *Task
	near   deadlines
	edge   time.Time
	all    bool            // nothing lies behind the edge
	popped map[string]bool // rows whose deadline was taken off and that are not committed since
	crowd  int             // the deadlines when trim last found them all at one instant; it waits for twice as many
}

// nearMost is how many deadlines are kept, times Limits.Near: where more have come since a
// scan, the later ones are left to the disk.
const nearMost = 4

type deadlineAt struct {
	at  time.Time
	key string
}

func (d deadlineAt) compare(other deadlineAt) int {
	return cmp.Or(d.at.Compare(other.at), strings.Compare(d.key, other.key))
}

type deadlines []deadlineAt

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].compare(d[j]) < 0 }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadlineAt)) }
func (d *deadlines) Pop() any          { o := *d; e := o[len(o)-1]; *d = o[:len(o)-1]; return e }

// Kinds of index entries.
const (
	deadlineKind = 'd'
	handKind     = 'h'
)

func deadlineKey(at time.Time, key string) string {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	return string(deadlineKind) + string(ms[:]) + key
}

// deadlineOf is what deadlineKey was made of.
func deadlineOf(k string) (at time.Time, key string) {
	return time.UnixMilli(int64(binary.BigEndian.Uint64([]byte(k[1:9])))).UTC(), k[9:]
}

func handKey(key string) string { return string(handKind) + key }

func (x *index) change(c *Change) {
	marks := x.task.pending.marks
	if !c.Was.Equal(c.Is) || x.popped[c.Key] { // a row that was run may keep its deadline: it is due once more
		if !c.Was.IsZero() {
			x.met(deadlineKey(c.Was, c.Key))
		}
		if !c.Is.IsZero() {
			marks[deadlineKey(c.Is, c.Key)] = true
			if c.Is.Before(x.edge) || x.all {
				heap.Push(&x.near, deadlineAt{c.Is, c.Key})
				x.trim()
			}
		}
	}
	if c.WasHand != c.IsHand {
		marks[handKey(c.Key)] = c.IsHand
	}
}

// trim lets go of the later deadlines when there are too many in memory: they lie
// behind a nearer edge then.
func (x *index) trim() {
	if len(x.near) <= max(nearMost*x.task.limits.Near, 2*x.crowd) {
		return
	}
	slices.SortFunc(x.near, deadlineAt.compare) // what is sorted is a heap
	edge := x.near[x.task.limits.Near].at
	keep, _ := slices.BinarySearchFunc(x.near, edge, func(d deadlineAt, at time.Time) int { return d.at.Compare(at) })
	if keep == 0 { // the earliest are all at one instant
		x.crowd = len(x.near)
		return
	}
	x.crowd = 0
	clear(x.near[keep:])
	x.near, x.edge, x.all = x.near[:keep], edge, false
}

// met takes back a deadline's entry. Most are met before a checkpoint has written
// them, and leave no trace on the disk; an older one of the same name that stays
// there is stale.
func (x *index) met(entry string) {
	marks := x.task.pending.marks
	if marks[entry] {
		delete(marks, entry)
	} else {
		marks[entry] = false
	}
}

// Next is the earliest deadline that any row may have; zero if none. It may be
// stale: then the row's own deadlines are later, or gone.
func (t *Task) Next() (at time.Time, key string, err error) {
	x := &t.index
	for len(x.near) == 0 && !x.all { // more than once where all that a scan took is met already
		if err := x.fill(); err != nil {
			return time.Time{}, "", err
		}
	}
	if len(x.near) == 0 {
		return time.Time{}, "", nil
	}
	return x.near[0].at, x.near[0].key, nil
}

// Upcoming lists rows, at most n, of those whose deadlines are in memory and not
// after until: whoever is about to run them can read them together.
func (t *Task) Upcoming(until time.Time, n int) (keys []string) {
	for _, d := range t.index.near {
		if len(keys) == n {
			break
		}
		if !d.at.After(until) {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// Pop takes the earliest deadline off, to run its row. What the row has once it is
// committed is noted then, be it the same again.
func (t *Task) Pop() {
	d := heap.Pop(&t.index.near).(deadlineAt)
	if t.index.popped == nil {
		t.index.popped = map[string]bool{}
	}
	t.index.popped[d.key] = true
}

// Drop takes the earliest deadline off for good: its row no longer has it.
func (t *Task) Drop() {
	d := heap.Pop(&t.index.near).(deadlineAt)
	t.pending.marks[deadlineKey(d.at, d.key)] = false
}

// fill takes the next deadlines behind the edge into the heap. It takes every
// entry, also two of one row: a changelog that was read anew does not know which
// deadlines a row had before, and the one that is stale may be the later one.
func (x *index) fill() error {
	from := deadlineKey(x.edge, "")
	if x.edge.IsZero() {
		from = string(deadlineKind)
	}
	taken, last, full := map[string]bool{}, time.Time{}, false
	err := x.task.scan(indexSpace, from, func(key string, _ []byte) error {
		if key[0] != deadlineKind {
			return errStop
		}
		at, _ := deadlineOf(key)
		if len(taken) >= x.task.limits.Near && at.After(last) {
			full = true
			return errStop
		}
		last = at
		taken[key] = true
		return nil
	})
	if err != nil {
		return err
	}
	x.all = !full
	for _, l := range []layer{x.task.inflight, x.task.pending} { // the later overrules the earlier
		for k, put := range l.marks {
			if k[0] != deadlineKind {
				continue
			}
			if at, _ := deadlineOf(k); at.Before(x.edge) || full && at.After(last) {
				continue
			}
			taken[k] = put
		}
	}
	if full {
		x.edge = last.Add(time.Millisecond)
	}
	for k, put := range taken {
		if put {
			at, key := deadlineOf(k)
			x.near = append(x.near, deadlineAt{at, key})
		}
	}
	heap.Init(&x.near)
	return nil
}

// InHand lists rows that had intents in hand when last committed: in the order of
// their keys, those after one, so many at most.
func (t *Task) InHand(after string, most int) ([]string, error) {
	latest := map[string]bool{} // of what the disk does not have yet
	for _, l := range []layer{t.inflight, t.pending} {
		for k, put := range l.marks {
			if k[0] == handKind && k[1:] > after {
				latest[k[1:]] = put
			}
		}
	}
	var keys []string
	for k, in := range latest {
		if in {
			keys = append(keys, k)
		}
	}
	onDisk := 0
	err := t.scan(indexSpace, handKey(after), func(key string, _ []byte) error {
		if key[0] != handKind || onDisk == most {
			return errStop
		}
		k := key[1:]
		if _, known := latest[k]; !known && k > after {
			keys, onDisk = append(keys, k), onDisk+1
		}
		return nil
	})
	slices.Sort(keys)
	return keys[:min(most, len(keys))], err
}
