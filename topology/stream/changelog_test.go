package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"troupe/topology/table"
)

// journal is a changelog of two partitions on a broker of its own.
func journal(t *testing.T) (logs *changelogs, writer *kgo.Client) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "x.state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := Config{Brokers: fake.ListenAddrs()}
	if logs, err = newChangelogs(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(logs.close)
	writer, err = kgo.NewClient(c.client("writer", kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("x.state"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	return logs, writer
}

// transact writes rows to both partitions, and ends the transaction unless it is
// to stay open.
func transact(t *testing.T, cl *kgo.Client, row string, end *kgo.TransactionEndTry) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Partition: p, Key: []byte(row), Value: []byte(row)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if end != nil {
		if err := cl.EndTransaction(t.Context(), *end); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *changelogs) all(t *testing.T) []*span {
	t.Helper()
	now, err := c.extents(t.Context(), "x.state")
	if err != nil {
		t.Fatal(err)
	}
	var spans []*span
	for p := range int32(2) {
		s, err := now.span("x.state", p)
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, s)
	}
	return spans
}

func TestChangelogsReadWhatIsCommitted(t *testing.T) {
	logs, writer := journal(t)
	commit, abort := kgo.TryCommit, kgo.TryAbort
	transact(t, writer, "a", &commit)
	transact(t, writer, "b", &abort)
	transact(t, writer, "c", &commit)
	got := map[int32]string{}
	spans := logs.all(t)
	err := logs.read(t.Context(), spans, time.Minute, func(s *span, records []*kgo.Record) error {
		for _, r := range records {
			got[s.partition] += string(r.Key)
		}
		return nil
	})
	if err != nil || got[0] != "ac" || got[1] != "ac" {
		t.Errorf("read %v, %v; want ac of both", got, err)
	}
	for _, s := range spans {
		if s.next != s.end {
			t.Errorf("%v was read up to %d of %d: behind the last marker nothing lies", s, s.next, s.end)
		}
	}
}

// TestChangelogsThatInflate: of rows that compress well less is asked for, or what is read
// together would be a hundred times as large as a restore may take.
func TestChangelogsThatInflate(t *testing.T) {
	logs, writer := journal(t)
	commit := kgo.TryCommit
	transact(t, writer, strings.Repeat("row ", 100_000), &commit)
	if err := logs.read(t.Context(), logs.all(t), time.Minute, func(*span, []*kgo.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	most := logs.limits.RestoreFetchBytes
	if asks := logs.size.ask(most); asks > most/2 {
		t.Errorf("the next fetch asks for %d of %d bytes", asks, most)
	}
}

// TestChangelogsDoNotWaitForEver: an open transaction holds the changelog back.
// The reader says so after a while; another that comes later may find it ended.
func TestChangelogsDoNotWaitForEver(t *testing.T) {
	logs, writer := journal(t)
	commit := kgo.TryCommit
	transact(t, writer, "a", &commit)
	transact(t, writer, "b", nil)
	none := func(*span, []*kgo.Record) error { return nil }
	err := logs.read(t.Context(), logs.all(t), time.Second, none)
	if err == nil || !strings.Contains(err.Error(), "a transaction is open") {
		t.Fatalf("read says %v", err)
	}
	if err := writer.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if err := logs.read(t.Context(), logs.all(t), time.Minute, none); err != nil {
		t.Error(err)
	}
}

// TestChangelogsSayWhatIsGone: offsets that were deleted between the look at the
// start and the read.
func TestChangelogsSayWhatIsGone(t *testing.T) {
	logs, writer := journal(t)
	commit := kgo.TryCommit
	transact(t, writer, "a", &commit)
	spans := logs.all(t)
	to := kadm.Offsets{}
	to.AddOffset("x.state", 1, spans[1].end, -1)
	if _, err := logs.adm.DeleteRecords(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	transact(t, writer, "b", &commit)
	err := logs.read(t.Context(), spans, time.Minute, func(*span, []*kgo.Record) error { return nil })
	var gone errGone
	if !errors.As(err, &gone) || gone.of.partition != 1 {
		t.Errorf("read says %v, want that partition 1 was cut", err)
	}
}

// TestChangelogsEndWithTheirReader: an error of the one who takes the records is
// the error, and nothing hangs.
func TestChangelogsEndWithTheirReader(t *testing.T) {
	logs, writer := journal(t)
	commit := kgo.TryCommit
	transact(t, writer, "a", &commit)
	full := errors.New("full")
	if err := logs.read(t.Context(), logs.all(t), time.Minute, func(*span, []*kgo.Record) error { return full }); !errors.Is(err, full) {
		t.Errorf("read says %v", err)
	}
}

func TestStale(t *testing.T) {
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	old := [16]byte{1}
	for _, c := range []struct {
		m       table.Marker
		from    int64
		to      int64
		forked  bool
		because string
	}{
		{table.Marker{}, 0, 100, false, ""},
		{table.Marker{TopicID: old, Next: 50, Applied: now}, 0, 100, false, ""},
		{table.Marker{TopicID: old, Next: 99, Applied: now.Add(-30 * 24 * time.Hour)}, 0, 100, false, ""}, // a transaction's marker is nothing that was missed
		{table.Marker{TopicID: old, Next: 98, Applied: now.Add(-30 * 24 * time.Hour)}, 0, 100, false, "tombstones"},
		{table.Marker{TopicID: [16]byte{2}, Next: 50, Applied: now}, 0, 100, false, "made anew"},
		{table.Marker{TopicID: old, Next: 101, Applied: now}, 0, 100, false, "ends at 100"},
		{table.Marker{TopicID: old, Next: 50, Applied: now}, 51, 100, false, "begins at 51"},
		{table.Marker{TopicID: old, Next: 50, Applied: now.Add(-4 * 24 * time.Hour)}, 0, 100, false, "tombstones"},
		{table.Marker{TopicID: old, Next: 50, Applied: now}, 0, 100, true, "has grown again"},
	} {
		why := stale(c.m, &span{id: old, next: c.from, end: c.to, forked: c.forked}, now)
		if (why == "") != (c.because == "") || !strings.Contains(why, c.because) {
			t.Errorf("%+v in %d…%d, forked %v: %q, want %q", c.m, c.from, c.to, c.forked, why, c.because)
		}
	}
}

// TestBrokerWithoutTransactions is refused before anything is written.
func TestBrokerWithoutTransactions(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(kversion.V0_10_2()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	err = transactional(t.Context(), kadm.NewClient(cl))
	if err == nil || !strings.Contains(err.Error(), "knows no transactions") || !strings.Contains(err.Error(), "InitProducerID") {
		t.Errorf("it says %v", err)
	}
}
