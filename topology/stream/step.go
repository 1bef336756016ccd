package stream

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// input is one record, or one timer, on its way into a step.
type input struct {
	task    *task
	key     string // of the row, as the service knows it
	row     *row
	beside  *row // what all keys of the partition share, for the step to read; nil
	record  *kgo.Record
	handler *handler
	message any
	turn    topology.Turn
	digest  [seenSize]byte // of a message; zero for a timer
	outcome string         // the intent that the message answers
}

// errDefect wraps an error of a step that is no verdict: a panic, or an error
// that its author did not expect.
type errDefect struct{ err error }

func (e errDefect) Error() string { return e.err.Error() }
func (e errDefect) Unwrap() error { return e.err }

// want asks for the rows that the input's step works on; its own has the given key
// in the changelog.
func (in *input) want(own string) {
	t := in.task
	if in.handler.Shared {
		in.row = t.want(besideKey)
		return
	}
	in.row = t.want(own)
	if t.set.beside != nil {
		in.beside = t.want(besideKey)
	}
}

// open decodes the rows that the input's step works on.
func (in *input) open() error {
	if in.beside != nil {
		if err := in.task.open(in.beside); err != nil {
			return err
		}
	}
	return in.task.open(in.row)
}

// recordKey is the key of the records that reach the input's row, "" where it is
// the row's own anyway.
func (in *input) recordKey() string {
	if in.task.set.spec.RowKey == nil && string(in.record.Key) == in.key {
		return ""
	}
	return string(in.record.Key)
}

// run stages what a step makes of its input. On any error the row and the
// transaction are as they were.
func (w *worker) run(x *transaction, in *input) error {
	r := in.row
	if r.err != nil {
		return damaged(r)
	}
	if err := w.fresh(in, r); err != nil {
		return err
	}
	if in.beside != nil {
		if in.beside.err != nil {
			return damaged(in.beside)
		}
		in.turn.Beside = in.beside.state
	}
	w.flight.enter(w.flight.input(in))
	defer w.flight.leave()
	wasDirty, first, outputs := r.dirty, x.touch(in.task, r), len(x.outputs)
	started := time.Now()
	err := w.step(x, in, r)
	in.handler.metrics.observe(time.Since(started), err)
	if err == nil {
		return nil
	}
	r.dirty, x.outputs = wasDirty, x.outputs[:outputs]
	if first {
		x.untouch()
	}
	if r.err = in.task.set.decode(r, r.current()); r.err != nil {
		return errDefect{errors.Join(err, r.err)}
	}
	return err
}

// damaged is the verdict on an input whose row cannot be read: it waits as a dead
// letter until the row is mended.
func damaged(r *row) error {
	return errDefect{fmt.Errorf("%w: the row is damaged; `troupe state rebuild` makes it anew from the inputs, then retry this", r.err)}
}

// fresh refuses what the row has had. An outcome is known by its intent: after a
// crash between the outcome's commit and its step the world is asked again, and
// may answer in other words; the first answer stands.
func (w *worker) fresh(in *input, r *row) error {
	switch {
	case in.record == nil:
		return nil
	case in.outcome != "":
		if r.frame.inHand(in.outcome) {
			return nil
		}
		w.metrics.duplicate(w.plan.service.Name)
		return topology.Drop("the intent %s is not in hand: answered before", in.outcome)
	}
	switch had, same := r.frame.seen(in.digest); {
	case had && same:
		w.metrics.duplicate(w.plan.service.Name)
		return topology.Drop("seen before")
	case had:
		return topology.Poison("the ID %s was seen with other content", in.turn.Cause.Envelope.ID)
	}
	return nil
}

// step runs the handler and stages its outputs.
func (w *worker) step(x *transaction, in *input, r *row) error {
	t := &in.turn
	if in.record != nil {
		if !in.handler.Shared { // what all keys share is of no order
			r.frame.adopt(&t.Cause.Envelope, in.recordKey())
			t.Cause.Envelope.CorrelationID = orElse(t.Cause.Envelope.CorrelationID, r.frame.Correlation)
		}
		if in.outcome != "" {
			r.frame.take(in.outcome, in.task.set.remember)
		} else {
			r.frame.remember(in.digest, in.task.set.remember)
		}
	}
	if err := apply(in.handler, r.state, in.message, t); err != nil {
		return err
	}
	if err := t.Err(); err != nil {
		return errDefect{err}
	}
	before := len(x.outputs)
	started, err := w.absorb(x, in, r, t.Outputs())
	if err != nil {
		return errDefect{err}
	}
	var staged []byte
	if t.Outputs().Ends {
		r.frame, r.state = r.frame.ended(), in.task.set.codec(r.key).New() // what comes after begins anew
	} else if staged, err = in.task.set.encode(r, &x.slab.scratch); err != nil {
		return errDefect{err}
	}
	if len(staged) > w.limits.RecordBytes {
		return errDefect{fmt.Errorf("the row would be %d bytes, more than the limit of %d", len(staged), w.limits.RecordBytes)}
	}
	r.staged, r.dirty = staged, true
	x.started = append(x.started, started...)
	if in.outcome != "" {
		w.answered(x, in.outcome)
	}
	for _, rec := range x.outputs[before:] {
		x.bytes += len(rec.Value)
	}
	x.bytes += len(staged)
	return nil
}

