// Package scan reads topics from their beginning to where they end now, read
// committed or all there is, for whoever counts or checks what lies there.
package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/check"
)

// Config says what to read.
type Config struct {
	Brokers []string
	Options []kgo.Opt // TLS, SASL
	Prefix  string    // of every name on the broker
	Topics  []string  // without the prefix; one that does not exist is empty
	Raw     bool      // also what is not committed, and the markers that end transactions
}

// maxFetch bounds what one fetch brings, in bytes.
const maxFetch = 16 << 20

// Scan is a look at topics: what lies there now, and nothing that comes later.
type Scan struct {
	Partitions map[string]int32 // of each topic, without the prefix

	prefix  string
	options []kgo.Opt
	raw     bool
	left    map[place]int64
	from    map[string]map[int32]kgo.Offset
}

// New looks where the topics begin and end.
func New(ctx context.Context, c Config) (*Scan, error) {
	isolation := kgo.ReadCommitted()
	if c.Raw {
		isolation = kgo.ReadUncommitted()
	}
	s := &Scan{prefix: c.Prefix, raw: c.Raw, options: append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.FetchIsolationLevel(isolation), kgo.FetchMaxBytes(maxFetch), kgo.DisableClientMetrics(),
	}, c.Options...)}
	asker, err := kgo.NewClient(s.options...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer asker.Close()
	return s, s.spans(ctx, kadm.NewClient(asker), c.Topics)
}

// Each hands on every record, those of a partition in their order. A scan is
// read once.
func (s *Scan) Each(ctx context.Context, each func(check.Record) error) error {
	if len(s.left) == 0 {
		return nil
	}
	reader, err := kgo.NewClient(append(s.options, kgo.ConsumePartitions(s.from), kgo.KeepControlRecords())...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer reader.Close()
	for len(s.left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), failure(fetches)); err != nil {
			return err
		}
		err := s.take(fetches, func(r *kgo.Record) error {
			return each(s.record(r))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Scan) record(r *kgo.Record) check.Record {
	out := check.Record{
		Topic: r.Topic[len(s.prefix):], Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Headers: r.Headers, At: r.Timestamp,
		Transactional: r.Attrs.IsTransactional(), Writer: check.Writer{Producer: r.ProducerID, Epoch: r.ProducerEpoch},
	}
	if r.Attrs.IsControl() {
		out.Marker = markerOf(r.Key)
	}
	return out
}

// markerOf reads a control record's key: a version and a type, two bytes each.
func markerOf(key []byte) check.Marker {
	if len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 1 {
		return check.Commit
	}
	return check.Abort
}

type place struct {
	topic     string
	partition int32
}

// spans finds the partitions with records: where each begins and ends.
func (s *Scan) spans(ctx context.Context, adm *kadm.Client, topics []string) error {
	var names []string
	for _, t := range topics {
		names = append(names, s.prefix+t)
	}
	starts, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask the broker where topics begin (--brokers): %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, names...)
	if s.raw {
		ends, err = adm.ListEndOffsets(ctx, names...)
	}
	if err != nil {
		return fmt.Errorf("ask where topics end: %w", err)
	}
	s.left, s.from, s.Partitions = map[place]int64{}, map[string]map[int32]kgo.Offset{}, map[string]int32{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			return // there is no such topic
		}
		s.Partitions[end.Topic[len(s.prefix):]]++
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if start.Offset >= end.Offset {
			return
		}
		s.left[place{end.Topic, end.Partition}] = end.Offset
		if s.from[end.Topic] == nil {
			s.from[end.Topic] = map[int32]kgo.Offset{}
		}
		s.from[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
	})
	return nil
}

// take hands on what lies before the ends, and strikes off what is read. The
// last record of a partition is often a transaction's marker: control records
// count for the end, and are handed on only where all is.
func (s *Scan) take(fetches kgo.Fetches, each func(*kgo.Record) error) (err error) {
	fetches.EachRecord(func(r *kgo.Record) {
		p := place{r.Topic, r.Partition}
		end, open := s.left[p]
		if !open || err != nil {
			return
		}
		if r.Offset < end && (s.raw || !r.Attrs.IsControl()) {
			err = each(r)
		}
		if r.Offset+1 >= end {
			delete(s.left, p)
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
