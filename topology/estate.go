package topology

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed estate.yaml
var estateYAML []byte

// Estate is the list of what exists.
type Estate struct {
	Version    int     `yaml:"version"`
	Partitions int32   `yaml:"partitions"`
	Topics     []Topic `yaml:"topics"`
	Inboxes    []Inbox `yaml:"inboxes"`
}

// Topic is a public topic. Its owner alone writes it.
type Topic struct {
	Name       string    `yaml:"name"`
	Owner      string    `yaml:"owner"`
	Key        string    `yaml:"key"`
	Events     []string  `yaml:"events"`
	Partitions int32     `yaml:"partitions,omitempty"` // 0: the estate's
	Retention  Retention `yaml:"retention"`
	Foreign    bool      `yaml:"foreign,omitempty"` // the owner is no service of this binary
}

// Inbox is how anything reaches a service that is no public fact.
type Inbox struct {
	Name    string   `yaml:"name"`
	Writers []string `yaml:"writers"`
}

// Retention is how long records stay. Compact keeps the last of each key.
type Retention struct {
	Compact bool
	For     time.Duration
}

// UnmarshalYAML reads "compact" or a number of days such as "400d".
func (r *Retention) UnmarshalYAML(b []byte) error {
	text := strings.Trim(strings.TrimSpace(string(b)), `"`)
	if text == "compact" {
		r.Compact = true
		return nil
	}
	days, ok := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 {
		return fmt.Errorf("retention %q is neither \"compact\" nor a number of days such as \"400d\"", text)
	}
	r.For = time.Duration(n) * 24 * time.Hour
	return nil
}

// DefaultEstate is the estate that ships with the binary.
func DefaultEstate() (Estate, error) { return ReadEstate(estateYAML) }

// ReadEstate reads an estate; an unknown or doubled entry is an error.
func ReadEstate(b []byte) (Estate, error) {
	var e Estate
	if err := yaml.UnmarshalWithOptions(b, &e, yaml.Strict()); err != nil {
		return Estate{}, fmt.Errorf("read estate: %w", err)
	}
	if e.Partitions < 1 {
		return Estate{}, fmt.Errorf("read estate: partitions is %d, want at least 1", e.Partitions)
	}
	events, names := map[string]string{}, map[string]bool{}
	for _, t := range e.Topics {
		if names[t.Name] {
			return Estate{}, fmt.Errorf("read estate: topic %s is listed twice: a public topic has one owner", t.Name)
		}
		names[t.Name] = true
		for _, event := range t.Events {
			if other, taken := events[event]; taken {
				return Estate{}, fmt.Errorf("read estate: event %s is on %s and on %s: an event has one topic", event, other, t.Name)
			}
			events[event] = t.Name
		}
	}
	return e, nil
}

// TopicOf returns the topic that carries an event.
func (e Estate) TopicOf(event string) (Topic, bool) {
	for _, t := range e.Topics {
		if slices.Contains(t.Events, event) {
			return t, true
		}
	}
	return Topic{}, false
}

// PartitionsOf is the declared number of partitions of a public topic.
func (e Estate) PartitionsOf(t Topic) int32 {
	if t.Partitions > 0 {
		return t.Partitions
	}
	return e.Partitions
}

// InboxTopic is the topic of an inbox, which is named by service or service.set.
func InboxTopic(inbox string) string { return inbox + ".inbox" }

// DeadTopic holds a service's dead letters.
func DeadTopic(service string) string { return service + ".dead" }

// TimerSource names a timer where a dead letter names its source's topic.
func TimerSource(set, name, discriminator, key string) string {
	return fmt.Sprintf("timer %s/%s of %s, key %s", name, discriminator, set, key)
}

// Full is the set's name with its service's: "inventory.stock".
func (s Service) Full(set Set) string {
	if set.Name == "" {
		return s.Name
	}
	return s.Name + "." + set.Name
}

// StateTopic is a set's changelog.
func (s Service) StateTopic(set Set) string { return s.Full(set) + StateSuffix }

// StateSuffix ends the name of every changelog, after the set's full name.
const StateSuffix = ".state"

// ReplayTopic is where what is sent again to a set arrives.
func (s Service) ReplayTopic(set Set) string { return s.Full(set) + ".replay" }

// Inputs lists the topics that a set reads, sorted: the topics of its events,
// its inbox and its replays, all of one key and one number of partitions.
func (s Service) Inputs(e Estate, set Set) ([]string, error) {
	var topics []string
	for _, h := range set.Handlers {
		switch h.Trigger {
		case OnFact:
			t, ok := e.TopicOf(h.Name)
			if !ok {
				return nil, fmt.Errorf("service %s reacts to %s, which no topic of the estate carries", s.Name, h.Name)
			}
			topics = append(topics, t.Name)
		case OnRequest, OnOutcome:
			topics = append(topics, InboxTopic(s.Full(set)))
		case OnDead:
			topics = append(topics, e.deadTopics(s.Name)...)
		}
	}
	if len(topics) > 0 {
		topics = append(topics, s.ReplayTopic(set))
	}
	slices.Sort(topics)
	return slices.Compact(topics), nil
}

// deadTopics are the dead letters of every service but one.
func (e Estate) deadTopics(except string) []string {
	var topics []string
	for _, t := range e.Topics {
		if t.Owner != except && !t.Foreign {
			topics = append(topics, DeadTopic(t.Owner))
		}
	}
	return topics
}
