package stream

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
)

// Limit is one of Limits by its name.
type Limit struct {
	Name  string // "poll-wait"
	At    string // what happens at it
	value any    // pointer into Limits
}

// Named lists all limits.
func (l *Limits) Named() []Limit {
	return []Limit{
		{"transaction-inputs", "the transaction is committed, and what else was fetched goes into the next", &l.TransactionInputs},
		{"poll-inputs", "what else was fetched waits for the next poll, of this transaction or the next", &l.PollInputs},
		{"transaction-bytes", "nothing more is polled, unparked or rung: the transaction is committed; what one poll brought is dealt with whole", &l.TransactionBytes},
		{"transaction-age", "the transaction is committed", &l.TransactionAge},
		{"commit-pause", "the next poll begins, though what comes meanwhile could still have gone into one transaction", &l.CommitPause},
		{"timers-at-once", "timers that are due go into the next transaction", &l.TimersAtOnce},
		{"fetch-bytes", "no more is fetched from a broker until what was is taken; of what inflates to more than four times, less", &l.FetchBytes},
		{"fetch-partition-bytes", "other partitions get their turn", &l.FetchPartitionBytes},
		{"restore-fetch-bytes", "the same, of changelogs while tasks are restored", &l.RestoreFetchBytes},
		{"restore-partition-bytes", "the same", &l.RestorePartitionBytes},
		{"batch-bytes", "the batch is not taken: its partition stands, and the error names it, until it is deleted or the limit raised", &l.BatchBytes},
		{"record-bytes", "a step that would write more makes its input a dead letter; an intake answers 413", &l.RecordBytes},
		{"key-bytes", "the input is a dead letter; a step that would write more makes its input one; an intake answers 413", &l.KeyBytes},
		{"text-bytes", "the same, of an envelope's text: it becomes a header, a part of rows, a key", &l.TextBytes},
		{"row-cache-bytes", "rows that were not used lately are read from disk again", &l.RowCacheBytes},
		{"key-filter-bytes", "it is not known any more which keys are new: the disk is asked for every row that is not in memory", &l.KeyFilterBytes},
		{"checkpoint-bytes", "what is committed and not on disk yet is written there; at twice as much, with what is being written, commits wait for that", &l.CheckpointBytes},
		{"restore-load-bytes", "what a restore has gathered for the disk is written, while it gathers on", &l.RestoreLoadBytes},
		{"block-cache-bytes", "blocks of the disk that were not used lately are read again", &l.BlockCacheBytes},
		{"timers-in-memory", "later timers of the task are left to the disk until the earlier have fired", &l.TimersInMemory},
		{"checkpoint-every", "the same, of a task that changes", &l.CheckpointEvery},
		{"parked-per-key", "the next input of the key is a dead letter", &l.ParkedPerKey},
		{"park-attempts", "an input that has parked at each of so many tries is a dead letter", &l.ParkAttempts},
		{"quarantine-after", "the record, or timer, that so many ends of the process met is a dead letter, not run; what an effect answers is known by its intent", &l.QuarantineAfter},
		{"effects-at-once", "further intents in hand wait for a call to end", &l.EffectsAtOnce},
		{"effects-in-hand", "further intents wait in their rows until half of those in hand are answered; a partner is then asked first whether it has carried them out", &l.EffectsInHand},
		{"effect-attempts", "an effect that cannot tell answers unknown, and a person settles it", &l.EffectAttempts},
		{"effect-timeout", "the call is given up and tried again", &l.EffectTimeout},
		{"effect-backoff", "a call that failed is tried again; it grows with each", &l.EffectBackoff},
		{"effect-backoff-most", "it grows no more", &l.EffectBackoffMost},
		{"outbox-bytes", "a send is refused: an intake answers 503, and an effect's outcome is sent again", &l.OutboxBytes},
		{"transaction-timeout", "the broker aborts the transaction; its inputs are read again", &l.TransactionTimeout},
		{"rebalance-timeout", "the group goes on without a worker that does not come", &l.RebalanceTimeout},
		{"session-timeout", "the group gives a silent worker's tasks away", &l.SessionTimeout},
		{"heartbeat", "the group is told that the worker lives", &l.Heartbeat},
		{"poll-wait", "a poll without data ends", &l.PollWait},
		{"fetch-wait", "the broker answers a fetch without data", &l.FetchWait},
		{"idle-commit", "offsets of inputs without effect are committed", &l.IdleCommit},
		{"end-sample", "the ends of inputs are looked at again for a timer that is due", &l.EndSample},
		{"hold-timers", "a due timer no longer waits for an input that lags; an error is logged", &l.HoldTimers},
		{"watch-every", "it is looked how far watched services have read", &l.WatchEvery},
		{"dedupe-window", "a start is refused where an input keeps its records for less: what is sent again, or read late after a stop, would be lost", &l.DedupeWindow},
		{"restore-attempts", "the restore ends, and the session is built anew", &l.RestoreAttempts},
		{"restore-stall", "a restore to which nothing comes ends, and the session is built anew", &l.RestoreStall},
		{"rebuild-backoff", "a session that failed is built anew; it doubles with each", &l.RebuildBackoff},
		{"rebuild-backoff-most", "it doubles no more", &l.RebuildBackoffMost},
		{"breaker-window", "inputs and defects are counted from zero", &l.BreakerWindow},
		{"breaker-share", "the process stops: a larger share of the window's inputs of one service failed by defects", &l.BreakerShare},
		{"breaker-minimum", "fewer defects do not stop it", &l.BreakerMinimum},
	}
}

