// Package foreign shows that the estate is a protocol and no library: a service
// in Python owns a topic and the estate reacts, kcat reads what the estate
// writes, and a careless producer's records become dead letters.
//
// It needs Python and kcat, so it runs only when asked to: with TROUPE_FOREIGN=1
// on the embedded broker, with TROUPE_REAL=1 on a real Kafka and Apicurio.
package foreign

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPythonOwnsATopic: a fraud desk in Python takes the place of ours. An order
// is planned for only once it is cleared, so a plan is the estate's reaction.
func TestPythonOwnsATopic(t *testing.T) {
	needForeign(t)
	py := python(t)
	e := open(t)
	desk := py.start(t, e.arguments("clear.py")...)
	e.order("1")
	plan := e.await("shipments", "acme/web-1", "ShipmentPlanned")
	if home := e.homeOf(plan.Key); plan.Partition != home {
		t.Errorf("the plan lies in partition %d, its key belongs into %d", plan.Partition, home)
	}
	desk.interrupt(t)

	// The desk forgets how far it was and says everything again.
	e.forget("fraud")
	again := py.start(t, e.arguments("clear.py")...)
	e.order("2")
	e.await("shipments", "acme/web-2", "ShipmentPlanned")
	again.interrupt(t)
	if said := len(e.read("fraud")); said != 3 {
		t.Errorf("the desk said %d verdicts, want 1 of its first life and 2 of its second", said)
	}
	plans := 0
	for _, r := range e.read("shipments") {
		if header(r, "type") == "ShipmentPlanned" {
			plans++
		}
	}
	if dead := e.read("shipment.dead"); plans != 2 || len(dead) != 0 {
		t.Errorf("%d plans for 2 orders and %d dead letters: a repeat is dropped in silence", plans, len(dead))
	}
}

// TestCarelessProducer: each record of a careless producer becomes a dead letter
// that names it, or is processed; nothing is lost and nothing stands still.
func TestCarelessProducer(t *testing.T) {
	needForeign(t)
	py := python(t)
	e := open(t)
	var lines []string
	mistakes := []string{"unframed", "unknown", "truncated", "crc32", "crc32", "crc32", "crc32", "none"}
	for n := range 5 * len(mistakes) {
		lines = append(lines, fmt.Sprintf("%s careless-%d", mistakes[n%len(mistakes)], n))
	}
	py.run(t, strings.Join(lines, "\n"), e.arguments("wrong.py")...)
	want := map[string]string{} // source partition/offset → cause
	sent := e.read("fraud")
	for _, r := range sent {
		_, n, _ := strings.Cut(string(r.Key), "-")
		nth, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		cause := map[string]string{"unframed": "framing", "unknown": "schema", "truncated": "body"}[mistakes[nth%len(mistakes)]]
		if cause == "" && r.Partition != e.homeOf(r.Key) {
			cause = "partition"
		}
		if cause != "" {
			want[fmt.Sprintf("fraud/%d/%d", r.Partition, r.Offset)] = cause
		}
	}
	if len(sent) != len(lines) || !slices.Contains(slices.Collect(maps.Values(want)), "partition") {
		t.Fatalf("%d records of %d were sent, wrong are %v: the test shows nothing", len(sent), len(lines), want)
	}
	e.awaitMany("shipment.state", len(lines)-len(want))
	e.awaitMany("shipment.dead", len(want))
	got := map[string]string{}
	for _, r := range e.read("shipment.dead") {
		got[header(r, "dead.topic")+"/"+header(r, "dead.partition")+"/"+header(r, "dead.offset")] = header(r, "dead.cause")
	}
	if !maps.Equal(got, want) {
		t.Errorf("dead letters %v, want %v", got, want)
	}

	py.start(t, e.arguments("clear.py")...) // behind all that, in the same partitions
	for n := range partitions {
		e.order(strconv.Itoa(n))
		e.await("shipments", fmt.Sprintf("acme/web-%d", n), "ShipmentPlanned")
	}
}

// TestKcatReadsOurs: a client that knows nothing of us finds keys where murmur2
// puts them, our headers, and the frame that every registry client reads.
func TestKcatReadsOurs(t *testing.T) {
	needForeign(t)
	kcat := kcat(t)
	e := open(t)
	e.order("1")
	placed := e.await("orders", "acme/web-1", "OrderPlaced")
	out := kcat.run(t, "", "-b", strings.Join(e.brokers, ","), "-C", "-t", e.prefix+"orders", "-e", "-q", "-s", "value=>bi", "-f", "%k|%p|%o|%h|%s\n")
	frame, err := e.wire.Open(t.Context(), placed.Value)
	check(t, err)
	want := fmt.Sprintf("acme/web-1|%d|%d|id=%s,type=OrderPlaced,tenant=acme|0%d", e.homeOf(placed.Key), placed.Offset, header(placed, "id"), frame.SchemaID)
	if got := strings.Split(string(out), "\n"); !slices.ContainsFunc(got, func(line string) bool { return strings.Join(strings.Fields(line), "") == want }) {
		t.Errorf("kcat reads %q, want %q", got, want)
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
