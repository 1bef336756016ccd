package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology/clock"
	"troupe/topology/table"
)

// worker is one client with its transactional ID and its tasks. A commit is a
// chain of requests that cannot be pipelined: more throughput is more workers.
type worker struct {
	name    string
	number  string // among the process's workers of the service
	config  Config
	limits  Limits
	plan    *plan
	wire    framer
	outbox  *Outbox
	log     *slog.Logger
	metrics *Metrics
	alarm   clock.Alarm
	breaker breaker
	ready   func(bool)
	flight  *flight
	buried  map[source]string    // in a rebuild: what became a dead letter then, and why
	frozen  map[string]time.Time // in a rebuild: since when a row cannot be read: what it waits for then waits for the mended one

	// of one session
	session  *kgo.GroupTransactSession
	adm      *kadm.Client
	balancer *taskBalancer
	seen     int  // the assignment that tasks reflect
	told     bool // that they are restored
	tasks    map[taskID]*task
	effects  *effects
	idle     time.Time // since when polled offsets wait for a commit
	rested   time.Time // until when the next poll waits, if nothing is there for it
	unfired  bool      // more timers were due than a transaction takes
	batch    []input   // of the poll at hand; kept for the next one
	spare    spareRows // of transactions before
	key      []byte    // room for one

	mu        sync.Mutex
	positions map[partition]int64 // dealt with, by this session
	unread    map[taskID]bool     // of no input of which the group had an offset, until it is known that no row is there
	sampled   map[partition]int64
	sampledAt time.Time // business time of the sample
	askedAt   time.Time
	cancel    context.CancelFunc // of the poll in progress
	woken     bool
	lost      bool   // the group's session is over: what it gave us may be another's
	revoked   bool   // the session remembers a revocation, and would fail the next End
	member    string // who this session was when the group first gave it tasks
}

type partition struct {
	topic string
	n     int32
}

// errRebuild ends a session whose fate is unknown.
var errRebuild = errors.New("the transaction's outcome is not a clear yes")

// errGivenAway says that the group has given a task to another worker before
// its transaction was committed. It was not: the abort is certain.
var errGivenAway = errors.New("a task has gone to another worker")

// errAborted says that the coordinator has aborted a transaction.
var errAborted = errors.New("the transaction was aborted")

// errNotKept says that the disk does not take what a session ends with.
var errNotKept = errors.New("the checkpoint of the stop was not written")

// errExpelled ends a session that the group has thrown out and let in again
// under another member ID.
var errExpelled = errors.New("the group has expelled this member and let it in anew")

// wake ends a poll early: a deadline has come.
func (w *worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = true
	if w.cancel != nil {
		w.cancel()
	}
}

// supervise runs sessions until ctx is done; one that fails is built anew. One that
// fails while the process is told to stop is no failure of the process: whoever
// takes its tasks over goes on from what the broker has.
func (w *worker) supervise(ctx context.Context) error {
	backoff := w.limits.RebuildBackoff
	for {
		began := time.Now()
		err := w.serve(ctx)
		w.ready(false)
		var stop errStopService
		if errors.As(err, &stop) || errors.Is(err, errNotKept) {
			return err
		}
		if ctx.Err() != nil {
			if err != nil && !cancelled(err) {
				w.log.Warn("the last session before the stop failed: what it has not committed is done again", "error", err)
			}
			return nil
		}
		w.metrics.rebuilt(w.plan.service.Name)
		w.log.Warn("session ends and is built anew", "error", w.fenced(err))
		if time.Since(began) > time.Minute {
			backoff = w.limits.RebuildBackoff
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(backoff, w.limits.RebuildBackoffMost)):
		}
		backoff = min(2*backoff, w.limits.RebuildBackoffMost)
	}
}

// fenced says what it may mean that the broker knows of a later producer of our name.
func (w *worker) fenced(err error) error {
	if errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) {
		return fmt.Errorf("%w: a transaction was given up, or another process runs as the instance %s", err, w.config.Instance)
	}
	return err
}

// cancelled says that something was not done because the process stops. A
// transaction is ended all the same, so what is said of its end is never that.
func cancelled(err error) bool {
	return errors.Is(err, context.Canceled) && !errors.Is(err, errRebuild)
}

