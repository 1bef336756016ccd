package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// endHung aborts the transactions that hang in a changelog: those that the
// partition's leader takes for open while their coordinator knows nothing of them.
// A crash of a broker in the middle of an end can leave one (KIP-664, KIP-890); no
// timeout ends it, and nobody reads past it. To end one by hand where this may not:
// kafka-transactions.sh abort.
func (c *changelogs) endHung(ctx context.Context, s *span) {
	hung, err := c.hungIn(ctx, s)
	if err != nil {
		c.log.Warn("cannot find out whether a transaction hangs in a changelog", "topic", s.topic, "partition", s.partition, "error", err)
	}
	for _, p := range hung {
		log := c.log.With("topic", s.topic, "partition", s.partition, "producer", p.ProducerID, "epoch", p.ProducerEpoch, "offset", p.CurrentTxnStartOffset)
		if err := c.abortOf(ctx, p); err != nil {
			log.Error("a transaction that its coordinator has forgotten holds up a changelog and cannot be aborted: grant ClusterAction, or use kafka-transactions.sh abort", "error", err)
			continue
		}
		log.Warn("a transaction that its coordinator has forgotten held up a changelog: aborted")
	}
}

// hungIn lists what hangs. What a coordinator may still commit is not among it: a
// transaction hangs only if it was open both before and after its coordinator was
// found to have none there.
func (c *changelogs) hungIn(ctx context.Context, s *span) (hung []kadm.DescribedProducer, err error) {
	before, err := c.openIn(ctx, s)
	if err != nil {
		return nil, err
	}
	for txn := range before {
		known, err := c.coordinated(ctx, txn.producer, s)
		if err != nil {
			return nil, err
		}
		if known {
			delete(before, txn)
		}
	}
	if len(before) == 0 {
		return nil, nil
	}
	after, err := c.openIn(ctx, s)
	for txn := range before {
		if p, still := after[txn]; still {
			hung = append(hung, p)
		}
	}
	return hung, err
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

// coordinated says whether a coordinator has a transaction of the producer there,
// which it will end.
func (c *changelogs) coordinated(ctx context.Context, producer int64, s *span) (bool, error) {
	listed, err := c.adm.ListTransactions(ctx, []int64{producer}, nil)
	if err != nil {
		return false, fmt.Errorf("list the transactions of producer %d: %w", producer, err)
	}
	for name := range listed {
		described, err := c.adm.DescribeTransactions(ctx, name)
		if err == nil {
			err = described[name].Err
		}
		if err != nil {
			return false, fmt.Errorf("describe the transaction of %s: %w", name, err)
		}
		if described[name].Topics.Lookup(s.topic, s.partition) {
			return true, nil
		}
	}
	return false, nil
}

func (c *changelogs) abortOf(ctx context.Context, p kadm.DescribedProducer) error {
	var only kadm.TopicsSet
	only.Add(p.Topic, p.Partition)
	written, err := c.adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: max(0, p.CoordinatorEpoch), Topics: only,
	})
	if err == nil {
		err = written[p.ProducerID].Topics[p.Topic].Partitions[p.Partition].Err
	}
	return err
}
