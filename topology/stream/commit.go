package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commit makes the transaction true, or ends the session.
func (w *worker) commit(ctx context.Context, x *transaction) error {
	if owned, _ := w.balancer.owned(); !w.holds(owned, x) {
		return errGivenAway
	}
	began := time.Now()
	if err := w.rehearse(AtTaken); err != nil {
		return err
	}
	if err := w.session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	ctx, done := w.bounded(ctx)
	defer done()
	x.tasks(w.noteEpoch)
	changed := x.changelog()
	produced := append(changed, x.outputs...)
	var first failure
	note := first.note // made once, not for each record
	for _, r := range produced {
		w.session.Produce(ctx, r, note)
	}
	if err := w.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("%w: flush: %w", errRebuild, err)
	}
	if err := first.err(); err != nil { // by itself it would not stop the commit
		return fmt.Errorf("%w: produce: %w", errRebuild, err)
	}
	if err := w.rehearse(AtProduced); err != nil {
		return err
	}
	w.publish(x.outputs)
	err := w.end(kgo.PreTxnCommitFnContext(ctx, w.assert(x)))
	took := time.Since(began)
	w.rested = time.Now().Add(min(took, w.limits.CommitPause))
	w.metrics.transaction(w.plan.service.Name, err == nil, took, x.inputs)
	if err != nil {
		return err
	}
	if err := w.rehearse(AtEnded); err != nil {
		return err
	}
	if err := x.apply(changed, time.Now()); err != nil {
		return err
	}
	if err := w.rehearse(AtApplied); err != nil {
		return err
	}
	w.breaker.add(x.breaker, w.limits)
	w.flight.hangar.acquit(x.suspects, x.buried)
	w.effects.ended(x.ended)
	w.effects.start(x.started)
	w.idle = time.Time{}
	return nil
}

// noteEpoch looks up the leader epoch that a task's rows will be written in. The client
// may know an older one, never a later: the rows would be taken for written after a cut
// that they were lost in.
func (w *worker) noteEpoch(t *task) {
	if _, epoch, err := w.session.Client().PartitionLeader(t.set.state, t.id.partition); err == nil && epoch >= 0 {
		t.epoch = epoch
	}
}

// failure keeps an error that a produce ended with. A flush returns only once
// every promise was called.
type failure struct{ of atomic.Pointer[error] }

func (f *failure) note(_ *kgo.Record, err error) {
	if err != nil {
		f.of.CompareAndSwap(nil, &err)
	}
}

func (f *failure) err() error {
	if err := f.of.Load(); err != nil {
		return *err
	}
	return nil
}

// publish tells the clock what the commit will make visible.
func (w *worker) publish(outputs []*kgo.Record) {
	ends := map[partition]int64{}
	for _, r := range outputs {
		p := partition{r.Topic, r.Partition}
		ends[p] = max(ends[p], r.Offset+1)
	}
	for p, end := range ends {
		w.config.Clock.Tide().Published(p.topic, p.n, end)
	}
}

func (w *worker) holds(owned map[taskID]bool, x *transaction) bool {
	all := true
	x.tasks(func(t *task) { all = all && owned[t.id] })
	return all
}

// assert runs just before offsets are committed: it refuses a transaction of a
// member that was expelled meanwhile or over a task that the group has given away,
// and adds an unchanged offset for a task that only timers touched, without which
// a zombie's would not be fenced.
func (w *worker) assert(x *transaction) func(*kmsg.TxnOffsetCommitRequest) error {
	return func(req *kmsg.TxnOffsetCommitRequest) error {
		if err := w.rehearse(AtOffsets); err != nil {
			return err
		}
		if !w.isMember(req.MemberID) {
			return errExpelled
		}
		owned, _ := w.balancer.owned()
		if !w.holds(owned, x) {
			return errGivenAway
		}
		covered := map[taskID]bool{}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				if s := w.plan.bySrc[t.Topic]; s != nil {
					covered[taskID{s.name, p.Partition}] = true
				}
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		x.tasks(func(t *task) {
			if !covered[t.id] {
				covered[t.id] = true
				w.pin(req, t)
			}
		})
		return nil
	}
}

