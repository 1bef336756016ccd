package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// watching keeps a row for each order that is placed.
type watching struct {
	rows    topology.Rows
	applied []string
}

func (w *watching) service(format string) topology.Service {
	view := topology.View{
		Name: "placed", Keep: func(rows topology.Rows) { w.rows = rows }, Format: format,
		Handlers: []topology.ViewHandler{topology.See("OrderPlaced", func(_ struct{}, c topology.Cause) {
			w.applied = append(w.applied, c.Envelope.Order)
			w.rows.Put(c.Envelope.Order, []byte("placed"))
		})},
	}
	return topology.Service{Name: "watching", Owner: "test", Doc: "keeps what it sees", Views: []topology.View{view}}
}

func (w *watching) orders(t testing.TB) string {
	t.Helper()
	var all []string
	if err := w.rows.Scan("", func(key string, _ []byte) error { all = append(all, key); return nil }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// seen has instance a see orders, and ends it.
func (b *bench) seen(list ...string) *watching {
	b.t.Helper()
	w := &watching{}
	i := b.start("a", w.service("1"))
	b.publishAll(list)
	b.until("they are seen", func() bool { return w.orders(b.t) == strings.Join(list, " ") })
	i.end()
	return w
}

// TestKeptView: what a view keeps on its disk outlives the process, with where it was read
// up to; it is read anew where its rows are of another format, or a topic is another one.
func TestKeptView(t *testing.T) {
	b := newBench(t)
	see := func(format string) *watching {
		t.Helper()
		w := &watching{}
		i := b.start("a", w.service(format))
		await(t, i.runner.Ready(), "the view is ready")
		i.end()
		slices.Sort(w.applied)
		return w
	}
	b.seen("web-1", "web-2")
	b.publish("web-3")
	for _, c := range []struct{ name, format, applied string }{
		{"what came meanwhile", "1", "web-3"},
		{"nothing new", "1", ""},
		{"another format", "2", "web-1 web-2 web-3"},
		{"nothing new of that", "2", ""},
	} {
		if w := see(c.format); strings.Join(w.applied, " ") != c.applied {
			t.Errorf("%s: read %q, want %q", c.name, w.applied, c.applied)
		}
	}

	b.remake("orders")
	b.publish("web-9")
	again := &watching{}
	b.start("a", again.service("2"))
	b.until("the new topic's alone are there", func() bool { return again.orders(t) == "web-9" })
}

// TestTrimmedView: what a topic has let go of never comes, and nobody waits for it.
func TestTrimmedView(t *testing.T) {
	b := newBench(t)
	b.seen("web-1")
	b.publish("web-1")
	b.publish("web-2")
	ends, err := b.adm.ListEndOffsets(t.Context(), b.prefix+"orders")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.adm.DeleteRecords(t.Context(), ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "another"} {
		w := &watching{}
		await(t, b.start(name, w.service("1")).runner.Ready(), name+" is ready")
	}
}

// TestViewOfATopicThatIsAway: what was kept of it is not lost for that, and nobody is told
// that nothing is there.
func TestViewOfATopicThatIsAway(t *testing.T) {
	b := newBench(t)
	w := b.seen("web-1")
	if _, err := b.adm.DeleteTopics(t.Context(), b.prefix+"orders"); err != nil {
		t.Fatal(err)
	}
	store, err := table.Open(table.Config{Dir: b.dirs["a"]})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	b.until("the topic is gone", func() bool {
		topics, err := b.adm.ListTopics(t.Context(), b.prefix+"orders")
		return err == nil && topics.Error() != nil
	})
	if _, err := stream.New(t.Context(), b.config("a", store, prometheus.NewRegistry()), []topology.Service{w.service("1")}); err == nil || !strings.Contains(err.Error(), "which is not there") {
		t.Errorf("it starts: %v", err)
	}
	if kept := w.orders(t); kept != "web-1" {
		t.Errorf("%q is kept", kept)
	}
}

// remake deletes a topic and makes it anew.
func (b *bench) remake(topic string) {
	b.t.Helper()
	topic = b.prefix + topic
	if _, err := b.adm.DeleteTopics(b.t.Context(), topic); err != nil {
		b.t.Fatal(err)
	}
	b.until("the topic is gone", func() bool {
		_, err := b.adm.CreateTopic(b.t.Context(), partitions, -1, nil, topic)
		return err == nil
	})
	b.raw.PurgeTopicsFromProducing(topic) // it knows the old one
	b.until("the topic is there", func() bool {
		topics, err := b.adm.ListTopics(b.t.Context(), topic)
		return err == nil && topics.Error() == nil
	})
}

// TestKeptViewExpires: a row goes with the record that put it.
func TestKeptViewExpires(t *testing.T) {
	b := newBench(t)
	w := &watching{}
	b.start("a", w.service("1"))
	kept := b.estate.Topics[slices.IndexFunc(b.estate.Topics, func(t topology.Topic) bool { return t.Name == "orders" })].Retention.For
	old := &kgo.Record{Partition: homeOf("web-1"), Key: []byte("acme/web-1"), Value: b.framed("web-1"), Timestamp: time.Now().Add(-kept - 2*time.Hour)}
	young := &kgo.Record{Partition: homeOf("web-2"), Key: []byte("acme/web-2"), Value: b.framed("web-2"), Timestamp: time.Now().Add(-kept + time.Hour)}
	b.send(old, young)
	// A poll may have looked, and found nothing, just before they came: then a minute goes by.
	if !within(2*patience, func() bool { return w.orders(t) == "web-2" }) {
		t.Errorf("kept is %q, not the young one alone", w.orders(t))
	}
}
