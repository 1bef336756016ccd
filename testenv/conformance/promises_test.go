package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// TestPromisesThatCannotBeKept: a service does not start on topics, or with
// limits, on which it would lose something later. It says what and why.
func TestPromisesThatCannotBeKept(t *testing.T) {
	b := newBench(t)
	services := []topology.Service{counting(clearing)}
	store, err := table.Open(table.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	c := b.config("a", store, prometheus.NewRegistry())
	made, err := stream.Apply(t.Context(), c, services)
	if err != nil {
		t.Fatal(err)
	}
	b.until("topics are known", func() bool {
		topics, err := b.adm.ListTopics(t.Context(), made...)
		return err == nil && topics.Error() == nil
	})
	says := func(c stream.Config) string {
		if _, err := stream.New(t.Context(), c, services); err != nil {
			return err.Error()
		}
		return ""
	}
	if why := says(c); why != "" {
		t.Fatalf("as it was made it is refused: %s", why)
	}
	for _, wrong := range []struct{ topic, key, value, says string }{
		{"fraud.state", "cleanup.policy", "delete", "deleted by age"},
		{"fraud.state", "cleanup.policy", "compact,delete", "deleted by age"},
		{"fraud.state", "delete.retention.ms", "1000", "closed rows would come back"},
		{"fraud.state", "max.message.bytes", "100000", "a row of the size"},
		{"fraud", "max.message.bytes", "100000", "an output of the size"},
		{"fraud.dead", "max.message.bytes", "900000", "a dead letter would not fit"},
		{"orders", "retention.ms", "3600000", "dedupe-window"},
		{"orders", "retention.bytes", "1048576", "dedupe-window"},
		{"orders", "cleanup.policy", "compact", "all but the last"},
		{"orders", "cleanup.policy", "compact,delete", "all but the last"},
	} {
		before := b.configOf(wrong.topic, wrong.key)
		b.configure(wrong.topic, wrong.key, wrong.value)
		why := says(c)
		if !strings.Contains(why, wrong.says) || !strings.Contains(why, b.prefix+wrong.topic) || !strings.Contains(why, "needed is") {
			t.Errorf("%s with %s=%s: it says %q", wrong.topic, wrong.key, wrong.value, why)
		}
		_, fix, _ := strings.Cut(why, "--entity-name "+b.prefix+wrong.topic+" --add-config "+wrong.key+"=")
		value, _, _ := strings.Cut(fix, " ")
		b.configure(wrong.topic, wrong.key, value)
		if still := says(c); still != "" {
			t.Errorf("%s with the %s=%s that was proposed: it says %q", wrong.topic, wrong.key, value, still)
		}
		b.configure(wrong.topic, wrong.key, before)
	}
	b.configure("orders", "retention.ms", "-1") // for ever is long enough
	if why := says(c); why != "" {
		t.Errorf("an input that is kept for ever is refused: %s", why)
	}
	c.Limits.TransactionTimeout, c.Limits.RebalanceTimeout = time.Hour, 2*time.Hour
	if why := says(c); !strings.Contains(why, "transaction.max.timeout.ms of 15m") {
		t.Errorf("a transaction of an hour: it says %q", why)
	}
}

func (b *bench) configOf(topic, key string) string {
	b.t.Helper()
	value, err := b.configAt(b.raw, topic, key)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// configure sets a topic's configuration, and waits until every broker says so: who
// asks next may ask any of them.
func (b *bench) configure(topic, key, value string) {
	b.t.Helper()
	answers, err := b.adm.AlterTopicConfigs(b.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, b.prefix+topic)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			b.t.Fatal(a.Err)
		}
	}
	b.until("the configuration is known", func() bool {
		brokers, err := b.adm.ListBrokers(b.t.Context())
		return err == nil && !slices.ContainsFunc(brokers, func(at kadm.BrokerDetail) bool {
			said, err := b.configAt(b.raw.Broker(int(at.NodeID)), topic, key)
			return err != nil || said != value
		})
	})
}

// configAt is what one broker says, or any.
func (b *bench) configAt(at kmsg.Requestor, topic, key string) (string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, b.prefix+topic, []string{key}
	req.Resources = append(req.Resources, r)
	answer, err := req.RequestWith(b.t.Context(), at)
	if err != nil {
		return "", err
	}
	if len(answer.Resources) != 1 || len(answer.Resources[0].Configs) != 1 || answer.Resources[0].Configs[0].Value == nil {
		return "", fmt.Errorf("topic %s has no %s", topic, key)
	}
	return *answer.Resources[0].Configs[0].Value, nil
}