// serve is one session. Only one that ends well leaves a checkpoint: of what failed
// it is not known how far its memory can be trusted.
func (w *worker) serve(ctx context.Context) (err error) {
	if err := w.connect(ctx); err != nil {
		return err
	}
	clean := false
	defer func() {
		w.effects.stop()
		for _, t := range w.tasks {
			var terr error
			if clean {
				if terr = t.keep(time.Now()); errors.Is(terr, table.ErrOvertaken) {
					terr = nil // whoever has it writes it
				} else if terr != nil {
					terr = fmt.Errorf("%w: %w", errNotKept, terr)
				}
			} else {
				terr = t.table.Abandon()
			}
			err = errors.Join(err, terr)
		}
		w.metrics.has(w.plan.service.Name, w.number, 0)
		w.session.CloseAllowingRebalance() // a plain Close hangs where a rebalance waits for us
	}()
	for ctx.Err() == nil {
		if err := w.once(ctx); err != nil && (ctx.Err() == nil || !cancelled(err)) {
			return err
		}
	}
	clean = true
	return nil
}

func (w *worker) connect(ctx context.Context) error {
	w.balancer = newTaskBalancer(w.plan.topics(), w.warm, w.assigned)
	w.tasks, w.seen, w.told, w.idle, w.rested = map[taskID]*task{}, 0, false, time.Time{}, time.Time{}
	w.mu.Lock()
	w.unread = map[taskID]bool{}
	w.positions, w.sampled, w.sampledAt, w.revoked, w.lost, w.member = map[partition]int64{}, map[partition]int64{}, time.Time{}, false, false, ""
	l := w.limits
	session, err := kgo.NewGroupTransactSession(w.config.client(w.name, append(l.fetches(),
		kgo.ConsumerGroup(w.config.topic(w.plan.service.Name)), kgo.ConsumeTopics(w.plan.inputs()...),
		kgo.TransactionalID(w.config.topic(w.name)), kgo.TransactionTimeout(l.TransactionTimeout),
		kgo.Balancers(w.balancer), kgo.BlockRebalanceOnPoll(),
		kgo.RebalanceTimeout(l.RebalanceTimeout), kgo.SessionTimeout(l.SessionTimeout), kgo.HeartbeatInterval(l.Heartbeat),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // stable offsets are kgo's only way
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.OnPartitionsAssigned(w.join), kgo.OnPartitionsRevoked(w.lose), kgo.OnPartitionsLost(w.thrownOut),
		kgo.AdjustFetchOffsetsFn(w.startAt), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)...)
	if err == nil {
		w.session, w.adm = session, kadm.NewClient(session.Client())
	}
	w.mu.Unlock() // until here the group's callbacks wait
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	w.effects = newEffects(w)
	// Fences a predecessor at once, before anything it left is read.
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		w.effects.stop()
		session.CloseAllowingRebalance()
		return fmt.Errorf("take over transactional ID %s: %w", w.name, err)
	}
	return nil
}

// reload drops what was staged and every task's memory, after an abort that is
// certain. The session stays: leaving the group would move tasks about for
// nothing. The next turn of the loop restores the tasks that are still ours.
func (w *worker) reload(ctx context.Context) error {
	w.metrics.has(w.plan.service.Name, w.number, 0)
	for id, t := range w.tasks {
		w.effects.forget(t)
		if err := t.table.Abandon(); err != nil {
			return err
		}
		delete(w.tasks, id)
	}
	w.seen = 0
	w.ready(false)
	return w.abort(ctx)
}

// warm lists the tasks on this disk.
func (w *worker) warm() map[string][]int32 {
	names, err := w.config.Store.Names()
	if err != nil {
		return nil // only a wish is lost
	}
	tasks := map[string][]int32{}
	for _, s := range w.plan.sets {
		for n := range s.width {
			if slices.Contains(names, fmt.Sprintf("%s/%d", s.full, n)) {
				tasks[s.name] = append(tasks[s.name], n)
			}
		}
	}
	return tasks
}

