package stream

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// inflation notes how much larger batches become than they were fetched: in memory they
// lie as they are then, and the broker is asked for so many bytes of what they are before.
// Text that repeats itself may become a hundred times as large: of what inflates to more
// than inflationMost times, less is asked for.
type inflation struct {
	mu      sync.Mutex
	in, out int64 // bytes of the latest batches
}

const (
	// inflationMost is how many times as large as they were fetched batches may lie in memory.
	inflationMost = 4
	// inflationUnknown is how many times they are thought to inflate before any has come.
	inflationUnknown = 64
	// inflationOver is over how much of what was fetched it is measured, in bytes.
	inflationOver = 1 << 20
)

// fetches are the options of a client that fetches within these limits.
func (l Limits) fetches() []kgo.Opt {
	i := &inflation{}
	return []kgo.Opt{
		kgo.WithHooks(&fetchSizing{size: i, limits: l}), kgo.FetchMaxWait(l.FetchWait), kgo.MaxDecompressBatchBytes(l.BatchBytes),
		kgo.FetchMaxBytes(i.ask(l.FetchBytes)), kgo.FetchMaxPartitionBytes(i.ask(l.FetchPartitionBytes)),
	}
}

// fetchSizing is a hook of a client, which it has fetch what inflation allows.
type fetchSizing struct {
	size   *inflation
	limits Limits
	client *kgo.Client
}

// OnNewClient is told of the client.
func (f *fetchSizing) OnNewClient(cl *kgo.Client) { f.client = cl }

// OnFetchBatchRead is told of each batch, before anything else is fetched of its broker.
func (f *fetchSizing) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, b kgo.FetchBatchMetrics) {
	f.size.note(b)
	f.client.UpdateFetchMaxBytes(f.size.ask(f.limits.FetchBytes), f.size.ask(f.limits.FetchPartitionBytes))
}

// note takes a batch into account.
func (i *inflation) note(b kgo.FetchBatchMetrics) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.in, i.out = i.in+int64(b.CompressedBytes), i.out+int64(b.UncompressedBytes)
	for i.in > inflationOver {
		i.in, i.out = i.in/2, i.out/2
	}
}

// ask is how much to fetch for what may take inflationMost times limit.
func (i *inflation) ask(limit int32) int32 {
	i.mu.Lock()
	defer i.mu.Unlock()
	times := int64(inflationUnknown)
	if i.in > 0 {
		times = max(inflationMost, i.out/i.in)
	}
	return int32(max(1, int64(limit)*inflationMost/times))
}
