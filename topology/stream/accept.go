package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// receive makes a polled record an input; false if there is nothing more to do for
// it. What no step can be given is buried. An error aborts the whole transaction.
func (w *worker) receive(ctx context.Context, x *transaction, t *task, r *kgo.Record, in *input) (wanted bool, err error) {
	if !w.admit(x, r) {
		return false, nil
	}
	if wanted, err = w.decode(ctx, t, r, in); err == nil {
		return wanted, nil
	}
	var refused *refusedInput
	if errors.As(err, &refused) {
		w.bury(x, r, refused.cause, refused.err, 1, refused.order)
		return false, nil
	}
	return wanted, err
}

// accept takes an input whose rows are loaded: it is processed, parked or
// buried.
func (w *worker) accept(x *transaction, in *input) error {
	if err := in.open(); err != nil {
		return err
	}
	if in.row.err == nil && in.row.frame.parked() > 0 {
		return w.park(x, in, 0, 0, "an earlier input of the key is parked")
	}
	return w.judge(x, in, w.run(x, in), 1)
}

// refusedInput is an input that never reached a step.
type refusedInput struct {
	cause string
	err   error
	order string
}

func (r *refusedInput) Error() string { return r.cause + ": " + r.err.Error() }

// decode reads a record for its step into a zero input; false if no step wants it.
func (w *worker) decode(ctx context.Context, t *task, r *kgo.Record, in *input) (bool, error) {
	if h := t.set.onDead; h != nil && r.Topic != t.set.inbox {
		return true, w.decodeDead(t, r, h, in)
	}
	f, err := w.config.Wire.Open(ctx, r.Value)
	if err != nil {
		cause, retry := refusal(ctx, err)
		if retry {
			return false, fmt.Errorf("registry: %w", err)
		}
		return false, &refusedInput{cause, err, ""}
	}
	f.Shares = true
	w.flight.enter(w.flight.record(r)) // not before: to wait for the registry is no fault of the record
	defer w.flight.leave()
	h := t.set.messages[f.Type]
	if h == nil {
		return false, nil
	}
	if len(r.Key) == 0 {
		return false, &refusedInput{causeKey, errors.New("the record has no key"), ""}
	}
	if len(r.Key) > w.limits.KeyBytes {
		return false, &refusedInput{causeKey, fmt.Errorf("the key is %d bytes, more than the limit of %d", len(r.Key), w.limits.KeyBytes), ""}
	}
	if want := partitionOf(r.Key, t.set.width); want != r.Partition {
		return false, &refusedInput{causePartition, fmt.Errorf("the key %q belongs to partition %d by murmur2: set the producer's partitioner to murmur2_random", r.Key, want), ""}
	}
	e, message, err := h.decode(f)
	if err != nil {
		return false, &refusedInput{causeBody, err, ""}
	}
	if err := w.limits.short(&e); err != nil {
		return false, &refusedInput{causeBody, err, ""}
	}
	if e.ID == "" || e.OccurredAt.IsZero() {
		return false, &refusedInput{causeBody, errors.New("the envelope has no ID or no time"), e.Order}
	}
	own := w.rowKeyOf(r)
	in.task, in.key, in.record, in.handler, in.message, in.digest = t, own[1:], r, h, message, contentOf(e.ID, r.Value)
	in.turn.Now = e.OccurredAt.UTC()
	c := &in.turn.Cause // an input is large: it is filled where it stands
	c.Envelope, c.Topic, c.Partition, c.Offset = e, r.Topic[len(w.config.Prefix):], r.Partition, r.Offset
	switch {
	case h.Shared:
		in.key = t.home
	case t.set.spec.RowKey != nil:
		if in.key = t.set.spec.RowKey(in.key, &c.Envelope); len(in.key) > w.limits.KeyBytes {
			return false, &refusedInput{causeKey, fmt.Errorf("the key of its row would be %d bytes, more than the limit of %d", len(in.key), w.limits.KeyBytes), e.Order}
		}
		own = rowKey(in.key)
	}
	c.Key = in.key
	if h.Trigger == topology.OnOutcome {
		in.outcome = e.CausationID
	}
	in.want(own)
	return true, nil
}

// rowKeyOf is rowKey of a record's key, made in one piece.
func (w *worker) rowKeyOf(r *kgo.Record) string {
	w.key = append(append(w.key[:0], rowPrefix), r.Key...)
	return string(w.key)
}

