package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// watch tells a service how far others have read, by their committed offsets.
// Under a settled clock there is nothing to tell: no deadline comes before
// everybody has read. What a look misses the next one tells, so one that fails
// is logged and no more.
func (r *Runner) watch(ctx context.Context, s topology.Service) error {
	cl, err := kgo.NewClient(r.config.client("watch." + r.config.Instance)...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	told := map[topology.Position]bool{}
	tick := time.NewTicker(r.config.Limits.WatchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.look(ctx, adm, s, told); err != nil && ctx.Err() == nil {
			r.config.Log.Warn("could not see how far services have read", "service", s.Name, "err", err)
		}
	}
}

// look tells the positions that were not told before.
func (r *Runner) look(ctx context.Context, adm *kadm.Client, s topology.Service, told map[topology.Position]bool) error {
	asOf := r.config.Clock.Now() // before the look: what is read by then has been read
	var news []topology.Request
	now := map[topology.Position]bool{}
	readers := slices.Sorted(maps.Keys(s.Watch.Readers))
	groups := make([]string, 0, len(readers))
	for _, reader := range readers {
		groups = append(groups, r.config.topic(reader))
	}
	answers := adm.FetchManyOffsets(ctx, groups...) // in one request: it is asked all day
	for i, reader := range readers {
		answer, answered := answers[groups[i]]
		switch {
		case errors.Is(answer.Err, kerr.GroupIDNotFound):
			continue // it never ran: what it has read is not known
		case answer.Err != nil:
			return fmt.Errorf("ask for the offsets of %s: %w", reader, answer.Err)
		case !answered:
			return fmt.Errorf("ask for the offsets of %s: no broker answers for its group", reader)
		}
		for _, event := range s.Watch.Readers[reader] {
			t, _ := r.config.Estate.TopicOf(event)
			for partition, o := range answer.Fetched[r.config.topic(t.Name)] {
				p := topology.Position{Service: reader, Topic: t.Name, Partition: partition, Offset: o.At}
				if now[p] {
					continue
				}
				now[p] = true
				if told[p] {
					continue
				}
				p.AsOf = asOf
				news = append(news, r.position(s, p))
			}
		}
	}
	if len(news) == 0 {
		return nil
	}
	if err := r.outbox.send(ctx, s.Name, news...); err != nil {
		return err
	}
	clear(told)
	maps.Copy(told, now)
	return nil
}

// position is a message to the partition that a position is about. When it was
// seen is part of its ID: several instances look, and one that starts looks anew.
func (r *Runner) position(s topology.Service, p topology.Position) topology.Request {
	m := s.Watch.Message(p)
	e := m.Head()
	e.ID = schemas.FactID("position", p.Service, p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.Offset), p.AsOf.Format(time.RFC3339Nano))
	e.OccurredAt = p.AsOf
	return topology.Request{Inbox: s.Name, Key: partitionKey(p.Partition, r.widths.n[r.config.topic(topology.InboxTopic(s.Name))]), Message: m}
}
