package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// parkAttempts is how often an input that parks is tried before it is a dead letter.
const parkAttempts = 10

// stage is what one transaction will make true.
type stage struct {
	outputs []*record
	touched []touched
	parked  []rowChange
	started []call
	ended   []string // intents whose outcome has come
	taken   []taken
	moved   map[place]int64
}

type touched struct {
	task *task
	row  *row
}

// taken is an input that a step has used: what the judge needs to know of order.
type taken struct {
	task, key string
	record    *record
}

func (x *stage) empty() bool { return len(x.outputs) == 0 && len(x.touched) == 0 }

func (x *stage) touch(t *task, r *row) {
	if !r.touched {
		r.touched = true
		x.touched = append(x.touched, touched{t, r})
	}
}

func (x *stage) untouch(r *row) {
	r.touched = false
	x.touched = slices.DeleteFunc(x.touched, func(c touched) bool { return c.row == r })
}

// changes are the changelog's records.
func (x *stage) changes() []rowChange {
	out := make([]rowChange, 0, len(x.touched)+len(x.parked))
	for _, c := range x.touched {
		out = append(out, rowChange{c.task.name, c.row.key, c.row.staged})
	}
	return append(out, x.parked...)
}

// input is one record, or one timer, on its way into a step.
type input struct {
	task    *task
	key     string  // of the row
	record  *record // nil for a timer
	handler *handler
	message any
	turn    topology.Turn
	digest  []byte
	outcome string // the intent that the message answers
}

// accept takes one record: it is processed, parked, buried or of no interest.
func (s *service) accept(x *stage, r *record) {
	in, cause, err := s.read(r)
	switch {
	case err != nil:
		s.bury(x, r, cause, err, 1)
		return
	case in == nil:
		return
	}
	if !in.handler.Shared && in.task.row(rowKey(in.key)).frame.parked() > 0 {
		s.park(x, in, 0, 0)
		return
	}
	s.judge(x, in, s.run(x, in), 1)
}

// read opens a record for its step; nil if no step wants it.
func (s *service) read(r *record) (in *input, cause string, err error) {
	set := s.plan.bySrc[r.topic]
	t := s.task(set, r.n)
	if h := set.onDead; h != nil && r.topic != set.inbox {
		d := *r.letter
		e := schemas.Envelope{ID: d.ID(), Type: h.Name, Source: d.Service, OccurredAt: d.At, Order: d.Order, CorrelationID: d.ID()}
		return s.input(t, d.ID(), r, h, d, e), "", nil
	}
	f, err := s.sim.binder.wire.Open(context.Background(), r.value)
	if err != nil {
		return nil, "framing", err
	}
	h := set.messages[f.Type]
	if h == nil {
		return nil, "", nil
	}
	e, message, err := h.decode(f)
	if err != nil {
		return nil, "body", err
	}
	key := r.key
	switch {
	case h.Shared:
		key = t.home
	case set.RowKey != nil:
		key = set.RowKey(key, &e)
	}
	in = s.input(t, key, r, h, message, e)
	if h.Trigger == topology.OnOutcome {
		in.outcome = e.CausationID
	}
	return in, "", nil
}

func (s *service) input(t *task, key string, r *record, h *handler, message any, e schemas.Envelope) *input {
	return &input{
		task: t, key: key, record: r, handler: h, message: message, digest: contentOf(e.ID, r.value),
		turn: topology.Turn{Now: e.OccurredAt.UTC(), Cause: topology.Cause{Envelope: e, Key: key, Topic: r.topic, Partition: r.n, Offset: r.offset}},
	}
}

// judge acts on a step's verdict.
func (s *service) judge(x *stage, in *input, err error, attempts int32) {
	after, parked := topology.Parked(err)
	switch {
	case err == nil:
	case topology.Dropped(err):
		s.settle(x, in)
	case parked && attempts < parkAttempts:
		s.park(x, in, after, attempts)
	case parked:
		s.bury(x, in.record, "attempts", err, attempts)
	case topology.Poisoned(err):
		s.bury(x, in.record, "poison", err, attempts)
		s.settle(x, in)
	default:
		s.bury(x, in.record, "defect", err, attempts)
	}
}

