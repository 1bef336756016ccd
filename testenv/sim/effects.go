package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// effectAttempts is how often a call is tried; the last may answer "unknown".
const effectAttempts = 6

// call is an intent that is being carried out.
type call struct {
	task     *task
	key      string
	envelope schemas.Envelope
	spec     *effect
	intent   intent
	attempt  int
	again    bool // an earlier attempt may have reached the other side
}

// resume takes up the intents of a restored task. They may have been carried
// out already.
func (s *service) resume(t *task) {
	for _, key := range slices.Sorted(maps.Keys(t.changelog())) {
		if isParked(key) {
			continue
		}
		r := t.row(key)
		for _, in := range r.frame.Intents {
			s.begin(&call{task: t, key: key[1:], envelope: r.frame.envelope(), spec: t.set.effects[in.Effect], intent: in, again: true})
		}
	}
}

func (s *service) begin(c *call) {
	s.running[c.intent.ID] = c
	s.carryOut(c, s.sim.latency())
}

// carryOut calls the world after a while, until it answers.
func (s *service) carryOut(c *call, after time.Duration) {
	born := s.incarnation
	s.sim.after(after, func() {
		if s.incarnation != born || s.running[c.intent.ID] != c {
			return
		}
		c.attempt++
		outcome, err := s.try(c)
		if s.sim.happens(s.sim.dials.Crash) {
			s.sim.say(s.plan.Name, "dies between", c.intent.Effect, "and its outcome")
			s.crash()
			return
		}
		if err == nil {
			err = s.answer(c, outcome)
		}
		if err != nil {
			c.again = true
			s.carryOut(c, time.Duration(50<<c.attempt)*time.Millisecond)
		}
	})
}

func (s *service) try(c *call) (schemas.Message, error) {
	request := must(c.spec.request.Decode(c.intent.Request))
	e := c.envelope
	e.CausationID = c.intent.CauseID
	id, again := c.intent.ID, c.again
	if s.sim.bug == BlindRepeat && again {
		id, again = fmt.Sprint(id, "/", s.sim.rnd.Uint64()), false
	}
	out, err := c.spec.Run(context.Background(), topology.Call{
		ID: id, Attempt: c.attempt, Again: again, Last: c.attempt >= effectAttempts, Envelope: e, Key: c.key, Now: s.clock(),
	}, request)
	s.sim.say(s.plan.Name, "calls", c.intent.Effect, c.intent.Discriminator, "of", c.key, "attempt", c.attempt, "again", c.again, "failed", err != nil)
	return out, err
}

// answer writes the outcome into the service's own inbox. The broker may have
// it although its answer was lost.
func (s *service) answer(c *call, outcome schemas.Message) error {
	head, of := outcome.Head(), c.envelope
	head.ID = schemas.FactID("outcome", c.intent.ID)
	head.Type, head.CausationID = c.spec.Outcome, c.intent.ID
	head.Tenant, head.Region, head.ProductLine = of.Tenant, of.Region, of.ProductLine
	head.Order, head.CorrelationID, head.Traceparent = of.Order, of.CorrelationID, of.Traceparent
	if head.OccurredAt.IsZero() {
		head.OccurredAt = s.clock()
	}
	lost := s.sim.happens(s.sim.dials.Unknown)
	if lost && s.sim.happens(0.5) {
		return fmt.Errorf("the broker is not there")
	}
	err := s.sim.send(s.plan.Name, topology.Request{Inbox: c.task.set.full, Key: c.key, Type: c.spec.Outcome, Message: outcome})
	sound(err)
	if lost {
		return fmt.Errorf("the broker's answer was lost")
	}
	return nil
}

// strand leaves on the wire what is there: a caller's death does not call it back.
func (s *service) strand() {
	for _, id := range slices.Sorted(maps.Keys(s.running)) {
		if c := s.running[id]; c.attempt == 0 && s.sim.happens(0.5) {
			s.sim.after(s.sim.latency(), func() {
				c.attempt++
				_, _ = s.try(c) // nobody hears the answer
			})
		}
	}
}
