package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/check"
	"troupe/testenv/scan"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// A test asserts what it is about. Beside that, whatever it leaves on its broker and
// on its disks is held against what must hold of any: a fault that a test provokes
// may show in a corner where it does not look.

// unreadable is a service's record that nobody can open.
const unreadable = "unreadable"

// markersWithin is how long after its end a transaction's markers may be on their
// way; one that its process has left open hangs for longer.
const markersWithin = 10 * time.Second

// except says that one check does not hold of this test, and why. A check that holds
// all the same is not to be excepted.
func (b *bench) except(invariant, why string) { b.exceptions[invariant] = why }

// leaves says that topics are not read for that, and why.
func (b *bench) leaves(why string, topics ...string) {
	b.t.Logf("%v are not judged: %s", topics, why)
	b.unjudged = append(b.unjudged, topics...)
}

// judge fails a test that leaves something wrong.
func (b *bench) judge() {
	if b.t.Failed() || b.t.Skipped() {
		return
	}
	met := map[string]bool{}
	for _, v := range b.wrongs() {
		met[v.Invariant] = true
		if _, excepted := b.exceptions[v.Invariant]; !excepted {
			b.t.Errorf("left on the broker: %v", v)
		}
	}
	for invariant, why := range b.exceptions {
		if !met[invariant] && (invariant != check.Torn || b.broker == nil) {
			b.t.Errorf("%s is excepted (%s), and holds", invariant, why)
		}
	}
}

// wrongs is what is wrong with the log.
func (b *bench) wrongs() []check.Violation {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own is over
	defer cancel()
	topics := b.topics(ctx)
	var log []check.Record
	var fates check.Fates
	within(b.markers, func() bool {
		log = b.scan(ctx, scan.Config{Prefix: b.prefix, Topics: topics, Raw: true})
		log = append(log, b.moved(ctx, log)...)
		fates = check.Settle(log)
		return len(fates.Open) == 0
	})
	fates.Committed = slices.DeleteFunc(fates.Committed, func(r check.Record) bool { return r.Topic == offsets })
	read := b.scan(ctx, scan.Config{Prefix: b.prefix, Topics: topics})
	s := b.stories(ctx, fates)
	wrong := slices.Concat(
		check.Read(fates, read), check.Hanging(fates), check.Once(s.told), check.Caused(s.told, s.all, s.aborted), s.unreadable,
	)
	if b.broker == nil {
		wrong = append(wrong, check.Together(log, roleOf)...)
	}
	return wrong
}

// moved are the offsets that those who wrote a log have moved, and what became of
// them. The embedded broker keeps offsets on no topic.
func (b *bench) moved(ctx context.Context, log []check.Record) []check.Record {
	b.t.Helper()
	if b.broker != nil {
		return nil
	}
	writers := map[int64]bool{}
	for _, r := range log {
		writers[r.Writer.Producer] = r.Transactional || writers[r.Writer.Producer]
	}
	return slices.DeleteFunc(b.scan(ctx, scan.Config{Topics: []string{offsets}, Raw: true}), func(r check.Record) bool {
		return !writers[r.Writer.Producer]
	})
}