// apply calls a step; a panic in it is a defect of that input, not of the service.
func apply(h *handler, state, message any, t *topology.Turn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errDefect{fmt.Errorf("panic: %v\n%s", p, firstFrames(debug.Stack()))}
		}
	}()
	if err = h.Apply(state, message, t); err == nil {
		return nil
	}
	if _, parked := topology.Parked(err); !parked && !topology.Dropped(err) && !topology.Poisoned(err) {
		return errDefect{err}
	}
	return err
}

// firstFrames keeps what names the place of a panic.
func firstFrames(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") && i+2 < len(lines) {
			lines = lines[i+2:]
			break
		}
	}
	return strings.Join(lines[:min(8, len(lines))], "\n")
}

// absorb turns what a step asked for into the transaction's records, timers and
// intents.
func (w *worker) absorb(x *transaction, in *input, r *row, out topology.Outputs) ([]startedIntent, error) {
	for _, f := range out.Facts {
		key := orElse(f.Key, orElse(r.frame.RecordKey, in.key))
		rec, err := w.message(x, in, r, "", key, f.Type, f.Message, f.Discriminator)
		if err != nil {
			return nil, err
		}
		x.outputs = append(x.outputs, rec)
	}
	for _, q := range out.Requests {
		key := q.Key
		if key == in.key { // a row keyed otherwise than its records still writes under their key
			key = orElse(r.frame.RecordKey, in.key)
		}
		rec, err := w.message(x, in, r, q.Inbox, key, q.Type, q.Message, append([]string{q.Inbox, q.Key}, q.Discriminator...))
		if err != nil {
			return nil, err
		}
		x.outputs = append(x.outputs, rec)
	}
	for _, tm := range out.Timers {
		if _, known := in.task.set.timers[tm.Name]; !known {
			return nil, fmt.Errorf("no step of set %q is Due on timer %q", in.task.set.full, tm.Name)
		}
		if tm.At.IsZero() {
			r.frame.disarm(tm.Name, tm.Discriminator)
		} else {
			r.frame.arm(tm.Name, tm.Discriminator, tm.At)
		}
	}
	return w.intents(in, r, out.Intents)
}

func (w *worker) intents(in *input, r *row, intents []topology.Intent) ([]startedIntent, error) {
	var started []startedIntent
	for _, i := range intents {
		if in.handler.Shared {
			return nil, fmt.Errorf("intent of %s: a row that all keys share has no key for the outcome to come back to", i.Effect)
		}
		e, known := in.task.set.effects[i.Effect]
		if !known {
			return nil, fmt.Errorf("set %q declares no effect %q", in.task.set.full, i.Effect)
		}
		request, err := encodeRequest(e, i.Request)
		if err != nil {
			return nil, fmt.Errorf("intent of %s: %w", i.Effect, err)
		}
		id := schemas.FactID("intent", w.plan.service.Name, i.Effect, in.key, i.Discriminator)
		if slices.ContainsFunc(r.frame.Intents, func(have intent) bool { return have.ID == id }) {
			return nil, fmt.Errorf("intent %s/%s is already in hand: give it another discriminator", i.Effect, i.Discriminator)
		}
		if had, same := r.frame.seen(contentOf(id, request)); had && !same {
			return nil, fmt.Errorf("intent %s/%s has had its outcome for another request, and the world would repeat it: give it another discriminator", i.Effect, i.Discriminator)
		}
		made := intent{ID: id, Effect: i.Effect, Discriminator: i.Discriminator, Request: request, CauseID: in.turn.Cause.Envelope.ID, At: in.turn.Now.UnixMilli()}
		r.frame.Intents = append(r.frame.Intents, made)
		started = append(started, startedIntent{in.task, r.key, r.frame.envelope(), made, r.frame.RecordKey})
	}
	return started, nil
}

// message makes the record of a fact or request: envelope, bytes, headers.
func (w *worker) message(x *transaction, in *input, r *row, inbox, key, typ string, m schemas.Message, discriminator []string) (*kgo.Record, error) {
	topic, err := w.plan.output(w.config, inbox, typ)
	if err != nil {
		return nil, err
	}
	e := m.Head()
	e.Type, e.Source = typ, w.plan.service.Name
	e.AggregateID = orElse(e.AggregateID, in.key)
	if e.ID == "" {
		e.ID = schemas.FactID(append([]string{e.Source, typ, in.key}, discriminator...)...)
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = in.turn.Now
	}
	e.Tenant = orElse(e.Tenant, r.frame.Tenant)
	e.Region = orElse(e.Region, r.frame.Region)
	e.ProductLine = orElse(e.ProductLine, r.frame.ProductLine)
	e.Order = orElse(e.Order, r.frame.Order)
	e.CorrelationID = orElse(e.CorrelationID, in.turn.Cause.Envelope.CorrelationID)
	if !in.handler.Shared { // what all keys share is of no flow
		e.CorrelationID = orElse(e.CorrelationID, r.frame.Correlation)
		r.frame.Correlation = orElse(r.frame.Correlation, e.CorrelationID)
	}
	e.CausationID = orElse(e.CausationID, in.turn.Cause.Envelope.ID)
	e.Traceparent = orElse(e.Traceparent, orElse(in.turn.Cause.Envelope.Traceparent, r.frame.Trace))
	if inbox == "" {
		r.frame.Sequence++
		e.AggregateSequence = r.frame.Sequence
	}
	rec, err := w.wire.record(&x.slab, topic, key, m)
	if err != nil {
		return nil, err
	}
	return rec, w.limits.fits(e, rec)
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
