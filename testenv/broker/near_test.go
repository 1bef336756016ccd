package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// TestNearAndFar: a client of this process that reaches the embedded broker without
// a socket and one that comes by its port see the same topics; who comes
// once it is closed is refused.
func TestNearAndFar(t *testing.T) {
	e, err := StartEmbedded(EmbeddedConfig{Check: schemas.CompatText})
	if err != nil {
		t.Fatal(err)
	}
	connect := func(opts ...kgo.Opt) *kadm.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(e.Brokers...), kgo.RequestRetries(0))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return kadm.NewClient(cl)
	}
	near, far := connect(e.Options...), connect()
	if _, err := near.CreateTopic(t.Context(), 3, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	topics, err := far.ListTopics(t.Context())
	if err != nil || len(topics["orders"].Partitions) != 3 {
		t.Errorf("by the port: %v, %v", topics, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name, cl := range map[string]*kadm.Client{"near": connect(e.Options...), "far": connect()} {
		if _, err := cl.ListTopics(t.Context()); err == nil {
			t.Errorf("%s: a broker that is closed has answered", name)
		}
	}
}
