package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
	"troupe/topology/table"
)

// view fills a global view: every replica reads every partition. It commits nothing and
// belongs to no group, so instances need no routing.
type view struct {
	name     string
	config   Config
	spec     topology.View
	handlers map[string]*viewHandler
	topics   []string
	kept     map[string]time.Duration // how long each topic keeps a record; 0 for ever
	rows     *table.View              // nil: the view keeps what it has, and reads from the start
	expired  time.Time                // when rows were let go of last
	metrics  *Metrics
	flight   *flight
}

type viewHandler struct {
	topology.ViewHandler
	decode topology.Decode
}

func newView(c Config, service string, spec topology.View) (*view, error) {
	v := &view{
		name: "view." + service + "." + spec.Name, config: c, spec: spec, handlers: map[string]*viewHandler{}, metrics: c.Metrics,
		kept: map[string]time.Duration{},
	}
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
		v.kept[c.topic(t.Name)] = t.Retention.For
	}
	v.topics = slices.Sorted(maps.Keys(v.kept))
	if spec.Keep == nil {
		return v, nil
	}
	for t, kept := range v.kept {
		if kept == 0 {
			return nil, fmt.Errorf("view %s keeps rows of %s, which is compacted: it would miss what is deleted while it is away", spec.Name, t)
		}
	}
	events := slices.Sorted(maps.Keys(v.handlers))
	rows, err := c.Store.View(c.topic(v.name), strings.Join(append(events, spec.Format), " "))
	if err != nil {
		return nil, err
	}
	v.rows = rows
	spec.Keep(rows)
	return v, nil
}

// run reads until ctx is done. ready is called once the view has reached the
// ends that the topics had when it began.
func (v *view) run(ctx context.Context, known *widths, starts, ends map[string]map[int32]int64, ready func()) error {
	read, err := v.places(known)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(v.config.client(v.name+"."+v.config.Instance, append(append(v.reads(known, read), v.config.Limits.fetches()...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)...)...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	left := map[partition]int64{}
	for _, t := range v.topics {
		for n, end := range ends[t] {
			p := partition{t, n}
			from := max(read[p], starts[t][n]) // what a topic has let go of never comes
			if end > from {
				left[p] = end
			}
			v.config.Clock.Tide().Position(v.name, t, n, from)
		}
	}
	told := false
	for ctx.Err() == nil {
		if len(left) == 0 && !told {
			told = true
			ready()
		}
		moved, err := v.once(ctx, cl, known)
		if err != nil {
			return err
		}
		for p, next := range moved {
			if end, waiting := left[p]; waiting && next >= end {
				delete(left, p)
			}
			v.config.Clock.Tide().Position(v.name, p.topic, p.n, next)
		}
	}
	return nil
}

// once takes in what one poll brings; it says up to where partitions are read then.
func (v *view) once(ctx context.Context, cl *kgo.Client, known *widths) (map[partition]int64, error) {
	polling, done := context.WithTimeout(ctx, expireEvery)
	fetches := cl.PollFetches(polling)
	done()
	fetches.EachError(func(t string, p int32, err error) {
		if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			v.config.Log.Warn("a view cannot read", "view", v.name, "topic", t, "partition", p, "error", err)
		}
	})
	moved := map[partition]int64{}
	for _, polled := range inOrder(fetches) {
		for _, r := range polled.Records {
			if err := v.see(ctx, r); err != nil {
				return nil, err
			}
		}
		moved[partition{polled.Topic, polled.Partition}] = polled.Records[len(polled.Records)-1].Offset + 1
	}
	if v.rows == nil {
		return moved, nil
	}
	if ctx.Err() != nil {
		return nil, nil // what was being read may have been given up
	}
	return moved, errors.Join(v.flush(known, moved), v.expire())
}

// flush keeps what was put, and up to where that was read. Of a topic that was not
// there when the process began it is not said: the next one reads all of it.
func (v *view) flush(known *widths, moved map[partition]int64) error {
	places := make([]table.Place, 0, len(moved))
	for p, next := range moved {
		if known.n[p.topic] == 0 {
			continue
		}
		places = append(places, table.Place{Topic: p.topic, Partition: p.n, TopicID: known.ids[p.topic], Next: next})
	}
	return v.rows.Flush(places)
}

// Rows whose records their topics have let go of are let go of too: so often, and so many
// between two polls.
const (
	expireEvery = time.Minute
	expireMost  = 10_000
)

func (v *view) expire() error {
	now := time.Now() // as the broker does
	if now.Sub(v.expired) < expireEvery {
		return nil
	}
	more, err := v.rows.Expire(now, expireMost)
	if !more {
		v.expired = now
	}
	return err
}

// places is up to where each partition is in the view's rows. A topic that was made anew
// under its name has other records: then all is. One that is not there is refused: the
// broker may not say so at the moment, and what is kept of it must not be lost for that.
func (v *view) places(known *widths) (map[partition]int64, error) {
	read := map[partition]int64{}
	if v.rows == nil {
		return read, nil
	}
	places, err := v.rows.Places()
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		id, there := known.ids[p.Topic]
		if !there {
			return nil, fmt.Errorf("%s has rows of topic %s, which is not there: start it again once it is, or delete the state directory to read all anew", v.name, p.Topic)
		}
		if id != p.TopicID {
			v.config.Log.Warn("a topic was made anew: a view is read from the start", "view", v.name, "topic", p.Topic)
			return map[partition]int64{}, v.rows.Wipe()
		}
		read[partition{p.Topic, p.Partition}] = p.Next
	}
	return read, nil
}

