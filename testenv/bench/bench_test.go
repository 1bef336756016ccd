package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/topology"
	"troupe/topology/table"
)

func embedded(t testing.TB, prefix string) place {
	t.Helper()
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return place{Brokers: b.Brokers, Registry: b.Registry, Prefix: prefix, Partitions: 4, Workers: 2}
}

// TestJoinFindsWhatDiffers: the trade that is measured comes to what the figures
// count on, in order and in random order; a trial that came to less would fail.
func TestJoinFindsWhatDiffers(t *testing.T) {
	for name, random := range map[string]bool{"in order": false, "random": true} {
		t.Run(name, func(t *testing.T) {
			const orders = 2000
			p := embedded(t, "t.")
			if _, err := trade(t.Context(), trading{Place: p, Orders: orders, Invoices: true, Trail: 500, Random: random, Begin: settled()}); err != nil {
				t.Fatal(err)
			}
			r, err := serve(t.Context(), work{
				Place: p, Service: "reconciliation", Inputs: []string{"shipments", "invoices"}, Records: 2 * orders, Output: "mismatches", Facts: mismatches(orders),
			})
			if err != nil || r["transaction"] <= 0 {
				t.Fatal(r, err)
			}
		})
	}
}

// TestRestart: what a run leaves behind is restored to an empty disk, and again
// on the disk that this leaves.
func TestRestart(t *testing.T) {
	const orders = 500
	p := embedded(t, "t.")
	if _, err := trade(t.Context(), trading{Place: p, Orders: orders, Begin: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := serve(t.Context(), work{Place: p, Service: "reconciliation", Inputs: []string{"shipments"}, Records: orders, Output: "mismatches"}); err != nil {
		t.Fatal(err)
	}
	again := restarting{Place: p, Store: table.Config{Dir: t.TempDir()}}
	for _, what := range []string{"from nothing", "warm"} {
		if r, err := restart(t.Context(), again); err != nil || r["seconds"] <= 0 {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
}

// TestEstateLives: orders that are placed at the edge are planned.
func TestEstateLives(t *testing.T) {
	r, err := estateTrial(t.Context(), living{Rate: 20, Speed: 1, Warm: 1, Window: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r["journeys"] < 20 || r["p99"] <= 0 || r["p99"] >= float64(journeyLimit.Milliseconds()) {
		t.Errorf("%v", r)
	}
}

// TestBareClientMovesTheSameBytes: what it writes is as much as what the runtime
// wrote.
func TestBareClientMovesTheSameBytes(t *testing.T) {
	const n = 3000
	p := embedded(t, "t.")
	if _, err := holds(t.Context(), filling{Place: p, Records: n}); err != nil {
		t.Fatal(err)
	}
	if _, err := serve(t.Context(), work{
		Place: p, Service: "echo", Inputs: []string{"holds"}, Records: n, Output: "fraud", Facts: n, Limits: echoLimits(500),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := bareCopy(t.Context(), copying{Place: p, Records: n, Size: 500, Echoed: true}); err != nil {
		t.Fatal(err)
	}
	for ours, bare := range map[string]string{"fraud": "bare.fraud", "risk.state": "bare.state"} {
		wrote, err := p.sample(t.Context(), p.topic(ours), n)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := p.sample(t.Context(), p.topic(bare), n)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := meanSize(wrote), meanSize(copied); a < b*0.99 || a > b*1.01 {
			t.Errorf("%s has %.1f bytes a record, %s %.1f", ours, a, bare, b)
		}
	}
}

// meanSize is of key and value.
func meanSize(records []*kgo.Record) (bytes float64) {
	for _, r := range records {
		bytes += float64(len(r.Key) + len(r.Value))
	}
	return bytes / float64(max(1, len(records)))
}

func TestFigures(t *testing.T) {
	if got := quantile([]float64{5, 1, 4, 2, 3}, 0.5); got != 3 {
		t.Errorf("the median of 1 to 5 is %v", got)
	}
	many := make([]float64, 300)
	for i := range many {
		many[i] = float64(i + 1)
	}
	if got := quantile(many, 0.99); got != 297 {
		t.Errorf("99 %% of 1 to 300 is %v", got)
	}
	least, most := figure{must: 4}, figure{must: 4, most: true}
	if least.reached(3.9) != "no" || least.reached(4.1) != "yes" || most.reached(4.1) != "no" || most.reached(3.9) != "yes" || most.reached(4) != "yes" {
		t.Error("what is reached")
	}
	if _, err := verdict("a warning\nresult 1000 9\n", 1000); err == nil || !strings.Contains(err.Error(), "found 9") {
		t.Errorf("a peer that found too few: %v", err)
	}
	if rate, err := verdict("a warning\nresult 1000 10\n", 1000); err != nil || rate != 1000 {
		t.Error(rate, err)
	}
}

// BenchmarkStep: a step by itself, with its outputs.
func BenchmarkStep(b *testing.B) {
	step := echoService().Sets[0].Handlers[0]
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for b.Loop() {
		t := topology.Turn{Cause: topology.Cause{Key: "acme/web-1"}, Now: at}
		if err := step.Apply(&echoRow{}, &echoRead{Score: 7}, &t); err != nil || len(t.Outputs().Facts) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkCodec: one event to bytes and back, as services do it.
func BenchmarkCodec(b *testing.B) {
	w, err := embedded(b, "b.").wire(b.Context(), [2]string{"holds", "FraudHoldPlaced"})
	if err != nil {
		b.Fatal(err)
	}
	m := hold(1, time.UnixMilli(1))
	value, err := w.Encode("holds", m)
	if err != nil {
		b.Fatal(err)
	}
	type projection struct {
		Envelope schemas.Envelope `avro:"envelope"`
		Score    int32            `avro:"score"`
	}
	reader, err := schemas.NewReader[projection](w, "FraudHoldPlaced")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.Encode("holds", m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			f, err := w.Open(b.Context(), value)
			if err != nil {
				b.Fatal(err)
			}
			var p projection
			if err := reader.Decode(f, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generic", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := w.JSON(b.Context(), value); err != nil {
				b.Fatal(err)
			}
		}
	})
}