// topics are those of the bench.
func (b *bench) topics(ctx context.Context) (names []string) {
	b.t.Helper()
	all, err := b.adm.ListTopics(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range all.Names() {
		own, is := strings.CutPrefix(name, b.prefix)
		if is && !slices.Contains(b.unjudged, own) {
			names = append(names, own)
		}
	}
	return names
}

func (b *bench) scan(ctx context.Context, c scan.Config) (records []check.Record) {
	b.t.Helper()
	c.Brokers = b.brokers
	s, err := scan.New(ctx, c)
	if err == nil {
		err = s.Each(ctx, func(r check.Record) error { records = append(records, r); return nil })
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return records
}

// offsets is where Kafka keeps them.
const offsets = "__consumer_offsets"

// roleOf is what a topic is to the services' transactions.
func roleOf(topic string) check.Role {
	switch {
	case topic == offsets:
		return check.Offsets
	case isState(topic):
		return check.State
	case isDead(topic):
		return check.Letters
	}
	return check.Output
}

func isState(topic string) bool { return strings.HasSuffix(topic, topology.StateSuffix) }
func isDead(topic string) bool  { return strings.HasSuffix(topic, topology.DeadTopic("")) }

// stories is what the records of a log tell.
type stories struct {
	all        []check.Told // committed, whoever wrote it
	told       []check.Told // of it, what services told in their transactions
	aborted    []check.Told
	unreadable []check.Violation
}

// stories opens what was written: that which is nobody's event is its reader's to
// bury, unless a service committed it.
func (b *bench) stories(ctx context.Context, f check.Fates) (s stories) {
	open := b.opener(ctx)
	for _, r := range f.Committed {
		if isState(r.Topic) || len(r.Value) == 0 && !isDead(r.Topic) {
			continue
		}
		e, err := open(r)
		switch {
		case err == nil && r.Transactional:
			s.told, s.all = append(s.told, e), append(s.all, e)
		case err == nil:
			s.all = append(s.all, e)
		case r.Transactional:
			s.unreadable = append(s.unreadable, check.Violation{Invariant: unreadable, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: string(r.Key), Detail: err.Error()})
		}
	}
	for _, r := range f.Aborted {
		if e, err := open(r); err == nil && !isState(r.Topic) {
			s.aborted = append(s.aborted, e)
		}
	}
	return s
}

// opener reads what a record is and what caused it. A dead letter is what it says of
// its source: whoever buries that twice tells it twice.
func (b *bench) opener(ctx context.Context) func(check.Record) (check.Told, error) {
	readers := map[string]*schemas.FieldReader{}
	return func(r check.Record) (check.Told, error) {
		if isDead(r.Topic) {
			return check.Told{Record: r, ID: "dead " + sourceOf(&kgo.Record{Headers: r.Headers})}, nil
		}
		f, err := b.wire.Open(ctx, r.Value)
		if err != nil {
			return check.Told{}, err
		}
		if readers[f.Type] == nil {
			if readers[f.Type], err = schemas.NewFieldReader(b.wire, f.Type, nil); err != nil {
				return check.Told{}, err
			}
		}
		e, _, err := readers[f.Type].Decode(f)
		return check.Told{Record: r, ID: e.ID, Cause: e.CausationID}, err
	}
}

// drift is where the tasks in a store are not what the changelogs say.
func (b *bench) drift(store *table.Store) (rows int, differs []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := stream.Verify(ctx, stream.Config{Brokers: b.brokers, Prefix: b.prefix, Store: store})
	if err != nil {
		b.t.Errorf("compare a disk with the changelogs: %v", err)
	}
	for _, v := range found {
		rows += v.Rows
		if v.Stale {
			differs = append(differs, v.Task+" trails another changelog")
		}
		for _, d := range v.Differs {
			differs = append(differs, v.Task+" "+d)
		}
	}
	return rows, differs
}

// TestJudge plants what a test may leave, and no more.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		invariant string
		plant     func(b *bench)
	}{
		{check.Doubled, func(b *bench) { b.tell("fraud", b.read("fraud")[1].Value, kgo.TryCommit) }},
		{check.Reordered, func(b *bench) {
			b.tell("fraud", b.clearedBy("late", "again-2"), kgo.TryCommit)
			b.tell("fraud", b.clearedBy("later", "again-1"), kgo.TryCommit)
		}},
		{check.AbortedRead, func(b *bench) {
			b.tell("orders", b.framed("never"), kgo.TryAbort)
			b.tell("fraud", b.clearedBy("of-nothing", placed("never").ID), kgo.TryCommit)
		}},
		{unreadable, func(b *bench) { b.tell("fraud", []byte("no fact"), kgo.TryCommit) }},
		{check.HungLog, func(b *bench) { b.begin("fraud", b.clearedBy("open", "again-1")) }},
	} {
		t.Run(c.invariant, func(t *testing.T) {
			b := newBench(t)
			b.markers = askEvery
			i := b.start("a", counting(clearing))
			b.publishAs("web-1", "again-1")
			b.publishAs("web-1", "again-2")
			b.settle()
			i.end()
			if wrong := b.wrongs(); len(wrong) > 0 {
				t.Fatalf("before anything is planted: %v", wrong)
			}
			c.plant(b)
			b.except(c.invariant, "it is planted")
			if wrong := b.wrongs(); !slices.ContainsFunc(wrong, func(v check.Violation) bool { return v.Invariant == c.invariant }) {
				t.Errorf("it finds %v", wrong)
			}
		})
	}
}

// clearedBy is a fact of the counting service.
func (b *bench) clearedBy(id, cause string) []byte {
	b.t.Helper()
	value, err := b.wire.Encode("fraud", &fraudCleared{Envelope: schemas.Envelope{
		ID: id, Type: "FraudCleared", Source: "fraud", OccurredAt: nine, Tenant: "acme", Order: "web-1", AggregateID: "acme/web-1", CausationID: cause,
	}, Basis: "SCORE"})
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// tell writes a record in a transaction, as a service would, and returns when its
// marker is there.
func (b *bench) tell(topic string, value []byte, end kgo.TransactionEndTry) {
	b.t.Helper()
	if end == kgo.TryCommit {
		b.except(check.Torn, "what is planted has neither state nor offsets")
	}
	if err := b.begin(topic, value).EndTransaction(b.t.Context(), end); err != nil {
		b.t.Fatal(err)
	}
	b.until("the marker is written", func() bool { return len(b.open(topic)) == 0 })
}

// begin leaves the transaction open.
func (b *bench) begin(topic string, value []byte) *kgo.Client {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID(b.prefix+"planted"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	if err := cl.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	r := &kgo.Record{Topic: b.prefix + topic, Partition: homeOf("web-1"), Key: []byte("acme/web-1"), Value: value}
	if err := cl.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	return cl
}
