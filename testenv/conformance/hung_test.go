package conformance

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"troupe/testenv/check"
)

// looksEnough at a changelog that is held back are so many that a restore that
// would abort what it must not has done it.
const looksEnough = 2

// watched is how instances that are started next look at what is open in a
// changelog.
type watched struct {
	looks  atomic.Int32 // a look counts twice where it finds something to abort
	moving atomic.Bool  // the coordinators do not answer for what they coordinate
}

func (b *bench) looking() *watched {
	w := &watched{}
	b.options = tap{
		askedBy: func(api kmsg.Key, client string) {
			if api == kmsg.DescribeProducers && strings.Contains(client, "changelogs") {
				w.looks.Add(1)
			}
		},
		answered: func(api kmsg.Key, answer []byte) {
			if api == kmsg.DescribeTransactions && w.moving.Load() {
				refuseAll(answer)
			}
		},
	}.options()
	return w
}

// refuseAll makes of an answer about transactions one that knows of none whether it
// is there.
func refuseAll(answer []byte) {
	const head = 9 // size, correlation ID, no tags
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	if err := resp.ReadFrom(answer[head:]); err != nil {
		return
	}
	for i := range resp.TransactionStates {
		resp.TransactionStates[i].ErrorCode = kerr.UnknownServerError.Code
	}
	copy(answer[head:], resp.AppendTo(nil))
}

// TestHungTransaction: a transaction lies open in a changelog, and its coordinator
// knows nothing of it. While its producer may yet be heard of, or a coordinator does
// not answer, nothing is said of it; else the restore says which it is and what to do,
// aborts nothing, and goes on in the same session once an operator has.
func TestHungTransaction(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	if b.broker != nil {
		t.Skip("the embedded broker takes no records of a transaction that its coordinator has not begun: none can hang there")
	}
	b.limits.RestoreStall = 24 * time.Second
	gone := b.plant("fraud.state", homeOf("web-0"))
	w, d := b.looking(), b.diary()
	again := b.start("a", counting(clearing))
	b.until("the restore has looked at what holds it up", func() bool { return w.looks.Load() >= looksEnough })
	if open := b.open("fraud.state"); len(open) != 1 || d.says("forgotten") {
		t.Fatalf("%v are open: one whose producer may go on does not hang: %s", open, d.lines.String())
	}
	w.moving.Store(true)
	gone.succeeded()
	before := w.looks.Load()
	b.until("the restore has looked again", func() bool { return w.looks.Load() >= before+looksEnough })
	if open := b.open("fraud.state"); len(open) != 1 || !d.says("cannot find out") {
		t.Fatalf("%v are open: one whose coordinator does not answer is not to be aborted: %s", open, d.lines.String())
	}
	w.moving.Store(false)
	b.publishAll(append(list, "later"))
	b.until("it is told what hangs", func() bool { return d.says("kafka-transactions.sh abort") })
	open := b.open("fraud.state")
	if len(open) != 1 {
		t.Fatalf("%v are open: what hangs is an operator's to abort", open)
	}
	b.abort(open[0])
	await(t, again.runner.Ready(), "the restore goes on")
	b.settle()
	b.until("no transaction is open", func() bool { return len(b.open("fraud.state")) == 0 }) // markers follow a commit's answer
	if d.says("built anew") {
		t.Errorf("the restore did not wait: %s", d.lines.String())
	}
	again.end()
	b.each(append(list, "later"))
	b.agrees("a", len(list)+1) // what hung is no row
}

