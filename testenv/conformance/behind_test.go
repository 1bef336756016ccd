package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services/fraud"
	"troupe/services/processmanager"
	"troupe/topology/clock"
	"troupe/topology/partner"
)

// TestOwnerIsBehind: while fraud has not read an order, its answer is not
// overdue; all orders wait under one incident, which ends when fraud has read
// them.
func TestOwnerIsBehind(t *testing.T) {
	scoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"decision": "CLEAR", "score": 7})
	}))
	defer scoring.Close()
	definition, err := processmanager.DefaultDefinition()
	if err != nil {
		t.Fatal(err)
	}
	risk := fraud.Service(fraud.Gateway{Partner: partner.Client{URL: scoring.URL}})
	b := newBench(t)
	b.quick = clock.Quick(nine, 100) // an answer is due in three seconds: three nodes on a busy machine take one
	b.limits.WatchEvery, b.limits.IdleCommit = 20*time.Millisecond, 20*time.Millisecond
	seen := b.follow("flows")
	b.start("watch", processmanager.Service(definition))

	early := b.start("risk", risk)
	home := homeOf("1")
	b.publishNow("1")
	b.await("fraud", "FraudCleared")
	early.end() // it has committed, and now stands still
	later := b.sameHome(home, 2)
	for _, order := range later {
		b.publishNow(order)
	}
	seen.until("OwnerBehind")
	b.start("risk", risk)
	seen.until("OwnerCaughtUp")
	if n := seen.types["OwnerBehind"]; n != 1 {
		t.Errorf("%d incidents for one owner", n)
	}
	for _, order := range seen.overdue["fraud"] {
		if slices.Contains(later, order) { // the first was read: a busy machine may have been late with it
			t.Errorf("order %s: the answer of an owner that had not read the question was overdue", order)
		}
	}
}

// incident checks that what is told of an owner is told of no order, though an
// order's deadline brought it up.
func (f *follower) incident(frame schemas.Frame, key string) {
	f.b.t.Helper()
	reader, err := schemas.NewFieldReader(f.b.wire, frame.Type, nil)
	if err != nil {
		f.b.t.Fatal(err)
	}
	e, _, err := reader.Decode(frame)
	if err != nil {
		f.b.t.Fatal(err)
	}
	if e.Order != "" || e.AggregateID != key || !strings.HasPrefix(key, "partition/") {
		f.b.t.Errorf("%s under %q is about %q and order %q, not about a partition", e.Type, key, e.AggregateID, e.Order)
	}
}

// publishNow writes an order that is placed at this moment.
func (b *bench) publishNow(order string) {
	b.t.Helper()
	m := placed(order)
	m.OccurredAt = b.quick.Now()
	value, err := b.wire.Encode("orders", m)
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(order, homeOf(order), value)
}

// sameHome names n orders whose keys lie in a partition.
func (b *bench) sameHome(partition int32, n int) (out []string) {
	for _, order := range []string{"2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18"} {
		if homeOf(order) == partition && len(out) < n {
			out = append(out, order)
		}
	}
	if len(out) < n {
		b.t.Fatalf("no %d orders in partition %d", n, partition)
	}
	return out
}

// follower reads a topic as it grows.
type follower struct {
	b       *bench
	client  *kgo.Client
	types   map[string]int
	overdue map[string][]string // orders by owner
}

func (b *bench) follow(topic string) *follower {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	return &follower{b: b, client: cl, types: map[string]int{}, overdue: map[string][]string{}}
}

// until reads on until an event of the type has come.
func (f *follower) until(event string) {
	f.b.t.Helper()
	reader, err := schemas.NewFieldReader(f.b.wire, "ObligationOverdue", []string{"owner"})
	if err != nil {
		f.b.t.Fatal(err)
	}
	for f.types[event] == 0 {
		fetches := f.client.PollFetches(f.b.t.Context())
		if err := f.b.t.Context().Err(); err != nil {
			f.b.t.Fatalf("no %s came; seen %v", event, f.types)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			frame, err := f.b.wire.Open(f.b.t.Context(), r.Value)
			if err != nil {
				f.b.t.Fatal(err)
			}
			f.types[frame.Type]++
			switch frame.Type {
			case "ObligationOverdue":
				e, fields, err := reader.Decode(frame)
				if err != nil {
					f.b.t.Fatal(err)
				}
				owner := fields["owner"].(string)
				f.overdue[owner] = append(f.overdue[owner], e.Order)
			case "OwnerBehind", "OwnerCaughtUp":
				f.incident(frame, string(r.Key))
			}
		})
	}
}

func (b *bench) await(topic, event string) {
	b.t.Helper()
	b.follow(topic).until(event)
}

// TestTwoLookAtOneOwner: every instance looks how far an owner has read, and one
// that starts looks anew. What they saw at different times are different messages:
// under one ID the second would be a dead letter.
func TestTwoLookAtOneOwner(t *testing.T) {
	scoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"decision": "CLEAR", "score": 7})
	}))
	defer scoring.Close()
	definition, err := processmanager.DefaultDefinition()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.quick = clock.Quick(nine, 600)
	b.limits.WatchEvery, b.limits.IdleCommit = 20*time.Millisecond, 20*time.Millisecond
	b.start("risk", fraud.Service(fraud.Gateway{Partner: partner.Client{URL: scoring.URL}}))
	b.publishNow("1")
	b.await("fraud", "FraudCleared")
	b.start("one", processmanager.Service(definition))
	b.start("two", processmanager.Service(definition))
	b.until("both have told what they saw", func() bool {
		twice := false
		values := map[string]string{}
		places := map[string]int{}
		for _, r := range b.read("processmanager.inbox") {
			id, place := b.positionOf(r)
			if before, known := values[id]; known && before != string(r.Value) {
				t.Fatalf("position %s is told twice, in other words", place)
			}
			values[id] = string(r.Value)
			places[place]++
			twice = twice || places[place] > 1
		}
		return twice
	})
}

// positionOf is a message's ID, and what it is about but for the time.
func (b *bench) positionOf(r *kgo.Record) (id, place string) {
	b.t.Helper()
	frame, err := b.wire.Open(b.t.Context(), r.Value)
	if err != nil {
		b.t.Fatal(err)
	}
	reader, err := schemas.NewFieldReader(b.wire, frame.Type, []string{"owner", "topic", "partition", "offset"})
	if err != nil {
		b.t.Fatal(err)
	}
	e, fields, err := reader.Decode(frame)
	if err != nil {
		b.t.Fatal(err)
	}
	return e.ID, fmt.Sprint(fields["owner"], " ", fields["topic"], " ", fields["partition"], " ", fields["offset"])
}
