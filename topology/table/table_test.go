package table

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// model is what a task must answer, in plain maps.
type model struct {
	rows      map[string]string
	deadlines map[string]time.Time
	hands     map[string]bool
}

func (m *model) clone() model {
	return model{maps.Clone(m.rows), maps.Clone(m.deadlines), maps.Clone(m.hands)}
}

// TestTaskAgainstModel commits at random, with checkpoints and crashes in
// between. After a crash the task is what it was at the last checkpoint; the
// changelog brings back the rest, past the cache or through it, and knows nothing of
// deadlines that were. A restore may crash too.
func TestTaskAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		store, task := reopen(t, dir)
		defer func() { closeStore(t, store) }()
		now := model{map[string]string{}, map[string]time.Time{}, map[string]bool{}}
		was := []model{now.clone()} // after so many transactions
		var changelog [][]Change
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"commit", "commit", "commit", "checkpoint", "crash"}).Draw(rt, "do") {
			case "commit":
				next := int64(len(was))
				var changes []Change
				for _, k := range slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.IntRange(0, 9), 1, 4).Draw(rt, "keys")))) {
					changes = append(changes, now.draw(rt, fmt.Sprintf("Rk%d", k), next))
				}
				if err := task.Commit(changes, Marker{Next: next}); err != nil {
					rt.Fatal(err)
				}
				changelog, was = append(changelog, changes), append(was, now.clone())
			case "checkpoint":
				if err := task.Checkpoint(); err != nil {
					rt.Fatal(err)
				}
				if got := task.Marker().Next; got != int64(len(changelog)) {
					rt.Fatalf("the marker says %d after a checkpoint, want %d", got, len(changelog))
				}
			case "crash":
				for whole := false; !whole; {
					if err := task.Abandon(); err != nil {
						rt.Fatal(err)
					}
					saved := task.Marker().Next
					closeStore(t, store)
					store, task = reopen(t, dir)
					if got := task.Marker().Next; got != saved {
						rt.Fatalf("the marker says %d, want %d", got, saved)
					}
					if rapid.Bool().Draw(rt, "compare before the changelog is read") {
						compare(rt, task, was[saved])
					}
					whole = restore(rt, task, changelog)
				}
			}
			compare(rt, task, now)
		}
	})
}

// restore reads what the changelog has beyond the task; false if it crashed.
func restore(rt *rapid.T, task *Task, changelog [][]Change) bool {
	task.Limit(Limits{Every: time.Hour, Pending: rapid.SampledFrom([]int64{1, 300, 8 << 20}).Draw(rt, "pending bytes")})
	for n := task.Marker().Next; n < int64(len(changelog)); n++ {
		var changes []Change
		for _, c := range changelog[n] {
			c.Was, c.WasHand = time.Time{}, !c.IsHand
			changes = append(changes, c)
		}
		do := rapid.SampledFrom([]string{"load", "load", "load", "commit", "crash"}).Draw(rt, "restore")
		if do == "crash" {
			return false
		}
		put := task.Commit
		if do == "load" && task.PastCache(1, 1) {
			put = task.Load
		}
		if err := put(changes, Marker{Next: n + 1}); err != nil {
			rt.Fatal(err)
		}
	}
	if err := task.Loaded(); err != nil {
		rt.Fatal(err)
	}
	return true
}

func (m *model) draw(rt *rapid.T, key string, n int64) Change {
	c := Change{Key: key, Was: m.deadlines[key], WasHand: m.hands[key]}
	if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
		delete(m.rows, key)
		delete(m.deadlines, key)
		delete(m.hands, key)
		return c
	}
	c.Value = fmt.Appendf(nil, "v%d", n)
	if rapid.IntRange(0, 9).Draw(rt, "large") == 0 { // its checkpoint is a table of its own
		c.Value = append(c.Value, make([]byte, tableFrom)...)
	}
	m.rows[key] = string(c.Value)
	delete(m.deadlines, key)
	if minutes := rapid.IntRange(0, 3).Draw(rt, "minutes"); minutes > 0 {
		c.Is = noon.Add(time.Duration(minutes) * time.Minute)
		m.deadlines[key] = c.Is
	}
	c.IsHand = rapid.Bool().Draw(rt, "hand")
	m.hands[key] = c.IsHand
	return c
}