// Value is the limit as Set takes it.
func (l Limit) Value() string {
	switch v := l.value.(type) {
	case *int:
		return strconv.Itoa(*v)
	case *int32:
		return strconv.Itoa(int(*v))
	case *int64:
		return strconv.FormatInt(*v, 10)
	case *float64:
		return strconv.FormatFloat(*v, 'g', -1, 64)
	case *time.Duration:
		return v.String()
	}
	return ""
}

// Defaults fills in what is not set.
func (l Limits) Defaults() Limits { return l.withDefaults() }

// Set sets a limit by its name: a number, a share, or a duration such as 30s.
// Zero is none: it would mean the default.
func (l *Limits) Set(name, value string) error {
	all := l.Named()
	i := slices.IndexFunc(all, func(have Limit) bool { return have.Name == name })
	if i < 0 {
		return fmt.Errorf("the runtime has no limit %q: `troupe limits` lists those it has", name)
	}
	var err error
	positive := false
	switch v := all[i].value.(type) {
	case *int:
		*v, err = strconv.Atoi(value)
		positive = *v > 0
	case *int32:
		var n int64
		n, err = strconv.ParseInt(value, 10, 32)
		*v, positive = int32(n), n > 0
	case *int64:
		*v, err = strconv.ParseInt(value, 10, 64)
		positive = *v > 0
	case *float64:
		*v, err = strconv.ParseFloat(value, 64)
		positive = *v > 0
	case *time.Duration:
		*v, err = time.ParseDuration(value)
		positive = *v > 0
	}
	switch {
	case err != nil:
		return fmt.Errorf("limit %s: %q is no %s", name, value, kindOf(all[i].value))
	case !positive:
		return fmt.Errorf("limit %s: %q is not above zero", name, value)
	}
	return nil
}

func kindOf(v any) string {
	if _, is := v.(*time.Duration); is {
		return "duration such as 30s"
	}
	return "number"
}

// beside is what a record takes on a topic beside its value: its key, four headers that
// say what the envelope says, and the batch around it. A row takes up six of an envelope's
// texts, and its records' key, without a step.
func (l Limits) beside() int { return recordOverhead + 2*l.KeyBytes + 6*l.TextBytes }

const recordOverhead = 4 << 10

// fits refuses a message of which a topic would refuse the record, or a reader the
// envelope: it would be written, refused and written again for ever.
func (l Limits) fits(e *schemas.Envelope, r *kgo.Record) error {
	if n := len(r.Value); n > l.RecordBytes {
		return fmt.Errorf("%s would be %d bytes, more than the limit of %d", e.Type, n, l.RecordBytes)
	}
	if n := len(r.Key); n > l.KeyBytes {
		return fmt.Errorf("the key of %s would be %d bytes, more than the limit of %d", e.Type, n, l.KeyBytes)
	}
	return l.short(e)
}

// short refuses an envelope with a text that is too long: it becomes a header, a part of
// rows, a key.
func (l Limits) short(e *schemas.Envelope) error {
	longest := max(len(e.ID), len(e.Type), len(e.Source), len(e.Tenant), len(e.Region), len(e.ProductLine), len(e.CorrelationID),
		len(e.CausationID), len(e.Order), len(e.AggregateID), len(e.Traceparent))
	if longest > l.TextBytes {
		return fmt.Errorf("a text of the envelope is %d bytes, more than the limit of %d", longest, l.TextBytes)
	}
	return nil
}
