package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// How the load is made.
const (
	inputsPerOrder = 20   // fewer than a row remembers
	ordersAtOnce   = 40   // that get inputs in turn
	perTransaction = 20   // inputs, at most
	aborted        = 0.1  // share of transactions
	repeated       = 0.05 // share of inputs that are said twice, to the byte
	neverCommitted = 1000 // numbers from here on stand in aborted transactions alone
	perProbe       = 500  // inputs of a transaction, at the end
	pace           = 20 * time.Millisecond
)

// load writes numbered inputs, in order for each key, until it is told to stop.
type load struct {
	place        place
	wire         *schemas.Wire
	rnd          *rand.Rand
	client       *kgo.Client
	orders       []order
	made         int      // orders so far
	finished     []order  // that have had all their inputs
	acknowledged []string // events that the broker said are committed
}

type order struct {
	name string
	next int32
}

func newLoad(ctx context.Context, p place, seed uint64) (*load, error) {
	l := &load{place: p, rnd: rand.New(rand.NewPCG(seed, 2))}
	var err error
	if l.wire, err = wireOf(p); err != nil {
		return nil, err
	}
	return l, l.wire.Prepare(ctx, "holds", "FraudHoldPlaced")
}

// run writes until stop is closed. What a broken transaction held is written
// again, the same to the byte: whether it was committed nobody knows.
func (l *load) run(ctx context.Context, stop <-chan struct{}) error {
	defer func() { l.disconnect() }()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		abort := l.rnd.Float64() < aborted
		batch, err := l.batch(abort)
		if err != nil {
			return err
		}
		l.insist(ctx, batch, abort)
	}
}

// insist writes a transaction until the broker says that it has ended.
func (l *load) insist(ctx context.Context, batch []said, abort bool) {
	for l.write(ctx, batch, abort) != nil && ctx.Err() == nil {
		l.disconnect()
	}
	if abort {
		return
	}
	for _, s := range batch {
		l.acknowledged = append(l.acknowledged, s.id)
	}
}

// said is an input as a record, and its ID.
type said struct {
	*kgo.Record
	id string
}

// probe gives every order one more input.
func (l *load) probe(ctx context.Context) error {
	defer l.disconnect()
	for some := range slices.Chunk(slices.Concat(l.finished, l.orders), perProbe) {
		var batch []said
		for _, o := range some {
			r, err := l.record(o.name, o.next)
			if err != nil {
				return err
			}
			batch = append(batch, r)
		}
		l.insist(ctx, batch, false)
	}
	return ctx.Err()
}

// batch makes the records of a transaction.
func (l *load) batch(abort bool) ([]said, error) {
	var batch []said
	for range 1 + l.rnd.IntN(perTransaction) {
		for len(l.orders) < ordersAtOnce {
			l.made++
			l.orders = append(l.orders, order{fmt.Sprintf("web-%d", l.made), 1})
		}
		i := l.rnd.IntN(len(l.orders))
		o := &l.orders[i]
		n := o.next
		if abort {
			n += neverCommitted
		}
		r, err := l.record(o.name, n)
		if err != nil {
			return nil, err
		}
		batch = append(batch, r)
		if l.rnd.Float64() < repeated {
			batch = append(batch, r)
		}
		if abort {
			continue
		}
		if o.next++; o.next > inputsPerOrder {
			l.finished = append(l.finished, *o)
			l.orders = append(l.orders[:i], l.orders[i+1:]...)
		}
	}
	return batch, nil
}

func (l *load) record(name string, n int32) (said, error) {
	id := schemas.FactID("crash", name, fmt.Sprint(n))
	value, err := l.wire.Encode("holds", &input{
		Envelope: schemas.Envelope{
			ID: id, Type: "FraudHoldPlaced", Source: "load", OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
			Tenant: "acme", Order: name, AggregateID: name, CorrelationID: schemas.FactID("flow", name),
		},
		Score: n,
	})
	return said{&kgo.Record{Topic: l.place.prefix + "holds", Key: []byte("acme/" + name), Value: value}, id}, err
}

// write is one transaction; after an error its fate is unknown.
func (l *load) write(ctx context.Context, batch []said, abort bool) (err error) {
	if l.client == nil {
		l.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(l.place.brokers, ",")...), kgo.TransactionalID(l.place.prefix+"load"),
			kgo.TransactionTimeout(10*time.Second), kgo.RecordDeliveryTimeout(20*time.Second), kgo.MetadataMinAge(250*time.Millisecond))
		if err != nil {
			return err
		}
	}
	if err := l.client.BeginTransaction(); err != nil {
		return err
	}
	first := kgo.FirstErrPromise{}
	for _, r := range batch { // a record belongs to one produce: another try needs another
		l.client.Produce(ctx, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}, first.Promise())
	}
	if err := l.client.Flush(ctx); err != nil {
		return err
	}
	if err := first.Err(); err != nil {
		return err
	}
	return l.client.EndTransaction(ctx, kgo.TransactionEndTry(!abort))
}

func (l *load) disconnect() {
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}
