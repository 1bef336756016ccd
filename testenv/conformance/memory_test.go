package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/stream"
)

// What the measured child may hold, and what is too much: less than half of what lies
// before it.
const (
	tightFetch  = 2 << 20
	tightCache  = 8 << 20
	tightInputs = 5000
	tooMuch     = 128 << 20
	note        = 288 << 20 // bytes of all inputs, before any compression
	shortest    = 100       // of them, of one input
)

// tallying keeps what a service must, and no more.
func tallying(c *count, _ placedRead, _ *topology.Turn) error {
	c.Orders++
	return nil
}

const heap = "/memory/classes/heap/objects:bytes"

// measure watches the heap of this process; the returned function says how large
// it was at most. Garbage is collected early, or most of what is seen is no longer held.
func measure() func() {
	debug.SetGCPercent(25)
	var most uint64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	sample := []metrics.Sample{{Name: heap}}
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
		fmt.Fprintf(os.Stderr, "most=%d\n", most)
	}
}

// scale is a size that the environment may raise.
func scale(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

// TestMemoryIsBounded: a backlog many times as large as what a process may hold
// passes through it, also one that is small on the broker, and so does a key that has more
// events than any row should remember. TROUPE_BACKLOG and TROUPE_ONE_KEY say how many;
// `make memory` runs many more.
func TestMemoryIsBounded(t *testing.T) {
	noise := func(n int) string {
		b := make([]byte, n/2)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(b)
	}
	phrase := strings.Repeat("please leave it at the door ", 1000)
	repetition := func(n int) string { return phrase[:min(n, len(phrase))] }
	t.Run("noise", func(t *testing.T) { memoryIsBounded(t, noise, kgo.NoCompression()) })
	t.Run("repetition", func(t *testing.T) { memoryIsBounded(t, repetition, kgo.ZstdCompression()) })
}

func memoryIsBounded(t *testing.T, text func(n int) string, codec kgo.CompressionCodec) {
	b := newBench(t)
	b.leaves("a judge holds what it reads in memory, and here that is to be more than fits", "orders", "fraud.state")
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	b.raw = cl
	if _, err := stream.Apply(t.Context(), stream.Config{Brokers: b.brokers, Prefix: b.prefix, Estate: b.estate}, []topology.Service{counting(tallying)}); err != nil {
		t.Fatal(err)
	}
	backlog, oneKey := scale("TROUPE_BACKLOG", 24_000), scale("TROUPE_ONE_KEY", 24_000)
	size := max(shortest, note/backlog)
	var batch []*kgo.Record
	put := func(order, id string, channel string) {
		m := placed(order)
		m.ID, m.Channel = id, channel
		value, err := b.wire.Encode("orders", m)
		if err != nil {
			t.Fatal(err)
		}
		if batch = append(batch, &kgo.Record{Partition: homeOf(order), Key: []byte("acme/" + order), Value: value}); len(batch) == 1000 {
			b.send(batch...)
			batch = batch[:0]
		}
	}
	for i := range backlog {
		o := "web-" + strconv.Itoa(i)
		put(o, schemas.FactID("placed", o), text(size))
	}
	for i := range oneKey {
		put("one", schemas.FactID("one", strconv.Itoa(i)), "")
	}
	b.send(batch...)

	most := b.measured(t, b.childAt(t.TempDir(), "measured"))
	t.Logf("%d MiB at most, of a backlog of %d MiB and %d events of one key", most>>20, backlog*size>>20, oneKey)
	if most > tooMuch {
		t.Errorf("it held %d MiB, more than %d", most>>20, tooMuch>>20)
	}
	if row := b.rowOf("one"); len(row) == 0 || len(row) > (topology.DefaultRemember+50)*24 {
		t.Errorf("the row of a key with %d events is %d bytes", oneKey, len(row))
	}
}

// measured runs a child until it has read everything, and is how large its heap
// was at most.
func (b *bench) measured(t *testing.T, env string) (most int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), env)
	var log tail
	c.Stderr = &log
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	size := scale("TROUPE_BACKLOG", 0) + scale("TROUPE_ONE_KEY", 0)
	late := time.After(patience + time.Duration(size)*time.Millisecond)
	tick := time.NewTicker(10 * askEvery)
	defer tick.Stop()
	for done := false; ; {
		select {
		case <-tick.C:
			if !done && b.consumed("fraud", "orders") {
				done = true
				_ = stdin.Close()
			}
		case <-late:
			_ = c.Process.Kill()
			t.Fatalf("the child has not read everything\n%s", log.String())
		case err := <-ended:
			said := log.String()
			if _, figure, ok := strings.Cut(said, "most="); ok && err == nil {
				if _, err := fmt.Sscan(figure, &most); err == nil {
					return most
				}
			}
			t.Fatalf("the child ends with %v\n%s", err, said)
		}
	}
}
