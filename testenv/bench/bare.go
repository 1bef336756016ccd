package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"troupe/services"
	"troupe/topology/stream"
)

// copying is what the bare client does: nothing but the client, exactly once.
type copying struct {
	Place   place
	Records int
	Size    int  // records of a transaction
	Echoed  bool // write what the runtime wrote; else what was read
}

// pieces is how many of the runtime's records are taken to write again: more
// than fit into what a compressor remembers.
const pieces = 2000

// bareCopy moves all holds, and says how fast it went: from the first record read
// to the last transaction committed.
func bareCopy(ctx context.Context, c copying) (result, error) {
	b, err := newBare(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	return result{"rate": float64(c.Records) / time.Since(b.began).Seconds()}, nil
}

// bare is the sessions of a bare client.
type bare struct {
	copying
	facts, rows []*kgo.Record
	started     sync.Once
	began       time.Time
	committed   atomic.Int64
}

// newBare makes the topics that are to be written, and takes the pieces.
func newBare(ctx context.Context, c copying) (*bare, error) {
	services.TuneCollector(1, stream.Limits{}) // as what it is compared with
	b := &bare{copying: c}
	cl, err := c.Place.client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm, compact := kadm.NewClient(cl), "compact"
	if err := c.Place.make(ctx, adm, "bare.fraud", nil); err != nil {
		return nil, err
	}
	if err := c.Place.make(ctx, adm, "bare.state", map[string]*string{"cleanup.policy": &compact}); err != nil {
		return nil, err
	}
	if !c.Echoed {
		return b, nil
	}
	if b.facts, err = c.Place.sample(ctx, c.Place.topic("fraud"), min(pieces, c.Records)); err != nil {
		return nil, err
	}
	b.rows, err = c.Place.sample(ctx, c.Place.topic("risk.state"), min(pieces, c.Records))
	return b, err
}

// run moves records until as many as there are have been committed.
func (b *bare) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for n := range b.Place.Workers {
		g.Go(func() error { return b.work(ctx, n) })
	}
	return g.Wait()
}

// work is one session. It produces while it polls, and commits when enough is
// read or nothing is left.
func (b *bare) work(ctx context.Context, n int) error {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(b.Place.Brokers...), kgo.ConsumerGroup(b.Place.topic("bare")), kgo.ConsumeTopics(b.Place.topic("holds")),
		kgo.TransactionalID(fmt.Sprintf("%s.%d", b.Place.topic("bare"), n)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer s.CloseAllowingRebalance()
	for b.committed.Load() < int64(b.Records) && ctx.Err() == nil {
		if err := b.transaction(ctx, s); err != nil {
			return err
		}
		s.AllowRebalance()
	}
	return ctx.Err()
}

// drained is how long a session waits for more before it commits what it has.
const drained = 50 * time.Millisecond

func (b *bare) transaction(ctx context.Context, s *kgo.GroupTransactSession) error {
	batch := 0
	for batch < b.Size {
		patience, cancel := context.WithTimeout(ctx, drained)
		fetches := s.PollRecords(patience, b.Size-batch)
		cancel()
		if fetches.NumRecords() == 0 {
			break
		}
		b.started.Do(func() { b.began = time.Now() })
		if batch == 0 {
			if err := s.Begin(); err != nil {
				return fmt.Errorf("begin: %w", err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			b.produce(ctx, s, r, batch)
			batch++
		})
	}
	if batch == 0 {
		return nil
	}
	ok, err := s.End(ctx, kgo.TryCommit)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if ok { // else a rebalance took it back, and it is read again
		b.committed.Add(int64(batch))
	}
	return nil
}

// produce writes what the runtime wrote for such a record: a fact and a row.
func (b *bare) produce(ctx context.Context, s *kgo.GroupTransactSession, in *kgo.Record, n int) {
	if !b.Echoed {
		s.Produce(ctx, &kgo.Record{Topic: b.Place.topic("bare.fraud"), Key: in.Key, Value: in.Value, Headers: in.Headers}, nil)
		return
	}
	fact, row := b.facts[n%len(b.facts)], b.rows[n%len(b.rows)]
	s.Produce(ctx, &kgo.Record{Topic: b.Place.topic("bare.fraud"), Key: in.Key, Value: fact.Value, Headers: fact.Headers}, nil)
	s.Produce(ctx, &kgo.Record{Topic: b.Place.topic("bare.state"), Key: row.Key, Value: row.Value}, nil)
}