// once is one turn of the loop.
func (w *worker) once(ctx context.Context) error {
	defer w.session.AllowRebalance()
	w.rest()
	fetches := w.poll(ctx)
	if err := w.rehearse(AtPolled); err != nil {
		return err
	}
	if err := w.reconcile(ctx); err != nil {
		return err
	}
	if err := w.refuseUnread(ctx); err != nil {
		return err
	}
	if again, err := w.forgive(ctx); again || err != nil {
		return err
	}
	x, moved := &transaction{began: time.Now()}, map[partition]int64{}
	for {
		if err := w.take(ctx, x, fetches, moved); err != nil {
			return err
		}
		if ctx.Err() != nil || !w.more(x) { // who is told to stop is given no more, and would ask until the transaction is too old
			break
		}
		fetches = w.pollMore(ctx, x)
		if err := w.refuseUnread(ctx); err != nil { // of what this poll may be the first to bring
			return err
		}
	}
	if err := w.fire(ctx, x); err != nil {
		return err
	}
	err := w.conclude(ctx, x, moved)
	if errors.Is(err, errGivenAway) || errors.Is(err, errAborted) {
		return w.reload(ctx)
	}
	if err != nil {
		return err
	}
	owned, _ := w.balancer.owned()
	for p, at := range moved {
		if owned[w.taskOf(p)] { // else it is another's, who moves it on
			w.dealtWith(p, at)
		}
	}
	if err := w.effects.refill(); err != nil {
		return err
	}
	if err := w.setAlarm(); err != nil {
		return err
	}
	for _, t := range w.tasks {
		t.release()
	}
	if !w.told && w.seen > 0 && w.allPlaced() { // only now: a clock must not run past a deadline that it was not told of
		w.told = w.balancer.unchanged(w.seen, func() { w.ready(true) })
	}
	return nil
}

func (w *worker) allPlaced() bool {
	for _, t := range w.tasks {
		if !w.placed(t) {
			return false
		}
	}
	return true
}

// rest lets a worker that follows its inputs closely, a record or two at a time,
// wait for as long as its last commit took: what comes meanwhile goes into one
// transaction. Where the broker is quick that is a millisecond or two; where it is busy, it is
// asked for fewer and larger transactions just when each makes it busier.
func (w *worker) rest() {
	if w.session.Client().BufferedFetchRecords() == 0 {
		time.Sleep(time.Until(w.rested))
	}
}

// more reports whether the transaction takes in what came meanwhile. It is
// committed at once when nothing more lies on the broker; under load it grows up to
// its limits, since each costs the same round trips whatever is in it.
func (w *worker) more(x *transaction) bool {
	if x.inputs >= w.limits.TransactionInputs || x.bytes >= w.limits.TransactionBytes || time.Since(x.began) >= w.limits.TransactionAge {
		return false
	}
	if !x.behind && w.session.Client().BufferedFetchRecords() == 0 {
		return false
	}
	return w.balancer.unchanged(w.seen, func() {})
}

// pollMore waits for what lies on the broker no longer than a round trip there and
// back may take.
func (w *worker) pollMore(ctx context.Context, x *transaction) kgo.Fetches {
	x.behind = false
	ctx, cancel := context.WithTimeout(ctx, min(fetchTrip, w.limits.TransactionAge))
	defer cancel()
	return w.session.PollRecords(ctx, w.pollSize(x))
}

// fetchTrip is for an answer that is on its way: not for one that waits for data.
const fetchTrip = 10 * time.Millisecond

func (w *worker) pollSize(x *transaction) int {
	return min(w.limits.PollInputs, w.limits.TransactionInputs-x.inputs)
}

func (w *worker) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, w.limits.PollWait)
	defer cancel()
	w.mu.Lock()
	if w.woken {
		cancel()
	}
	w.cancel = cancel
	w.mu.Unlock()
	fetches := w.session.PollRecords(ctx, w.pollSize(&transaction{}))
	w.mu.Lock()
	w.cancel, w.woken = nil, false
	w.mu.Unlock()
	return fetches
}

