package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
	"troupe/topology/table"
)

// Verified is what a comparison of a task on disk with its changelog came to.
type Verified struct {
	Task    string // set/partition
	Next    int64  // changelog offset up to which the disk has it
	Behind  int64  // offsets that the changelog has beyond
	Rows    int
	Differs []string // keys, at most maxDiffering of them, each with what is wrong
	Stale   bool     // the changelog is not the one that the disk trails: a start restores it whole
}

// maxDiffering bounds the keys that are named for a task.
const maxDiffering = 20

// Verify compares every task that lies in the store with its changelog, up to
// where the task says it has come. Nothing else may use the store meanwhile.
func Verify(ctx context.Context, c Config) ([]Verified, error) {
	cl, err := kgo.NewClient(c.client()...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	names, err := c.Store.Names()
	if err != nil {
		return nil, err
	}
	var out []Verified
	for _, name := range names {
		v, err := verify(ctx, c, kadm.NewClient(cl), name)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", name, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func verify(ctx context.Context, c Config, adm *kadm.Client, name string) (Verified, error) {
	v := Verified{Task: name}
	set, number, _ := strings.Cut(name, "/")
	partition, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return v, fmt.Errorf("a task of this name is none of this version: %w", err)
	}
	task, _, err := c.Store.Task(name, table.Config{})
	if err != nil {
		return v, err
	}
	topic := c.topic(set + topology.StateSuffix)
	details, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return v, fmt.Errorf("describe changelog: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return v, fmt.Errorf("end of changelog: %w", err)
	}
	end, found := ends.Lookup(topic, int32(partition))
	m := task.Marker()
	v.Next, v.Behind = m.Next, end.Offset-m.Next
	if v.Stale = !found || details[topic].ID != m.TopicID || m.Next > end.Offset; v.Stale {
		return v, nil
	}
	rows, err := changelog(ctx, c, topic, int32(partition), m.Next)
	if err != nil {
		return v, err
	}
	differs := func(key, what string) {
		if len(v.Differs) < maxDiffering {
			v.Differs = append(v.Differs, fmt.Sprintf("%q %s", key, what))
		}
	}
	err = task.Each(func(key string, value []byte) error {
		v.Rows++
		want, there := rows[key]
		digest := sha256.Sum256(value)
		switch {
		case !there:
			differs(key, "is on disk and not on the changelog")
		case !bytes.Equal(want[:], digest[:]):
			differs(key, "is otherwise on disk than on the changelog")
		}
		delete(rows, key)
		return nil
	})
	for key := range rows {
		differs(key, "is on the changelog and not on disk")
	}
	return v, err
}

// changelog reads what a changelog says of each key before an offset.
func changelog(ctx context.Context, c Config, topic string, partition int32, before int64) (map[string][sha256.Size]byte, error) {
	rows := map[string][sha256.Size]byte{}
	cl, err := kgo.NewClient(c.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	for next := int64(0); next < before; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read changelog: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			switch {
			case r.Offset >= before || r.Attrs.IsControl():
			case r.Value == nil:
				delete(rows, string(r.Key))
			default:
				rows[string(r.Key)] = sha256.Sum256(r.Value)
			}
		})
	}
	return rows, nil
}
