package conformance

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/schemas"
	"troupe/testenv/check"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// diary keeps what an instance logs.
type diary struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines.Write(p)
}

func (d *diary) says(words string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Contains(d.lines.String(), words)
}

func (b *bench) diary() *diary {
	d := &diary{}
	b.log = slog.New(slog.NewTextHandler(d, nil))
	return d
}

// tells fails a test unless all the words were logged.
func (d *diary) tells(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if !d.says(w) {
			t.Errorf("nobody logs %q, so the test shows nothing: %s", w, d.lines.String())
		}
	}
}

const wiped = "restoring from the changelog's start"

// ran is a bench on which an instance has cleared orders and has stopped cleanly.
func ran(t *testing.T, list []string) *bench {
	t.Helper()
	b := newBench(t)
	b.clears("a", list)
	return b
}

// clears has an instance run until it has cleared orders, and stops it cleanly.
func (b *bench) clears(name string, list []string) {
	b.t.Helper()
	i := b.start(name, counting(clearing))
	b.publishAll(list)
	b.settle()
	i.end()
}

// agrees says that an instance's disk, once it has stopped, is what its changelog
// says, in so many rows.
func (b *bench) agrees(name string, rows int) {
	b.t.Helper()
	if n, differs := b.verified(name, nil); n != rows || len(differs) > 0 {
		b.t.Errorf("%d rows on disk, want %d; %v", n, rows, differs)
	}
}

