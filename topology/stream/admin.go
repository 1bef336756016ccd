package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology"
)

// widths knows how many partitions each topic has, and which topic of its name it is.
type widths struct {
	n   map[string]int32
	ids map[string][16]byte
}

func (w *widths) of(topic string) (int32, error) {
	if n := w.n[topic]; n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("topic %s does not exist: run `troupe topology apply`", topic)
}

// existing are those of some topics that are there, each once.
func (w *widths) existing(topics []string) []string {
	there := slices.DeleteFunc(slices.Clone(topics), func(t string) bool { return w.n[t] == 0 })
	slices.Sort(there)
	return slices.Compact(there)
}

// Declared is a topic as the estate wants it.
type Declared struct {
	Name       string
	Partitions int32
	Configs    map[string]string
}

// stateRetention is delete.retention.ms of changelogs: how long a tombstone can
// be seen. A checkpoint older than half of it is not trusted.
const stateRetention = 7 * 24 * time.Hour

// deadSlack is what a dead letter may be larger than its source, for headers.
const deadSlack = 64 << 10

// Topics lists every topic that an estate and its services need.
func Topics(c Config, services []topology.Service) ([]Declared, error) {
	all := map[string]Declared{}
	add := func(name string, partitions int32, configs map[string]string) {
		all[c.topic(name)] = Declared{Name: c.topic(name), Partitions: partitions, Configs: configs}
	}
	for _, t := range c.Estate.Topics {
		configs := map[string]string{"cleanup.policy": "compact"}
		if !t.Retention.Compact {
			configs = map[string]string{"cleanup.policy": "delete", "retention.ms": ms(t.Retention.For)}
		}
		add(t.Name, c.Estate.PartitionsOf(t), configs)
		if !t.Foreign { // triage reads the dead letters of all, running here or not
			add(topology.DeadTopic(t.Owner), c.Estate.Partitions, map[string]string{
				"cleanup.policy": "delete", "retention.ms": ms(400 * 24 * time.Hour), "max.message.bytes": strconv.Itoa(1<<20 + deadSlack),
			})
		}
	}
	for _, s := range services {
		for _, set := range s.Sets {
			add(s.StateTopic(set), c.Estate.Partitions, map[string]string{"cleanup.policy": "compact", "delete.retention.ms": ms(stateRetention)})
			add(topology.InboxTopic(s.Full(set)), c.Estate.Partitions, map[string]string{"cleanup.policy": "delete", "retention.ms": ms(30 * 24 * time.Hour)})
			add(s.ReplayTopic(set), c.Estate.Partitions, map[string]string{"cleanup.policy": "delete", "retention.ms": ms(7 * 24 * time.Hour)})
		}
	}
	var list []Declared
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list, nil
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Apply makes the topics that are missing and returns their names. One that
// exists with fewer or more partitions is an error: with their number, keys change
// places, and leave their rows behind.
func Apply(ctx context.Context, c Config, services []topology.Service) ([]string, error) {
	want, err := Topics(c, services)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(c.client("admin", kgo.MetadataMinAge(newTopicsEvery))...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	have, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var made []string
	var errs []error
	for _, t := range want {
		if d, ok := have[t.Name]; ok && d.Err == nil {
			if n := int32(len(d.Partitions)); n != t.Partitions {
				errs = append(errs, fmt.Errorf("topic %s has %d partitions, declared are %d: with another number keys would leave their rows: declare what it has, or apply under another --prefix", t.Name, n, t.Partitions))
			}
			continue
		}
		configs := map[string]*string{}
		for k, v := range t.Configs {
			configs[k] = &v
		}
		if _, err := adm.CreateTopic(ctx, t.Partitions, -1, configs, t.Name); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			errs = append(errs, fmt.Errorf("create topic %s: %w", t.Name, err))
			continue
		}
		made = append(made, t.Name)
	}
	if err := errors.Join(errs...); err != nil {
		return made, err
	}
	return made, known(ctx, cl, made)
}

// newTopicsEvery is between two looks at whether new topics are known; the client
// answers from memory for as long as it takes metadata to be true.
const newTopicsEvery = 20 * time.Millisecond

// known waits until every broker knows of topics that were just made, with their
// leaders: they answer before that, and who starts at once would be told by one that
// they are missing.
func known(ctx context.Context, cl *kgo.Client, topics []string) error {
	tick := time.NewTicker(newTopicsEvery)
	defer tick.Stop()
	for len(topics) > 0 {
		brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
		if err != nil {
			return fmt.Errorf("list brokers: %w", err)
		}
		if !slices.ContainsFunc(brokers, func(b kadm.BrokerDetail) bool { return !knows(ctx, cl.Broker(int(b.NodeID)), topics) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for new topics: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// knows asks one broker.
func knows(ctx context.Context, b *kgo.Broker, topics []string) bool {
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := b.Request(ctx, req)
	if err != nil {
		return ctx.Err() == nil // who cannot be asked is not waited for
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		led := !slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader < 0 || p.ErrorCode != 0 })
		if t.ErrorCode != 0 || len(t.Partitions) == 0 || !led {
			return false
		}
	}
	return true
}

// endsOf asks for the end of every partition of some topics. Of those alone: on a
// broker that others use topics come and go, and one that goes is an error.
func endsOf(ctx context.Context, adm *kadm.Client, topics []string) (map[string]map[int32]int64, error) {
	return offsetsOf(ctx, "end", adm.ListEndOffsets, topics)
}

// startsOf are where topics begin now.
func startsOf(ctx context.Context, adm *kadm.Client, topics []string) (map[string]map[int32]int64, error) {
	return offsetsOf(ctx, "start", adm.ListStartOffsets, topics)
}

func offsetsOf(ctx context.Context, which string, ask func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (map[string]map[int32]int64, error) {
	offsets := map[string]map[int32]int64{}
	if len(topics) == 0 {
		return offsets, nil
	}
	list, err := ask(ctx, topics...)
	if err == nil {
		err = list.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list %s offsets: %w", which, err)
	}
	list.Each(func(o kadm.ListedOffset) {
		if offsets[o.Topic] == nil {
			offsets[o.Topic] = map[int32]int64{}
		}
		offsets[o.Topic][o.Partition] = o.Offset
	})
	return offsets, nil
}

// measure asks for the partitions of what the plans use, and refuses a set that
// is not co-partitioned.
func measure(ctx context.Context, c Config, adm *kadm.Client, plans []*plan) (*widths, error) {
	details, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	w := &widths{n: map[string]int32{}, ids: map[string][16]byte{}}
	for name, d := range details {
		if d.Err == nil {
			w.n[name], w.ids[name] = int32(len(d.Partitions)), d.ID
		}
	}
	var errs []error
	for _, p := range plans {
		for _, s := range p.sets {
			for _, t := range append([]string{s.state}, s.inputs...) {
				n, err := w.of(t)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if s.width != 0 && s.width != n {
					errs = append(errs, fmt.Errorf("set %s is not co-partitioned: %s has %d partitions, %s has %d", s.full, t, n, s.state, s.width))
				}
				s.width = n
			}
		}
	}
	return w, errors.Join(errs...)
}
