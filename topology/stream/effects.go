package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"troupe/schemas"
	"troupe/topology"
)

// effects carries out the intents of a worker's tasks, after their commit and
// outside any transaction. The outcome is a message in the service's inbox. All
// but the calls themselves is done by the worker's own goroutine.
type effects struct {
	worker  *worker
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	running map[string]running // by intent, until its outcome is committed
	lanes   map[string]*lane
}

type running struct {
	task   *task
	lane   *lane
	cancel context.CancelFunc
}

// lane is what is in hand of one effect. A partner that does not answer fills its
// lane and no other; what has no room in it waits in its row, on the disk, and
// takes no memory.
type lane struct {
	effect string
	slots  chan struct{}
	inHand int
	left   map[*task]*place
}

// place is how far a task's rows were looked through for intents that wait.
type place struct {
	after string
	again bool // one was left meanwhile, maybe in a row that was passed
}

func newEffects(w *worker) *effects {
	ctx, cancel := context.WithCancel(context.Background())
	return &effects{worker: w, ctx: ctx, cancel: cancel, running: map[string]running{}, lanes: map[string]*lane{}}
}

// stop cancels all calls and waits for them; their intents stay in the rows.
func (e *effects) stop() {
	e.cancel()
	e.wg.Wait()
	clear(e.running)
	clear(e.lanes)
	e.tell()
}

// forget cancels the calls of a task that has gone to another worker.
func (e *effects) forget(t *task) {
	for id, r := range e.running {
		if r.task == t {
			e.end(id, r)
		}
	}
	for _, l := range e.lanes {
		delete(l.left, t)
	}
	e.tell()
}

// ended takes note of outcomes that have been committed.
func (e *effects) ended(intents []string) {
	for _, id := range intents {
		if r, ok := e.running[id]; ok {
			e.end(id, r)
		}
	}
	if len(intents) > 0 {
		e.tell()
	}
}

func (e *effects) end(id string, r running) {
	r.cancel()
	r.lane.inHand--
	delete(e.running, id)
}

// tell lets the clock know how much is in hand, or waits to be.
func (e *effects) tell() {
	n := len(e.running)
	for _, l := range e.lanes {
		n += len(l.left)
	}
	e.worker.config.Clock.Tide().Busy(e.worker.name+" effects", n)
}

func (e *effects) lane(effect string) *lane {
	l := e.lanes[effect]
	if l == nil {
		l = &lane{effect: effect, slots: make(chan struct{}, e.worker.limits.EffectsAtOnce), left: map[*task]*place{}}
		e.lanes[effect] = l
	}
	return l
}

// leave lets an intent wait in its row.
func (l *lane) leave(t *task) {
	if p := l.left[t]; p != nil {
		p.again = true
	} else {
		l.left[t] = &place{}
	}
}

// wants says that a lane has room for what waits.
func (l *lane) wants(most int) bool { return len(l.left) > 0 && l.inHand <= most/2 }

// resume has the rows of a restored task looked through for intents, also for
// those of effects that are not declared any more.
func (e *effects) resume(t *task) {
	e.lane(undeclared).left[t] = &place{}
	for name := range t.set.effects {
		e.lane(name).left[t] = &place{}
	}
	e.tell()
}

// undeclared is the lane of intents that nothing carries out.
const undeclared = ""

func (l *lane) has(t *task, effect string) bool {
	if t.set.effects[effect] == nil {
		effect = undeclared
	}
	return l.effect == effect
}

// refill takes up intents that wait in their rows, a lane's worth of rows at a
// time. The worker looks again at once while there is room for more.
func (e *effects) refill() error {
	most := e.worker.limits.EffectsInHand
	for _, l := range e.lanes {
		if !l.wants(most) {
			continue
		}
		for t, p := range l.left {
			if err := e.look(l, t, p); err != nil {
				return err
			}
		}
		if l.wants(most) {
			e.worker.wake()
		}
		e.tell()
	}
	return nil
}

// look goes on through a task's rows and takes up intents of an effect while
// there is room.
func (e *effects) look(l *lane, t *task, p *place) error {
	most := e.worker.limits.EffectsInHand
	keys, err := t.table.InHand(p.after, most)
	if err != nil {
		return err
	}
	for _, key := range keys {
		full, err := e.takeUp(l, t, key)
		if full || err != nil {
			return err
		}
		p.after = key
	}
	switch {
	case len(keys) == most: // there may be more
	case p.again:
		*p = place{}
	default:
		delete(l.left, t)
	}
	return nil
}

// takeUp starts a row's intents of an effect. They may have been carried out
// already, by a process before this one.
func (e *effects) takeUp(l *lane, t *task, key string) (full bool, err error) {
	r, err := t.row(key)
	switch {
	case r == nil:
		return false, err
	case err != nil: // it harms its own key alone
		e.worker.log.Error("the intents of a damaged row stay in hand until it is mended: `troupe state rebuild` makes it anew", "set", t.set.full, "key", key[1:], "error", err)
		return false, nil
	}
	for _, in := range r.frame.Intents {
		if _, is := e.running[in.ID]; is || !l.has(t, in.Effect) {
			continue
		}
		if l.inHand >= e.worker.limits.EffectsInHand {
			return true, nil
		}
		e.begin(l, startedIntent{t, key, r.frame.envelope(), in, r.frame.RecordKey}, true)
	}
	return false, nil
}

