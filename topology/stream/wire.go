package stream

import (
	"context"
	"fmt"
	"reflect"

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

// framer makes records of messages.
type framer struct {
	wire   *schemas.Wire
	prefix string
	widths *widths
}

// record frames a message for a topic. The partition is set by hand, since
// changelog records go where their task is.
func (f framer) record(topic, key string, m schemas.Message) (*kgo.Record, error) {
	value, err := f.wire.Encode(topic[len(f.prefix):], m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Head().Type, err)
	}
	width, err := f.widths.of(topic)
	if err != nil {
		return nil, err
	}
	e := m.Head()
	headers := []kgo.RecordHeader{
		{Key: "id", Value: []byte(e.ID)}, {Key: "type", Value: []byte(e.Type)}, {Key: "tenant", Value: []byte(e.Tenant)},
	}
	if e.Traceparent != "" {
		headers = append(headers, kgo.RecordHeader{Key: "traceparent", Value: []byte(e.Traceparent)})
	}
	return &kgo.Record{Topic: topic, Partition: partitionOf([]byte(key), width), Key: []byte(key), Value: value, Headers: headers}, nil
}

// prepare gets the schema IDs of everything a service writes.
func (p *plan) prepare(ctx context.Context, c Config) error {
	for _, o := range p.outputs {
		topic := topology.InboxTopic(o.Inbox)
		if o.Inbox == "" {
			t, _ := c.Estate.TopicOf(o.Type)
			topic = t.Name
		}
		if err := c.Wire.Prepare(ctx, topic, o.Type); err != nil {
			return fmt.Errorf("prepare %s: %w", o.Type, err)
		}
	}
	for _, s := range p.sets {
		for _, e := range s.effects {
			if err := c.Wire.Prepare(ctx, topology.InboxTopic(s.full), e.Outcome); err != nil {
				return fmt.Errorf("prepare %s: %w", e.Outcome, err)
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