// settle ends the intent of an outcome that its step has no use for: it was
// carried out all the same.
func (s *service) settle(x *stage, in *input) {
	r := in.task.row(rowKey(in.key))
	if in.outcome == "" || !r.frame.inHand(in.outcome) {
		return
	}
	x.touch(in.task, r)
	r.frame.take(in.outcome, in.task.set.Remember)
	in.task.restage(r)
	x.ended = append(x.ended, in.outcome)
}

// park lets an input wait under its key. With after 0 it waits behind what is
// parked there already.
func (s *service) park(x *stage, in *input, after time.Duration, attempts int32) {
	r := in.task.row(rowKey(in.key))
	x.touch(in.task, r)
	if r.frame.parked() == 0 {
		r.frame.ParkedUntil = s.clock().Add(after).UnixMilli()
	}
	n := r.frame.ParkedTo
	r.frame.ParkedTo++
	r.frame.adopt(&in.turn.Cause.Envelope, in.record.key)
	in.task.stageParked(x, r, n, &parkedInput{in.record.topic, in.record.n, in.record.offset, attempts})
	in.task.restage(r)
}

func (t *task) stageParked(x *stage, r *row, n int64, p *parkedInput) {
	var value []byte
	if p != nil {
		value = must(t.set.parked.Append(nil, p))
	}
	key := parkedKey(r.key, n)
	for i := range x.parked {
		if c := &x.parked[i]; c.task == t.name && c.key == key {
			c.value = value
			return
		}
	}
	x.parked = append(x.parked, rowChange{t.name, key, value})
}

// restage encodes a row whose frame alone has changed.
func (t *task) restage(r *row) {
	r.staged, r.dirty = must(t.set.encode(r)), true
}

// unpark tries the parked inputs of a key in order, until one must wait on.
func (s *service) unpark(x *stage, t *task, r *row) {
	for r.frame.parked() > 0 {
		n := r.frame.ParkedFrom
		b := t.changelog()[parkedKey(r.key, n)]
		if b == nil {
			return // parked by this very transaction: the next one sees it
		}
		var p parkedInput
		sound(t.set.parked.Decode(b, &p))
		record := s.sim.journal.at(place{p.Topic, p.Partition}).records[p.Offset]
		in, cause, err := s.read(record)
		switch {
		case err != nil:
			s.bury(x, record, cause, err, p.Attempts+1)
		case in != nil:
			err := s.run(x, in)
			if after, parked := topology.Parked(err); parked && p.Attempts+1 < parkAttempts {
				x.touch(t, r)
				p.Attempts++
				r.frame.ParkedUntil = s.clock().Add(after).UnixMilli()
				t.stageParked(x, r, n, &p)
				t.restage(r)
				return
			}
			s.judge(x, in, err, p.Attempts+1)
		}
		x.touch(t, r)
		r.frame.ParkedFrom++
		t.stageParked(x, r, n, nil)
		t.restage(r)
	}
}

// bury stages a dead letter.
func (s *service) bury(x *stage, r *record, cause string, err error, attempts int32) {
	topic := topology.DeadTopic(s.plan.Name)
	x.outputs = append(x.outputs, &record{
		place: place{topic, s.sim.journal.home(r.key)}, key: r.key, value: r.value,
		letter: &topology.DeadLetter{
			Service: s.plan.Name, Cause: cause, Detail: err.Error(), Topic: r.topic, Partition: r.n, Offset: r.offset,
			Key: []byte(r.key), Value: r.value, Attempts: attempts, At: s.clock(), Order: r.envelope.Order,
		},
	})
}

// buryTimer is bury for a timer.
func (s *service) buryTimer(x *stage, t *task, r *row, tm armed, err error) {
	key := cmp.Or(r.frame.RecordKey, r.key[1:])
	source := &record{key: key}
	source.topic, source.n, source.offset = topology.TimerSource(t.set.full, tm.Name, tm.Discriminator, r.key[1:]), t.n, tm.At
	source.envelope.Order = r.frame.Order
	cause := "defect"
	if topology.Poisoned(err) {
		cause = "poison"
	}
	s.bury(x, source, cause, err, 1)
}

// errDefect wraps an error of a step that is no verdict.
type errDefect struct{ error }

func (e errDefect) Unwrap() error { return e.error }