// reconcile makes the tasks those of the latest assignment.
func (w *worker) reconcile(ctx context.Context) error {
	if w.isLost() {
		return errExpelled
	}
	owned, left, change := w.balancer.taken(w.seen)
	if change == w.seen {
		return nil
	}
	if member, _ := w.session.Client().GroupMetadata(); !w.isMember(member) {
		return errExpelled
	}
	for id, t := range w.tasks {
		if !owned[id] || left[id] {
			w.effects.forget(t)
			if err := t.table.Abandon(); err != nil {
				return err
			}
			delete(w.tasks, id)
		}
	}
	var cold []taskID
	for _, id := range slices.SortedFunc(maps.Keys(owned), taskID.compare) {
		if w.tasks[id] == nil {
			cold = append(cold, id)
		}
	}
	share := w.share(len(owned))
	for _, t := range w.tasks {
		t.table.Limit(share)
	}
	restored, err := w.open(ctx, cold, share)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, t := range restored { // all, before anything may fail: what is not among them is not abandoned
		w.tasks[t.id] = t
	}
	for _, t := range restored {
		w.effects.resume(t)
	}
	w.seen, w.told = change, false
	w.balancer.unchanged(change, func() { w.leave(owned) })
	w.metrics.rebalanced(w.plan.service.Name)
	w.metrics.has(w.plan.service.Name, w.number, len(w.tasks))
	return nil
}

func (w *worker) taskOf(p partition) taskID { return taskID{w.plan.bySrc[p.topic].name, p.n} }

// share is what each of so many tasks may keep in memory.
func (w *worker) share(tasks int) table.Limits {
	n := int64(w.config.Workers * max(1, tasks))
	return table.Limits{
		Cache: w.limits.RowCacheBytes / n, Pending: max(1, w.limits.CheckpointBytes/n), Filter: max(1, w.limits.KeyFilterBytes/n), Every: w.limits.CheckpointEvery,
		Near: w.limits.TimersInMemory, Load: w.limits.RestoreLoadBytes,
	}
}

// take runs the steps of what was polled: it reads all inputs, then loads all
// rows that they want, then runs one step after another.
func (w *worker) take(ctx context.Context, x *transaction, fetches kgo.Fetches, moved map[partition]int64) error {
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return
		}
		failed = errors.Join(failed, fmt.Errorf("fetch %s/%d: %w", topic, p, err))
	})
	if failed != nil {
		return failed
	}
	defer func() {
		clear(w.batch) // or its messages stay
		w.batch = w.batch[:0]
	}()
	for _, polled := range inOrder(fetches) {
		if err := w.read(ctx, x, polled); err != nil {
			return err
		}
		next := polled.Records[len(polled.Records)-1].Offset + 1
		moved[partition{polled.Topic, polled.Partition}] = next
		x.behind = x.behind || next < polled.LastStableOffset
	}
	for _, t := range w.tasks {
		if err := t.load(); err != nil {
			return err
		}
	}
	for i := range w.batch {
		if err := w.accept(x, &w.batch[i]); err != nil {
			return err
		}
	}
	return nil
}

// read opens the records of one partition into the batch.
func (w *worker) read(ctx context.Context, x *transaction, polled kgo.FetchTopicPartition) error {
	t := w.tasks[taskID{w.plan.bySrc[polled.Topic].name, polled.Partition}]
	for _, r := range polled.Records {
		if r.Attrs.IsControl() {
			continue
		}
		if t == nil {
			return fmt.Errorf("%w: %s/%d was polled but is not ours", errRebuild, r.Topic, r.Partition)
		}
		x.inputs++
		w.batch = append(w.batch, input{})
		last := len(w.batch) - 1
		wanted, err := w.receive(ctx, x, t, r, &w.batch[last])
		if err != nil {
			return err
		}
		if !wanted {
			w.batch = w.batch[:last]
		}
	}
	return nil
}

// inOrder lists what was polled by topic, partition and offset: the client hands
// partitions over in map order.
func inOrder(fetches kgo.Fetches) []kgo.FetchTopicPartition {
	var polled []kgo.FetchTopicPartition
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			polled = append(polled, p)
		}
	})
	slices.SortFunc(polled, func(a, b kgo.FetchTopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Records[0].Offset, b.Records[0].Offset))
	})
	return polled
}
