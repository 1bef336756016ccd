package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// view fills a global view: every replica reads every partition from the start.
// It commits nothing and belongs to no group, so instances need no routing.
type view struct {
	name     string
	config   Config
	spec     topology.View
	handlers map[string]*viewHandler
	topics   []string
	metrics  *Metrics
	flight   *flight
}

type viewHandler struct {
	topology.ViewHandler
	decode topology.Decode
}

func newView(c Config, service string, spec topology.View) (*view, error) {
	v := &view{name: "view." + service + "." + spec.Name, config: c, spec: spec, handlers: map[string]*viewHandler{}, metrics: c.Metrics}
	topics := map[string]bool{}
	for _, h := range spec.Handlers {
		decode, err := h.Bind(c.Wire)
		if err != nil {
			return nil, fmt.Errorf("view %s: %s: %w", spec.Name, h.Event, err)
		}
		v.handlers[h.Event] = &viewHandler{h, decode}
		t, ok := c.Estate.TopicOf(h.Event)
		if !ok {
			return nil, fmt.Errorf("view %s reads %s, which no topic of the estate carries", spec.Name, h.Event)
		}
		topics[c.topic(t.Name)] = true
	}
	v.topics = slices.Sorted(maps.Keys(topics))
	return v, nil
}

// run reads until ctx is done. ready is called once the view has reached the
// ends that the topics had when it began.
func (v *view) run(ctx context.Context, ends map[string]map[int32]int64, ready func()) error {
	cl, err := kgo.NewClient(v.config.client(v.name+"."+v.config.Instance,
		kgo.ConsumeTopics(v.topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(v.config.Limits.FetchWait),
		kgo.FetchMaxBytes(v.config.Limits.FetchBytes), kgo.FetchMaxPartitionBytes(v.config.Limits.FetchPartitionBytes),
		kgo.MaxDecompressBatchBytes(v.config.Limits.BatchBytes),
	)...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	left := map[partition]int64{}
	for _, t := range v.topics {
		for p, end := range ends[t] {
			if end > 0 {
				left[partition{t, p}] = end
			}
		}
	}
	told := false
	for ctx.Err() == nil {
		if len(left) == 0 && !told {
			told = true
			ready()
		}
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(t string, p int32, err error) {
			if ctx.Err() == nil {
				v.config.Log.Warn("a view cannot read", "view", v.name, "topic", t, "partition", p, "error", err)
			}
		})
		for _, polled := range inOrder(fetches) {
			for _, r := range polled.Records {
				if err := v.see(ctx, r); err != nil {
					return err
				}
			}
			next := polled.Records[len(polled.Records)-1].Offset + 1
			p := partition{polled.Topic, polled.Partition}
			if end, waiting := left[p]; waiting && next >= end {
				delete(left, p)
			}
			v.config.Clock.Tide().Position(v.name, p.topic, p.n, next)
		}
	}
	return nil
}

// see applies one record. What cannot be read is skipped and counted: it is a
// dead letter of the services that own a decision about it.
func (v *view) see(ctx context.Context, r *kgo.Record) error {
	if r.Attrs.IsControl() {
		return nil
	}
	f := v.flight.record(r)
	ends := v.flight.hangar.ends(f)
	if ends >= v.config.Limits.QuarantineAfter {
		v.metrics.undecodable(v.name)
		v.config.Log.Error("a view goes on without a record: the process ended while it was read", "view", v.name, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "times", ends)
		return nil
	}
	err := v.take(ctx, r, f)
	if ends > 0 && err == nil {
		v.flight.hangar.acquit([]inFlight{f}, nil)
	}
	return err
}

func (v *view) take(ctx context.Context, r *kgo.Record, what inFlight) error {
	if r.Value == nil {
		for _, h := range v.handlers {
			if h.Erase != nil {
				h.Erase(string(r.Key))
			}
		}
		return nil
	}
	pause := v.config.Limits.RebuildBackoff
	for {
		f, err := v.config.Wire.Open(ctx, r.Value)
		if err != nil {
			_, retry := refusal(ctx, err)
			if !retry {
				v.metrics.undecodable(v.name)
				return nil
			}
			v.config.Log.Warn("a view waits for the registry", "view", v.name, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
				pause = min(2*pause, v.config.Limits.RebuildBackoffMost)
				continue
			}
		}
		h := v.handlers[f.Type]
		if h == nil {
			return nil
		}
		v.flight.enter(what) // not before: to wait for the registry is no fault of the record
		defer v.flight.leave()
		e, message, err := h.decode(f)
		if err != nil {
			v.metrics.undecodable(v.name)
			return nil
		}
		v.apply(h, message, topology.Cause{Envelope: e, Key: string(r.Key), Topic: r.Topic[len(v.config.Prefix):], Partition: r.Partition, Offset: r.Offset})
		return nil
	}
}

// apply runs a view's handler. A view owns no decision, and reads all from the
// start each time: what it cannot take it goes on without, and says so.
func (v *view) apply(h *viewHandler, message any, origin topology.Cause) {
	defer func() {
		if p := recover(); p != nil {
			v.metrics.undecodable(v.name)
			v.config.Log.Error("a view panics and goes on without a record", "view", v.name, "topic", origin.Topic, "partition", origin.Partition, "offset", origin.Offset, "panic", p, "at", firstFrames(debug.Stack()))
		}
	}()
	h.Apply(message, origin)
}

// errNotReady is returned by readiness checks.
var errNotReady = errors.New("not all tasks are assigned and restored")