func (w *worker) decodeDead(t *task, r *kgo.Record, h *handler, in *input) error {
	d, err := deadLetter(r)
	if err != nil {
		return &refusedInput{causeBody, err, ""}
	}
	e := schemas.Envelope{ID: d.ID(), Type: h.Name, Source: d.Service, OccurredAt: d.At, Order: d.Order, CorrelationID: d.ID()}
	*in = input{
		task: t, key: d.ID(), record: r, handler: h, message: d, digest: contentOf(e.ID, r.Value),
		turn: topology.Turn{Now: d.At, Cause: topology.Cause{
			Envelope: e, Key: d.ID(), Topic: r.Topic[len(w.config.Prefix):], Partition: r.Partition, Offset: r.Offset,
		}},
	}
	in.want(rowKey(in.key))
	return nil
}

// judge acts on a step's verdict.
func (w *worker) judge(x *transaction, in *input, err error, attempts int32) error {
	if err == nil {
		x.breaker.count(false, nil)
		return nil
	}
	var defect errDefect
	after, parked := topology.Parked(err)
	x.breaker.count(errors.As(err, &defect), err)
	switch {
	case topology.Dropped(err):
		return w.settle(x, in)
	case parked && int(attempts) < w.limits.ParkAttempts:
		return w.park(x, in, after, attempts, err.Error())
	case parked:
		err = fmt.Errorf("after %d attempts: %w", attempts, err)
		w.buryInput(x, in, causeAttempts, err, attempts)
	case topology.Poisoned(err):
		w.bury(x, in.record, causePoison, err, attempts, in.turn.Cause.Envelope.Order)
		if err := w.settle(x, in); err != nil {
			return err
		}
	default:
		w.buryInput(x, in, causeDefect, err, attempts)
	}
	return w.breaker.with(x.breaker).check(w.limits)
}

// settle ends the intent of an outcome that its step has no use for: it was carried
// out all the same, and would be asked for again with every restart. What a defect
// has buried stays in the row: the binary that mends it asks once more.
func (w *worker) settle(x *transaction, in *input) error {
	switch {
	case in.outcome == "" || in.row.err != nil: // a row that cannot be read keeps its intents
		return nil
	case !in.row.frame.inHand(in.outcome): // its row has ended, or it was answered before: the call is over
		x.ended = append(x.ended, in.outcome)
		return nil
	}
	x.touch(in.task, in.row)
	in.row.frame.take(in.outcome, in.task.set.remember)
	w.answered(x, in.outcome)
	return w.restage(x, in.task, in.row)
}

// park lets an input wait under its key. With after 0 it waits behind what is
// parked there already.
func (w *worker) park(x *transaction, in *input, after time.Duration, attempts int32, why string) error {
	r := in.row
	if size := sizeOf(in.record); size > w.limits.RecordBytes {
		w.buryInput(x, in, causeParked, fmt.Errorf("%d bytes, more than the limit of %d, cannot wait: %s", size, w.limits.RecordBytes, why), attempts)
		return nil
	}
	if r.frame.parked() >= int64(w.limits.ParkedPerKey) {
		w.buryInput(x, in, causeParked, fmt.Errorf("%d inputs wait under the key already: %s", r.frame.parked(), why), attempts)
		return nil
	}
	x.touch(in.task, r)
	if r.frame.parked() == 0 {
		r.frame.ParkedUntil = w.config.Clock.Now().Add(after).UnixMilli()
	}
	n := r.frame.ParkedTo
	r.frame.ParkedTo++
	if !in.handler.Shared {
		r.frame.adopt(&in.turn.Cause.Envelope, in.recordKey())
	}
	if err := w.stageParked(x, in.task, r, n, parkedOf(in.record, attempts, why)); err != nil {
		return err
	}
	return w.restage(x, in.task, r)
}

// maxWhy bounds what is kept of why an input waits, in bytes.
const maxWhy = 1 << 10

func parkedOf(r *kgo.Record, attempts int32, why string) *parkedInput {
	p := &parkedInput{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, At: r.Timestamp.UnixMilli(),
		Key: r.Key, Value: r.Value, Attempts: attempts, Why: why[:min(len(why), maxWhy)],
	}
	for _, h := range r.Headers {
		p.Headers = append(p.Headers, header{h.Key, h.Value})
	}
	return p
}

