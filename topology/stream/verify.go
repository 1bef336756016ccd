package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/table"
)

// Verified is what a comparison of a task on disk with its changelog came to.
type Verified struct {
	Task    string // set/partition
	Next    int64  // changelog offset up to which the disk has it
	Behind  int64  // offsets that the changelog has beyond
	Rows    int
	Again   int      // of these, rows that the changelog has again beyond Next: a start writes them anew, and they are not judged
	Differs []string // keys, at most maxDiffering of them, each with what is wrong
	Stale   bool     // the changelog is not the one that the disk trails: a start restores it whole
}

// maxDiffering bounds the keys that are named for a task.
const maxDiffering = 20

// Verify compares every task that lies in the store with its changelog, up to
// where the task says it has come. A row that the changelog has again beyond that
// is not judged: a start writes it anew, a checkpoint that a crash has torn may have
// written it already, and a compacted changelog no longer says what it was before.
// Nothing else may use the store meanwhile.
func Verify(ctx context.Context, c Config) ([]Verified, error) {
	logs, err := newChangelogs(c)
	if err != nil {
		return nil, err
	}
	defer logs.close()
	names, err := c.Store.Names()
	if err != nil {
		return nil, err
	}
	var out []Verified
	for _, name := range names {
		v, err := verify(ctx, c, logs, name)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", name, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func verify(ctx context.Context, c Config, logs *changelogs, name string) (Verified, error) {
	v := Verified{Task: name}
	set, number, _ := strings.Cut(name, "/")
	partition, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return v, fmt.Errorf("a task of this name is none of this version: %w", err)
	}
	task, _, err := c.Store.Task(name)
	if err != nil {
		return v, err
	}
	m := task.Marker()
	v.Next = m.Next
	topic := c.topic(set + topology.StateSuffix)
	now, err := logs.extents(ctx, topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		v.Stale = true
		return v, nil
	}
	if err != nil {
		return v, err
	}
	s, err := now.span(topic, int32(partition))
	if err != nil {
		return v, err
	}
	v.Behind = s.end - m.Next
	if err := logs.findForks(ctx, map[*span]*table.Task{s: task}); err != nil {
		return v, err
	}
	if v.Stale = another(m, s) != ""; v.Stale {
		return v, nil
	}
	rows, again, err := digests(ctx, logs, s, m.Next, c.Limits.withDefaults().RestoreStall)
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
		case again[key]:
			v.Again++
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

// digests is what a changelog says of each key before an offset, and which keys it
// has again from there on.
func digests(ctx context.Context, logs *changelogs, s *span, next int64, stall time.Duration) (rows map[string][sha256.Size]byte, again map[string]bool, err error) {
	rows, again = map[string][sha256.Size]byte{}, map[string]bool{}
	err = logs.read(ctx, []*span{s}, stall, func(_ *span, records []*kgo.Record) error {
		for _, r := range records {
			switch key := string(r.Key); {
			case r.Offset >= next:
				again[key] = true
				delete(rows, key)
			case r.Value == nil:
				delete(rows, key)
			default:
				rows[key] = sha256.Sum256(r.Value)
			}
		}
		return nil
	})
	return rows, again, err
}

// Owed is what a row still waits for.
type Owed struct {
	Intents   []string // effects without an outcome
	Parked    int
	Deadlines []time.Time
}

// OwedBy reads it from a record of a changelog.
func OwedBy(key, value []byte) (o Owed, err error) {
	if len(key) == 0 || key[0] == parkedPrefix {
		return o, nil
	}
	codec, err := schemas.NewState[frame]("troupe.frame")
	if err != nil {
		return o, err
	}
	var f frame
	if _, err := codec.DecodePrefix(value, &f); err != nil {
		return o, fmt.Errorf("read row: %w", err)
	}
	for _, in := range f.Intents {
		o.Intents = append(o.Intents, in.Effect)
	}
	o.Parked = int(f.parked())
	for _, t := range f.Timers {
		o.Deadlines = append(o.Deadlines, time.UnixMilli(t.At).UTC())
	}
	return o, nil
}
