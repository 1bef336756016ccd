package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/table"
)

// Config is what a process needs to run services.
type Config struct {
	Brokers  []string
	Options  []kgo.Opt // for every client: TLS, SASL, a dialer
	Prefix   string    // of every name on the broker
	Instance string    // stable name of this process's place; part of transactional IDs
	Workers  int       // a service; default 1
	Estate   topology.Estate
	Wire     *schemas.Wire
	Clock    clock.Clock
	Store    *table.Store
	Log      *slog.Logger
	Metrics  *Metrics
	Limits   Limits
	Build    string // version of the binary: dead letters tell it, and another one asks again for an outcome that was buried

	// Rehearse is called wherever a process may die between two things that are
	// not one; an error ends the session there, as dying would. nil outside tests.
	Rehearse func(worker string, at Point) error
}

// Point is a place in the loop.
type Point string

// The points, in the order of a turn.
const (
	AtPolled   Point = "polled"   // nothing is done
	AtTaken    Point = "taken"    // all is staged, nothing is written
	AtProduced Point = "produced" // rows and outputs are with the broker, no offset is
	AtOffsets  Point = "offsets"  // about to be sent to the group
	AtEnded    Point = "ended"    // the broker has said yes, memory does not know
	AtApplied  Point = "applied"  // memory knows, no effect has begun
	AtCalling  Point = "calling"  // an effect is about to ask the world
	AtCalled   Point = "called"   // the world has answered, the inbox does not have it
	AtAnswered Point = "answered" // the inbox has it, nobody has read it
)

// rehearse is at a point.
func (w *worker) rehearse(at Point) error {
	if w.config.Rehearse == nil {
		return nil
	}
	return w.config.Rehearse(w.name, at)
}

// Limits names every bound of the runtime. Zero values take the defaults.
type Limits struct {
	TransactionInputs     int           // inputs of a transaction; 20,000
	PollInputs            int           // inputs that are read, and their rows loaded, together; 5,000
	TransactionBytes      int           // of outputs and rows, after which a transaction takes no further poll and fires no further timer; 8 MiB
	TransactionAge        time.Duration // after which it takes no further poll; one is committed at once when all that was fetched is dealt with; 100 ms
	CommitPause           time.Duration // longest rest after a commit, while nothing is fetched; a timer or a stop waits for it; it rests as long as the commit took; 5 ms
	TimersAtOnce          int           // deadlines fired in one transaction; 2,000
	FetchBytes            int32         // of one fetch from a broker, as it comes over the wire; a worker holds one that waits and one that is taken; 16 MiB
	FetchPartitionBytes   int32         // of it, of one partition; one record may be larger; 1 MiB
	RestoreFetchBytes     int32         // FetchBytes of a restore, of which one waits and one is on its way beside the one that is applied; 16 MiB
	RestorePartitionBytes int32         // of it, of one partition; 4 MiB
	BatchBytes            int           // of one batch of an input, decompressed; 128 MiB
	RecordBytes           int           // a larger output makes its input a dead letter; 900 KiB, below the broker's 1 MiB
	KeyBytes              int           // of a key; a longer one makes an input a dead letter; 1 KiB
	TextBytes             int           // of each text of an envelope, likewise; 1 KiB
	RowCacheBytes         int64         // rows of a service kept in memory by this process, shared among its tasks, beside what no checkpoint has written yet; 256 MiB
	KeyFilterBytes        int64         // for a service's knowledge of which keys are on disk, shared among its tasks, at three to six bytes a key that was ever seen; beyond, the disk is asked for every row that is not in memory; 64 MiB
	CheckpointBytes       int64         // what a service takes in memory of rows and index entries that are committed and not on disk, shared among its tasks: a checkpoint begins; at twice as many, with those that it writes, the next commit waits for it; 128 MiB
	RestoreLoadBytes      int64         // of a task whose rows the cache has no room for, written at once while it is restored; 64 MiB
	BlockCacheBytes       int64         // of the disk's blocks that were read last, for the whole process; 48 MiB
	TimersInMemory        int           // deadlines of a task that one scan of the disk takes; up to four times as many are kept; 10,000
	CheckpointEvery       time.Duration // longest time between checkpoints of a task that changes; 5 s
	ParkedPerKey          int           // inputs waiting under one key; the next is a dead letter; 1,000
	QuarantineAfter       int           // ends of the process while one record, or one timer, was run; then it is a dead letter and not run; 3
	ParkAttempts          int           // tries of an input that parks, the first included, before it is a dead letter; 10
	EffectsAtOnce         int           // calls in flight, an effect and worker; 32
	EffectsInHand         int           // intents that are called or wait for a call, an effect and worker; 1,000
	EffectAttempts        int           // tries of a call; the last may answer "unknown"; 6
	EffectTimeout         time.Duration // of one try, well below RebalanceTimeout; 10 s
	EffectBackoff         time.Duration // before a call is tried again, growing with each, give or take half; 50 ms
	EffectBackoffMost     time.Duration // to which it grows; 5 s
	OutboxBytes           int           // of what intakes and effects have sent and no broker has acknowledged, also for callers who wait no longer; 64 MiB
	TransactionTimeout    time.Duration // after which the broker aborts; below RebalanceTimeout; 30 s
	RebalanceTimeout      time.Duration // 60 s
	SessionTimeout        time.Duration // 45 s
	Heartbeat             time.Duration // 3 s
	PollWait              time.Duration // longest poll without data; 1 s
	FetchWait             time.Duration // longest wait of a fetch in the broker; a partition that comes new waits for it; 500 ms
	IdleCommit            time.Duration // offsets of inputs without effect are committed this late; 1 s
	EndSample             time.Duration // between two looks at the inputs' ends for a due timer; 200 ms
	HoldTimers            time.Duration // longest wait of a due timer for a lagging input; 5 min
	WatchEvery            time.Duration // between two looks at how far watched services have read; 1 s
	DedupeWindow          time.Duration // for which an input may be sent again or read late; every input keeps its records for longer; 7 d
	RestoreAttempts       int           // times that a restore begins anew because its changelog was cut while it was read; 3
	RestoreStall          time.Duration // longest time for which nothing may come of a changelog; then the session is built anew; 2 min
	RebuildBackoff        time.Duration // before a failed session is built anew, doubling with each; 100 ms
	RebuildBackoffMost    time.Duration // the longest of these; 10 s
	BreakerWindow         int           // inputs over which defects are counted; 1,000
	BreakerShare          float64       // share of defects that stops the service; 0.5
	BreakerMinimum        int           // defects below which it does not; 50
}

