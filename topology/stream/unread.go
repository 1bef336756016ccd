package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// noteUnread notes of which tasks the group has no offset: it has never committed one, or
// the broker has forgotten them.
func (w *worker) noteUnread(offsets map[string]map[int32]kgo.Offset) {
	w.mu.Lock()
	defer w.mu.Unlock()
	read := map[taskID]bool{}
	for topic, partitions := range offsets {
		for p, o := range partitions {
			id := w.taskOf(partition{topic, p})
			_, _, known := w.anchor(id)
			read[id] = read[id] || known || o.EpochOffset().Offset >= 0
		}
	}
	for id, is := range read {
		if !is {
			w.unread[id] = true
		}
	}
}

// refuseUnread ends a service of which tasks have rows and the group has no offsets. The
// broker forgets those of a group that nobody was in for a week. From the starts of its
// inputs all would be done once more: rows know no more than the last inputs of each key.
//
// A task that has no rows begins there as it should.
func (w *worker) refuseUnread(ctx context.Context) error {
	var unread, refused []taskID
	w.mu.Lock()
	for id := range w.unread {
		if w.tasks[id] != nil {
			unread = append(unread, id)
		}
	}
	w.mu.Unlock()
	for _, id := range unread {
		has, err := w.tasks[id].hasRows()
		if err != nil {
			return err
		}
		if has {
			refused = append(refused, id)
		}
	}
	if len(refused) > 0 {
		refused, err := w.stillUnread(ctx, refused)
		if err != nil {
			return err
		}
		if len(refused) > 0 {
			return errStopService{w.forgotten(refused)}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range unread {
		delete(w.unread, id)
	}
	return nil
}

// stillUnread looks once more, now that rows were read: they come with offsets, so where
// another worker wrote them after the first look, it finds those.
func (w *worker) stillUnread(ctx context.Context, ids []taskID) ([]taskID, error) {
	committed, err := w.adm.FetchOffsets(kadm.RequireStable(ctx), w.config.topic(w.plan.service.Name))
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("committed offsets: %w", err)
	}
	read := map[taskID]bool{}
	committed.Each(func(o kadm.OffsetResponse) {
		if w.plan.bySrc[o.Topic] != nil && o.At >= 0 {
			read[w.taskOf(partition{o.Topic, o.Partition})] = true
		}
	})
	return slices.DeleteFunc(ids, func(id taskID) bool { return read[id] }), nil
}

// forgotten says what is to be done.
func (w *worker) forgotten(ids []taskID) string {
	slices.SortFunc(ids, taskID.compare)
	of := map[string][]string{}
	for _, id := range ids {
		for _, topic := range w.plan.sets[id.set].inputs {
			of[topic] = append(of[topic], strconv.Itoa(int(id.partition)))
		}
	}
	var topics []string
	for _, topic := range slices.Sorted(maps.Keys(of)) {
		topics = append(topics, "--topic "+topic+":"+strings.Join(of[topic], ","))
	}
	first, group := ids[0], w.config.topic(w.plan.service.Name)
	return fmt.Sprintf("%s/%d has rows, and group %s has no offset of its inputs: brokers forget those of a group that nobody is in for offsets.retention.minutes, and from the start it would do all again. "+
		"Set them to a time at which it had read all that was there, and start it again: kafka-consumer-groups.sh --bootstrap-server … --group %s --reset-offsets %s --to-datetime … --execute",
		w.plan.sets[first.set].full, first.partition, group, group, strings.Join(topics, " "))
}

// hasRows says whether the task has any.
func (t *task) hasRows() (bool, error) {
	err := t.table.Each(func(string, []byte) error { return errHasRows })
	if errors.Is(err, errHasRows) {
		return true, nil
	}
	return false, err
}

// errHasRows ends a look at whether there is a row.
var errHasRows = errors.New("there is a row")
