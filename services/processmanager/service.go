package processmanager

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// Timers. A deadline is told from its like by rule and subject.
const (
	deadline = "deadline"
	orphan   = "orphan"
)

// orphanPatience is how long an event waits for the order that its flow is of.
const orphanPatience = 30 * time.Minute

// Clocks, as ObligationOverdue names them.
const (
	responseClock = "RESPONSE"
	promiseClock  = "PROMISE"
)

// manager runs one definition.
type manager struct{ definition *Definition }

// Service is the process manager of one definition.
func Service(definition *Definition) topology.Service {
	m := manager{definition}
	reads := definition.Reads()
	for event, fields := range ledgerReads {
		reads[event] = slices.Compact(slices.Sorted(slices.Values(append(reads[event], fields...))))
	}
	var steps []topology.Step[Flow]
	for _, event := range slices.Sorted(maps.Keys(reads)) {
		if event == "ApproveStep" || event == "OverrideStep" {
			continue // a person's word comes by the inbox
		}
		steps = append(steps, topology.OnFields(event, reads[event], m.onEvent))
	}
	steps = append(steps,
		topology.Asked("ApproveStep", m.onStep), topology.Asked("OverrideStep", m.onStep),
		topology.Due(deadline, m.onDeadline), topology.Due(orphan, onOrphan),
	)
	set := topology.Keyed("", "order", "processmanager.flow", steps...)
	set.RowKey = func(key string, e *schemas.Envelope) string { return cmp.Or(e.CorrelationID, key) }
	beside := topology.RowOf[Positions]("processmanager.positions")
	set.Beside = &beside
	set.Handlers = append(set.Handlers,
		topology.SharedStep("OwnerPosition", onPosition), topology.SharedStep("OwnerAwaited", onAwaited))
	return topology.Service{
		Name: "processmanager", Owner: "fulfilment",
		Doc: "keeps who owes which event by when, and decides cancellations",
		Publishes: []topology.Output{
			topology.Publishes[flowStarted](), topology.Publishes[flowPhaseChanged](), topology.Publishes[flowClosed](),
			topology.Publishes[obligationOverdue](), topology.Publishes[obligationMet](),
			topology.Publishes[cancellationDecided](), topology.Publishes[personNeeded](),
			topology.Publishes[ownerBehind](), topology.Publishes[ownerCaughtUp](),
		},
		Asks: []topology.Output{
			topology.Asks[stopFulfilment]("shipment"), topology.Asks[voidPayment]("payment"),
			topology.Asks[releaseReservation]("inventory"), topology.Asks[ownerAwaited]("processmanager"),
		},
		Sets: []topology.Set{set},
		Bounds: []topology.Bound{
			topology.AtMost("positions-per-reader", maxPositions, "the one that is missed least is forgotten: what was read then counts as read a little later, by its share of how long ago it was"),
			topology.AtMost("reading-recheck", recheck, "an obligation whose owner had not read its cause looks again"),
			topology.AtMost("order-wait", orphanPatience, "from the latest event: a dead letter says that nobody has placed the order; what came stays in the flow"),
		},
		Watch: &topology.Watch{Readers: definition.awaits(), Message: func(p topology.Position) schemas.Message {
			return &ownerPosition{Owner: p.Service, Topic: p.Topic, Partition: p.Partition, Offset: p.Offset, AsOf: p.AsOf}
		}},
	}
}

func (m manager) onEvent(f *Flow, fields map[string]any, t *topology.Turn) error {
	c := t.Cause
	return m.take(f, Event{
		ID: c.Envelope.ID, Type: c.Envelope.Type, Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, At: t.Now, Fields: fields,
	}, t)
}

func (m manager) onStep(f *Flow, e step, t *topology.Turn) error {
	return m.take(f, Event{
		ID: t.Cause.Envelope.ID, Type: t.Cause.Envelope.Type, Topic: t.Cause.Topic, At: t.Now, Fields: map[string]any{"desk": e.Step},
	}, t)
}

// take books an event, and does what follows from it.
func (m manager) take(f *Flow, e Event, t *topology.Turn) error {
	began := f.Definition != ""
	f.book(e)
	m.settle(f, e, t)
	m.persons(e, t)
	switch {
	case e.Type == "OrderPlaced" && !began:
		f.Definition, f.Version = m.definition.Name, m.definition.Version
		t.Publish(&flowStarted{Definition: f.Definition, Version: f.Version})
		t.Disarm(orphan, "")
	case !began:
		t.At(t.Now.Add(orphanPatience), orphan, "")
		return nil
	}
	m.cancellation(f, t)
	if outcome := f.close(); outcome != "" {
		f.Outcome = outcome
		for _, o := range f.Ledger.Open {
			disarm(o, t)
		}
		f.Ledger = Ledger{} // a summary stays for returns and late invoices
		t.Publish(&flowClosed{Outcome: outcome, Definition: f.Definition, Version: f.Version})
	}
	if phase := f.phase(); phase != f.Phase {
		t.Publish(&flowPhaseChanged{Phase: phase, Previous: f.Phase}, phase, e.ID)
		f.Phase = phase
	}
	return nil
}