// abort ends a transaction as kafka-transactions.sh does.
func (b *bench) abort(p kadm.DescribedProducer) {
	b.t.Helper()
	var only kadm.TopicsSet
	only.Add(p.Topic, p.Partition)
	_, err := b.adm.WriteTxnMarkers(b.t.Context(), kadm.TxnMarkers{
		ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: max(0, p.CoordinatorEpoch), Topics: only,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestOpenTransaction: a transaction that is merely open is its producer's to end,
// and a restore waits for it.
func TestOpenTransaction(t *testing.T) {
	list := orders(20)
	b := ran(t, list)
	b.except(check.Torn, "the producer of the open transaction is no service: it writes a row alone")
	b.limits.RestoreStall = 24 * time.Second
	live, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(b.prefix+"fraud.live.0"), kgo.TransactionTimeout(2*patience))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	rows := b.read("fraud.state")
	last := rows[len(rows)-1]
	if err := live.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	next := &kgo.Record{Topic: last.Topic, Partition: last.Partition, Key: last.Key, Value: nil} // the row goes
	if err := live.ProduceSync(t.Context(), next).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w, d := b.looking(), b.diary()
	again := b.start("a", counting(clearing))
	b.until("the restore has looked at what holds it up", func() bool { return w.looks.Load() >= looksEnough })
	if open := b.open("fraud.state"); len(open) != 1 || d.says("forgotten") {
		t.Fatalf("%v are open, want the one that its producer has not ended: %s", open, d.lines.String())
	}
	if err := live.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatalf("the producer cannot commit what it had open: %v", err)
	}
	await(t, again.runner.Ready(), "the restore goes on")
	b.settle()
	again.end()
	if d.says("built anew") {
		t.Errorf("the restore did not wait: %s", d.lines.String())
	}
	b.agrees("a", len(list)-1)
}

// planted is a producer whose records lie in a log behind its coordinator's back.
type planted struct {
	b      *bench
	client *kgo.Client
	id     string
	pid    int64
	epoch  int16
}

// plant writes a record of a transaction that no coordinator was told of: as an old
// producer may whose record arrives late, at a broker that does not ask.
func (b *bench) plant(topic string, partition int32) *planted {
	b.t.Helper()
	b.verifying("false")
	b.t.Cleanup(func() { b.verifying("true") })
	// Later versions of a produce tell the coordinator by themselves.
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	p := &planted{b: b, client: client, id: b.prefix + "fraud.gone.0"}
	p.succeeded()
	details, err := b.adm.ListTopics(b.t.Context(), b.prefix+topic)
	if err != nil {
		b.t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &p.id, -1, int32(patience.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = b.prefix + topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, p.batch([]byte("Racme/hung"), []byte("no row"))
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := client.Broker(int(details[rt.Topic].Partitions[partition].Leader)).Request(b.t.Context(), req)
	if err == nil {
		err = kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		b.t.Fatalf("plant a transaction: %v", err)
	}
	return p
}

// succeeded lets the next process take the transactional ID over.
func (p *planted) succeeded() {
	p.b.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &p.id, int32(patience.Milliseconds())
	resp, err := req.RequestWith(p.b.t.Context(), p.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		p.b.t.Fatalf("take over %s: %v", p.id, err)
	}
	p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
}

// batch is one record of a transaction as it goes over the wire.
func (p *planted) batch(key, value []byte) []byte {
	record := kmsg.NewRecord()
	record.Key, record.Value = key, value
	record.Length = int32(len(record.AppendTo(nil)) - 1) // behind the length itself, which is one byte here
	batch := kmsg.NewRecordBatch()
	now := time.Now().UnixMilli()
	batch.PartitionLeaderEpoch, batch.Magic, batch.Attributes = -1, 2, 0x10 // transactional
	batch.FirstTimestamp, batch.MaxTimestamp = now, now
	batch.ProducerID, batch.ProducerEpoch, batch.NumRecords, batch.Records = p.pid, p.epoch, 1, record.AppendTo(nil)
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// verifying says whether brokers ask the coordinator before they take a
// transaction's first record.
func (b *bench) verifying(value string) {
	b.t.Helper()
	const name = "transaction.partition.verification.enable"
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...)) // the bench's own is closed when this is taken back
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ctx := context.Background() // the test's own is over then
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
	if value == "true" {
		change[0] = kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name}
	}
	answers, err := adm.AlterBrokerConfigs(ctx, change)
	for _, a := range answers {
		if err == nil {
			err = a.Err
		}
	}
	if err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("every broker knows", func() bool {
		configs, err := adm.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
		known := 0
		for _, r := range configs {
			for _, c := range r.Configs {
				if c.Key == name && c.MaybeValue() == value {
					known++
				}
			}
		}
		return err == nil && known == len(brokers)
	})
}
