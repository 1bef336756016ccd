package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology"
)

// promises refuses a broker, or topics, on which what the runtime promises cannot
// be kept: better a service that does not start and says why than one that loses
// rows a month later. What the broker does not let us see is not refused, but
// said.
func promises(ctx context.Context, c Config, cl *kgo.Client, plans []*plan) error {
	l := c.Limits
	adm := kadm.NewClient(cl)
	if err := transactional(ctx, adm); err != nil {
		return err
	}
	if err := boundedByBroker(ctx, adm, l); err != nil {
		return err
	}
	needs := map[string][]need{}
	add := func(topic string, n need) { needs[topic] = append(needs[topic], n) }
	room := int64(l.RecordBytes + l.beside())
	for _, p := range plans {
		for _, s := range p.sets {
			add(s.state, need{"cleanup.policy", "compact", "compact", func(v string) bool { return v == "compact" },
				"rows would be deleted by age, and a restore would begin without them"})
			add(s.state, atLeast("delete.retention.ms", stateRetention.Milliseconds(), "tombstones would be gone before a checkpoint has seen them, and closed rows would come back"))
			add(s.state, atLeast("max.message.bytes", room, "a row of the size that record-bytes allows would be refused, and its input tried for ever"))
			for _, in := range s.inputs {
				add(in, kept("retention.ms", l.DedupeWindow, "an input that is sent again, or read after a stop, would be gone within the dedupe-window"))
				if !c.compacts(in) {
					add(in, need{"cleanup.policy", "delete", "delete", func(v string) bool { return v == "delete" },
						"of a key's inputs all but the last would be gone before a reader that lags has had them, without an error"})
					add(in, need{"retention.bytes", "-1", "-1", func(v string) bool { return v == "-1" },
						"inputs would be gone by how much comes after them, within the dedupe-window too"})
				}
			}
		}
		if len(p.sets) > 0 { // a view buries nothing
			add(p.dead, atLeast("max.message.bytes", int64(l.RecordBytes+deadSlack), "a dead letter would not fit, and its input would be tried for ever"))
		}
		for _, topic := range p.topicOf {
			add(topic, atLeast("max.message.bytes", room, "an output of the size that record-bytes allows would be refused, and its input tried for ever"))
		}
	}
	return fulfil(ctx, c, adm, needs)
}

// transactional asks whether the broker knows transactions at all.
func transactional(ctx context.Context, adm *kadm.Client) error {
	brokers, err := adm.ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask what the brokers can do: %w", err)
	}
	for _, b := range brokers {
		if b.Err != nil {
			continue // it is down: others answer, and it is asked again when it is used
		}
		var missing []string
		for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit} {
			if _, _, has := b.KeyVersions(key.Int16()); !has {
				missing = append(missing, key.Name())
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("broker %d knows no transactions (it lacks %s): offsets, rows and outputs could not be committed together; use Kafka 2.5 or later", b.NodeID, strings.Join(missing, ", "))
		}
	}
	return nil
}

// boundedByBroker refuses a transaction timeout that no broker grants: a producer
// would ask for it again and again.
func boundedByBroker(ctx context.Context, adm *kadm.Client, l Limits) error {
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	configs, err := adm.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	if err != nil {
		return nil // not ours to see: the worker says what the broker answers
	}
	for _, c := range configs {
		for _, kv := range c.Configs {
			if kv.Key != "transaction.max.timeout.ms" || kv.Value == nil {
				continue
			}
			most, err := strconv.ParseInt(*kv.Value, 10, 64)
			if err == nil && l.TransactionTimeout.Milliseconds() > most {
				return fmt.Errorf("transaction-timeout %v is above the broker's transaction.max.timeout.ms of %v: set the limit to at most that", l.TransactionTimeout, time.Duration(most)*time.Millisecond)
			}
		}
	}
	return nil
}

// need is what a topic's configuration must be.
type need struct {
	key, want, set string // set is a value that will do
	is             func(value string) bool
	why            string
}

func atLeast(key string, n int64, why string) need {
	least := strconv.FormatInt(n, 10)
	return need{key, "at least " + least, least, func(v string) bool {
		have, err := strconv.ParseInt(v, 10, 64)
		return err != nil || have >= n
	}, why}
}

// compacts says that a topic is to keep the last record of each key alone.
func (c Config) compacts(topic string) bool {
	return slices.ContainsFunc(c.Estate.Topics, func(t topology.Topic) bool { return c.topic(t.Name) == topic && t.Retention.Compact })
}

// kept is a retention; -1 keeps for ever, and so does a topic that is compacted.
func kept(key string, d time.Duration, why string) need {
	n := atLeast(key, d.Milliseconds(), why)
	long := n.is
	n.is = func(v string) bool { return v == "-1" || long(v) }
	n.want += " or -1"
	return n
}

func fulfil(ctx context.Context, c Config, adm *kadm.Client, needs map[string][]need) error {
	configs, err := adm.DescribeTopicConfigs(ctx, sortedKeys(needs)...)
	if err != nil {
		c.Log.Warn("the configuration of topics could not be read, and is not checked", "error", err)
		return nil
	}
	var errs []error
	for _, t := range configs {
		if t.Err != nil {
			c.Log.Warn("the configuration of a topic could not be read, and is not checked", "topic", t.Name, "error", t.Err)
			continue
		}
		values := map[string]string{}
		for _, kv := range t.Configs {
			if kv.Value != nil {
				values[kv.Key] = *kv.Value
			}
		}
		for _, n := range needs[t.Name] {
			value, known := values[n.key]
			compacted := n.key == "retention.ms" && values["cleanup.policy"] == "compact"
			if !known || compacted || n.is(value) {
				continue
			}
			errs = append(errs, fmt.Errorf("topic %s has %s=%s, needed is %s: %s; kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name %s --add-config %s=%s mends it",
				t.Name, n.key, value, n.want, n.why, t.Name, n.key, n.set))
		}
	}
	return errors.Join(errs...)
}