func (l Limits) withDefaults() Limits {
	def(&l.TransactionInputs, 20_000)
	def(&l.PollInputs, 5000)
	def(&l.TransactionAge, 100*time.Millisecond)
	def(&l.TransactionBytes, 8<<20)
	def(&l.CommitPause, 5*time.Millisecond)
	def(&l.TimersAtOnce, 2000)
	def(&l.FetchBytes, 16<<20)
	def(&l.FetchPartitionBytes, 1<<20)
	def(&l.RestoreFetchBytes, 16<<20)
	def(&l.RestorePartitionBytes, 4<<20)
	def(&l.BatchBytes, 128<<20)
	def(&l.RecordBytes, 900<<10)
	def(&l.KeyBytes, 1<<10)
	def(&l.TextBytes, 1<<10)
	def(&l.RowCacheBytes, 256<<20)
	def(&l.KeyFilterBytes, 64<<20)
	def(&l.CheckpointBytes, 128<<20)
	def(&l.RestoreLoadBytes, 64<<20)
	def(&l.BlockCacheBytes, table.DefaultBlockCache)
	def(&l.TimersInMemory, 10_000)
	def(&l.CheckpointEvery, 5*time.Second)
	def(&l.ParkedPerKey, 1000)
	def(&l.QuarantineAfter, 3)
	def(&l.ParkAttempts, 10)
	def(&l.EffectsAtOnce, 32)
	def(&l.EffectsInHand, 1000)
	def(&l.EffectAttempts, 6)
	def(&l.EffectTimeout, 10*time.Second)
	def(&l.EffectBackoff, 50*time.Millisecond)
	def(&l.EffectBackoffMost, 5*time.Second)
	def(&l.OutboxBytes, 64<<20)
	def(&l.TransactionTimeout, 30*time.Second)
	def(&l.RebalanceTimeout, 60*time.Second)
	def(&l.SessionTimeout, 45*time.Second)
	def(&l.Heartbeat, 3*time.Second)
	def(&l.PollWait, time.Second)
	def(&l.FetchWait, 500*time.Millisecond)
	def(&l.IdleCommit, time.Second)
	def(&l.EndSample, 200*time.Millisecond)
	def(&l.HoldTimers, 5*time.Minute)
	def(&l.WatchEvery, time.Second)
	def(&l.DedupeWindow, 7*24*time.Hour)
	def(&l.RestoreAttempts, 3)
	def(&l.RestoreStall, 2*time.Minute)
	def(&l.RebuildBackoff, 100*time.Millisecond)
	def(&l.RebuildBackoffMost, 10*time.Second)
	def(&l.BreakerWindow, 1000)
	def(&l.BreakerShare, 0.5)
	def(&l.BreakerMinimum, 50)
	return l
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Validate refuses what would break a promise.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers: set --brokers or TROUPE_BROKERS"))
	}
	if c.Wire == nil || c.Clock == nil || c.Store == nil || c.Log == nil || c.Metrics == nil {
		errs = append(errs, errors.New("wire, clock, store, log and metrics must be given"))
	}
	if c.Instance == "" {
		errs = append(errs, errors.New("no instance: two processes with one transactional ID fence each other"))
	}
	l := c.Limits.withDefaults()
	if l.TransactionTimeout >= l.RebalanceTimeout {
		errs = append(errs, fmt.Errorf("transaction timeout %v is not below the rebalance timeout %v: a task could move while its old owner still commits: set transaction-timeout below rebalance-timeout", l.TransactionTimeout, l.RebalanceTimeout))
	}
	if l.CommitPause > l.TransactionAge {
		errs = append(errs, fmt.Errorf("commit-pause %v is above transaction-age %v: a worker would rest for longer than it may take to fill a transaction: set commit-pause to at most transaction-age", l.CommitPause, l.TransactionAge))
	}
	if l.FetchPartitionBytes > l.FetchBytes {
		errs = append(errs, fmt.Errorf("fetch-partition-bytes %d is above fetch-bytes %d: one partition would starve the others: set fetch-partition-bytes to at most fetch-bytes", l.FetchPartitionBytes, l.FetchBytes))
	}
	if l.RestorePartitionBytes > l.RestoreFetchBytes {
		errs = append(errs, fmt.Errorf("restore-partition-bytes %d is above restore-fetch-bytes %d: one partition would starve the others: set restore-partition-bytes to at most restore-fetch-bytes", l.RestorePartitionBytes, l.RestoreFetchBytes))
	}
	if l.BlockCacheBytes < table.LeastBlockCache {
		errs = append(errs, fmt.Errorf("block-cache-bytes %d: small checkpoints, which are kept there, would leave too little of it: set at least %d", l.BlockCacheBytes, table.LeastBlockCache))
	}
	if int64(l.BatchBytes) < int64(l.FetchPartitionBytes) {
		errs = append(errs, fmt.Errorf("batch-bytes %d is below fetch-partition-bytes %d: a batch that is fetched could not be taken; set at least that", l.BatchBytes, l.FetchPartitionBytes))
	}
	if most := max(l.FetchBytes, l.RestoreFetchBytes); most > clientAnswer {
		errs = append(errs, fmt.Errorf("fetch-bytes and restore-fetch-bytes, %d: the client takes no answer above %d: set at most that", most, clientAnswer))
	}
	if l.Heartbeat >= l.SessionTimeout {
		errs = append(errs, fmt.Errorf("heartbeat %v is not below the session timeout %v: the group would give the tasks of a living worker away: set heartbeat to a third of session-timeout, or less", l.Heartbeat, l.SessionTimeout))
	}
	if l.EffectTimeout >= l.RebalanceTimeout {
		errs = append(errs, fmt.Errorf("effect timeout %v is not below the rebalance timeout %v: the world could still be asked for a task that another worker has: set effect-timeout well below rebalance-timeout", l.EffectTimeout, l.RebalanceTimeout))
	}
	if l.EffectsInHand < l.EffectsAtOnce {
		errs = append(errs, fmt.Errorf("effects-in-hand %d is below effects-at-once %d: there would never be so many to call", l.EffectsInHand, l.EffectsAtOnce))
	}
	if l.beside() > deadSlack {
		errs = append(errs, fmt.Errorf("key-bytes %d and text-bytes %d: keys and headers could take more than the %d that are kept free for them: set at most %d and %d", l.KeyBytes, l.TextBytes, deadSlack, deadSlack/16, deadSlack/16))
	}
	if l.RecordBytes+deadSlack > clientBatch {
		errs = append(errs, fmt.Errorf("record bytes %d: the client takes no record above %d, headers included: set at most %d", l.RecordBytes, clientBatch, clientBatch-deadSlack))
	}
	return errors.Join(errs...)
}

// clientAnswer is the largest answer that the client reads, less what is around
// the records.
const clientAnswer = 100<<20 - 1<<20

// clientBatch is the largest batch that the client makes, before compression: its
// default, which is a Kafka broker's limit too.
const clientBatch = 1_000_012

// topic adds the prefix that all names on the broker share.
func (c Config) topic(name string) string { return c.Prefix + name }

// Version is Build, or what stands for it.
func (c Config) Version() string { return orElse(c.Build, "dev") }

// metadataMinAge is how soon a client may ask again where partitions are led. It
// does before it repeats a refused produce, and a broker refuses the first of a
// transaction while the markers of the one before are still being written: at the
// client's default of 5 s a busy broker, or a leader that moves, stops a worker
// for that long.
const metadataMinAge = 250 * time.Millisecond

// client are the options of every client of this process. The name is what the
// broker knows it by, in its logs and quotas.
func (c Config) client(name string, more ...kgo.Opt) []kgo.Opt {
	opts := []kgo.Opt{kgo.ClientID(c.topic(name)), kgo.SeedBrokers(c.Brokers...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(metadataMinAge)}
	return append(append(opts, c.Options...), more...)
}
