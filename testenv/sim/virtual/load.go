package virtual

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/probe"
)

// How many inputs the probe gets.
const (
	loadName       = "load"
	inputsPerKey   = 24
	keys           = 5
	perTransaction = 4 // at most
)

// load writes the probe's inputs.
type load struct {
	probe.Load
	site   *site
	client *kgo.Client
}

func newLoad(s *site) (*load, error) {
	c, err := s.plain("load")
	if err != nil {
		return nil, err
	}
	l := &load{site: s, Load: probe.Load{
		Wire: c.Wire, Prefix: probePrefix, Now: s.business.Now, Rand: rand.New(rand.NewPCG(s.seed, 2)),
		Keys: keys, AtOnce: keys, PerKey: inputsPerKey, PerTransaction: perTransaction,
	}}
	if err := l.Prepare(s.ctx); err != nil {
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
		batch, abort, err := l.Next()
		if err != nil || len(batch) == 0 {
			return err
		}
		for err := probe.Write(ctx, l.client, batch, abort); err != nil; err = probe.Write(ctx, l.client, batch, abort) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.site.log.Warn("the load tries again", "error", err)
			time.Sleep(time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(l.Rand.Int64N(int64(2 * pace)))):
		}
	}
}
