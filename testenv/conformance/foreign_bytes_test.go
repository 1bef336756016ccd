package conformance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
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
		source := headerOf(r, "dead.topic") + "/" + headerOf(r, "dead.partition") + "/" + headerOf(r, "dead.offset")
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