// start takes up the intents of a transaction that is committed.
func (e *effects) start(started []startedIntent) {
	for _, s := range started {
		l := e.lane(s.intent.Effect)
		if l.inHand >= e.worker.limits.EffectsInHand {
			l.leave(s.task)
		} else {
			e.begin(l, s, false)
		}
	}
	if len(started) > 0 {
		e.tell()
	}
}

// begin has an intent carried out as soon as the lane has a slot. One that cannot
// be read stays in its row, and so does one whose outcome nobody can take.
func (e *effects) begin(l *lane, s startedIntent, again bool) {
	s = s.detached()
	in := s.intent
	spec := s.task.set.effects[in.Effect]
	if spec == nil {
		e.worker.log.Error("an intent of an effect that is no longer declared stays in hand", "effect", in.Effect, "intent", in.ID)
		return
	}
	request, err := spec.request.Decode(in.Request)
	if err != nil {
		e.worker.log.Error("an intent cannot be read and stays in hand", "effect", in.Effect, "intent", in.ID, "error", err)
		return
	}
	if e.worker.unanswerable(in.ID) {
		e.worker.log.Error("an intent stays in hand: its outcome has ended the process and is a dead letter: send that to the replay topic once this can take it, or run another version", "effect", in.Effect, "order", s.envelope.Order, "intent", in.ID)
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	e.running[in.ID] = running{s.task, l, cancel}
	l.inHand++
	e.wg.Go(func() {
		defer cancel()
		select {
		case l.slots <- struct{}{}:
			defer func() { <-l.slots }()
		case <-ctx.Done():
			return
		}
		e.carryOut(ctx, s, spec, request, again)
	})
}

// carryOut calls the world until it answers, and writes the outcome. It gives
// up only with the worker, since an outcome is owed, or where no record can hold it: then
// the intent keeps its place among those in hand, and what owes more is told overdue.
func (e *effects) carryOut(ctx context.Context, s startedIntent, spec *effect, request any, again bool) {
	w, in, envelope, key := e.worker, s.intent, s.envelope, s.key[1:]
	envelope.CausationID = in.CauseID
	call := topology.Call{ID: in.ID, Again: again, Envelope: envelope, Key: key}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = w.limits.EffectBackoff, w.limits.EffectBackoffMost
	for ctx.Err() == nil {
		call.Attempt++
		call.Last = call.Attempt >= w.limits.EffectAttempts
		call.Now = w.config.Clock.Now()
		outcome, err := e.try(ctx, spec, call, request)
		if err == nil {
			err = w.rehearse(AtCalled)
		}
		if err == nil {
			err = e.answer(ctx, s.task, orElse(s.answerTo, key), envelope, spec, in, outcome)
		}
		if err == nil {
			err = w.rehearse(AtAnswered)
		}
		w.metrics.effect(in.Effect, err)
		if err == nil {
			return
		}
		if errors.Is(err, errUnwritable) { // the world would answer the same again
			w.log.Error("an intent stays in hand: no record can hold what its effect answers; it is asked for again at the next start", "effect", in.Effect, "order", envelope.Order, "intent", in.ID, "error", err)
			return
		}
		if ctx.Err() == nil {
			w.log.Warn("an effect failed and is tried again", "effect", in.Effect, "order", envelope.Order, "attempt", call.Attempt, "error", err)
		}
		call.Again = true
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (e *effects) try(ctx context.Context, spec *effect, call topology.Call, request any) (out schemas.Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.worker.limits.EffectTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("effect %s panics: %v", spec.Name, p)
		}
	}()
	if err := e.worker.rehearse(AtCalling); err != nil {
		return nil, err
	}
	out, err = spec.Run(ctx, call, request)
	if err == nil && out == nil {
		err = errors.New("neither an outcome nor an error")
	}
	return out, err
}

// outcomeID is the same for every answer to an intent.
func outcomeID(intent string) string { return schemas.FactID("outcome", intent) }

func (e *effects) answer(ctx context.Context, t *task, key string, of schemas.Envelope, spec *effect, in intent, outcome schemas.Message) error {
	head := outcome.Head()
	head.ID = outcomeID(in.ID)
	head.Type, head.CausationID = spec.Outcome, in.ID
	head.Tenant, head.Region, head.ProductLine = of.Tenant, of.Region, of.ProductLine
	head.Order, head.CorrelationID, head.Traceparent = of.Order, of.CorrelationID, of.Traceparent
	if head.OccurredAt.IsZero() {
		head.OccurredAt = e.worker.config.Clock.Now()
	}
	inbox := t.set.full
	return e.worker.outbox.send(ctx, e.worker.plan.service.Name, topology.Request{Inbox: inbox, Key: key, Type: spec.Outcome, Message: outcome})
}
