package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology/table"
)

// restore makes a task from what lies on disk and what the changelog has beyond.
// It runs after the assignment: a predecessor's transaction is then either over
// or can no longer commit, so everything that counts lies before the high
// watermark asked for now.
func (w *worker) restore(ctx context.Context, id taskID) (*task, error) {
	s := w.plan.sets[id.set]
	state, found, err := w.config.Store.Task(fmt.Sprintf("%s/%d", s.full, id.partition), table.Config{})
	if err != nil {
		return nil, err
	}
	t := &task{id: id, home: partitionKey(id.partition, s.width), set: s, table: state, rows: map[string]*row{}}
	details, err := w.adm.ListTopics(ctx, s.state)
	if err != nil {
		return nil, fmt.Errorf("describe changelog %s: %w", s.state, err)
	}
	t.topic = details[s.state].ID
	starts, err := w.adm.ListStartOffsets(ctx, s.state)
	if err != nil {
		return nil, fmt.Errorf("start of changelog %s: %w", s.state, err)
	}
	ends, err := w.adm.ListEndOffsets(ctx, s.state)
	if err != nil {
		return nil, fmt.Errorf("end of changelog %s: %w", s.state, err)
	}
	start, _ := starts.Lookup(s.state, id.partition)
	end, ok := ends.Lookup(s.state, id.partition)
	if !ok || end.Err != nil {
		return nil, fmt.Errorf("end of changelog %s/%d: %w", s.state, id.partition, end.Err)
	}
	m := state.Marker()
	if found && stale(m, t.topic, start, end, time.Now()) {
		w.log.Warn("state on disk is not of this changelog any more: restoring from its start", "task", s.full, "partition", id.partition)
		if err := state.Wipe(); err != nil {
			return nil, err
		}
		m = state.Marker()
	}
	t.next = max(m.Next, start.Offset)
	if t.next >= end.Offset {
		return t, nil
	}
	began := time.Now()
	n, err := w.replay(ctx, t, end.Offset)
	w.metrics.restored(s.full, n, time.Since(began))
	return t, err
}

// stale reports whether a checkpoint cannot be gone on from: the changelog was
// made anew, or cut, or the tombstones that the checkpoint has not seen may
// have been compacted away, which would bring closed rows back.
func stale(m table.Marker, topic [16]byte, start, end kadm.ListedOffset, now time.Time) bool {
	return m.TopicID != topic && m.TopicID != [16]byte{} ||
		m.Next > end.Offset || m.Next < start.Offset && m.Next != 0 ||
		!m.Applied.IsZero() && m.Next < end.Offset && now.Sub(m.Applied) > stateRetention/2
}

// replay reads the changelog's tail into the table.
func (w *worker) replay(ctx context.Context, t *task, end int64) (int, error) {
	topic, p := t.set.state, t.id.partition
	cl, err := kgo.NewClient(w.config.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().At(t.next)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	n := 0
	for t.next < end {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return n, fmt.Errorf("read changelog %s/%d: %w", topic, p, err)
		}
		var changes []table.Change
		var at time.Time
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			t.next, at = r.Offset+1, r.Timestamp
			if r.Attrs.IsControl() || failed != nil {
				return
			}
			n++
			change := table.Change{Key: string(r.Key), Value: r.Value}
			if r.Value != nil && r.Key[0] != parkedPrefix {
				var err error
				if change.Is, change.IsHand, err = t.set.glance(r.Value); err != nil {
					failed = fmt.Errorf("changelog %s/%d offset %d: %w", topic, p, r.Offset, err)
					return
				}
			}
			change.WasHand = !change.IsHand // so that the index is written either way
			changes = append(changes, change)
		})
		if failed != nil {
			return n, failed
		}
		if err := fetches.Err(); err != nil {
			return n, fmt.Errorf("read changelog %s/%d: %w", topic, p, err)
		}
		if err := t.table.Commit(changes, table.Marker{TopicID: t.topic, Next: t.next, Epoch: -1, Applied: at}); err != nil {
			return n, err
		}
	}
	return n, nil
}
