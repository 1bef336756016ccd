package stream

import (
	"bytes"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// Rows reads the state of every key of a set from its changelog, as it stands
// there now: for whoever checks it against what it must have come to. A row is a
// pointer to the set's type.
func Rows(ctx context.Context, c Config, s topology.Service, set string) (map[string]any, error) {
	p, err := newPlan(c, s)
	if err != nil {
		return nil, err
	}
	of := p.sets[set]
	if of == nil {
		return nil, fmt.Errorf("service %s has no set %q", s.Name, set)
	}
	logs, err := newChangelogs(c)
	if err != nil {
		return nil, err
	}
	defer logs.close()
	now, err := logs.extents(ctx, of.state)
	if err != nil {
		return nil, err
	}
	var spans []*span
	for partition := range now.details[of.state].Partitions {
		s, err := now.span(of.state, partition)
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
	}
	rows := map[string]any{}
	err = logs.read(ctx, spans, c.Limits.withDefaults().RestoreStall, func(_ *span, records []*kgo.Record) error {
		for _, r := range records {
			key := string(r.Key)
			if key == "" || key[0] != rowPrefix {
				continue
			}
			if r.Value == nil {
				delete(rows, key[1:])
				continue
			}
			at := row{key: key}
			if err := of.decode(&at, bytes.Clone(r.Value)); err != nil { // or a row keeps the batch that it came in
				return err
			}
			rows[key[1:]] = at.state
		}
		return nil
	})
	return rows, err
}
