package conformance

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services/triage"
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
	add("no-id", "schema", b.framedAs("no-id", math.MaxUint32))
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
		b.clock.Published(r.Topic, r.Partition, r.Offset+1)
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

// asWritten is OrderPlaced as another team writes it: the published schema with its
// fields changed, known to the registry.
func (b *bench) asWritten(change func(fields map[string]any, order []string) []string) (write func(schemas.Message) []byte) {
	b.t.Helper()
	catalogue, err := schemas.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	published := catalogue.Type("OrderPlaced").Latest()
	var schema map[string]any
	if err := json.Unmarshal([]byte(published.Text), &schema); err != nil {
		b.t.Fatal(err)
	}
	fields, order := map[string]any{}, []string(nil)
	for _, f := range schema["fields"].([]any) {
		name := f.(map[string]any)["name"].(string)
		fields[name] = f.(map[string]any)["type"]
		order = append(order, name)
	}
	var changed []any
	for _, name := range change(fields, order) {
		changed = append(changed, map[string]any{"name": name, "type": fields[name]})
	}
	schema["fields"] = changed
	text, err := json.Marshal(schema)
	if err != nil {
		b.t.Fatal(err)
	}
	theirs, err := schemas.LoadFrom(fstest.MapFS{"ordercapture/OrderPlaced.v1.avsc": {Data: text}})
	if err != nil {
		b.t.Fatal(err)
	}
	registry, err := schemas.NewRegistry(b.registry)
	if err != nil {
		b.t.Fatal(err)
	}
	b.teams++
	topic := fmt.Sprintf("%steam-%d", b.prefix, b.teams)
	wire := schemas.NewWire(theirs, registry)
	if err := wire.Prepare(b.t.Context(), topic, "OrderPlaced"); err != nil {
		b.t.Fatal(err)
	}
	return func(m schemas.Message) []byte {
		value, err := wire.Encode(topic, m)
		if err != nil {
			b.t.Fatal(err)
		}
		return value
	}
}

// without is a list that lacks some names.
func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return slices.Contains(names, n) })
}

// prioritised is an order as a later version of its producer has it.
type prioritised struct {
	orderPlaced
	Priority string `avro:"priority"`
}

// unpriced is an order of a producer that may leave the currency out.
type unpriced struct {
	schemas.Envelope `avro:"envelope"`
	Currency         *string `avro:"currency"`
}

// TestForeignSchemas: a record that was written with a schema that is newer, older
// or another than the published one is read if Avro can make of it what its reader
// asks for, and else is a dead letter; in neither case does it stop what follows.
func TestForeignSchemas(t *testing.T) {
	b := newBench(t)
	b.start("a", counting(clearing))
	enum := func(name string, symbols ...string) map[string]any {
		return map[string]any{"type": "enum", "name": name, "symbols": symbols}
	}
	newer := b.asWritten(func(fields map[string]any, order []string) []string {
		fields["priority"] = enum("Priority", "LOW", "HIGH")
		return append(order, "priority")
	})
	reordered := b.asWritten(func(_ map[string]any, order []string) []string {
		slices.Reverse(order)
		return order
	})
	older := b.asWritten(func(fields map[string]any, order []string) []string {
		envelope := fields["envelope"].(map[string]any)
		envelope["fields"] = slices.DeleteFunc(envelope["fields"].([]any), func(f any) bool {
			return slices.Contains([]any{"region", "productLine", "traceparent"}, f.(map[string]any)["name"])
		})
		return without(order, "origin", "promisedBy", "tenders", "lines")
	})
	lacking := b.asWritten(func(_ map[string]any, order []string) []string { return without(order, "currency") })
	nameless := b.asWritten(func(_ map[string]any, order []string) []string { return without(order, "envelope") })
	coded := b.asWritten(func(fields map[string]any, order []string) []string {
		fields["currency"] = enum("Currency", "EUR", "USD")
		return order
	})
	nullable := b.asWritten(func(fields map[string]any, order []string) []string {
		fields["currency"] = []any{"null", "string"}
		return []string{"envelope", "currency"}
	})
	high := func(order string) *prioritised { return &prioritised{*placed(order), "HIGH"} }
	beyond := newer(high("symbol-unknown"))
	beyond[len(beyond)-1] = 2 * 7 // the enum's index is last: of a field that nobody here reads
	euro := "EUR"
	var all []*kgo.Record
	var good []string
	var wrong []foreign
	for _, c := range []struct {
		order, cause string
		value        []byte
	}{
		{"newer", "", newer(high("newer"))},
		{"symbol-unknown", "", beyond},
		{"reordered", "", reordered(placed("reordered"))},
		{"older", "", older(placed("older"))},
		{"lacking", "body", lacking(placed("lacking"))},
		{"nameless", "body", nameless(placed("nameless"))},
		{"coded", "body", coded(placed("coded"))},
		{"some", "body", nullable(&unpriced{placed("some").Envelope, &euro})},
		{"null", "body", nullable(&unpriced{placed("null").Envelope, nil})},
	} {
		r := &kgo.Record{Partition: homeOf(c.order), Key: []byte("acme/" + c.order), Value: c.value, Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(c.order)}}}
		all = append(all, r)
		if c.cause == "" {
			good = append(good, c.order)
		} else {
			wrong = append(wrong, foreign{c.order, c.cause, r})
		}
	}
	b.send(all...)
	behind := b.oneEach("behind-")
	b.publishAll(behind)
	b.settle()
	b.each(append(good, behind...))
	b.names(wrong)
}