// tamper changes an instance's disk behind the runtime's back.
func (b *bench) tamper(name string, partition int32, change func(*table.Task) error) {
	b.t.Helper()
	store, err := table.Open(table.Config{Dir: b.dirs[name]})
	if err != nil {
		b.t.Fatal(err)
	}
	task, found, err := store.Task("fraud/" + string('0'+rune(partition)))
	if err != nil || !found {
		b.t.Fatalf("no task of partition %d lies there: %v", partition, err)
	}
	if err := errors.Join(change(task), task.Checkpoint(), store.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// TestRestoreFromMarker: others went on while an instance was down. It reads what
// it has missed, and only that.
func TestRestoreFromMarker(t *testing.T) {
	first, second := orders(20), []string{"b-0", "b-1", "b-2", "b-3", "b-4", "b-5", "b-6", "b-7"}
	b := ran(t, first)
	b.clears("b", second)
	b.goesOn("a", slices.Concat(first, second))
	b.each(slices.Concat(first, second))
	b.agrees("a", len(first)+len(second))
}

// TestRestorePastTheCache: what no cache has room for goes to the disk at once, and the
// rest through the cache.
func TestRestorePastTheCache(t *testing.T) {
	list := orders(60)
	for rows := range 4 {
		t.Run(strconv.Itoa(rows)+" rows cached", func(t *testing.T) {
			b := ran(t, list)
			b.limits.RowCacheBytes, b.limits.CheckpointBytes = int64(max(1, rows*partitions*500)), 1
			fresh := b.oneEach("new-")
			b.clears("b", slices.Concat(fresh, list)) // from nothing
			b.agrees("b", len(list)+len(fresh))
			b.clears("a", slices.Concat(fresh, list)) // from its marker
			b.each(slices.Concat(list, fresh))
			b.agrees("a", len(list)+len(fresh))
		})
	}
}

// TestRestoreFromATornCheckpoint: the process was killed when rows were on disk
// and the marker was not. The rows are ahead of it, and are written once more.
func TestRestoreFromATornCheckpoint(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	p := homeOf("web-0")
	b.tamper("a", p, func(task *table.Task) error {
		m := task.Marker()
		m.Next = 0
		var torn []table.Change
		err := task.Each(func(key string, value []byte) error {
			torn = append(torn, table.Change{Key: key, Value: append(bytes.Clone(value), "of a later transaction"...)})
			return nil
		})
		return errors.Join(err, task.Commit(torn[:len(torn)/2], m))
	})
	b.clears("a", list)
	b.each(list)
	b.agrees("a", len(list))
}

// TestRestoreFromARecreatedChangelog: what lies on disk is of a changelog that is
// gone. It is not mixed with what the new one says.
func TestRestoreFromARecreatedChangelog(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	b.except(check.Torn, "the rows of transactions are deleted")
	if _, err := b.adm.DeleteTopics(t.Context(), b.prefix+"fraud.state"); err != nil {
		t.Fatal(err)
	}
	b.until("the changelog is gone", func() bool {
		topics, err := b.adm.ListTopics(t.Context(), b.prefix+"fraud.state")
		return err == nil && errors.Is(topics.Error(), kerr.UnknownTopicOrPartition)
	})
	d := b.diary()
	fresh := b.oneEach("new-")
	b.clears("a", fresh)
	b.agrees("a", len(fresh))
	d.tells(t, wiped, "made anew")
}

// TestRestoreFromATruncatedChangelog: the changelog was cut behind the marker.
// Rows may have ended in what is gone.
func TestRestoreFromATruncatedChangelog(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	b.clears("b", b.oneEach("b-")) // or the marker would lie at the cut, with nothing missed
	b.cut("fraud.state")
	d := b.diary()
	fresh := b.oneEach("new-")
	b.clears("a", fresh)
	b.agrees("a", len(fresh))
	d.tells(t, wiped, "begins at")
}

// TestRestoreFromAForkedChangelog: a leader was elected that lacks what another had
// committed, and the changelog has grown again beyond where the state had come. An
// election that loses nothing costs nothing.
func TestRestoreFromAForkedChangelog(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	b.elect("fraud.state")
	second := b.oneEach("b-")
	b.clears("b", second)
	b.goesOn("a", list)

	b.elect("fraud.state")
	third := b.oneEach("c-")
	b.clears("b", third)
	d, p := b.diary(), homeOf("ghost")
	b.tamper("a", p, func(task *table.Task) error {
		m := task.Marker()
		m.Next++ // in the epoch before, as though the record there had been another
		return task.Commit([]table.Change{{Key: "Racme/ghost", Value: []byte("was committed, and is lost")}}, m)
	})
	if _, differs := b.verified("a", nil); len(differs) != 1 || !strings.Contains(differs[0], "trails another changelog") {
		t.Errorf("the disk is compared with a changelog that it does not trail: %v", differs)
	}
	b.clears("a", list)
	b.each(slices.Concat(list, second, third))
	b.agrees("a", len(list)+len(second)+len(third))
	d.tells(t, wiped, "has grown again")
}

// TestForkAtATombstone: the record where the state had come is one that proves nothing.
func TestForkAtATombstone(t *testing.T) {
	b := ran(t, orders(20))
	b.elect("fraud.state")
	p := homeOf("ghost")
	last := &kgo.Record{Partition: p, Key: []byte("Racme/never")}
	b.sendTo("fraud.state", last)
	b.sendTo("fraud.state", &kgo.Record{Partition: p, Key: []byte("Racme/neither")})
	b.tamper("a", p, func(task *table.Task) error {
		m := task.Marker()
		m.Next = last.Offset + 1 // in the epoch before, as though the record there had been another
		return task.Commit([]table.Change{{Key: "Racme/ghost", Value: []byte("was committed, and is lost")}}, m)
	})
	d := b.diary()
	i := b.start("a", counting(clearing))
	await(t, i.runner.Ready(), "all is restored")
	i.end()
	d.tells(t, wiped, "has grown again")
}

// TestQuietForDays: a task that has missed nothing but the end of its own last transaction is
// not restored for its age.
func TestQuietForDays(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	for p := range int32(partitions) {
		b.tamper("a", p, func(task *table.Task) error {
			m := task.Marker()
			m.Applied = time.Now().Add(-4 * 24 * time.Hour)
			return task.Commit(nil, m)
		})
	}
	b.goesOn("a", list)
}

// TestElectedWhileItRuns: what is committed under a new leader is told from what the one
// before had, or each election would cost every disk a restore.
func TestElectedWhileItRuns(t *testing.T) {
	b := newBench(t)
	list := orders(40)
	i := b.start("a", counting(clearing))
	b.publishAll(list[:20])
	b.settle()
	b.elect("fraud.state")
	b.publishAll(list[20:])
	b.settle()
	i.end()
	b.goesOn("a", list)
	b.each(list)
}

// TestElectedAfterQuiet: a session that had nothing to do leaves a checkpoint that an election
// after it does not make look cut.
func TestElectedAfterQuiet(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	i := b.start("a", counting(clearing))
	await(t, i.runner.Ready(), "all is restored")
	i.end()
	b.elect("fraud.state")
	b.clears("b", b.oneEach("b-"))
	b.goesOn("a", list)
}

// TestElectedInTransaction: the records of a transaction are of one epoch, its marker is of
// the next.
func TestElectedInTransaction(t *testing.T) {
	b := newBench(t)
	i, ending := b.startHeld("a", kmsg.EndTxn, counting(clearing))
	list := b.oneEach("x-")
	ending.shut.Store(true)
	b.publishAll(list)
	await(t, ending.arrived, "a transaction is about to end")
	b.elect("fraud.state")
	ending.open()
	b.settle()
	i.end()
	b.clears("b", b.oneEach("b-"))
	b.goesOn("a", list)
}

// goesOn has an instance start on what it has, and see what it has seen.
func (b *bench) goesOn(name string, seen []string) {
	b.t.Helper()
	d := b.diary()
	b.clears(name, seen)
	if d.says(wiped) {
		b.t.Errorf("it began anew although its checkpoint could be gone on from: %s", d.lines.String())
	}
}

// elect has every partition of a topic led in a new epoch.
func (b *bench) elect(topic string) {
	b.t.Helper()
	topic = b.prefix + topic
	if b.broker != nil {
		for p := range int32(partitions) {
			if err := b.broker.MoveTopicPartition(topic, p, b.broker.LeaderFor(topic, p)); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
	topics, err := b.adm.ListTopics(b.t.Context(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	all, next, req := kadm.TopicsSet{}, map[int32]int32{}, kadm.AlterPartitionAssignmentsReq{}
	for _, p := range topics[topic].Partitions.Sorted() {
		if len(p.Replicas) < 2 {
			b.t.Skip("one node has nobody to elect")
		}
		i := slices.Index(p.Replicas, p.Leader)
		order := slices.Concat(p.Replicas[i+1:], p.Replicas[:i+1])
		next[p.Partition] = order[0]
		req.Assign(topic, p.Partition, order)
		all.Add(topic, p.Partition)
	}
	answers, err := b.adm.AlterPartitionAssignments(b.t.Context(), req)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("others lead", func() bool {
		if _, err := b.adm.ElectLeaders(b.t.Context(), kadm.ElectPreferredReplica, all); err != nil {
			return false
		}
		topics, err := b.adm.ListTopics(b.t.Context(), topic)
		return err == nil && !slices.ContainsFunc(topics[topic].Partitions.Sorted(), func(p kadm.PartitionDetail) bool { return p.Leader != next[p.Partition] })
	})
}

// oneEach is an order for each partition.
func (b *bench) oneEach(prefix string) (list []string) {
	for p := range int32(partitions) {
		for i := 0; ; i++ {
			if o := prefix + strconv.Itoa(i); homeOf(o) == p {
				list = append(list, o)
				break
			}
		}
	}
	return list
}

// cut deletes all records of a topic.
func (b *bench) cut(topic string) {
	b.t.Helper()
	b.except(check.Torn, "the rows of transactions are cut away")
	ends, err := b.adm.ListEndOffsets(b.t.Context(), b.prefix+topic)
	if err != nil {
		b.t.Fatal(err)
	}
	to := kadm.Offsets{}
	ends.Each(func(o kadm.ListedOffset) { to.AddOffset(o.Topic, o.Partition, o.Offset, -1) })
	policy := b.configOf(topic, "cleanup.policy")
	b.configure(topic, "cleanup.policy", "compact,delete") // Kafka cuts no topic that is only compacted
	b.until("every leader has heard that it may be cut", func() bool {
		answers, err := b.adm.DeleteRecords(b.t.Context(), to)
		return err == nil && answers.Error() == nil
	})
	b.configure(topic, "cleanup.policy", policy)
}

// TestRestoreFromBeforeTheTombstones: a marker so old that the tombstones it has
// not seen may be compacted away. A row that was closed must not come back.
func TestRestoreFromBeforeTheTombstones(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	p := homeOf("ghost")
	b.tamper("a", p, func(task *table.Task) error {
		m := task.Marker()
		m.Next, m.Applied = m.Next-1, time.Now().Add(-4*24*time.Hour)
		return task.Commit([]table.Change{{Key: "Racme/ghost", Value: []byte("its tombstone is gone")}}, m)
	})
	d := b.diary()
	b.clears("a", list)
	b.each(list)
	b.agrees("a", len(list))
	d.tells(t, wiped, "tombstones are kept")
}

// TestQuietTask: a task that had nothing to do until its session ended well has missed
// nothing until then, and is not restored anew for having been quiet.
func TestQuietTask(t *testing.T) {
	b := ran(t, orders(20))
	began := time.Now().Truncate(time.Millisecond)
	i := b.start("a", counting(clearing))
	await(t, i.runner.Ready(), "all is restored")
	i.end()
	for p := range int32(partitions) {
		b.tamper("a", p, func(task *table.Task) error {
			if at := task.Marker().Applied; at.Before(began) {
				t.Errorf("partition %d is said to be of %v, before %v when it was still there", p, at, began)
			}
			return nil
		})
	}
}

// TestRestoreFromAChangelogThatIsCutMeanwhile: an offset goes after its reader has
// looked where to begin. A reader that resets would have half of the rows; one
// that waits would wait for ever.
func TestRestoreFromAChangelogThatIsCutMeanwhile(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	delete(b.dirs, "a")
	var once sync.Once
	b.options = tap{askedBy: func(api kmsg.Key, client string) {
		if api == kmsg.Fetch && strings.Contains(client, "changelog") {
			once.Do(func() { b.cut("fraud.state") })
		}
	}}.options()
	d := b.diary()
	fresh := b.oneEach("new-")
	b.clears("a", fresh)
	d.tells(t, "cut while it was read")
	b.agrees("a", len(fresh))
}

// TestRestoreIntoAnotherBinary: rows go over to a binary whose row has another
// schema if it knows the one before. One that does not know it is refused in
// words, and nothing is made of its inputs.
func TestRestoreIntoAnotherBinary(t *testing.T) {
	type next struct {
		Orders int32  `avro:"orders"`
		Rings  int32  `avro:"rings"`
		Note   string `avro:"note,default="`
	}
	step := func(c *next, e placedRead, turn *topology.Turn) error {
		c.Orders++
		c.Note = "seen by the newer"
		turn.Publish(&fraudCleared{Score: c.Orders, Basis: "SCORE"}, "next")
		return nil
	}
	newer := counting(clearing)
	newer.Sets = []topology.Set{topology.Keyed("", "order", "count", topology.On("OrderPlaced", step))}
	old, err := schemas.NewState[count]("count")
	if err != nil {
		t.Fatal(err)
	}
	newer.Sets[0].Row = newer.Sets[0].Row.After(old.Text())

	list := orders(8)
	b := ran(t, list)
	i := b.start("a", newer)
	for _, o := range list {
		b.publishAs(o, schemas.FactID("again", o))
	}
	b.settle()
	i.end()
	for _, o := range list {
		if got := b.scores()[o]; !slices.Equal(got, []int32{1, 2}) {
			t.Errorf("order %s: scores %v, want [1 2]: the older row was not carried on", o, got)
		}
	}

	before := len(b.read("fraud.dead"))
	back := b.start("a", counting(clearing))
	b.publishAs(list[0], schemas.FactID("yet again", list[0]))
	if says := back.refuses(); !strings.Contains(says, "run the newer binary") {
		t.Errorf("the older binary ends with %q, which does not say what to do", says)
	}
	if n := len(b.read("fraud.dead")); n != before {
		t.Errorf("%d dead letters: the input is not to blame", n-before)
	}
}

// refuses waits until the instance ends by itself, and is what it says.
func (i *instance) refuses() string {
	i.b.t.Helper()
	select {
	case err := <-i.done:
		if cerr := i.store.Close(); cerr != nil {
			i.b.t.Error(cerr)
		}
		i.store = nil
		if err == nil {
			return ""
		}
		return err.Error()
	case <-time.After(patience):
		i.b.t.Fatal("it goes on")
		return ""
	}
}

// TestDamagedRow: bytes on the changelog that are no row harm their own key alone.
// Its next input becomes a dead letter that says which row and what to do.
func TestDamagedRow(t *testing.T) {
	list := orders(8)
	for _, of := range []string{"frame", "nothing", "length"} {
		t.Run(of, func(t *testing.T) {
			b := ran(t, list)
			r := b.read("fraud.state")[0]
			value := bytes.Clone(r.Value)
			switch of {
			case "frame":
				value = value[:len(value)/2]
			case "nothing":
				value = []byte{}
			case "length": // a string of exabytes
				value = append(value[:9:9], bytes.Repeat([]byte{0xff}, 9)...)
			}
			b.sendTo("fraud.state", &kgo.Record{Partition: r.Partition, Key: r.Key, Value: value})
			b.clears("a", list)
			dead := b.read("fraud.dead")
			if len(dead) != 1 || string(dead[0].Key) != string(r.Key[1:]) {
				t.Fatalf("%d dead letters, want one of the damaged row's key %q", len(dead), r.Key[1:])
			}
			says := headerOf(dead[0], "dead.detail")
			if !strings.Contains(says, "troupe state rebuild") || !strings.Contains(says, string(r.Key[1:])) {
				t.Errorf("it says %q, which names neither the row nor what to do", says)
			}
		})
	}
}

// TestVerifyOfAChangelogThatIsGone: a directory whose changelog is gone is called stale.
func TestVerifyOfAChangelogThatIsGone(t *testing.T) {
	b := ran(t, orders(4))
	b.except(check.Torn, "the rows of transactions are deleted")
	if _, err := b.adm.DeleteTopics(t.Context(), b.prefix+"fraud.state"); err != nil {
		t.Fatal(err)
	}
	store, err := table.Open(table.Config{Dir: b.dirs["a"]})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	found, err := stream.Verify(t.Context(), stream.Config{Brokers: b.brokers, Prefix: b.prefix, Store: store})
	if err != nil || len(found) == 0 || !found[0].Stale {
		t.Errorf("Verify says %v, %v", found, err)
	}
}

// TestForgottenOffsets: the broker has forgotten what a group had read. From the start it
// would do all again.
func TestForgottenOffsets(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	b.until("the group is gone", func() bool {
		answers, err := b.adm.DeleteGroups(t.Context(), b.prefix+"fraud")
		return err == nil && answers.Error() == nil
	})
	for _, name := range []string{"a", "another"} {
		i := b.start(name, counting(clearing))
		if says := i.refuses(); !strings.Contains(says, "no offset of its inputs") || !strings.Contains(says, "--topic "+b.prefix+"orders:0,1,2,3") {
			t.Errorf("%s ends with %q, which does not say what to do", name, says)
		}
	}
	r, err := b.rebuild(counting(clearing), stream.ByEvent)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Compare(t.Context(), func(int64) {}); err == nil || !strings.Contains(err.Error(), "has read nothing") {
		t.Errorf("a rebuild without inputs says %v, and would delete all rows", err)
	}

	ends, err := b.adm.ListEndOffsets(t.Context(), b.prefix+"orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.adm.CommitAllOffsets(t.Context(), b.prefix+"fraud", ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	fresh := b.oneEach("new-")
	b.clears("a", fresh)
	b.each(slices.Concat(list, fresh))
}
