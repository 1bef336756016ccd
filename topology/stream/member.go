package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// join notes who we are in the group.
func (w *worker) join(_ context.Context, cl *kgo.Client, _ map[string][]int32) {
	member, _ := cl.GroupMetadata()
	w.isMember(member)
}

// isMember says whether we still are who we were when the group first gave us
// tasks. A member that was expelled may join again under another ID and be given
// the same partitions without a callback: what it holds and where it reads is
// then of before, and another member may have been at work in between.
func (w *worker) isMember(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.member == "" {
		w.member = id
	}
	return w.member == id
}

// lose notes a revocation. Who owns what is the balancer's to say; this is about
// the session, which from now on fails its next End whatever it is about.
func (w *worker) lose(context.Context, *kgo.Client, map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = true
}

// thrownOut notes that the client has given up its session with the group, and claims
// nothing when it joins again. Nobody says so to the balancer.
func (w *worker) thrownOut(context.Context, *kgo.Client, map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = true
}

func (w *worker) isLost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// assigned hears of a new assignment before where it is to be read from is
// known: until its tasks are restored, nobody knows what is due in them.
func (w *worker) assigned() {
	w.ready(false)
	owned, _ := w.balancer.owned()
	w.leave(owned) // also what comes back before the worker looks
	w.wake()
}

// startAt gives every partition an explicit offset: timers commit it, and before
// franz-go 1.22.3 one without a commit was rewound to zero by the first abort.
func (w *worker) startAt(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	w.mu.Lock()
	adm := w.adm
	w.mu.Unlock()
	starts, err := adm.ListStartOffsets(ctx, slices.Collect(maps.Keys(offsets))...)
	if err != nil {
		return nil, fmt.Errorf("start offsets: %w", err)
	}
	w.noteUnread(offsets)
	for topic, partitions := range offsets {
		for p, o := range partitions {
			at := o.EpochOffset().Offset
			if at < 0 {
				s, ok := starts.Lookup(topic, p)
				if !ok || s.Err != nil {
					return nil, fmt.Errorf("start offset of %s/%d: %w", topic, p, s.Err)
				}
				at = s.Offset
				partitions[p] = kgo.NewOffset().At(at)
			}
			w.dealtWith(partition{topic, p}, at)
		}
	}
	w.wake() // timers have waited for this
	return offsets, nil
}

// dealtWith moves a position.
func (w *worker) dealtWith(p partition, at int64) {
	w.mu.Lock()
	w.positions[p] = at
	w.mu.Unlock()
	w.config.Clock.Tide().Position(w.plan.service.Name, p.topic, p.n, at)
}

// leave forgets where the tasks of others are read from: when one comes back, another
// has moved its offsets on, and timers must not commit them as they were.
func (w *worker) leave(owned map[taskID]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.positions, func(p partition, _ int64) bool { return !owned[w.taskOf(p)] })
	maps.DeleteFunc(w.unread, func(id taskID, _ bool) bool { return !owned[id] })
}
