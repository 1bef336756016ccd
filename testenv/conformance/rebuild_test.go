package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/check"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
)

// rebuild prepares one of a service that has stopped.
func (b *bench) rebuild(service topology.Service, by stream.RebuildTime) (*stream.Rebuild, error) {
	b.t.Helper()
	r, err := stream.NewRebuild(b.t.Context(), stream.Config{Brokers: b.brokers, Prefix: b.prefix, Estate: b.estate, Wire: b.wire}, service, by)
	if err == nil {
		b.t.Cleanup(func() {
			if err := r.Close(); err != nil {
				b.t.Error(err)
			}
		})
	}
	return r, err
}

// compared is how many rows there are, and what differs.
func (b *bench) compared(service topology.Service, by stream.RebuildTime) (r *stream.Rebuild, rows int, differs []string) {
	b.t.Helper()
	r, err := b.rebuild(service, by)
	if err == nil {
		err = r.Compare(b.t.Context(), func(int64) {})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	for _, t := range r.Tasks {
		rows += t.Rows
		for _, d := range t.Differs {
			differs = append(differs, d.Key+" "+d.What)
		}
	}
	return r, rows, differs
}

// everything is a service with a row that parks, one that fails, timers that fire
// or are left, and one that ends.
func everything() topology.Service {
	parked := map[string]int{}
	return counting(func(c *count, e placedRead, turn *topology.Turn) error {
		switch order := turn.Cause.Envelope.Order; {
		case order == "parks" && parked[order] == 0:
			parked[order]++
			return topology.Park(time.Hour, "not yet")
		case order == "fails":
			panic("as it always did")
		case strings.HasPrefix(order, "rings"):
			turn.At(turn.Now.Add(time.Hour), "ring", "")
			return nil
		case order == "waits":
			turn.At(turn.Now.Add(1000*time.Hour), "later", "")
		case order == "ends":
			turn.End()
			return nil
		}
		return clearing(c, e, turn)
	}, topology.Due("ring", onRing), topology.Leisure("later", onRing))
}

// TestRebuild: what a service has come to follows from its inputs. A row that is
// not what they make it is found and mended, and no other is touched.
func TestRebuild(t *testing.T) {
	b := newBench(t)
	b.except(check.Torn, "a rebuild mends rows of a service that has stopped, and moves no offset")
	list := append(orders(20), "parks", "fails", "rings-1", "rings-2", "waits", "ends")
	i := b.start("a", everything())
	b.publishAll(list)
	b.settle()
	if _, err := b.rebuild(everything(), stream.ByEvent); err == nil || !strings.Contains(err.Error(), "stop them all first") {
		t.Errorf("a rebuild of a service that runs: %v", err)
	}
	i.end()

	_, rows, differs := b.compared(everything(), stream.ByEvent)
	if rows != len(list)-2 || len(differs) > 0 { // one failed, one has ended
		t.Fatalf("%d rows, want %d; %v", rows, len(list)-2, differs)
	}
	before := len(b.read("fraud"))

	// A bug, or a hand, has written a row, lost one and left one over.
	wrong := b.rowOf("web-1")
	b.sendTo("fraud.state",
		&kgo.Record{Partition: homeOf("web-0"), Key: []byte("Racme/web-0"), Value: wrong},
		&kgo.Record{Partition: homeOf("web-2"), Key: []byte("Racme/web-2")},
		&kgo.Record{Partition: homeOf("nobody"), Key: []byte("Racme/nobody"), Value: wrong},
		&kgo.Record{Partition: homeOf("web-3"), Key: []byte("Racme/web-3"), Value: []byte("damaged")},
	)
	r, _, differs := b.compared(everything(), stream.ByEvent)
	slices.Sort(differs)
	for n, want := range []string{"acme/nobody is on the changelog", "acme/web-0 ", "acme/web-2 is not on the changelog", "acme/web-3 cannot be read"} {
		if len(differs) != 4 || !strings.HasPrefix(differs[n], want) {
			t.Fatalf("differs: %q", differs)
		}
	}
	if err := r.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, differs = b.compared(everything(), stream.ByEvent); len(differs) > 0 {
		t.Errorf("after it was mended: %q", differs)
	}

	// Its disk, which knows nothing of all this, reads it like any change.
	again := b.start("a", everything())
	b.publishAll(list)
	b.settle()
	again.end()
	if got := len(b.read("fraud")); got != before {
		t.Errorf("%d facts, want the %d of before: what was mended has forgotten what it had seen", got, before)
	}
	b.agrees("a", rows)
}

// TestRebuildOfWhatWasBuried: a timer that failed did nothing but be gone, and an
// outcome that was poison nothing but settle its intent, whatever a binary that was
// mended since would make of them.
func TestRebuildOfWhatWasBuried(t *testing.T) {
	b := newBench(t)
	mended := false
	call := func(context.Context, topology.Call, request) (fraudScored, error) {
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}
	service := asking(call, func(c *count, _ fraudScored, turn *topology.Turn) error {
		turn.At(turn.Now, "ring", "")
		if !mended && turn.Cause.Key == "acme/web-1" {
			return topology.Poison("not this one")
		}
		return nil
	})
	set := &service.Sets[0]
	set.Handlers = append(set.Handlers, topology.Keyed("", "order", "count", topology.Due("ring", func(c *count, turn *topology.Turn) error {
		if !mended {
			return errors.New("out of tune")
		}
		return onRing(c, turn)
	})).Handlers...)
	i := b.start("a", service)
	list := orders(4)
	b.publishAll(list)
	b.settle()
	i.end()
	if n := len(b.read("fraud.dead")); n != len(list) { // an outcome, and the timers of the others
		t.Fatalf("%d dead letters, want %d", n, len(list))
	}
	mended = true
	if _, rows, differs := b.compared(service, stream.ByEvent); rows != len(list) || len(differs) > 0 {
		t.Errorf("%d rows, want %d; %q", rows, len(list), differs)
	}
}

// TestRebuildOfADamagedDeadline: a row that cannot be read when its timer is due is told
// of; the timer fires once the row is mended, and others that fired meanwhile stay so.
func TestRebuildOfADamagedDeadline(t *testing.T) {
	b := newBench(t)
	b.except(check.Torn, "the test writes a row of a service that has stopped, and a rebuild mends it")
	service := func() topology.Service {
		return counting(func(_ *count, _ placedRead, turn *topology.Turn) error {
			turn.At(nine.Add(24*time.Hour), "ring", "")
			return nil
		}, topology.Due("ring", onRing))
	}
	var list []string // of one task
	for n := 0; len(list) < 3; n++ {
		if o := fmt.Sprintf("web-%d", n); homeOf(o) == homeOf("web-0") {
			list = append(list, o)
		}
	}
	damaged, others := list[0], list[1:]
	i := b.start("a", service())
	b.publishAll(list[:2])
	b.until("two are known", func() bool { return len(b.read("fraud.state")) == 2 })
	i.end()
	row := b.rowOf(damaged)
	b.sendTo("fraud.state", &kgo.Record{Partition: homeOf(damaged), Key: []byte("Racme/" + damaged), Value: row[:len(row)-1]})
	delete(b.dirs, "a")

	again := b.start("a", service())
	b.publishAll(list[2:])
	b.settle()
	again.end()
	b.each(others)
	if dead := b.read("fraud.dead"); len(dead) != 1 || headerOf(dead[0], "dead.topic") != "timer / of fraud, key acme/"+damaged || !strings.Contains(headerOf(dead[0], "dead.detail"), "state rebuild") {
		t.Fatalf("dead letters %v, want one of the row", dead)
	}
	r, _, differs := b.compared(service(), stream.ByEvent)
	if len(differs) != 1 || !strings.HasPrefix(differs[0], "acme/"+damaged+" cannot be read") {
		t.Fatalf("differs: %q", differs)
	}
	if err := r.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	mended := b.start("a", service())
	b.settle()
	mended.end()
	b.each(list)
	if _, _, differs := b.compared(service(), stream.ByEvent); len(differs) > 0 {
		t.Errorf("once it has fired: %q", differs)
	}
}

// rowOf is an order's row on the changelog.
func (b *bench) rowOf(order string) (value []byte) {
	b.t.Helper()
	for _, r := range b.read("fraud.state") {
		if string(r.Key) == "Racme/"+order {
			value = r.Value
		}
	}
	return value
}

// TestRebuildRefuses what cannot be: inputs are gone.
func TestRebuildRefuses(t *testing.T) {
	b := ran(t, orders(20))
	to := kadm.Offsets{}
	p := homeOf("web-0")
	to.AddOffset(b.prefix+"orders", p, 1, -1)
	if _, err := b.adm.DeleteRecords(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	_, err := b.rebuild(counting(clearing), stream.ByEvent)
	if err == nil || !strings.Contains(err.Error(), "orders/"+string('0'+rune(p))+" begins at offset 1") {
		t.Errorf("it says %v", err)
	}
}

// TestRebuildByRecord: under the wall's clock an input stands for when its record
// was written, whenever what it tells of occurred, and timers fire between.
func TestRebuildByRecord(t *testing.T) {
	b := newBench(t)
	b.quick = clock.Wall()
	service := func() topology.Service {
		return counting(func(c *count, e placedRead, turn *topology.Turn) error {
			turn.At(turn.Now.Add(time.Hour), "ring", "") // long ago: it fires at once
			if c.Rings > 0 {
				c.Orders += 100 // had a ring between
			}
			c.Orders++
			return nil
		}, topology.Due("ring", onRing))
	}
	i := b.start("a", service())
	list := orders(8)
	for n := range 3 {
		for _, o := range list {
			b.publishAs(o, schemas.FactID("placed", o, strconv.Itoa(n)))
		}
		b.until("each has rung", func() bool { return len(b.read("fraud")) == (n+1)*len(list) })
	}
	i.end()
	if _, rows, differs := b.compared(service(), stream.ByRecord); rows != len(list) || len(differs) > 0 {
		t.Errorf("%d rows, want %d; %q", rows, len(list), differs)
	}
}
