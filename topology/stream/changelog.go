package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"troupe/topology/table"
)

// changelogWait is how long the broker waits with the answer to a fetch that finds nothing.
const changelogWait = 250 * time.Millisecond

// hungLooks is how often, while a changelog is held back, it is looked at whether
// a transaction is left there that nobody will end.
const hungLooks = 8

// span is a stretch of a changelog: offsets from next up to end.
type span struct {
	topic     string
	partition int32
	id        kadm.TopicID
	leader    int32
	epoch     int32
	next, end int64
	forked    bool // holds other records than those that a checkpoint was written after
}

func (s *span) String() string { return fmt.Sprintf("changelog %s/%d", s.topic, s.partition) }

// errGone says that an offset was deleted before it was read: what was read so
// far may hold rows whose tombstones are gone, so the task starts from nothing.
type errGone struct{ of *span }

func (e errGone) Error() string {
	return fmt.Sprintf("%v no longer has offset %d: it was cut while it was read", e.of, e.of.next)
}

// changelogs reads changelogs with a client of its own: beside the polls of a
// session, whose fetches would wait in the broker before ours.
type changelogs struct {
	client  *kgo.Client
	adm     *kadm.Client
	inflate kgo.Decompressor
	size    *inflation // of what is asked for
	limits  Limits
	log     *slog.Logger
	tells   bool // looks for what hangs while it waits: for a service that has to go on
}

