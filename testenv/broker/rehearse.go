package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	rehearsal      = "troupe.rehearsal" // topic and transactional ID, gone when the start returns
	rehearsalLimit = time.Minute
)

// rehearse commits one transaction. Nodes that answer are not yet a cluster
// that takes records: producer IDs must have been given out and the
// transactions' own topic made, and the first test would wait for that, or fail.
func rehearse(ctx context.Context, brokers []string, nodes int) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, rehearsalLimit, fmt.Errorf("no transaction committed in %v", rehearsalLimit))
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("rehearse a transaction: %w", err), context.Cause(ctx))
		}
	}()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID(rehearsal), kgo.DefaultProduceTopic(rehearsal))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(ctx, int32(nodes), -1, nil, rehearsal); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		// It exists where an earlier start on the same data was cut short here.
		return err
	}
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	for p := range nodes {
		if err := cl.ProduceSync(ctx, &kgo.Record{Value: []byte{byte(p)}}).FirstErr(); err != nil {
			return err
		}
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	_, err = admin.DeleteTopic(ctx, rehearsal)
	return err
}
