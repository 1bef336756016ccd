package conformance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// foreign is a record as another team's program might send it.
type foreign struct {
	name, cause string // cause: "" for one that is as good as ours
	record      *kgo.Record
}

// mistakes are the ways in which a record can be wrong before anything of ours
// has looked at its meaning; each under its own order.
func (b *bench) mistakes() (list []foreign) {
	b.t.Helper()
	good := b.framed("model")
	add := func(name, cause string, value []byte) *kgo.Record {
		key := []byte("acme/" + name)
		r := &kgo.Record{Partition: homeOf(name), Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(name)}}}
		list = append(list, foreign{name, cause, r})
		return r
	}
	for cut := range good {
		cause := "body"
		if cut < 5 {
			cause = "framing"
		}
		add(fmt.Sprintf("cut-%d", cut), cause, good[:cut])
	}
	add("deleted", "framing", nil)
	add("json", "framing", []byte(`{"orderId": "json", "currency": "EUR"}`))
	add("unknown", "schema", b.framedAs("unknown", neverRegistered))
	stranger := b.register("strangers-Other", `{"type": "record", "name": "OrderPlaced", "namespace": "troupe.ordercapture", "fields": [{"name": "n", "type": "int"}]}`)
	add("incompatible", "body", append(binary.BigEndian.AppendUint32([]byte{0}, uint32(stranger)), 2))
	add("elsewhere", "partition", b.framed("elsewhere")).Partition = (homeOf("elsewhere") + 1) % partitions
	add("keyless", "key", b.framed("keyless")).Key = nil
	return list
}

const neverRegistered = 4711

// TestEveryMistakeIsNamed mixes wrong records with good ones in the same polls,
// and cuts a good one at each of its bytes. What goes in comes out as a fact or
// as a dead letter that leads back to it, unchanged.
func TestEveryMistakeIsNamed(t *testing.T) {
	b := newBench(t)
	i := b.start("a", counting(clearing))
	wrong := b.mistakes()
	var all []*kgo.Record
	var good []string
	for n, f := range wrong {
		o := fmt.Sprintf("web-%d", n)
		good = append(good, o)
		all = append(all, &kgo.Record{Partition: homeOf(o), Key: []byte("acme/" + o), Value: b.framed(o)}, f.record)
	}
	b.send(all...)
	b.settle()
	b.each(good)
	b.names(wrong)

	// Both are over and done with: another start finds nothing left to do.
	i.end()
	b.start("a", counting(clearing))
	b.publish("later")
	b.settle()
	b.each(append(good, "later"))
	b.names(wrong)
}

// names says that each wrong record, and no other, has one dead letter.
func (b *bench) names(wrong []foreign) {
	b.t.Helper()
	want, got := map[string]string{}, map[string]string{}
	bySource := map[string]foreign{}
	for _, f := range wrong {
		source := fmt.Sprintf("orders/%d/%d", f.record.Partition, f.record.Offset)
		want[source], bySource[source] = f.cause, f
	}
	for _, r := range b.read("fraud.dead") {
		source := sourceOf(r)
		if _, twice := got[source]; twice {
			b.t.Errorf("%s is buried twice", source)
		}
		got[source] = headerOf(r, "dead.cause")
		f := bySource[source]
		if f.record == nil {
			continue // the maps differ, and say it
		}
		if !slices.Equal(r.Key, f.record.Key) || !slices.Equal(r.Value, f.record.Value) || headerOf(r, "traceparent") != f.name {
			b.t.Errorf("%s: key, value or headers were changed", f.name)
		}
		if headerOf(r, "dead.service") != "fraud" || headerOf(r, "dead.detail") == "" || headerOf(r, "dead.at") == "" {
			b.t.Errorf("%s: the dead letter does not say who buried it, why and when", f.name)
		}
	}
	if !maps.Equal(got, want) {
		b.t.Errorf("dead letters %v, want %v", got, want)
	}
}

// TestHugeRecords: ten megabytes may come as a few compressed kilobytes. What can
// be used is used; what cannot becomes a dead letter that fits and leads to its
// source, and the partition flows on.
func TestHugeRecords(t *testing.T) {
	b := newBench(t)
	huge := strings.Repeat("x", 10<<20)
	b.start("a", counting(func(c *count, e placedRead, turn *topology.Turn) error {
		switch turn.Cause.Envelope.Order {
		case "poison":
			return topology.Poison("it will never do")
		case "parked":
			return topology.Park(time.Hour, "it must wait")
		}
		return clearing(c, e, turn)
	}))
	record := func(order string) *kgo.Record {
		m := placed(order)
		m.Channel = huge
		value, err := b.wire.Encode("orders", m)
		if err != nil {
			t.Fatal(err)
		}
		return &kgo.Record{Topic: b.prefix + "orders", Partition: homeOf(order), Key: []byte("acme/" + order), Value: value}
	}
	wide := record("wide-key")
	wide.Key = []byte("acme/" + huge)
	wide.Partition = homeOf(huge)
	wide.Headers = []kgo.RecordHeader{{Key: "note", Value: []byte(huge)}}
	noise := record("noise")
	noise.Value = make([]byte, len(huge))
	noise.Value[0] = 1
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(64<<20),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wrong := map[string]*kgo.Record{"poison": record("poison"), "parked": record("parked"), "key": wide, "framing": noise}
	for _, r := range []*kgo.Record{record("good"), wrong["poison"], wrong["parked"], wide, noise} {
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	b.publish("after")
	b.settle()
	b.each([]string{"good", "after"})
	dead := b.read("fraud.dead")
	for cause, r := range wrong {
		i := slices.IndexFunc(dead, func(d *kgo.Record) bool { return headerOf(d, "dead.cause") == cause })
		if i < 0 {
			t.Errorf("no dead letter of cause %s", cause)
			continue
		}
		if source := fmt.Sprintf("orders/%d/%d", r.Partition, r.Offset); sourceOf(dead[i]) != source {
			t.Errorf("%s: leads to %s, want %s", cause, sourceOf(dead[i]), source)
		}
		want := "value"
		if cause == "key" {
			want = "value,headers,key"
		}
		if got := headerOf(dead[i], "dead.omitted"); got != want || len(dead[i].Value) > 0 {
			t.Errorf("%s: %q is left out, want %q", cause, got, want)
		}
	}
	if len(dead) != len(wrong) {
		t.Errorf("%d dead letters, want %d", len(dead), len(wrong))
	}
}

// sourceOf is where a dead letter says that it came from.
func sourceOf(r *kgo.Record) string {
	return headerOf(r, "dead.topic") + "/" + headerOf(r, "dead.partition") + "/" + headerOf(r, "dead.offset")
}