// TestForeignKeys: a key is bytes. Whatever they are, a record under it is
// processed, its row is found again after a restore, and a dead letter of it can be
// told of in a text.
func TestForeignKeys(t *testing.T) {
	b := newBench(t)
	const poison = "poison\xff\x00"
	service := counting(func(c *count, e placedRead, turn *topology.Turn) error {
		if turn.Cause.Envelope.Order == poison {
			return topology.Poison("%s will never do", poison)
		}
		return clearing(c, e, turn)
	})
	first := b.start("a", service, triage.Service())
	names := []string{"nul\x00", "nul\x00\x00\x00\x00\x00\x00\x00\x00\x00", "line\nfeed\r", "\x1b[31mred", "del\x7f", "no-utf8\xff\xfe", "half\xe2\x82", "bidi\u202eend", "|R|Q|", "\"quoted\"\\", " "}
	var wrong []foreign
	for n, name := range names {
		b.publish(name)
		r := &kgo.Record{Partition: homeOf(name), Key: []byte("acme/" + name), Value: []byte{byte(n)}, Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(name)}}}
		b.send(r)
		wrong = append(wrong, foreign{name, "framing", r})
	}
	r := &kgo.Record{Partition: homeOf(poison), Key: []byte("acme/" + poison), Value: b.framed(poison), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(poison)}}}
	b.send(r)
	wrong = append(wrong, foreign{poison, "poison", r})
	b.settle()
	b.each(names)
	b.names(wrong)
	exceptions := b.read("exceptions")
	if len(exceptions) != len(wrong) {
		t.Errorf("%d exceptions were raised, want one for each of %d dead letters", len(exceptions), len(wrong))
	}
	for _, r := range exceptions {
		if _, text, err := b.wire.JSON(t.Context(), r.Value); err != nil || !utf8.Valid(text) {
			t.Errorf("an exception that nobody can read: %q, %v", text, err)
		}
	}
	first.end()
	delete(b.dirs, "a")
	again := b.start("a", service, triage.Service())
	b.publishAll(names) // all seen before
	b.settle()
	again.end()
	b.each(names)
	b.names(wrong)
}

// TestRepeats: a producer without idempotence sends again what was not
// acknowledged in time. What is the same is processed once; what says that it is
// the same and is not becomes a dead letter.
func TestRepeats(t *testing.T) {
	b := newBench(t)
	first := b.start("a", counting(clearing))
	careless, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	if err != nil {
		t.Fatal(err)
	}
	defer careless.Close()
	idempotent := b.raw
	send := func(order string, times int) {
		b.raw = careless
		defer func() { b.raw = idempotent }()
		for range times {
			b.publish(order)
		}
	}
	list := orders(8)
	for _, o := range list {
		send(o, 3)
	}
	b.settle()
	b.each(list)
	first.end()
	b.start("b", counting(clearing)) // another finds them in the rows
	for _, o := range list {
		send(o, 2)
	}
	other := placed("web-0")
	other.Currency = "USD"
	value, err := b.wire.Encode("orders", other)
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Partition: homeOf("web-0"), Key: []byte("acme/web-0"), Value: value, Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("another")}}}
	b.send(r)
	b.settle()
	b.each(list)
	if n := b.ends("orders"); n[homeOf("web-0")] < 6 {
		t.Errorf("%d records lie on the topic: nothing was sent again", n[homeOf("web-0")])
	}
	b.names([]foreign{{"another", "poison", r}})
}
