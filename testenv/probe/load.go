package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// How inputs are made.
const (
	aborted        = 0.2  // share of transactions
	repeated       = 0.1  // share of inputs that are said twice, to the byte
	neverCommitted = 1000 // numbers from here on stand in aborted transactions alone
)

// Load makes inputs, in order for each key, in transactions of which some are to
// be aborted.
type Load struct {
	Wire           *schemas.Wire
	Prefix         string // of every name on the broker
	Now            func() time.Time
	Rand           *rand.Rand
	Keys           int // in all
	AtOnce         int // keys that get inputs in turn
	PerKey         int // inputs
	PerTransaction int // inputs, at most

	Made     int // keys so far
	open     []sayer
	finished []sayer // have had all their inputs
}

// sayer is a key and its next input's number.
type sayer struct {
	order string
	next  int32
}

// Input is one as a record, and its event's ID.
type Input struct {
	*kgo.Record
	ID string
}

// Prepare has the schema registered.
func (l *Load) Prepare(ctx context.Context) error {
	return l.Wire.Prepare(ctx, Inputs, "FraudHoldPlaced")
}

// Next makes a transaction's inputs; none are left when every key has had its own.
func (l *Load) Next() (batch []Input, abort bool, err error) {
	abort = l.Rand.Float64() < aborted
	for range 1 + l.Rand.IntN(l.PerTransaction) {
		for len(l.open) < l.AtOnce && l.Made < l.Keys {
			l.Made++
			l.open = append(l.open, sayer{fmt.Sprint("web-", l.Made), 1})
		}
		if len(l.open) == 0 {
			break
		}
		i := l.Rand.IntN(len(l.open))
		s := &l.open[i]
		n := s.next
		if abort {
			n += neverCommitted
		} else {
			s.next++
		}
		in, err := l.input(s.order, n)
		if err != nil {
			return nil, abort, err
		}
		batch = append(batch, in)
		if l.Rand.Float64() < repeated {
			batch = append(batch, in)
		}
		if int(s.next) > l.PerKey {
			l.finished = append(l.finished, *s)
			l.open = slices.Delete(l.open, i, i+1)
		}
	}
	return batch, abort, nil
}

// OneMore gives every key one more input: what its row has in memory, it says
// once more.
func (l *Load) OneMore() (all []Input, err error) {
	for _, s := range slices.Concat(l.finished, l.open) {
		in, err := l.input(s.order, s.next)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	return all, nil
}

func (l *Load) input(order string, n int32) (Input, error) {
	id := schemas.FactID("load", order, fmt.Sprint(n))
	value, err := l.Wire.Encode(Inputs, &fraudHoldPlaced{
		Envelope: schemas.Envelope{
			ID: id, Type: "FraudHoldPlaced", Source: "load", OccurredAt: l.Now().UTC().Truncate(time.Millisecond),
			Tenant: "acme", Order: order, AggregateID: order, CorrelationID: schemas.FactID("flow", order),
		},
		Score: n,
	})
	return Input{&kgo.Record{Topic: l.Prefix + Inputs, Key: []byte("acme/" + order), Value: value}, id}, err
}

// Write is one transaction. After an error its fate is unknown, and it must be
// written again, the same to the byte.
func Write(ctx context.Context, cl *kgo.Client, batch []Input, abort bool) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	first := kgo.FirstErrPromise{}
	for _, r := range batch { // a record belongs to one produce: another try needs another
		cl.Produce(ctx, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}, first.Promise())
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := first.Err(); err != nil {
		return err
	}
	return cl.EndTransaction(ctx, kgo.TransactionEndTry(!abort))
}
