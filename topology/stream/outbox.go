package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// Outbox writes what does not come from a step: partners' messages through
// intakes, and effects' outcomes. It is idempotent, and a repeat carries the
// same ID, so the reader's deduplication makes it exactly once.
type Outbox struct {
	config Config
	limits Limits
	client *kgo.Client
	wire   framer
	ctx    context.Context // of every record, until close
	cancel context.CancelFunc
}

func newOutbox(c Config, w framer) (*Outbox, error) {
	limits := c.Limits.withDefaults()
	// By default the client does not give up a record that may have reached a broker:
	// while none answers a process could not stop. Twice is harmless here.
	cl, err := kgo.NewClient(c.client("outbox."+c.Instance, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowIdempotentProduceCancellation(),
		kgo.ProducerLinger(0), kgo.MaxBufferedBytes(limits.OutboxBytes))...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	o := &Outbox{config: c, limits: limits, client: cl, wire: w}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o, nil
}

func (o *Outbox) close() {
	o.cancel()
	o.client.Close()
}

// errUnwritable says that no record can hold a message, however often it is tried.
var errUnwritable = errors.New("no record can hold it")

// send writes messages and returns once the broker has them all.
func (o *Outbox) send(ctx context.Context, source string, requests ...topology.Request) error {
	records := make([]*kgo.Record, 0, len(requests))
	var pieces slab
	for _, q := range requests {
		e := q.Message.Head()
		e.Type = orElse(q.Type, topology.NameOf(q.Message))
		e.Source = orElse(e.Source, source)
		e.AggregateID = orElse(e.AggregateID, q.Key)
		e.CausationID = orElse(e.CausationID, "")
		if e.ID == "" || e.OccurredAt.IsZero() || q.Key == "" {
			return fmt.Errorf("send %s: the message needs an ID, a time and a key", e.Type)
		}
		topic := o.config.topic(topology.InboxTopic(q.Inbox))
		if q.Inbox == "" {
			t, ok := o.config.Estate.TopicOf(e.Type)
			if !ok || t.Owner != source {
				return fmt.Errorf("send %s: it is no fact of %s", e.Type, source)
			}
			topic = o.config.topic(t.Name)
		}
		r, err := o.wire.record(&pieces, topic, q.Key, q.Message)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
		if err := o.limits.fits(e, r); err != nil {
			return fmt.Errorf("%w: %w: %w", errUnwritable, topology.ErrTooLarge, err)
		}
		records = append(records, r)
	}
	if err := o.produce(ctx, records); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// produce returns once the broker has all records, or the caller waits no longer.
// What the caller's context ends is his waiting alone: the client gives up all that
// is buffered for a partition once the context of its first record is done, and
// others, whose records were among them, would do again what was done.
func (o *Outbox) produce(ctx context.Context, records []*kgo.Record) error {
	answers := make(chan error, len(records))
	for _, r := range records {
		o.client.TryProduce(o.ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				o.config.Clock.Tide().Published(r.Topic, r.Partition, r.Offset+1)
			}
			answers <- err
		})
	}
	var first error
	for range records {
		select {
		case err := <-answers:
			first = cmp.Or(first, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return first
}

// intakes serves a service's endpoints.
func (o *Outbox) intakes(s topology.Service) http.Handler {
	mux := http.NewServeMux()
	for _, in := range s.Intakes {
		declared := map[string]bool{}
		for _, w := range in.Writes {
			declared[w.Inbox+"/"+w.Type] = true
		}
		send := func(ctx context.Context, requests ...topology.Request) error {
			for _, q := range requests {
				name := orElse(q.Type, topology.NameOf(q.Message))
				if !declared[q.Inbox+"/"+name] {
					return fmt.Errorf("intake %s does not declare %s to %q", in.Pattern, name, q.Inbox)
				}
			}
			return o.send(ctx, s.Name, requests...)
		}
		mux.HandleFunc(in.Pattern, func(w http.ResponseWriter, r *http.Request) { in.Handle(w, r, send) })
	}
	return mux
}
