package virtual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// How the probe's inputs are made.
const (
	loadName       = "load"
	inputsPerKey   = 24
	keys           = 5
	perTransaction = 4
	aborted        = 0.2  // share of transactions
	repeated       = 0.1  // share of inputs that are said twice, to the byte
	neverCommitted = 1000 // numbers from here on stand in aborted transactions alone
)

// load writes the probe's inputs: in order for each key, in transactions of which
// some are aborted.
type load struct {
	site   *site
	wire   *schemas.Wire
	rnd    *rand.Rand
	client *kgo.Client
	next   [keys]int32
}

func newLoad(s *site) (*load, error) {
	c, err := s.plain("load")
	if err != nil {
		return nil, err
	}
	l := &load{site: s, wire: c.Wire, rnd: rand.New(rand.NewPCG(s.seed, 2))}
	for i := range l.next {
		l.next[i] = 1
	}
	if err := l.wire.Prepare(s.ctx, "holds", "FraudHoldPlaced"); err != nil {
		return nil, err
	}
	l.client, err = kgo.NewClient(append(c.Options, kgo.SeedBrokers(c.Brokers...), kgo.ClientID(loadName), kgo.TransactionalID(loadName), kgo.TransactionTimeout(10*time.Second))...)
	return l, err
}

// run writes all inputs, over a time.
func (l *load) run(ctx context.Context, over time.Duration) error {
	defer l.client.Close()
	pace := over * perTransaction / (2 * keys * inputsPerKey)
	for {
		abort := l.rnd.Float64() < aborted
		batch, err := l.batch(abort)
		if err != nil || len(batch) == 0 {
			return err
		}
		for err := l.write(ctx, batch, abort); err != nil; err = l.write(ctx, batch, abort) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.site.log.Warn("the load tries again", "error", err)
			time.Sleep(time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(l.rnd.Int64N(int64(2 * pace)))):
		}
	}
}

// batch makes the records of a transaction; none are left when all keys are full.
func (l *load) batch(abort bool) (batch []*kgo.Record, err error) {
	var open []int
	for i, n := range l.next {
		if n <= inputsPerKey {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	for range 1 + l.rnd.IntN(perTransaction) {
		i := open[l.rnd.IntN(len(open))]
		n := l.next[i]
		if n > inputsPerKey {
			continue
		}
		if abort {
			n += neverCommitted
		} else {
			l.next[i]++
		}
		r, err := l.record(fmt.Sprint("web-", i), n)
		if err != nil {
			return nil, err
		}
		batch = append(batch, r)
		if l.rnd.Float64() < repeated {
			batch = append(batch, r)
		}
	}
	return batch, nil
}

func (l *load) record(name string, n int32) (*kgo.Record, error) {
	value, err := l.wire.Encode("holds", &fraudHoldPlaced{
		Envelope: schemas.Envelope{
			ID: schemas.FactID("load", name, fmt.Sprint(n)), Type: "FraudHoldPlaced", Source: "load",
			OccurredAt: l.site.business.Now().Truncate(time.Millisecond), Tenant: "acme", Order: name, AggregateID: name, CorrelationID: schemas.FactID("flow", name),
		},
		Score: n,
	})
	return &kgo.Record{Topic: probePrefix + "holds", Key: []byte("acme/" + name), Value: value}, err
}

// write is one transaction; after an error its fate is unknown, and it is written
// again, the same to the byte.
func (l *load) write(ctx context.Context, batch []*kgo.Record, abort bool) error {
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
