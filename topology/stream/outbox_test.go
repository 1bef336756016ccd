package stream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology/clock"
)

// TestOneGivesUpAlone: of two who wait for the same partition one waits no longer. The
// other's record arrives, and he is told so.
func TestOneGivesUpAlone(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "inbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	reached, answer := make(chan struct{}), make(chan struct{})
	arrived := sync.OnceFunc(func() { close(reached) })
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		arrived()
		cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	o, err := newOutbox(Config{Brokers: cluster.ListenAddrs(), Instance: "0", Clock: clock.Wall()}, framer{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	impatient, giveUp := context.WithCancel(t.Context())
	send := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		before := o.client.BufferedProduceRecords()
		go func() { done <- o.produce(ctx, []*kgo.Record{{Topic: "inbox", Value: []byte("v")}}) }()
		for o.client.BufferedProduceRecords() == before {
			time.Sleep(time.Millisecond)
		}
		return done
	}
	first, second := send(impatient), send(t.Context())
	<-reached
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up was told %v", err)
	}
	close(answer)
	if err := <-second; err != nil {
		t.Errorf("who waited was told %v", err)
	}
}