// settle closes and opens obligations, and keeps their timers.
func (m manager) settle(f *Flow, e Event, t *topology.Turn) {
	if f.Outcome != "" {
		return
	}
	c := f.Ledger.take(m.definition, e)
	for _, o := range c.closed {
		disarm(o.Obligation, t)
		if o.Overdue && o.met {
			r := m.definition.rules[o.Rule]
			t.Publish(&obligationMet{
				Obligation: o.Rule, Event: r.Events[0].Event, Owner: r.Owner, Subject: o.Subject,
				CauseID: o.CauseID, DueAt: o.Due, MetBy: o.by.Type,
			}, o.Rule, o.Subject, o.CauseID)
		}
	}
	for _, o := range c.opened {
		if o := f.Ledger.find(o.Rule, o.Subject); o != nil && !o.Due.IsZero() { // not closed by the same event
			t.At(o.Due, deadline, timerOf(*o))
		}
	}
}

func timerOf(o Obligation) string { return o.Rule + "/" + o.Subject }

func disarm(o Obligation, t *topology.Turn) {
	if !o.Due.IsZero() && !o.Overdue {
		t.Disarm(deadline, timerOf(o))
	}
}

// cancellation asks for a stop, decides on its outcome, and has undone what can be.
func (m manager) cancellation(f *Flow, t *topology.Turn) {
	c := &f.Cancel
	if c.Requested && !c.Asked {
		c.Asked = true
		if f.Outcome != "" {
			c.Decided, c.Told = true, true
			t.Publish(&cancellationDecided{Reason: "the flow is closed"})
			return
		}
		t.Ask("shipment", &stopFulfilment{Reason: c.Reason})
	}
	if !c.Requested || !c.Decided || c.Told {
		return
	}
	c.Told = true
	fact := &cancellationDecided{Accepted: c.Accepted, Reason: c.Reason}
	if !c.Accepted {
		fact.Reason = "everything has left"
	}
	slices.SortFunc(f.Lines, func(a, b Line) int { return cmp.Compare(a.Line, b.Line) })
	for _, l := range f.Lines {
		fact.Lines = append(fact.Lines, decidedLine{l.Line, l.Cancelled, l.Quantity - l.Cancelled})
	}
	t.Publish(fact)
	if c.Accepted {
		t.Ask("payment", &voidPayment{Reason: c.Reason})
		t.Ask("inventory", &releaseReservation{Reason: c.Reason})
	}
}

func (m manager) persons(e Event, t *topology.Turn) {
	for _, p := range m.definition.Persons {
		if p.Event == e.Type {
			t.Publish(&personNeeded{Desk: p.Desk, Reason: p.Reason, Severity: p.Severity}, p.Desk, e.ID)
		}
	}
}

// onDeadline raises what is overdue, once its owner has had its time.
func (m manager) onDeadline(f *Flow, t *topology.Turn) error {
	rule, subject, _ := strings.Cut(t.Cause.Discriminator, "/")
	o := f.Ledger.find(rule, subject)
	if o == nil || o.Overdue {
		return topology.Drop("closed")
	}
	positions, _ := t.Beside.(*Positions)
	waited := o.Waits
	verdict, err := m.definition.judge(o, positions, t.Now)
	if err != nil {
		return err
	}
	r := m.definition.rules[o.Rule]
	switch verdict {
	case isLater:
		t.At(o.Due, deadline, timerOf(*o))
	case isWaiting:
		t.At(o.Due, deadline, timerOf(*o))
		if !waited {
			t.Ask("processmanager", &ownerAwaited{Owner: r.Owner, Topic: o.Topic, Offset: o.Offset, Since: o.At}, o.Rule, o.Subject, o.CauseID)
		}
	case isOverdue:
		fact := &obligationOverdue{
			Obligation: o.Rule, Event: r.Events[0].Event, Owner: r.Owner, Subject: o.Subject,
			CauseID: o.CauseID, CauseType: o.CauseType, DueAt: o.Due, Clock: promiseClock, NextAction: r.NextAction,
			OwnerLag: positions.lag(r.Owner, o.Topic, o.Offset),
		}
		if r.Response > 0 {
			fact.Clock = responseClock
		}
		for _, p := range r.Events {
			fact.Events = append(fact.Events, p.Event)
		}
		t.Publish(fact, o.Rule, o.Subject, o.CauseID)
	}
	return nil
}

// onOrphan says aloud that events came of an order that nobody has placed.
func onOrphan(f *Flow, t *topology.Turn) error {
	if f.Definition != "" {
		return topology.Drop("the flow has begun")
	}
	return topology.Poison("for %v events have come of flow %s, whose order nobody has placed", orphanPatience, t.Cause.Key)
}

func onPosition(p *Positions, e position, t *topology.Turn) error {
	if _, caughtUp := p.observe(e.Owner, e.Topic, Position{Offset: e.Offset, AsOf: e.AsOf}); caughtUp {
		t.Publish(&ownerCaughtUp{Owner: e.Owner, Topic: e.Topic}, e.Owner, e.Topic, fmt.Sprint(t.Cause.Partition), fmt.Sprint(e.Offset))
	}
	return nil
}

func onAwaited(p *Positions, e awaited, t *topology.Turn) error {
	r, news := p.await(e.Owner, e.Topic, e.Offset, e.Since)
	if !news {
		return nil // counted with the incident there is, or it has caught up
	}
	t.Publish(&ownerBehind{Owner: e.Owner, Topic: e.Topic, Flows: r.Flows, Since: e.Since}, e.Owner, e.Topic, fmt.Sprint(t.Cause.Partition), fmt.Sprint(e.Offset))
	return nil
}