// run stages what a step makes of its input. On any error the row and the
// transaction are as they were.
func (s *service) run(x *stage, in *input) error {
	key := rowKey(in.key)
	if in.handler.Shared {
		key = besideKey
	}
	r := in.task.row(key)
	if err := s.fresh(in, r); err != nil {
		return err
	}
	if in.task.set.beside != nil && !in.handler.Shared {
		in.turn.Beside = in.task.row(besideKey).state
	}
	before, hadBefore, wasTouched := r.current(), r.dirty, r.touched
	x.touch(in.task, r)
	err := s.step(x, in, r)
	if err == nil {
		return nil
	}
	sound(in.task.set.decode(r, before))
	r.dirty = hadBefore
	if !hadBefore && !wasTouched {
		x.untouch(r)
	}
	return err
}

// fresh refuses what the row has had. An outcome is known by its intent.
func (s *service) fresh(in *input, r *row) error {
	switch {
	case in.record == nil || s.sim.bug == NoDeduplication:
		return nil
	case in.outcome != "":
		if r.frame.inHand(in.outcome) {
			return nil
		}
		return topology.Drop("the intent %s is not in hand: answered before", in.outcome)
	}
	switch had, same := r.frame.seen(in.digest); {
	case had && same:
		return topology.Drop("seen before")
	case had:
		return topology.Poison("the ID %s was seen with other content", in.turn.Cause.Envelope.ID)
	}
	return nil
}

// step runs the handler and stages its outputs.
func (s *service) step(x *stage, in *input, r *row) error {
	t := &in.turn
	if in.record != nil {
		if !in.handler.Shared {
			r.frame.adopt(&t.Cause.Envelope, in.record.key)
		}
		t.Cause.Envelope.CorrelationID = cmp.Or(t.Cause.Envelope.CorrelationID, r.frame.Correlation)
		if in.outcome != "" {
			r.frame.take(in.outcome, in.task.set.Remember)
		} else {
			r.frame.remember(in.digest, in.task.set.Remember)
		}
	}
	if err := apply(in.handler, r.state, in.message, t); err != nil {
		return err
	}
	if err := t.Err(); err != nil {
		return errDefect{err}
	}
	records, started, err := s.absorb(in, r, t.Outputs())
	if err != nil {
		return errDefect{err}
	}
	staged, err := in.task.set.encode(r)
	if err != nil {
		return errDefect{err}
	}
	r.ended = t.Outputs().Ends
	if r.ended {
		staged = nil
		sound(in.task.set.decode(r, nil)) // what comes next under this key begins anew
	}
	r.staged, r.dirty = staged, true
	x.outputs = append(x.outputs, records...)
	x.started = append(x.started, started...)
	if in.outcome != "" {
		x.ended = append(x.ended, in.outcome)
	}
	if in.record != nil {
		x.taken = append(x.taken, taken{in.task.name, r.key, in.record})
	}
	return nil
}

// apply calls a step; a panic in it is a defect of that input.
func apply(h *handler, state, message any, t *topology.Turn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errDefect{fmt.Errorf("panic: %v", p)}
		}
	}()
	err = h.Apply(state, message, t)
	if _, parked := topology.Parked(err); err != nil && !parked && !topology.Dropped(err) && !topology.Poisoned(err) {
		return errDefect{err}
	}
	return err
}

// absorb turns what a step asked for into records, timers and intents.
func (s *service) absorb(in *input, r *row, out topology.Outputs) (records []*record, started []call, err error) {
	for _, f := range out.Facts {
		key := cmp.Or(f.Key, r.frame.RecordKey, in.key)
		rec, err := s.message(in, r, "", key, f.Type, f.Message, f.Discriminator)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, rec)
	}
	for _, q := range out.Requests {
		key := q.Key
		if key == in.key { // a row keyed otherwise than its records still writes under their key
			key = cmp.Or(r.frame.RecordKey, in.key)
		}
		rec, err := s.message(in, r, q.Inbox, key, q.Type, q.Message, append([]string{q.Inbox, q.Key}, q.Discriminator...))
		if err != nil {
			return nil, nil, err
		}
		records = append(records, rec)
	}
	for _, t := range out.Timers {
		if in.task.set.timers[t.Name] == nil {
			return nil, nil, fmt.Errorf("no step of set %q is Due on timer %q", in.task.set.full, t.Name)
		}
		r.frame.arm(t)
	}
	for _, i := range out.Intents {
		c, err := s.intend(in, r, i)
		if err != nil {
			return nil, nil, err
		}
		started = append(started, c)
	}
	return records, started, nil
}