func compare(rt *rapid.T, task *Task, want model) {
	got := map[string]string{}
	if err := task.Each(func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		rt.Fatal(err)
	}
	if !maps.Equal(got, want.rows) {
		rt.Fatalf("rows %.100v, want %.100v", got, want.rows)
	}
	for i := range 10 {
		k := fmt.Sprintf("Rk%d", i)
		v, err := task.Get(k)
		if err != nil {
			rt.Fatal(err)
		}
		if string(v) != want.rows[k] {
			rt.Fatalf("%s is %.9q, want %.9q", k, v, want.rows[k])
		}
	}
	in := inHand(rt, task, rapid.IntRange(1, 4).Draw(rt, "page"))
	for k, has := range want.hands {
		if has != in[k] {
			rt.Fatalf("%s in hand: %v, want %v", k, in[k], has)
		}
	}
	earliest := time.Time{}
	for _, at := range want.deadlines {
		if earliest.IsZero() || at.Before(earliest) {
			earliest = at
		}
	}
	if at := next(rt, task, want.deadlines); !at.Equal(earliest) {
		rt.Fatalf("next deadline %v, want %v", at, earliest)
	}
}

// inHand are all rows in hand, read by pages.
func inHand(rt *rapid.T, task *Task, page int) map[string]bool {
	in := map[string]bool{}
	for after := ""; ; {
		hands, err := task.InHand(after, page)
		if err != nil {
			rt.Fatal(err)
		}
		if len(hands) > page || !slices.IsSorted(hands) {
			rt.Fatalf("a page of %d has %q", page, hands)
		}
		if len(hands) == 0 {
			return in
		}
		for _, k := range hands {
			if k <= after || in[k] {
				rt.Fatalf("%s comes again after %s", k, after)
			}
			in[k], after = true, k
		}
	}
}

// next is the earliest deadline that still fits its row.
func next(rt *rapid.T, task *Task, of map[string]time.Time) time.Time {
	for {
		at, key, err := task.Next()
		if err != nil {
			rt.Fatal(err)
		}
		if at.IsZero() || of[key].Equal(at) {
			return at
		}
		task.Drop()
	}
}

func reopen(t *testing.T, dir string) (*Store, *Task) {
	t.Helper()
	store, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	task, _, err := store.Task("test/0")
	if err != nil {
		t.Fatal(err)
	}
	task.Limit(Limits{Every: time.Hour})
	return store, task
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refusing is a disk that refuses one write.
type refusing struct {
	disk
	refused bool
}

func (d *refusing) write(entries []entry, lasts bool) error {
	if !d.refused {
		d.refused = true
		return errors.New("no room")
	}
	return d.disk.write(entries, lasts)
}

// TestRefusedCheckpointIsTheLast: a checkpoint was not written, and then there was room
// again. What follows it must not be written, or the marker lies behind rows that are
// nowhere.
func TestRefusedCheckpointIsTheLast(t *testing.T) {
	for name, put := range map[string]func(*Task, []Change, Marker) error{"load": (*Task).Load, "commit": (*Task).Commit} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, task := reopen(t, dir)
			task.Limit(Limits{Pending: 1, Every: time.Hour})
			store.disk = &refusing{disk: store.disk}
			var err error
			for next := range int64(3) {
				err = errors.Join(err, put(task, []Change{{Key: fmt.Sprintf("Rk%d", next), Value: []byte("v")}}, Marker{Next: next + 1}))
			}
			if err = errors.Join(err, task.Loaded()); err == nil {
				t.Error("nobody was told")
			}
			if task.Checkpoint() == nil || task.Wipe() == nil {
				t.Error("it goes on as if nothing had been")
			}
			closeStore(t, store)
			store, task = reopen(t, dir)
			defer closeStore(t, store)
			if next := task.Marker().Next; next != 0 {
				t.Errorf("the marker says %d, and nothing was written", next)
			}
		})
	}
}

// TestWipedTaskIsEmpty: a new incarnation sees nothing of the old one, on disk
// or in memory.
func TestWipedTaskIsEmpty(t *testing.T) {
	store, task := reopen(t, t.TempDir())
	defer closeStore(t, store)
	change := Change{Key: "Rk", Value: []byte("v"), Is: noon, IsHand: true}
	if err := task.Commit([]Change{change}, Marker{Next: 1}); err != nil {
		t.Fatal(err)
	}
	if err := task.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := task.Wipe(); err != nil {
		t.Fatal(err)
	}
	if v, err := task.Get("Rk"); v != nil || err != nil {
		t.Errorf("row %q, %v", v, err)
	}
	if at, _, err := task.Next(); !at.IsZero() || err != nil {
		t.Errorf("deadline %v, %v", at, err)
	}
	if hands, err := task.InHand("", 1); len(hands) != 0 || err != nil {
		t.Errorf("in hand %q, %v", hands, err)
	}
}

