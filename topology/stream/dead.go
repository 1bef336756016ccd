package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// Causes of a dead letter: what people group by.
const (
	causeFraming    = "framing"    // no magic byte, or cut short before the schema's ID
	causeSchema     = "schema"     // the registry knows no such schema
	causeBody       = "body"       // the bytes are not what the schema says
	causePartition  = "partition"  // the key lies where another partitioner puts it
	causeKey        = "key"        // no key, or too long a one
	causePoison     = "poison"     // the step says that it can never be used
	causeDefect     = "defect"     // the step failed in a way its author did not expect
	causeAttempts   = "attempts"   // parked too often
	causeQuarantine = "quarantine" // the process ended too often while it was run
	causeParked     = "parked"     // too many inputs wait under its key, or it is too large to wait
)

// Headers that a dead letter carries beside its source's own.
const (
	deadService   = "dead.service"
	deadCause     = "dead.cause"
	deadDetail    = "dead.detail"
	deadTopic     = "dead.topic"
	deadPartition = "dead.partition"
	deadOffset    = "dead.offset"
	deadAttempts  = "dead.attempts"
	deadAt        = "dead.at"
	deadOrder     = "dead.order"
	deadVersion   = "dead.version"
	deadOmitted   = "dead.omitted" // what of the source was too large to be copied
)

// maxDetail bounds what is said of a cause, in bytes.
const maxDetail = 4 << 10

// bury stages a dead letter: key, value and headers byte for byte, as far as they
// fit, and where it came from and why it lies here.
func (w *worker) bury(x *transaction, r *kgo.Record, cause string, err error, attempts int32, order string) {
	detail := err.Error()
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	if x.inputs == 0 {
		x.inputs = 1
	}
	var headers []kgo.RecordHeader
	for _, h := range [][2]string{
		{deadService, w.plan.service.Name}, {deadCause, cause}, {deadDetail, detail}, {deadTopic, r.Topic[len(w.config.Prefix):]},
		{deadPartition, strconv.Itoa(int(r.Partition))}, {deadOffset, strconv.FormatInt(r.Offset, 10)},
		{deadAttempts, strconv.Itoa(int(attempts))}, {deadAt, w.config.Clock.Now().Format(time.RFC3339Nano)},
		{deadOrder, order}, {deadVersion, w.config.Version()},
	} {
		headers = append(headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	width, werr := w.wire.widths.of(w.plan.dead)
	if werr != nil {
		width = 1
	}
	partition := r.Partition % width
	if r.Key != nil && cause != causePartition {
		partition = partitionOf(r.Key, width)
	}
	letter := &kgo.Record{Topic: w.plan.dead, Partition: partition, Key: r.Key, Value: r.Value, Headers: append(slices.Clone(r.Headers), headers...)}
	w.fit(letter, headers)
	x.outputs = append(x.outputs, letter)
	x.bytes += len(letter.Value)
	w.metrics.dead(w.plan.service.Name, cause)
	w.log.Warn("dead letter", "cause", cause, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "order", order, "detail", detail)
}

// buryTimer is bury for a timer, which is no record: the letter names it where a
// record's topic would stand, and its deadline for an offset. A timer cannot be sent
// again; what it should have done is for a person to see to.
func (w *worker) buryTimer(x *transaction, t *task, r *row, tm armed, cause string, err error, attempts int32) {
	from := w.config.timerSource(t.set, t.id.partition, r.key, tm)
	w.bury(x, &kgo.Record{
		Topic: from.topic, Partition: from.partition, Offset: from.offset, Key: []byte(orElse(r.frame.RecordKey, r.key[1:])),
	}, cause, err, attempts, r.frame.Order)
}

// timerSource is what a dead letter names for a timer of a row; one without a name is
// whichever is due, where the row cannot be read.
func (c Config) timerSource(s *set, partition int32, key string, tm armed) source {
	return source{c.Prefix + topology.TimerSource(s.full, tm.Name, tm.Discriminator, key[1:]), partition, tm.At}
}

// wasBuried says, in a rebuild, that a timer became a dead letter then.
func (w *worker) wasBuried(t *task, r *row, tm armed) bool {
	if len(w.buried) == 0 {
		return false // as in every service that runs: a timer's source is not put into words for nothing
	}
	_, was := w.buried[w.config.timerSource(t.set, t.id.partition, r.key, tm)]
	return was
}

// buryInput is bury for an input that a step was to have. With an outcome its call has
// ended; the row keeps the intent, and asks for it at the next start.
func (w *worker) buryInput(x *transaction, in *input, cause string, err error, attempts int32) {
	w.bury(x, in.record, cause, err, attempts, in.turn.Cause.Envelope.Order)
	if in.outcome != "" {
		x.ended = append(x.ended, in.outcome)
	}
}

// fit takes from a dead letter what makes it larger than its topic allows: a
// record of megabytes may have come as a few compressed kilobytes, and would be
// produced, refused and produced again for ever. What is left out still lies at
// the source, which the letter names.
func (w *worker) fit(letter *kgo.Record, own []kgo.RecordHeader) {
	var omitted []string
	for _, drop := range []struct {
		name string
		do   func()
	}{
		{"value", func() { letter.Value = nil }},
		{"headers", func() { letter.Headers = slices.Clone(own) }},
		{"key", func() { letter.Key = nil }},
	} {
		if sizeOf(letter) <= w.limits.RecordBytes+deadSlack {
			break
		}
		drop.do()
		omitted = append(omitted, drop.name)
	}
	if len(omitted) > 0 {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: deadOmitted, Value: []byte(strings.Join(omitted, ","))})
	}
}

// sizeOf is a record's size before compression, in bytes, but for what is around all
// of it.
func sizeOf(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + headerLengths
	}
	return n
}

// headerLengths is what the two lengths of a header take at most, in bytes.
const headerLengths = 2 * 5

// deadLetter reads a dead letter's headers.
func deadLetter(r *kgo.Record) (topology.DeadLetter, error) {
	d := topology.DeadLetter{Key: r.Key, Value: r.Value}
	var errs []error
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			errs = append(errs, err)
		}
		return n
	}
	for _, h := range r.Headers {
		v := string(h.Value)
		switch h.Key {
		case deadService:
			d.Service = v
		case deadCause:
			d.Cause = v
		case deadDetail:
			d.Detail = v
		case deadTopic:
			d.Topic = v
		case deadPartition:
			d.Partition = int32(number(v))
		case deadOffset:
			d.Offset = number(v)
		case deadAttempts:
			d.Attempts = int32(number(v))
		case deadOrder:
			d.Order = v
		case deadAt:
			at, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				errs = append(errs, err)
			}
			d.At = at
		}
	}
	if d.Service == "" || d.Topic == "" {
		errs = append(errs, errors.New("it names no service or no source"))
	}
	if err := errors.Join(errs...); err != nil {
		return d, fmt.Errorf("not a dead letter of this estate: %w", err)
	}
	return d, nil
}

// refusal names the cause of an input that cannot be opened. retry is true when
// the fault is not the record's: the registry is down, or does not let us in.
func refusal(ctx context.Context, err error) (cause string, retry bool) {
	switch {
	case ctx.Err() != nil || schemas.IsUnavailable(err):
		return "", true
	case errors.Is(err, schemas.ErrFraming):
		return causeFraming, false
	case errors.Is(err, schemas.ErrUnknownSchema):
		return causeSchema, false
	}
	return causeBody, false
}
