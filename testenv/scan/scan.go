// Package scan reads topics from their beginning to where they end now, read
// committed, for whoever counts or checks what lies there.
package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is what lies on a topic.
type Record struct {
	Topic      string // without the prefix
	Partition  int32
	Offset     int64
	Key, Value []byte
}

// Config says what to read.
type Config struct {
	Brokers []string
	Options []kgo.Opt // TLS, SASL
	Prefix  string    // of every name on the broker
	Topics  []string  // without the prefix; one that does not exist is empty
}

// maxFetch bounds what one fetch brings, in bytes.
const maxFetch = 16 << 20

// Topics hands every record to each, those of a partition in their order. It
// returns how many partitions each topic has.
func Topics(ctx context.Context, c Config, each func(Record) error) (map[string]int32, error) {
	options := append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(maxFetch), kgo.DisableClientMetrics(),
	}, c.Options...)
	asker, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer asker.Close()
	left, from, partitions, err := spans(ctx, kadm.NewClient(asker), c)
	if err != nil || len(left) == 0 {
		return partitions, err
	}
	reader, err := kgo.NewClient(append(options, kgo.ConsumePartitions(from), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := failure(fetches); err != nil {
			return nil, err
		}
		err := take(fetches, left, func(r *kgo.Record) error {
			return each(Record{Topic: r.Topic[len(c.Prefix):], Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value})
		})
		if err != nil {
			return nil, err
		}
	}
	return partitions, nil
}

type place struct {
	topic     string
	partition int32
}

// spans are the partitions with records: where each begins and ends.
func spans(ctx context.Context, adm *kadm.Client, c Config) (left map[place]int64, from map[string]map[int32]kgo.Offset, partitions map[string]int32, err error) {
	var names []string
	for _, t := range c.Topics {
		names = append(names, c.Prefix+t)
	}
	starts, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("ask where topics begin: %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("ask where topics end: %w", err)
	}
	left, from, partitions = map[place]int64{}, map[string]map[int32]kgo.Offset{}, map[string]int32{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			return // there is no such topic
		}
		partitions[end.Topic[len(c.Prefix):]]++
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if start.Offset >= end.Offset {
			return
		}
		left[place{end.Topic, end.Partition}] = end.Offset
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
	})
	return left, from, partitions, nil
}

// take hands on what lies before the ends, and strikes off what is read. The
// last record of a partition is often a transaction's marker: control records
// count for the end, and are handed to nobody.
func take(fetches kgo.Fetches, left map[place]int64, each func(*kgo.Record) error) (err error) {
	fetches.EachRecord(func(r *kgo.Record) {
		p := place{r.Topic, r.Partition}
		end, open := left[p]
		if !open || err != nil {
			return
		}
		if r.Offset < end && !r.Attrs.IsControl() {
			err = each(r)
		}
		if r.Offset+1 >= end {
			delete(left, p)
		}
	})
	return err
}

func failure(fetches kgo.Fetches) error {
	errs := map[string]error{}
	fetches.EachError(func(topic string, partition int32, err error) {
		errs[fmt.Sprintf("%s/%d", topic, partition)] = err
	})
	var all []error
	for _, at := range slices.Sorted(maps.Keys(errs)) {
		all = append(all, fmt.Errorf("read %s: %w", at, errs[at]))
	}
	return errors.Join(all...)
}