func (p *parkedInput) record() *kgo.Record {
	r := &kgo.Record{Topic: p.Topic, Partition: p.Partition, Offset: p.Offset, Timestamp: time.UnixMilli(p.At), Key: p.Key, Value: p.Value}
	for _, h := range p.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func (w *worker) stageParked(x *transaction, t *task, r *row, n int64, p *parkedInput) error {
	var value []byte
	if p != nil {
		var err error
		if value, err = t.set.parked.Append(nil, p); err != nil {
			return fmt.Errorf("encode parked input: %w", err)
		}
	}
	key := parkedKey(r.key, n)
	for i := range x.parked {
		if x.parked[i].task == t && x.parked[i].key == key {
			x.parked[i].value = value
			return nil
		}
	}
	x.parked = append(x.parked, parkedChange{t, key, value})
	return nil
}

// restage encodes a row whose frame alone has changed.
func (w *worker) restage(x *transaction, t *task, r *row) error {
	staged, err := t.set.encode(r, &x.slab.scratch)
	if err != nil {
		return err
	}
	r.staged, r.dirty = staged, true
	x.bytes += len(staged)
	return nil
}

// unpark tries the parked inputs of a key in order, until one must wait on.
func (w *worker) unpark(ctx context.Context, x *transaction, t *task, r *row) error {
	for gone := 0; r.frame.parked() > 0 && x.bytes < w.limits.TransactionBytes; { // the rest stays due
		n := r.frame.ParkedFrom
		b, err := t.table.Get(parkedKey(r.key, n))
		if err != nil {
			return err
		}
		if b == nil && x.parks(t, parkedKey(r.key, n)) {
			return nil // the next transaction sees it
		}
		if b == nil {
			if gone++; gone > w.limits.ParkedPerKey {
				return nil // a damaged row may count to the end of time: the next transaction goes on
			}
			if gone == 1 {
				w.log.Error("a parked input is not there any more: those behind it go on", "set", t.set.full, "key", r.key[1:], "number", n)
			}
			if err := w.unparked(x, t, r, n); err != nil {
				return err
			}
			continue
		}
		var p parkedInput
		if err := t.set.parked.Decode(b, &p); err != nil {
			return fmt.Errorf("read parked input: %w", err)
		}
		record := p.record()
		in := &input{}
		admitted, wanted := w.admit(x, record), false
		if admitted {
			wanted, err = w.decode(ctx, t, record, in)
		}
		if lerr := t.load(); lerr != nil {
			return lerr
		}
		var refused *refusedInput
		switch {
		case !admitted:
		case errors.As(err, &refused):
			w.bury(x, record, refused.cause, refused.err, p.Attempts+1, refused.order)
		case err != nil:
			return err
		case wanted:
			if err := in.open(); err != nil {
				return err
			}
			err := w.run(x, in)
			if after, parked := topology.Parked(err); parked && int(p.Attempts)+1 < w.limits.ParkAttempts {
				return w.parkAgain(x, t, r, n, &p, after)
			}
			if err := w.judge(x, in, err, p.Attempts+1); err != nil {
				return err
			}
		}
		if err := w.unparked(x, t, r, n); err != nil {
			return err
		}
	}
	return nil
}

// unparked takes a parked input off its key. With the last one goes a row that it alone
// has kept: one that has ended, or to which nothing else ever happened.
func (w *worker) unparked(x *transaction, t *task, r *row, n int64) error {
	x.touch(t, r)
	r.frame.ParkedFrom++
	if err := w.stageParked(x, t, r, n, nil); err != nil {
		return err
	}
	if err := w.restage(x, t, r); err != nil || r.frame.parked() > 0 {
		return err
	}
	isNew, err := t.set.isNew(r, &x.slab.scratch)
	if err == nil && isNew {
		r.frame, r.staged = frame{}, nil
	}
	return err
}

func (w *worker) parkAgain(x *transaction, t *task, r *row, n int64, p *parkedInput, after time.Duration) error {
	x.touch(t, r)
	p.Attempts++
	r.frame.ParkedUntil = w.config.Clock.Now().Add(after).UnixMilli()
	if err := w.stageParked(x, t, r, n, p); err != nil {
		return err
	}
	return w.restage(x, t, r)
}

// breaker stops a service whose inputs fail in numbers: a bad deploy must not
// dead-letter the day. What never reaches a step is not counted: it tells of whoever
// wrote it, who could otherwise stop every service that reads his topic. An input counts
// once, with the transaction that is committed: what is tried again is no further failure.
type breaker struct {
	inputs, defects int
	latest          error // of the defects
}

func (b *breaker) count(defect bool, err error) {
	b.inputs++
	if defect {
		b.defects++
		b.latest = err
	}
}

// with is what both have counted.
func (b breaker) with(more breaker) breaker {
	b.inputs += more.inputs
	b.defects += more.defects
	if more.latest != nil {
		b.latest = more.latest
	}
	return b
}

// add counts what a transaction has committed. A window that is full begins anew.
func (b *breaker) add(x breaker, l Limits) {
	if *b = b.with(x); b.inputs >= l.BreakerWindow {
		*b = breaker{}
	}
}

// errStopService ends the service, not only its session.
type errStopService struct{ why string }

func (e errStopService) Error() string { return e.why }

func (b breaker) check(l Limits) error {
	if b.defects >= l.BreakerMinimum && float64(b.defects) > l.BreakerShare*float64(b.inputs) {
		return errStopService{fmt.Sprintf("%d of the last %d inputs failed by defects: the service stops before it dead-letters the rest; the latest: %v", b.defects, b.inputs, b.latest)}
	}
	return nil
}
