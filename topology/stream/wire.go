package stream

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// encodeRequest codes an intent's request, given as a value.
func encodeRequest(e *effect, request any) ([]byte, error) {
	if reflect.TypeOf(request) != e.Effect.Request {
		return nil, fmt.Errorf("the request is a %T, the effect takes a %v", request, e.Effect.Request)
	}
	p := reflect.New(e.Effect.Request)
	p.Elem().Set(reflect.ValueOf(request))
	return e.request.Append(nil, p.Interface())
}

// Headers for whoever does not read the message.
const (
	idHeader   = "id"
	typeHeader = "type"
)

// headerOf is what a header says, "" where there is none.
func headerOf(r *kgo.Record, key string) string {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// framer makes records of messages.
type framer struct {
	wire   *schemas.Wire
	prefix string
	widths *widths
}

// record frames a message for a topic. The partition is set by hand, since
// changelog records go where their task is.
func (f framer) record(s *slab, topic, key string, m schemas.Message) (*kgo.Record, error) {
	value, err := f.wire.AppendEncode(s.scratch[:0], topic[len(f.prefix):], m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Head().Type, err)
	}
	s.scratch = value
	width, err := f.widths.of(topic)
	if err != nil {
		return nil, err
	}
	e := m.Head()
	r := s.record()
	r.Topic, r.Key, r.Value = topic, s.copy(key), s.room(len(value))
	copy(r.Value, value)
	r.Partition = partitionOf(r.Key, width)
	r.Headers = append(s.header(4), kgo.RecordHeader{Key: idHeader, Value: s.copy(e.ID)},
		kgo.RecordHeader{Key: typeHeader, Value: s.copy(e.Type)}, kgo.RecordHeader{Key: "tenant", Value: s.copy(e.Tenant)})
	if e.Traceparent != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: s.copy(e.Traceparent)})
	}
	return r, nil
}

// prepare gets the schema IDs of everything a service writes, in one order: what
// IDs a new registry gives does not hang on a map.
func (p *plan) prepare(ctx context.Context, c Config) error {
	for _, o := range slices.Concat(p.service.Publishes, p.service.Asks) {
		topic := topology.InboxTopic(o.Inbox)
		if o.Inbox == "" {
			t, _ := c.Estate.TopicOf(o.Type)
			topic = t.Name
		}
		if err := c.Wire.Prepare(ctx, topic, o.Type); err != nil {
			return fmt.Errorf("prepare %s: %w", o.Type, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.sets)) {
		s := p.sets[name]
		for _, effect := range slices.Sorted(maps.Keys(s.effects)) {
			outcome := s.effects[effect].Outcome
			if err := c.Wire.Prepare(ctx, topology.InboxTopic(s.full), outcome); err != nil {
				return fmt.Errorf("prepare %s: %w", outcome, err)
			}
		}
	}
	if w := p.service.Watch; w != nil {
		name := topology.NameOf(w.Message(topology.Position{}))
		if err := c.Wire.Prepare(ctx, topology.InboxTopic(p.service.Name), name); err != nil {
			return fmt.Errorf("prepare %s: %w", name, err)
		}
	}
	for _, in := range p.service.Intakes {
		for _, o := range in.Writes {
			topic := topology.InboxTopic(o.Inbox)
			if o.Inbox == "" {
				t, ok := c.Estate.TopicOf(o.Type)
				if !ok {
					return fmt.Errorf("intake %s writes %s, which no topic of the estate carries", in.Pattern, o.Type)
				}
				topic = t.Name
			}
			if err := c.Wire.Prepare(ctx, topic, o.Type); err != nil {
				return fmt.Errorf("prepare %s: %w", o.Type, err)
			}
		}
	}
	return nil
}