func (s *service) intend(in *input, r *row, i topology.Intent) (call, error) {
	e := in.task.set.effects[i.Effect]
	if e == nil {
		return call{}, fmt.Errorf("set %q declares no effect %q", in.task.set.full, i.Effect)
	}
	if reflect.TypeOf(i.Request) != e.Request {
		return call{}, fmt.Errorf("the request of %s is a %T, not a %v", i.Effect, i.Request, e.Request)
	}
	p := reflect.New(e.Request)
	p.Elem().Set(reflect.ValueOf(i.Request))
	request, err := e.request.Append(nil, p.Interface())
	if err != nil {
		return call{}, err
	}
	id := schemas.FactID("intent", s.plan.Name, i.Effect, in.key, i.Discriminator)
	if r.frame.inHand(id) {
		return call{}, fmt.Errorf("intent %s/%s is already in hand: give it another discriminator", i.Effect, i.Discriminator)
	}
	if had, same := r.frame.seen(contentOf(id, request)); had && !same {
		return call{}, fmt.Errorf("intent %s/%s has had its outcome for another request: give it another discriminator", i.Effect, i.Discriminator)
	}
	made := intent{ID: id, Effect: i.Effect, Discriminator: i.Discriminator, Request: request, CauseID: in.turn.Cause.Envelope.ID}
	r.frame.Intents = append(r.frame.Intents, made)
	return call{task: in.task, key: in.key, envelope: r.frame.envelope(), spec: e, intent: made}, nil
}

// message makes the record of a fact or request.
func (s *service) message(in *input, r *row, inbox, key, typ string, m schemas.Message, discriminator []string) (*record, error) {
	topic, err := s.output(inbox, typ)
	if err != nil {
		return nil, err
	}
	e, cause := m.Head(), &in.turn.Cause.Envelope
	e.Type, e.Source = typ, s.plan.Name
	e.AggregateID = cmp.Or(e.AggregateID, in.key)
	e.ID = cmp.Or(e.ID, schemas.FactID(append([]string{e.Source, typ, in.key}, discriminator...)...))
	if e.OccurredAt.IsZero() {
		e.OccurredAt = in.turn.Now
	}
	e.Tenant = cmp.Or(e.Tenant, r.frame.Tenant)
	e.Region = cmp.Or(e.Region, r.frame.Region)
	e.ProductLine = cmp.Or(e.ProductLine, r.frame.ProductLine)
	e.Order = cmp.Or(e.Order, r.frame.Order)
	e.CorrelationID = cmp.Or(e.CorrelationID, cause.CorrelationID, r.frame.Correlation)
	r.frame.Correlation = cmp.Or(r.frame.Correlation, e.CorrelationID)
	e.CausationID = cmp.Or(e.CausationID, cause.ID)
	e.Traceparent = cmp.Or(e.Traceparent, cause.Traceparent, r.frame.Trace)
	if inbox == "" {
		r.frame.Sequence++
		e.AggregateSequence = r.frame.Sequence
	}
	return s.sim.record(topic, key, m)
}

// output finds the topic of a message, and refuses one that is not declared.
func (s *service) output(inbox, typ string) (string, error) {
	declared := slices.ContainsFunc(slices.Concat(s.plan.Publishes, s.plan.Asks), func(o topology.Output) bool { return o.Inbox == inbox && o.Type == typ })
	if !declared {
		return "", fmt.Errorf("service %s does not declare %s to %q", s.plan.Name, typ, inbox)
	}
	return s.sim.topicOf(inbox, typ)
}

func must[T any](v T, err error) T {
	sound(err)
	return v
}

// sound ends a run whose simulator is at fault: it cannot judge anything then.
func sound(err error) {
	if err != nil {
		panic(errSimulator{err})
	}
}

type errSimulator struct{ error }

var errNoTopic = errors.New("no topic of the estate carries it")