// keys are all of a database, but for markers and the last incarnation.
func keys(t *testing.T, s *Store) (n int) {
	t.Helper()
	space := []byte{taskSpace}
	if err := s.disk.scan(space, space, false, func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNothingIsLeftBehind: what no marker names takes no room, be it of a task that
// was wiped or of one whose first checkpoint a crash ended.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	store, task := reopen(t, dir)
	change := Change{Key: "Rk", Value: []byte("v"), Is: noon}
	if err := errors.Join(task.Commit([]Change{change}, Marker{Next: 1}), task.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	if n := keys(t, store); n != 2 {
		t.Errorf("a row and its deadline are %d keys", n)
	}
	for i := range uint64(300) { // as many incarnations as take two bytes
		if err := store.disk.write([]entry{{spaceKey(rowSpace, 2+i, "Rk"), []byte("v")}}, true); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, store)
	store, task = reopen(t, dir)
	defer func() { closeStore(t, store) }()
	if n := keys(t, store); n != 2 {
		t.Errorf("%d keys after a start, want the row and its deadline", n)
	}
	if v, err := task.Get("Rk"); err != nil || string(v) != "v" {
		t.Errorf("the row is %q, %v", v, err)
	}
	if err := task.Wipe(); err != nil {
		t.Fatal(err)
	}
	if n := keys(t, store); n != 0 {
		t.Errorf("%d keys of a task that was wiped", n)
	}
}

// TestOneProcess: a database that is open is not opened by another process, which
// hears why.
func TestOneProcess(t *testing.T) {
	const place = "TROUPE_TEST_TABLE"
	if dir := os.Getenv(place); dir != "" {
		if s, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process has it open") {
			t.Fatalf("opened: %v, %v", s, err)
		}
		return
	}
	dir := t.TempDir()
	store, _ := reopen(t, dir)
	defer closeStore(t, store)
	other := exec.Command(os.Args[0], "-test.run=^TestOneProcess$")
	other.Env = append(os.Environ(), place+"="+dir)
	if said, err := other.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// TestDamagedDatabase: whoever reads what the disk has not kept is told what to do.
func TestDamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	store, task := reopen(t, dir)
	const size = 500
	var changes []Change
	for i := range tableFrom / size {
		changes = append(changes, Change{Key: fmt.Sprintf("R%06d", i), Value: make([]byte, size)})
	}
	if err := errors.Join(task.Commit(changes, Marker{Next: 1}), task.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	closeStore(t, store)
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[tableFrom/2] ^= 1
	if err := os.WriteFile(tables[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	store, task = reopen(t, dir)
	defer closeStore(t, store)
	if err := task.Each(func(string, []byte) error { return nil }); err == nil || !strings.Contains(err.Error(), "delete the directory") {
		t.Errorf("damaged rows are read with %v", err)
	}
}

// TestManyDeadlines: of more deadlines than memory keeps none is lost, and they
// come in order, whether they lie in memory, on the disk or on their way there.
func TestManyDeadlines(t *testing.T) {
	store, task := reopen(t, t.TempDir())
	defer closeStore(t, store)
	random := rand.New(rand.NewPCG(1, 2))
	at := map[string]time.Time{}
	for batch := range 12 {
		var changes []Change
		for i := range nearMost * near / 8 {
			key := fmt.Sprintf("R%d-%d", batch, i)
			at[key] = noon.Add(time.Duration(random.IntN(3_600_000)) * time.Millisecond)
			changes = append(changes, Change{Key: key, Value: []byte("v"), Is: at[key]})
		}
		if err := task.Commit(changes, Marker{Next: int64(batch + 1)}); err != nil {
			t.Fatal(err)
		}
		if len(task.index.near) > nearMost*near {
			t.Fatalf("%d deadlines in memory", len(task.index.near))
		}
		if batch == 4 || batch == 8 {
			if err := task.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	last, n := time.Time{}, 0
	for {
		due, key, err := task.Next()
		if err != nil {
			t.Fatal(err)
		}
		if due.IsZero() {
			break
		}
		if due.Before(last) || !due.Equal(at[key]) {
			t.Fatalf("%s comes at %v after %v, want %v", key, due, last, at[key])
		}
		last = due
		n++
		change := Change{Key: key, Value: []byte("w"), Was: due}
		task.Pop()
		if err := task.Commit([]Change{change}, Marker{Next: 100}); err != nil {
			t.Fatal(err)
		}
	}
	if n != len(at) {
		t.Errorf("%d deadlines came, want %d", n, len(at))
	}
}

// TestDeadlineKept: a row that is run at its deadline and keeps it is due once more.
func TestDeadlineKept(t *testing.T) {
	store, task := reopen(t, t.TempDir())
	defer closeStore(t, store)
	commit := func(c Change) {
		t.Helper()
		if err := task.Commit([]Change{c}, Marker{Next: 1}); err != nil {
			t.Fatal(err)
		}
	}
	next := func(want time.Time) {
		t.Helper()
		if at, key, err := task.Next(); err != nil || !at.Equal(want) || !want.IsZero() && key != "Ra" {
			t.Fatalf("next is %v of %q, %v, want %v", at, key, err, want)
		}
	}
	next(time.Time{}) // or the index is read from the disk later
	commit(Change{Key: "Ra", Value: []byte("1"), Is: noon})
	next(noon)
	task.Pop()
	commit(Change{Key: "Ra", Value: []byte("2"), Was: noon, Is: noon})
	next(noon)
	commit(Change{Key: "Ra", Value: []byte("3"), Was: noon, Is: noon})
	next(noon)
	task.Pop()
	commit(Change{Key: "Ra", Value: []byte("4"), Was: noon})
	next(time.Time{})
}

// TestAllThatWasReadIsMet: behind as many deadlines as one look at the disk takes,
// all of them met and on their way there, the next is found at once.
func TestAllThatWasReadIsMet(t *testing.T) {
	dir := t.TempDir()
	store, task := reopen(t, dir)
	var armed, met []Change
	for i := range near + 1 {
		c := Change{Key: fmt.Sprintf("R%05d", i), Value: []byte("v"), Is: noon.Add(time.Duration(i) * time.Second)}
		armed, met = append(armed, c), append(met, Change{Key: c.Key, Value: c.Value, Was: c.Is})
	}
	if err := task.Commit(armed, Marker{Next: 1}); err != nil {
		t.Fatal(err)
	}
	if err := task.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, store)
	store, task = reopen(t, dir)
	defer closeStore(t, store)
	if err := task.Commit(met[:near], Marker{Next: 2}); err != nil {
		t.Fatal(err)
	}
	if at, key, err := task.Next(); err != nil || key != armed[near].Key {
		t.Errorf("next is %v of %q, %v, want %q", at, key, err, armed[near].Key)
	}
}

// TestDeletedAndMadeAnew: a row that comes back while its deletion is on its way to
// the disk, and the rows there are being counted, is known to be there.
func TestDeletedAndMadeAnew(t *testing.T) {
	dir := t.TempDir()
	store, task := reopen(t, dir)
	commit := func(value []byte) {
		t.Helper()
		if err := task.Commit([]Change{{Key: "Ra", Value: value}}, Marker{Next: 1}); err != nil {
			t.Fatal(err)
		}
	}
	commit([]byte("1"))
	if err := task.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, store)
	store, task = reopen(t, dir)
	defer closeStore(t, store)
	store.aside.Wait()
	task.before.Store(nil) // the count is yet to come
	if err := task.GetAll([]string{"Ra"}, func(int, []byte) {}); err != nil {
		t.Fatal(err)
	}
	task.cache.put("Ra", []byte("1")) // as if there were room for what was read
	commit(nil)
	task.start()
	err := <-task.done
	task.countKeys(task.marker.Incarnation, nil, nil) // now, when it is off the disk
	commit([]byte("2"))                               // before it is noted that the checkpoint has ended
	task.done <- err
	if err := task.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	task.Limit(Limits{}) // no room: the row is on disk alone
	if v, err := task.Get("Ra"); err != nil || string(v) != "2" {
		t.Errorf("the row is %q, %v", v, err)
	}
}

// TestManyAtOneInstant: deadlines that are all at one instant stay in memory, and
// are not sorted anew with each that comes.
func TestManyAtOneInstant(t *testing.T) {
	store, task := reopen(t, t.TempDir())
	defer closeStore(t, store)
	var changes []Change
	for i := range 2 * nearMost * near {
		changes = append(changes, Change{Key: fmt.Sprintf("R%06d", i), Value: []byte("v"), Is: noon})
	}
	if _, _, err := task.Next(); err != nil {
		t.Fatal(err)
	}
	if err := task.Commit(changes, Marker{Next: 1}); err != nil {
		t.Fatal(err)
	}
	if task.index.crowd <= nearMost*near {
		t.Error("they are sorted with each that comes: with so many that is a minute")
	}
	for i := range changes {
		at, key, err := task.Next()
		if err != nil || !at.Equal(noon) || key != changes[i].Key {
			t.Fatalf("%d: %v of %q, %v, want %q", i, at, key, err, changes[i].Key)
		}
		task.Pop()
	}
}

// TestTaskIsHandedOver: who opens a task while a checkpoint of it runs, by another
// worker of the process, finds what that has written, and is not overwritten by it.
func TestTaskIsHandedOver(t *testing.T) {
	store, task := reopen(t, t.TempDir())
	defer closeStore(t, store)
	if err := task.Commit([]Change{{Key: "Rk", Value: []byte("1")}}, Marker{Next: 1}); err != nil {
		t.Fatal(err)
	}
	started, goOn := make(chan struct{}), make(chan struct{})
	done := store.checkpoint("test/0", task.opened, func() error {
		close(started)
		<-goOn
		return task.Checkpoint()
	})
	<-started
	opened := make(chan *Task)
	go func() {
		next, _, err := store.Task("test/0")
		if err != nil {
			t.Error(err)
		}
		opened <- next
	}()
	select {
	case <-opened:
		t.Error("it is opened while a checkpoint runs")
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if next := <-opened; next.Marker().Next != 1 {
		t.Errorf("it begins at %d, behind what is written", next.Marker().Next)
	}
}

// TestNoneIsMade: whoever asks for a database that stands makes none where there is
// none.
func TestNoneIsMade(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(Config{Dir: dir, Stands: true}); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want ErrNone", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	store, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, store)
	if store, err = Open(Config{Dir: dir, Stands: true}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, store)
}

// TestFormerOwner: a worker that was overtaken hands over what it has committed only
// after another worker of the process has opened the task and gone on.
func TestFormerOwner(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	id := [16]byte{1}
	put := func(task *Task, next int64, kv ...string) {
		t.Helper()
		var changes []Change
		for i := 0; i < len(kv); i += 2 {
			changes = append(changes, Change{Key: kv[i], Value: []byte(kv[i+1])})
		}
		if err := task.Commit(changes, Marker{TopicID: id, Next: next, Applied: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, _, err := s.Task("x/0")
	check(err)
	put(a, 1, "k", "0")
	check(a.Checkpoint())

	b, _, err := s.Task("x/0") // a was expelled; its transaction at 1 was committed, its memory does not know yet
	check(err)
	put(b, 2, "k", "1") // restored
	put(b, 3, "k", "2") // its own
	check(b.Checkpoint())

	a.Limit(Limits{Pending: 1})
	put(a, 2, "k", "1")
	check(a.Abandon())

	put(b, 4, "other", "1")
	check(b.Checkpoint())

	c, _, err := s.Task("x/0") // a start
	check(err)
	v, err := c.Get("k")
	if err != nil || string(v) != "2" || c.Marker().Next != 4 {
		t.Errorf("k is %q at marker %d, %v, want 2 at 4", v, c.Marker().Next, err)
	}
}

// TestOvertaken: whoever had a task before the one that opened it last neither writes nor
// wipes it, and is told so: what he goes on to commit would be on the changelog alone.
func TestOvertaken(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	open := func() *Task {
		t.Helper()
		task, _, err := s.Task("x/0")
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	put := func(task *Task, value string, next int64) {
		t.Helper()
		if err := task.Commit([]Change{{Key: "k", Value: []byte(value)}}, Marker{Next: next, Applied: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	a := open()
	put(a, "1", 1)
	if err := a.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	b := open()
	put(a, "2", 2)
	if err := a.Checkpoint(); !errors.Is(err, ErrOvertaken) {
		t.Errorf("its checkpoint: %v", err)
	}
	if err := a.Wipe(); !errors.Is(err, ErrOvertaken) {
		t.Errorf("its wipe: %v", err)
	}
	if err := a.Commit(nil, Marker{Next: 3}); !errors.Is(err, ErrOvertaken) {
		t.Errorf("it goes on: %v", err)
	}
	if v, err := b.Get("k"); err != nil || string(v) != "1" {
		t.Errorf("the other has %q, %v", v, err)
	}
}

// TestView: rows and places go to the disk together, and what was not flushed is not there.
func TestView(t *testing.T) {
	for name, c := range map[string]Config{"disk": {Dir: t.TempDir()}, "memory": {Memory: true}} {
		t.Run(name, func(t *testing.T) {
			store, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { closeStore(t, store) }()
			v := view(t, store, "1")
			v.Put("a/1", []byte("x"))
			v.Put("a/2", nil)
			v.Put("a/1", []byte("y"))
			v.Put("b", []byte("z"))
			if got := rowsOf(t, v, ""); got != "" {
				t.Errorf("%q is there before it is flushed", got)
			}
			place := Place{"orders", 3, [16]byte{1, 2}, 42}
			if err := v.Flush([]Place{place}); err != nil {
				t.Fatal(err)
			}
			v.Delete("b")
			v.Put("c", []byte("lost"))
			places, err := v.Places() // whoever reads from there puts these again
			if err != nil || len(places) != 1 || places[0] != place {
				t.Errorf("%v, %v: want %v", places, err, place)
			}
			if err := v.Flush(nil); err != nil {
				t.Fatal(err)
			}
			if all, some := rowsOf(t, v, ""), rowsOf(t, v, "a/"); all != "a/1=y a/2= b=z " || some != "a/1=y a/2= " {
				t.Errorf("%q and %q", all, some)
			}
			if b, err := v.Get("b"); err != nil || string(b) != "z" {
				t.Errorf("%q, %v", b, err)
			}
			if c.Dir != "" {
				closeStore(t, store)
				if store, err = Open(c); err != nil {
					t.Fatal(err)
				}
			}
			other, err := store.View("other", "1")
			if err != nil {
				t.Fatal(err)
			}
			if got := rowsOf(t, other, ""); got != "" {
				t.Errorf("a view has another's rows: %q", got)
			}
			if got := rowsOf(t, view(t, store, "1"), ""); got != "a/1=y a/2= b=z " {
				t.Errorf("%q after a restart", got)
			}
			v = view(t, store, "2")
			if places, err := v.Places(); err != nil || len(places) != 0 || rowsOf(t, v, "") != "" {
				t.Errorf("a view of another format has %v, %v and %q", places, err, rowsOf(t, v, ""))
			}
		})
	}
}

// TestViewExpires: a row goes when the time of its last put is over, and not before.
func TestViewExpires(t *testing.T) {
	store, err := Open(Config{Memory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, store)
	v := view(t, store, "")
	day := func(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }
	for n := 1; n <= 5; n++ {
		v.Until(day(n))
		v.Put(fmt.Sprint("row", n), nil)
	}
	v.Until(day(9))
	v.Put("row2", []byte("again"))
	v.Until(time.Time{})
	v.Put("row3", []byte("for ever"))
	if err := v.Flush(nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{day(1), "row1= row2=again row3=for ever row4= row5= "},
		{day(4).Add(2 * time.Hour), "row2=again row3=for ever row5= "},
		{day(8), "row2=again row3=for ever "},
		{day(300), "row3=for ever "},
	} {
		for more := true; more; {
			if more, err = v.Expire(c.now, 2); err != nil {
				t.Fatal(err)
			}
		}
		if got := rowsOf(t, v, ""); got != c.want {
			t.Errorf("at %s there are %q, want %q", c.now.Format(time.DateTime), got, c.want)
		}
	}
	left := 0
	if err := store.disk.scan(v.key(untilSpace, ""), v.key(untilSpace, ""), false, func(_, _ []byte) error { left++; return nil }); err != nil || left != 0 {
		t.Errorf("%d entries are left of rows that are gone, %v", left, err)
	}
}

func view(t *testing.T, s *Store, format string) *View {
	t.Helper()
	v, err := s.View("orders", format)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rowsOf(t *testing.T, v *View, prefix string) string {
	t.Helper()
	all := ""
	if err := v.Scan(prefix, func(key string, value []byte) error { all += key + "=" + string(value) + " "; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// near is how many deadlines one scan takes by default.
var near = Limits{}.withDefaults().Near
