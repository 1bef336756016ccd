package broker

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// readLimit bounds one wait for records: longer than a failover, which takes
// broker.session.timeout.ms (9 s) after a kill.
const readLimit = time.Minute

func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("TROUPE_REAL") != "1" {
		t.Skip("needs Java, Maven and a minute: run it with `make test-kafka`, which sets TROUPE_REAL=1")
	}
}

// TestRealRegistry: it refuses what the embedded one refuses.
func TestRealRegistry(t *testing.T) {
	needReal(t)
	began := time.Now()
	a, err := StartApicurio(t.Context(), ApicurioConfig{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Apicurio ready after %v", time.Since(began))
	t.Cleanup(func() { closeWell(t, a) })
	cl, err := sr.NewClient(sr.URLs(a.URL))
	if err != nil {
		t.Fatal(err)
	}
	first, err := cl.CreateSchema(t.Context(), "s", sr.Schema{Schema: one})
	if err != nil {
		t.Fatal(err)
	}
	second, err := cl.CreateSchema(t.Context(), "s", sr.Schema{Schema: two})
	if err != nil || second.ID == first.ID {
		t.Errorf("a compatible schema: id %d after %d, %v", second.ID, first.ID, err)
	}
	if _, err := cl.CreateSchema(t.Context(), "s", sr.Schema{Schema: wrong}); status(err) != http.StatusConflict {
		t.Errorf("an incompatible schema: %v", err)
	}
	knowsNot(t, cl)
}

// TestRealRegistryKeeps: an ID that stands in kept records is still known.
func TestRealRegistryKeeps(t *testing.T) {
	needReal(t)
	dir := t.TempDir()
	var ids []int
	for range 2 {
		a, err := StartApicurio(t.Context(), ApicurioConfig{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		cl, err := sr.NewClient(sr.URLs(a.URL))
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			s, err := cl.CreateSchema(t.Context(), "s", sr.Schema{Schema: one})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.ID)
		} else if _, err := cl.SchemaByID(t.Context(), ids[0]); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		closeWell(t, a)
	}
}

// TestRealStartFails: the error says what the process said.
func TestRealStartFails(t *testing.T) {
	needReal(t)
	t.Setenv("TROUPE_CACHE", t.TempDir())
	for _, name := range []string{"kafka-" + kafkaVersion, "apicurio-" + apicurioVersion} {
		if err := os.Mkdir(cacheDir(os.Getenv("TROUPE_CACHE"), name, pom), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := StartKafka(t.Context(), KafkaConfig{}); err == nil || !strings.Contains(err.Error(), "StorageTool") {
		t.Errorf("no jars: %v", err)
	}
	if _, err := StartApicurio(t.Context(), ApicurioConfig{}); err == nil || !strings.Contains(err.Error(), "Unable to access jarfile") {
		t.Errorf("no jar: %v", err)
	}
}

// TestRealKafka: a committed transaction is read and an aborted one is not,
// before and after each node was killed.
func TestRealKafka(t *testing.T) {
	needReal(t)
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			began := time.Now()
			k, err := StartKafka(t.Context(), KafkaConfig{Nodes: nodes, Log: t.Output()})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("ready after %v", time.Since(began))
			t.Cleanup(func() { closeWell(t, k) })
			cl := producer(t, k, nodes)
			transact(t, cl, "lost", kgo.TryAbort)
			transact(t, cl, "first", kgo.TryCommit)
			want := []string{"first"}
			expect(t, k, want)
			for node := 1; node <= nodes; node++ {
				killAndRestart(t, k, node)
				text := "after " + k.Brokers[node-1]
				transact(t, cl, text, kgo.TryCommit)
				want = append(want, text)
				expect(t, k, want)
			}
		})
	}
}

// TestRealKafkaKeeps: a folder that the caller named outlives the cluster.
func TestRealKafkaKeeps(t *testing.T) {
	needReal(t)
	dir := t.TempDir()
	start := func() *Kafka {
		k, err := StartKafka(t.Context(), KafkaConfig{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := start()
	transact(t, producer(t, k, 1), "kept", kgo.TryCommit)
	closeWell(t, k)
	k = start()
	defer closeWell(t, k)
	expect(t, k, []string{"kept"})
	if _, err := StartKafka(t.Context(), KafkaConfig{Nodes: 3, DataDir: dir}); err == nil || !strings.Contains(err.Error(), "of 1 nodes") {
		t.Errorf("three nodes on the data of one: %v", err)
	}
}

func producer(t *testing.T, k *Kafka, replicas int) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.TransactionalID("t"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, int16(replicas), nil, "orders"); err != nil {
		t.Fatal(err)
	}
	return cl
}

func transact(t *testing.T, cl *kgo.Client, text string, end kgo.TransactionEndTry) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), readLimit)
	defer cancel()
	if err := cl.ProduceSync(ctx, kgo.StringRecord(text)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, end); err != nil {
		t.Fatal(err)
	}
}

// expect reads the topic from its start, committed records only.
func expect(t *testing.T, k *Kafka, want []string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.ConsumeTopics("orders"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), readLimit)
	defer cancel()
	var got []string
	for len(got) < len(want) {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %q, want %q: %v", got, want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func killAndRestart(t *testing.T, k *Kafka, node int) {
	t.Helper()
	if err := k.Kill(node); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := k.Restart(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	t.Logf("node %d back after %v", node, time.Since(began))
}

func closeWell(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
	t.Logf("closed after %v", time.Since(began))
}
