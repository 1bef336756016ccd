package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// tellHung tells of the transactions that hang in a changelog: those that the
// partition's leader takes for open while their coordinator knows nothing of them.
// A crash of a broker in the middle of an end can leave one (KIP-664, KIP-890); no
// timeout ends it, and nobody reads past it.
//
// It aborts none: a lone broker that is killed may have committed the same
// transaction in its other partitions, and to abort the rows of what others have read
// is to do it twice. Whether it did, a person must see.
func (c *changelogs) tellHung(ctx context.Context, limit time.Duration, held map[*span]int64) {
	ctx, done := context.WithTimeout(ctx, limit)
	defer done()
	for s := range held {
		log := c.log.With("topic", s.topic, "partition", s.partition)
		hung, err := c.hungIn(ctx, s)
		if err != nil {
			log.Warn("cannot find out whether a transaction hangs in a changelog", "error", err)
		}
		for _, p := range hung {
			log.Error("a transaction that its coordinator has forgotten holds up a changelog: end it by kafka-transactions.sh abort; if its outputs are committed elsewhere, run troupe state rebuild then",
				"producer", p.ProducerID, "epoch", p.ProducerEpoch, "offset", p.CurrentTxnStartOffset)
		}
	}
}

// hungIn lists what hangs: what was open both before and after its coordinator was
// found to have no part in it.
//
// Only a coordinator can say that, and while one takes over from another neither
// lists what it has, also what it has promised to commit and is yet to mark. So an
// answer counts only if the same coordinators, all of them, were at work before and
// after it.
func (c *changelogs) hungIn(ctx context.Context, s *span) (hung []kadm.DescribedProducer, err error) {
	open, err := c.openIn(ctx, s)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	before, err := c.coordinators(ctx, s)
	if err != nil {
		return nil, err
	}
	for txn := range open {
		known, err := c.coordinated(ctx, txn, s)
		if err != nil {
			return nil, err
		}
		if known {
			delete(open, txn)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	after, err := c.coordinators(ctx, s)
	if err == nil && !maps.Equal(before, after) {
		err = errors.New("transactions have changed their coordinator meanwhile")
	}
	if err != nil {
		return nil, err
	}
	still, err := c.openIn(ctx, s)
	for txn := range open {
		if p, is := still[txn]; is {
			hung = append(hung, p)
		}
	}
	return hung, err
}

// errNoAnswer says that a broker answered, but not for what it was asked.
var errNoAnswer = errors.New("no answer")

// transactions is where coordinators keep what they know. Whoever leads one of its
// partitions is the coordinator of the transactional IDs that belong there.
const transactions = "__transaction_state"

// coordinators are the brokers that coordinate, by partition of the transactions'
// topic. It asks each about a transactional ID that nobody has: one that is still
// reading what its predecessor left does not answer that there is none.
//
// The IDs begin as the changelog's topic does, and so do those of the service that
// may write there: what it may ask about is granted by prefix.
func (c *changelogs) coordinators(ctx context.Context, s *span) (map[int32]int32, error) {
	topics, err := c.adm.ListTopicsWithInternal(ctx, transactions)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", transactions, err)
	}
	ids := probes(s.topic, int32(len(topics[transactions].Partitions)))
	described, err := c.adm.DescribeTransactions(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("ask the coordinators: %w", err)
	}
	leaders := map[int32]int32{}
	for partition, id := range ids {
		d, answered := described[id]
		if !answered {
			d.Err = errNoAnswer
		}
		if d.Err != nil && !errors.Is(d.Err, kerr.TransactionalIDNotFound) {
			return nil, fmt.Errorf("the coordinator of %s/%d does not answer for it: %w", transactions, partition, d.Err)
		}
		leaders[int32(partition)] = d.Coordinator
	}
	return leaders, nil
}

// probes are transactional IDs, one for each partition of the transactions' topic.
func probes(prefix string, partitions int32) []string {
	const first, width = '0', 64 // consecutive characters, or some sums of them are never met
	ids := make([]string, partitions)
	for i, missing := 0, partitions; missing > 0 && i < width*width*width; i++ {
		id := prefix + "." + string([]byte{byte(first + i/width/width), byte(first + i/width%width), byte(first + i%width)})
		if at := transactionPartition(id, partitions); ids[at] == "" {
			ids[at] = id
			missing--
		}
	}
	return ids
}

// transactionPartition is where a transactional ID belongs, as brokers work it out.
func transactionPartition(id string, partitions int32) int32 {
	var hash int32 // Java's, of a string
	for i := range len(id) {
		hash = 31*hash + int32(id[i])
	}
	return (hash & math.MaxInt32) % partitions
}

// openTxn names a transaction in a partition by its producer and first offset.
type openTxn struct {
	producer int64
	epoch    int16
	first    int64
}

// openIn lists the transactions that the partition's leader takes for open.
func (c *changelogs) openIn(ctx context.Context, s *span) (map[openTxn]kadm.DescribedProducer, error) {
	var only kadm.TopicsSet
	only.Add(s.topic, s.partition)
	described, err := c.adm.DescribeProducers(ctx, only)
	at := described[s.topic].Partitions[s.partition]
	if err == nil {
		err = at.Err
	}
	if err != nil {
		return nil, fmt.Errorf("describe the producers of %v: %w", s, err)
	}
	open := map[openTxn]kadm.DescribedProducer{}
	for _, p := range at.ActiveProducers {
		if p.CurrentTxnStartOffset >= 0 {
			open[openTxn{p.ProducerID, p.ProducerEpoch, p.CurrentTxnStartOffset}] = p
		}
	}
	return open, nil
}

// coordinated says whether a coordinator has part in a transaction: it has the
// partition in it and will end it, or the producer has gone on to nothing else since
// and may yet be heard of there.
func (c *changelogs) coordinated(ctx context.Context, txn openTxn, s *span) (bool, error) {
	listed, err := c.adm.ListTransactions(ctx, []int64{txn.producer}, nil)
	if err != nil {
		return false, fmt.Errorf("list the transactions of producer %d: %w", txn.producer, err)
	}
	for name := range listed {
		described, err := c.adm.DescribeTransactions(ctx, name)
		d, answered := described[name]
		switch {
		case err != nil:
		case !answered:
			err = errNoAnswer
		default:
			err = d.Err
		}
		if err != nil {
			return false, fmt.Errorf("describe the transaction of %s: %w", name, err)
		}
		if d.Topics.Lookup(s.topic, s.partition) || d.ProducerEpoch == txn.epoch {
			return true, nil
		}
	}
	return false, nil
}
