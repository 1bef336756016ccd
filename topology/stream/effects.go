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
// outside any transaction. The outcome is a message in the service's inbox.
type effects struct {
	worker *worker
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	running map[string]running
	slots   map[string]chan struct{}
}

type running struct {
	task   *task
	cancel context.CancelFunc
}

func newEffects(w *worker) *effects {
	ctx, cancel := context.WithCancel(context.Background())
	return &effects{worker: w, ctx: ctx, cancel: cancel, running: map[string]running{}, slots: map[string]chan struct{}{}}
}

// stop cancels all calls and waits for them; their intents stay in the rows.
func (e *effects) stop() {
	e.cancel()
	e.wg.Wait()
	e.mu.Lock()
	clear(e.running)
	e.mu.Unlock()
	e.tell()
}

// forget cancels the calls of a task that has gone to another worker.
func (e *effects) forget(t *task) {
	e.mu.Lock()
	for id, r := range e.running {
		if r.task == t {
			r.cancel()
			delete(e.running, id)
		}
	}
	e.mu.Unlock()
	e.tell()
}

// ended takes note of outcomes that have been committed.
func (e *effects) ended(intents []string) {
	if len(intents) == 0 {
		return
	}
	e.mu.Lock()
	for _, id := range intents {
		if r, ok := e.running[id]; ok {
			r.cancel()
			delete(e.running, id)
		}
	}
	e.mu.Unlock()
	e.tell()
}

// tell lets the clock know how many calls are in hand.
func (e *effects) tell() {
	e.mu.Lock()
	n := len(e.running)
	e.mu.Unlock()
	e.worker.config.Clock.Tide().Busy(e.worker.name+" effects", n)
}

// resume takes up the intents of a restored task. They may have been carried
// out already.
func (e *effects) resume(t *task) error {
	keys, err := t.table.InHand()
	if err != nil {
		return err
	}
	for _, key := range keys {
		r, err := t.row(key)
		switch {
		case r == nil:
			return err
		case err != nil: // it harms its own key alone
			e.worker.log.Error("the intents of a damaged row stay in hand until it is mended: `troupe state rebuild` makes it anew", "set", t.set.full, "key", key[1:], "error", err)
			continue
		}
		for _, in := range r.frame.Intents {
			e.start(t, key, r.frame.envelope(), in, true)
		}
	}
	return nil
}

func (e *effects) start(t *task, key string, envelope schemas.Envelope, in intent, again bool) {
	spec := t.set.effects[in.Effect]
	if spec == nil {
		e.worker.log.Error("an intent of an effect that is no longer declared stays in hand", "effect", in.Effect, "intent", in.ID)
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	e.mu.Lock()
	e.running[in.ID] = running{t, cancel}
	slot := e.slots[in.Effect]
	if slot == nil {
		slot = make(chan struct{}, e.worker.limits.EffectsAtOnce)
		e.slots[in.Effect] = slot
	}
	e.mu.Unlock()
	e.tell()
	rowKey := key[1:]
	e.wg.Go(func() {
		defer cancel()
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		case <-ctx.Done():
			return
		}
		e.carryOut(ctx, t, rowKey, envelope, spec, in, again)
	})
}

// carryOut calls the world until it answers, and writes the outcome. It gives
// up only with the worker: an outcome is owed.
func (e *effects) carryOut(ctx context.Context, t *task, key string, envelope schemas.Envelope, spec *effect, in intent, again bool) {
	w := e.worker
	request, err := spec.request.Decode(in.Request)
	if err != nil {
		w.log.Error("an intent cannot be read and stays in hand", "effect", in.Effect, "intent", in.ID, "error", err)
		return
	}
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
			err = e.answer(ctx, t, key, envelope, spec, in, outcome)
		}
		if err == nil {
			err = w.rehearse(AtAnswered)
		}
		w.metrics.effect(in.Effect, err)
		if err == nil {
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

func (e *effects) answer(ctx context.Context, t *task, key string, of schemas.Envelope, spec *effect, in intent, outcome schemas.Message) error {
	head := outcome.Head()
	head.ID = schemas.FactID("outcome", in.ID)
	head.Type, head.CausationID = spec.Outcome, in.ID
	head.Tenant, head.Region, head.ProductLine = of.Tenant, of.Region, of.ProductLine
	head.Order, head.CorrelationID, head.Traceparent = of.Order, of.CorrelationID, of.Traceparent
	if head.OccurredAt.IsZero() {
		head.OccurredAt = e.worker.config.Clock.Now()
	}
	inbox := t.set.full
	return e.worker.outbox.send(ctx, e.worker.plan.service.Name, topology.Request{Inbox: inbox, Key: key, Type: spec.Outcome, Message: outcome})
}