// reads says what to read, and from where. The client takes a topic as a whole or by its
// partitions: one that has none yet is taken as a whole.
func (v *view) reads(known *widths, read map[partition]int64) []kgo.Opt {
	if v.rows == nil {
		return []kgo.Opt{kgo.ConsumeTopics(v.topics...)}
	}
	var whole []string
	from := map[string]map[int32]kgo.Offset{}
	for _, t := range v.topics {
		if known.n[t] == 0 {
			whole = append(whole, t)
			continue
		}
		from[t] = map[int32]kgo.Offset{}
		for n := range known.n[t] {
			from[t][n] = kgo.NewOffset().AtStart()
			if next, has := read[partition{t, n}]; has {
				from[t][n] = kgo.NewOffset().At(next)
			}
		}
	}
	return []kgo.Opt{kgo.ConsumeTopics(whole...), kgo.ConsumePartitions(from)}
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
		v.config.Log.Error("a view goes on without a record: the process ended while it was read"+v.stays(), "view", v.name, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "times", ends)
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
		if v.rows != nil {
			v.rows.Until(v.until(r))
		}
		v.apply(h, message, topology.Cause{Envelope: e, Key: string(r.Key), Topic: r.Topic[len(v.config.Prefix):], Partition: r.Partition, Offset: r.Offset})
		return nil
	}
}

// stays says what a record that was left out means for a view that is not read anew.
func (v *view) stays() string {
	if v.rows == nil {
		return ""
	}
	return "; it stays without it until the state directory is deleted, or its format is another"
}

// until is when a record's topic lets go of it; zero for never.
func (v *view) until(r *kgo.Record) time.Time {
	if kept := v.kept[r.Topic]; kept > 0 {
		return r.Timestamp.Add(kept)
	}
	return time.Time{}
}

// apply runs a view's handler. A view owns no decision: what it cannot take it goes on
// without, and says so.
func (v *view) apply(h *viewHandler, message any, origin topology.Cause) {
	defer func() {
		if p := recover(); p != nil {
			v.metrics.undecodable(v.name)
			if v.rows != nil {
				v.rows.Undo()
			}
			v.config.Log.Error("a view panics and goes on without a record"+v.stays(), "view", v.name, "topic", origin.Topic, "partition", origin.Partition, "offset", origin.Offset, "panic", p, "at", firstFrames(debug.Stack()))
		}
	}()
	h.Apply(message, origin)
}

// errNotReady is returned by readiness checks.
var errNotReady = errors.New("not all tasks are assigned and restored")
