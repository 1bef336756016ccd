package virtual

import (
	"context"
	"errors"
	"strings"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/check"
)

// watch reads what becomes visible, and asks at every step for what no moment may
// show. A step is an instant at which something became visible: the clock stands
// until all of it is read, so the log is judged as it was then, and no effect is
// seen without its cause.
type watch struct {
	*ledger
	client *kgo.Client
	cancel context.CancelFunc
	over   chan struct{}
}

// watchName spares the watch the faults that are meant for the estate.
const watchName = "watch"

// newWatch looks at all that has been written, and will be.
func newWatch(s *site) (*watch, error) {
	c, err := s.plain(watchName)
	if err != nil {
		return nil, err
	}
	w := &watch{over: make(chan struct{})}
	names := watched(c.Estate)
	widths := map[string]int32{}
	for _, name := range names {
		widths[name] = partitions
	}
	if w.ledger, err = newLedger(s, c, widths); err != nil {
		return nil, err
	}
	for _, name := range probeTopics {
		names = append(names, probePrefix+name)
	}
	w.client, err = kgo.NewClient(
		kgo.SeedBrokers(c.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(names...), kgo.Rack(watchName), kgo.DisableClientMetrics(),
		kgo.Dialer(s.brokers.DialContext), // a way that takes no time: what is visible at an instant is read at that instant
	)
	return w, err
}

// start watches until it is ended, or something is wrong.
func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.over)
		defer w.client.Close()
		for ctx.Err() == nil && len(w.site.failed()) == 0 {
			if err := w.step(ctx); err != nil && ctx.Err() == nil {
				w.site.fail("the watch ends: %v", err)
			}
		}
	}()
}

// end stops watching. Whoever has read the same topics says how much there was: a
// watch that misses records would find nothing wrong.
func (w *watch) end(read int) {
	w.cancel()
	<-w.over
	if len(w.site.failed()) == 0 && w.records < read {
		w.site.fail("the watch has seen %d records of %d", w.records, read)
	}
}

// step waits until something becomes visible, takes all that does at that instant,
// and judges.
func (w *watch) step(ctx context.Context) error {
	var atOnce context.Context // nil: what has come, without waiting
	for fetches := w.client.PollFetches(ctx); ; fetches = w.client.PollFetches(atOnce) {
		if err := errors.Join(fetches.Err(), w.take(ctx, fetches)); err != nil {
			return err
		}
		if fetches.Empty() {
			break
		}
		synctest.Wait()
	}
	w.judge(false)
	return nil
}

func (w *watch) take(ctx context.Context, fetches kgo.Fetches) (err error) {
	fetches.EachRecord(func(r *kgo.Record) {
		seen := check.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Headers: r.Headers, At: r.Timestamp}
		add := w.add
		if name, ofProbe := strings.CutPrefix(r.Topic, probePrefix); ofProbe {
			seen.Topic, add = name, w.addProbe
		}
		err = errors.Join(err, add(ctx, seen))
	})
	return err
}
