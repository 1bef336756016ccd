package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"troupe/testenv/tally"
	"troupe/testenv/world"
)

// first is a source that ends after so many orders.
type first struct {
	world.Source
	left int
}

func (f *first) Next() (*world.Order, bool) {
	if f.left == 0 {
		return nil, false
	}
	f.left--
	return f.Source.Next()
}

// TestInventedTraffic: what `troupe run all` lives on, run to its end. Calls are
// lost, late and repeated, customers come again, and the invariants hold.
func TestInventedTraffic(t *testing.T) {
	const orders = 300
	source, err := world.Invent(world.Lively(1, begin))
	if err != nil {
		t.Fatal(err)
	}
	var o options
	o.bind(pflag.NewFlagSet("", pflag.ContinueOnError))
	var progress, out bytes.Buffer
	d := &demo{options: &o, output: "json", every: time.Second, patience: time.Minute, progress: &progress, out: &out}
	if err := d.play(t.Context(), &first{source, orders}, orders); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	var report tally.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Placed != orders || report.Exceptions != 0 {
		t.Errorf("%d of %d orders placed, %d exceptions\n%s", report.Placed, orders, report.Exceptions, &progress)
	}
}