func newChangelogs(c Config) (*changelogs, error) {
	cl, err := kgo.NewClient(c.client("changelogs." + c.Instance)...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &changelogs{client: cl, adm: kadm.NewClient(cl), inflate: kgo.DefaultDecompressor(), size: &inflation{}, limits: c.Limits.withDefaults(), log: c.Log}, nil
}

func (c *changelogs) close() { c.client.Close() }

// extents are changelogs as they lie on the broker now.
type extents struct {
	details      kadm.TopicDetails
	starts, ends kadm.ListedOffsets
}

func (c *changelogs) extents(ctx context.Context, topics ...string) (e extents, err error) {
	if e.details, err = c.adm.ListTopics(ctx, topics...); err == nil {
		err = e.details.Error()
	}
	if err != nil {
		return e, fmt.Errorf("describe changelogs: %w", err)
	}
	if e.starts, err = c.adm.ListStartOffsets(ctx, topics...); err == nil {
		err = e.starts.Error()
	}
	if err != nil {
		return e, fmt.Errorf("starts of changelogs: %w", err)
	}
	if e.ends, err = c.adm.ListEndOffsets(ctx, topics...); err == nil {
		err = e.ends.Error()
	}
	if err != nil {
		return e, fmt.Errorf("ends of changelogs: %w", err)
	}
	return e, nil
}

// span is all of a partition that is there.
func (e extents) span(topic string, partition int32) (*span, error) {
	d, there := e.details[topic].Partitions[partition]
	start, has := e.starts.Lookup(topic, partition)
	end, ends := e.ends.Lookup(topic, partition)
	if !there || !has || !ends {
		return nil, fmt.Errorf("changelog %s has no partition %d", topic, partition)
	}
	return &span{topic: topic, partition: partition, id: e.details[topic].ID, leader: d.Leader, epoch: d.LeaderEpoch, next: start.Offset, end: end.Offset}, nil
}

// findForks asks how far the leader epochs of checkpoints reach. A broker that was elected
// without what another had committed gives the same offsets away again, to other records: an
// offset alone does not show it (KIP-320). Where the epoch ends before the checkpoint, the
// last record that the checkpoint was written after is looked at: an epoch may also have
// ended before whoever wrote it knew.
func (c *changelogs) findForks(ctx context.Context, of map[*span]*table.Task) error {
	asked := kadm.OffsetForLeaderEpochRequest{}
	for s, t := range of {
		if m := t.Marker(); m.Next > 0 && m.Epoch >= 0 && m.TopicID == s.id {
			asked.Add(s.topic, s.partition, m.Epoch)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	answers, err := c.adm.OffsetForLeaderEpoch(ctx, asked)
	if err != nil {
		return fmt.Errorf("epochs of changelogs: %w", err)
	}
	for s, t := range of {
		a, has := answers[s.topic][s.partition]
		if has && a.Err != nil {
			return fmt.Errorf("epoch %d of %v: %w", a.LeaderEpoch, s, a.Err)
		}
		if next := t.Marker().Next; !has || a.EndOffset < 0 || a.EndOffset > next || next <= s.next || next > s.end {
			continue // as it should be, or it is told without this
		}
		same, err := c.has(ctx, s, t)
		if err != nil {
			return err
		}
		s.forked = !same
	}
	return nil
}

// has says whether the last record that a checkpoint was written after lies on the
// changelog: one of no later epoch, of which there is no other, or one of a row as the table
// has it. A tombstone of a later epoch says nothing, what was compacted away meanwhile
// neither, and of a torn checkpoint the table may be ahead: then all is restored.
func (c *changelogs) has(ctx context.Context, s *span, t *table.Task) (same bool, err error) {
	last := *s
	last.end = t.Marker().Next
	last.next = last.end - 1
	err = c.read(ctx, []*span{&last}, c.limits.RestoreStall, func(_ *span, records []*kgo.Record) error {
		for _, r := range records {
			value, err := t.Get(string(r.Key))
			if err != nil {
				return err
			}
			same = r.LeaderEpoch <= t.Marker().Epoch || value != nil && r.Value != nil && bytes.Equal(value, r.Value)
		}
		return nil
	})
	return same, err
}

// piece is what a fetch brought of a span. Its records are the committed ones,
// without control records; the span has been read up to next.
type piece struct {
	of      *span
	records []*kgo.Record
	next    int64
	settled bool // no transaction is open before the span's end
}

// read reads spans to their ends, all at once, and hands what they hold to take,
// in order within a span and never twice at a time. It fails on whatever the
// broker does not answer: a reader that waits instead would wait for ever for an
// offset that is gone.
//
// stall bounds how long nothing may come: a transaction that is open holds a
// changelog back until the broker ends it.
func (c *changelogs) read(ctx context.Context, spans []*span, stall time.Duration, take func(*span, []*kgo.Record) error) error {
	byLeader := map[int32][]*span{}
	for _, s := range spans {
		if s.next < s.end {
			byLeader[s.leader] = append(byLeader[s.leader], s)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan []piece, 1)
	g, ctx := errgroup.WithContext(ctx)
	for leader, of := range byLeader {
		g.Go(func() error { return c.follow(ctx, leader, of, stall, answers) })
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait(); close(answers) }()
	var failed error
	for pieces := range answers {
		for _, p := range pieces {
			if failed != nil {
				break // until all have noticed
			}
			if failed = take(p.of, p.records); failed != nil {
				stop()
				break
			}
			p.of.next = p.next
		}
	}
	if err := <-ended; failed == nil {
		return err
	}
	return failed
}

// follow reads the spans that one broker leads.
func (c *changelogs) follow(ctx context.Context, leader int32, spans []*span, stall time.Duration, to chan<- []piece) error {
	at := map[*span]int64{}
	for _, s := range spans {
		at[s] = s.next
	}
	moved := time.Now()
	asked := moved
	for len(at) > 0 {
		got, err := c.fetch(ctx, leader, at)
		if err != nil {
			return err
		}
		for _, p := range got {
			if p.next > at[p.of] {
				at[p.of], moved = p.next, time.Now()
			}
			if at[p.of] >= p.of.end {
				delete(at, p.of)
			}
		}
		select {
		case to <- got:
		case <-ctx.Done():
			return ctx.Err()
		}
		if held := time.Since(moved); held > stall {
			for s, next := range at {
				return fmt.Errorf("%v: nothing came behind offset %d of %d for %v: a transaction is open there", s, next, s.end, held.Round(time.Second))
			}
		}
		if every := stall / hungLooks; c.tells && time.Since(moved) > every && time.Since(asked) > every {
			c.tellHung(ctx, every, at)
			asked = time.Now()
		}
	}
	return nil
}

// fetch asks a broker for what comes next of each span. An answer is large, since what is
// read is known to lie there; beside the one that is applied one waits and one is on its way.
func (c *changelogs) fetch(ctx context.Context, leader int32, at map[*span]int64) ([]piece, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = int32(changelogWait.Milliseconds()), 1, c.size.ask(c.limits.RestoreFetchBytes), 1
	req.SessionEpoch = -1 // no fetch session
	byID, byName := map[kadm.TopicID]map[int32]*span{}, map[string]map[int32]*span{}
	place := map[string]int{}
	part := c.size.ask(c.limits.RestorePartitionBytes)
	for s, next := range at {
		i, asked := place[s.topic]
		if !asked {
			i = len(req.Topics)
			place[s.topic], byName[s.topic] = i, map[int32]*span{}
			byID[s.id] = byName[s.topic]
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic, rt.TopicID = s.topic, s.id
			req.Topics = append(req.Topics, rt)
		}
		byName[s.topic][s.partition] = s
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.CurrentLeaderEpoch, rp.PartitionMaxBytes = s.partition, next, s.epoch, part
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	answer, err := c.client.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("read changelogs: %w", err)
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, fmt.Errorf("read changelogs: %w", err)
	}
	var pieces []piece
	bytes := 0
	for _, rt := range resp.Topics {
		of := byID[rt.TopicID]
		if rt.Topic != "" {
			of = byName[rt.Topic]
		}
		for i := range rt.Partitions {
			s := of[rt.Partitions[i].Partition]
			if s == nil {
				return nil, fmt.Errorf("read changelogs: the broker answers for %s/%d, which was not asked for", rt.Topic, rt.Partitions[i].Partition)
			}
			bytes += len(rt.Partitions[i].RecordBatches)
			p, err := s.open(&rt.Partitions[i], at[s], c.inflate, c.size)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, p)
		}
	}
	// Where nothing came of anything although all was committed, nothing lies
	// there: compaction may take a changelog's last offsets away.
	for i := range pieces {
		if p := &pieces[i]; bytes == 0 && p.settled {
			p.next = p.of.end
		}
	}
	return pieces, nil
}

// open takes the records out of a partition's answer.
func (s *span) open(rp *kmsg.FetchResponseTopicPartition, next int64, inflate kgo.Decompressor, size *inflation) (piece, error) {
	switch err := kerr.ErrorForCode(rp.ErrorCode); {
	case errors.Is(err, kerr.OffsetOutOfRange):
		gone := *s
		gone.next = next
		return piece{}, errGone{&gone}
	case err != nil:
		return piece{}, fmt.Errorf("read %v at offset %d: %w", s, next, err)
	}
	if rp.LogStartOffset > next { // between our look at the start and now
		gone := *s
		gone.next = next
		return piece{}, errGone{&gone}
	}
	fetched, after := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: next, IsolationLevel: kgo.ReadCommitted(), Topic: s.topic, Partition: s.partition,
	}, rp, inflate, size.note)
	if fetched.Err != nil {
		return piece{}, fmt.Errorf("read %v at offset %d: %w", s, next, fetched.Err)
	}
	records := fetched.Records
	for len(records) > 0 && records[len(records)-1].Offset >= s.end {
		records = records[:len(records)-1]
	}
	return piece{s, records, min(after, s.end), rp.LastStableOffset >= s.end}, nil
}
