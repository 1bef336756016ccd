package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// pen writes events as the estate's services do: framed, keyed by order, on the
// partition that murmur2 says.
type pen struct {
	place  place
	client *kgo.Client
	first  kgo.FirstErrPromise
}

// pen makes the topics that it is to write.
func (p place) pen(ctx context.Context, topics ...string) (*pen, error) {
	cl, err := p.client(kgo.MaxBufferedRecords(200_000), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if err := p.make(ctx, kadm.NewClient(cl), t, nil); err != nil {
			cl.Close()
			return nil, err
		}
	}
	return &pen{place: p, client: cl}, nil
}

// make makes a topic; one that is there is left.
func (p place) make(ctx context.Context, adm *kadm.Client, topic string, configs map[string]*string) error {
	if _, err := adm.CreateTopic(ctx, p.Partitions, -1, configs, p.topic(topic)); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", p.topic(topic), err)
	}
	return nil
}

// write writes one event; at is the record's time, zero for now.
func (p *pen) write(ctx context.Context, w *schemas.Wire, topic string, m schemas.Message, at time.Time) error {
	value, err := w.Encode(topic, m)
	if err != nil {
		return err
	}
	e := m.Head()
	p.client.Produce(ctx, &kgo.Record{Topic: p.place.topic(topic), Key: []byte(e.Tenant + "/" + e.Order), Value: value, Timestamp: at, Headers: []kgo.RecordHeader{
		{Key: "id", Value: []byte(e.ID)}, {Key: "type", Value: []byte(e.Type)}, {Key: "tenant", Value: []byte(e.Tenant)},
	}}, p.first.Promise())
	return nil
}

func (p *pen) flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	if err := p.first.Err(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

func (p *pen) close() { p.client.Close() }
