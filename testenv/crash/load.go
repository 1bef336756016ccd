package crash

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/probe"
)

const (
	inputsPerOrder = 20 // fewer than a row remembers
	lastAtOnce     = 500
	pace           = 20 * time.Millisecond
)

// load writes numbered inputs until it is told to stop.
type load struct {
	probe.Load
	place        place
	client       *kgo.Client
	acknowledged []string // events that the broker said are committed
}

func newLoad(ctx context.Context, p place, seed uint64) (*load, error) {
	wire, err := wireOf(p)
	if err != nil {
		return nil, err
	}
	l := &load{place: p, Load: probe.Load{
		Wire: wire, Prefix: p.prefix, Now: time.Now, Rand: rand.New(rand.NewPCG(seed, 2)),
		Keys: math.MaxInt, AtOnce: 40, PerKey: inputsPerOrder, PerTransaction: 20,
	}}
	return l, l.Prepare(ctx)
}

// run writes until stop is closed.
func (l *load) run(ctx context.Context, stop <-chan struct{}) error {
	defer l.disconnect()
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
		batch, abort, err := l.Next()
		if err != nil {
			return err
		}
		l.insist(ctx, batch, abort)
	}
}

// last gives every order one more input.
func (l *load) last(ctx context.Context) error {
	defer l.disconnect()
	all, err := l.OneMore()
	if err != nil {
		return err
	}
	for some := range slices.Chunk(all, lastAtOnce) {
		l.insist(ctx, some, false)
	}
	return ctx.Err()
}

// insist writes a transaction until the broker says that it has ended.
func (l *load) insist(ctx context.Context, batch []probe.Input, abort bool) {
	for l.write(ctx, batch, abort) != nil && ctx.Err() == nil {
		l.disconnect()
	}
	if abort {
		return
	}
	for _, in := range batch {
		l.acknowledged = append(l.acknowledged, in.ID)
	}
}

func (l *load) write(ctx context.Context, batch []probe.Input, abort bool) (err error) {
	if l.client == nil {
		l.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(l.place.brokers, ",")...), kgo.TransactionalID(l.place.prefix+"load"),
			kgo.TransactionTimeout(10*time.Second), kgo.RecordDeliveryTimeout(20*time.Second), kgo.MetadataMinAge(250*time.Millisecond))
		if err != nil {
			return err
		}
	}
	return probe.Write(ctx, l.client, batch, abort)
}

func (l *load) disconnect() {
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}