// pin adds the unchanged offset of one of the task's inputs. There is one: fire waits
// for it.
func (w *worker) pin(req *kmsg.TxnOffsetCommitRequest, t *task) {
	topic, at, known := w.anchor(t.id)
	if !known {
		return
	}
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch = t.id.partition, at, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
}

// anchor is an input of the task of which it is known where it is read from.
func (w *worker) anchor(of taskID) (topic string, at int64, known bool) {
	for _, topic := range w.plan.sets[of.set].inputs {
		if at, known := w.positions[partition{topic, of.partition}]; known {
			return topic, at, true
		}
	}
	return "", 0, false
}

// conclude ends a turn of the loop. A process that is told to stop finishes it: a
// transaction that is left open holds up whoever takes the tasks over until the
// broker gives it up.
func (w *worker) conclude(ctx context.Context, x *transaction, moved map[partition]int64) error {
	ctx = context.WithoutCancel(ctx)
	if x.empty() {
		if err := w.settleIdle(ctx, moved); err != nil {
			return err
		}
		w.breaker.add(x.breaker, w.limits)
		w.effects.ended(x.ended)
		return nil
	}
	return w.commit(ctx, x)
}

// settleIdle commits, late and seldom, the offsets of inputs that changed
// nothing. Control records alone are worth no transaction.
func (w *worker) settleIdle(ctx context.Context, moved map[partition]int64) error {
	if len(moved) > 0 && w.idle.IsZero() {
		w.idle = time.Now()
	}
	if w.idle.IsZero() || time.Since(w.idle) < w.limits.IdleCommit {
		return nil
	}
	w.idle = time.Time{}
	if err := w.session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	ctx, done := w.bounded(ctx)
	defer done()
	return w.end(kgo.PreTxnCommitFnContext(ctx, w.assert(&transaction{})))
}

// end makes a transaction true, or says what is known of it.
func (w *worker) end(ctx context.Context) error {
	ok, err := w.session.End(ctx, kgo.TryCommit)
	switch {
	case ok && err == nil:
		return nil
	case errors.Is(err, errGivenAway):
		return err
	case err == nil && w.aborted(ctx):
		return errAborted
	}
	return errors.Join(errRebuild, err, context.Cause(ctx))
}

// aborted asks the coordinator whether the transaction that End would not call
// committed is aborted. It mostly is: while a group rebalances it takes no
// offsets of an older generation. A session that is built anew for that leaves
// the group, and whoever is in a transaction then is refused in turn, and so on
// for as long as there is load.
//
// One that is neither aborted nor about to be may still be committed.
func (w *worker) aborted(ctx context.Context) bool {
	id, _, err := w.session.Client().ProducerID(ctx)
	if err != nil {
		return false
	}
	name := w.config.topic(w.name)
	known, err := w.adm.DescribeTransactions(ctx, name)
	if err != nil {
		return false
	}
	t := known[name]
	return t.Err == nil && t.ProducerID == id && (t.State == "CompleteAbort" || t.State == "PrepareAbort")
}

// forgive ends an empty transaction, so that a revocation that came between two
// transactions does not fail the next one: a session rebuilt for that leaves
// the group, which revokes from the others, and so on for ever. What was polled
// is polled again, from what is committed.
func (w *worker) forgive(ctx context.Context) (again bool, err error) {
	w.mu.Lock()
	revoked := w.revoked
	w.revoked = false
	w.mu.Unlock()
	if !revoked {
		return false, nil
	}
	return true, w.abort(ctx)
}

// abort ends a transaction without a trace and goes back to what is committed, also
// in a process that is told to stop.
func (w *worker) abort(ctx context.Context) error {
	if err := w.session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	ctx, done := w.bounded(context.WithoutCancel(ctx))
	defer done()
	if _, err := w.session.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("%w: %w", errRebuild, err)
	}
	return nil
}

// bounded limits what is done of a transaction by its timeout: the broker has
// ended it then. Without a limit, End may wait for ever: it asks the group for a
// heartbeat, while the group's loop has learned that we were expelled and waits
// for us to allow a rebalance, which we do after End.
func (w *worker) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, w.limits.TransactionTimeout, errOverdue)
}

// errOverdue ends a transaction that nobody answers for.
var errOverdue = errors.New("the transaction's timeout has passed before its end was known")
