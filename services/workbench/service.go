package workbench

import (
	"fmt"
	"slices"
	"strings"

	"troupe/schemas"
	"troupe/topology"
)

// Service is the workbench context.
func (b *Bench) Service() topology.Service {
	view := topology.View{Name: "bench", Handlers: b.books()}
	if b.words != nil {
		for _, w := range b.words.Rows {
			if w != nil {
				view.Handlers = append(view.Handlers, b.told(w))
			}
		}
	}
	for i := range view.Handlers {
		b.guard(&view.Handlers[i])
	}
	return topology.Service{
		Name: "workbench", Owner: "operations",
		Doc:   "shows operators what is going on, and what is wrong",
		Views: []topology.View{view},
		Bounds: []topology.Bound{
			topology.AtMost("facts-per-flow", b.limits.factsPerFlow, "the earliest is let go, and the flow's page says so"),
			topology.AtMost("whole-closed-flows", b.limits.wholeClosed, "the one that closed first keeps a summary, and its page says so"),
			topology.AtMost("exceptions", b.limits.exceptions, "the oldest is let go and counted"),
			topology.AtMost("detail-runes", detailLimit, "an exception's detail is cut, with an ellipsis"),
			topology.AtMost("flows-per-page", flowsPerPage, "the next page has the rest"),
			topology.AtMost("facts-per-page", factsPerPage, "the next page has the rest"),
			topology.AtMost("rows-per-page", rowsPerPage, "the next page has the rest: of mismatches, and of exceptions"),
		},
	}
}

// guard stops the start of a workbench that cannot work: binding is what
// happens before anything runs.
func (b *Bench) guard(h *topology.ViewHandler) {
	bind := h.Bind
	h.Bind = func(w *schemas.Wire) (topology.Decode, error) {
		if b.err != nil {
			return nil, b.err
		}
		return bind(w)
	}
}

// told takes in an event of which only a line is shown.
func (b *Bench) told(w *Word) topology.ViewHandler {
	gauges := gauges(b.config.Duties, w.Event)
	return topology.SeeFields(w.Event, slices.Concat(w.fields(), gauges), func(_ schemas.Envelope, values map[string]any, c topology.Cause) {
		told := fact{event: w.Event, says: w.tell(values), about: w.about(values)}
		for _, field := range gauges {
			told.values = append(told.values, ref{field, fmt.Sprint(values[field])})
		}
		b.take(told, c, func(f *flow) {
			switch w.Event {
			case "OrderRejected":
				f.rejected = true
			case "CancellationRequested":
				f.asked = true
			}
		})
	})
}

// take completes a fact by where it comes from, adds it to its flow and has it
// booked there.
func (b *Bench) take(t fact, c topology.Cause, book func(*flow)) {
	n, ok := numberOf(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hear(c)
	if !ok {
		return
	}
	f, e := b.flow(n), c.Envelope
	t.id, t.source, t.cause, t.at = e.ID, e.Source, e.CausationID, e.OccurredAt.UTC()
	t.position, t.lane = position{c.Topic, c.Partition, c.Offset}, b.words.lane(e.Source)
	f.add(t, b.limits.factsPerFlow)
	if book != nil {
		book(f)
	}
}

// books are the handlers of the events that the view keeps books on.
func (b *Bench) books() []topology.ViewHandler {
	return []topology.ViewHandler{
		topology.See("OrderPlaced", b.onPlaced),
		topology.See("FlowPhaseChanged", b.onPhase),
		topology.See("FlowClosed", b.onClosed),
		topology.See("CancellationDecided", b.onDecided),
		topology.See("ObligationOverdue", b.onOverdue),
		topology.See("ObligationMet", b.onMet),
		topology.See("OwnerBehind", func(e ownerBehind, c topology.Cause) {
			b.onOwner(e.Owner, e.Topic, incident{true, e.Flows, e.Since.UTC()}, c)
		}),
		topology.See("OwnerCaughtUp", func(e ownerCaughtUp, c topology.Cause) { b.onOwner(e.Owner, e.Topic, incident{}, c) }),
		topology.See("MismatchDetected", b.onSized),
		topology.See("MismatchChanged", b.onSized),
		topology.See("MismatchCleared", b.onCleared),
		topology.See("MismatchAccepted", b.onAccepted),
		topology.See("ExceptionRaised", b.onException),
	}
}

func (b *Bench) onPlaced(e orderPlaced, c topology.Cause) {
	says := fmt.Sprintf("%s by %s for %s, promised by %s", count(len(e.Lines), "line"), e.Channel, e.total(), clock(e.PromisedBy))
	b.take(fact{event: "OrderPlaced", says: says}, c, func(f *flow) {
		f.placed.take(c.Offset, placing{c.Envelope.OccurredAt.UTC(), e.PromisedBy.UTC(), e.Channel, e.CustomerID, c.Envelope.CorrelationID, e.total()})
	})
}

func (b *Bench) onPhase(e flowPhaseChanged, c topology.Cause) {
	says := e.Phase
	if e.Previous != "" {
		says = e.Previous + " → " + e.Phase
	}
	b.take(fact{event: "FlowPhaseChanged", says: says}, c, func(f *flow) { f.phase.take(c.Offset, phasing{e.Phase, c.Envelope.OccurredAt.UTC()}) })
}

func (b *Bench) onClosed(e flowClosed, c topology.Cause) {
	b.take(fact{event: "FlowClosed", says: e.Outcome}, c, func(f *flow) { b.close(f, closing{c.Envelope.OccurredAt.UTC(), e.Outcome}, c.Offset) })
}

func (b *Bench) onDecided(e cancellationDecided, c topology.Cause) {
	decided := fact{event: "CancellationDecided", says: e.verdict(), values: []ref{{"accepted", fmt.Sprint(e.Accepted)}}}
	b.take(decided, c, func(f *flow) { f.decided.take(c.Offset, e.verdict()) })
}

func (b *Bench) onOverdue(e obligationOverdue, c topology.Cause) {
	says := fmt.Sprintf("%s owes %s since %s", e.Owner, strings.Join(e.Events, " or "), clock(e.DueAt))
	b.take(fact{event: "ObligationOverdue", says: says}, c, func(f *flow) {
		o := f.owes(e.Obligation, e.Subject, e.CauseID)
		o.said.take(c.Offset, e)
		o.at = c.Envelope.OccurredAt.UTC()
	})
}

func (b *Bench) onMet(e obligationMet, c topology.Cause) {
	b.take(fact{event: "ObligationMet", says: e.Obligation + " met late by " + e.MetBy}, c, func(f *flow) {
		o := f.owes(e.Obligation, e.Subject, e.CauseID)
		o.metBy, o.metAt = e.MetBy, c.Envelope.OccurredAt.UTC()
	})
}

// onOwner books that an owner is behind, or no more. It concerns a partition,
// not the order that happened to show it.
func (b *Bench) onOwner(owner, topic string, i incident, c topology.Cause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hear(c)
	key := incidentKey{owner, topic, c.Partition}
	if b.incidents[key] == nil {
		b.incidents[key] = &latest[incident]{}
	}
	b.incidents[key].take(c.Offset, i)
}

func (b *Bench) onSized(e mismatchSized, c topology.Cause) {
	counted := b.words.counted(e.Head.Code)
	says := fmt.Sprintf("%s %s: %s instead of %s", e.Head.Code, e.Head.Subject, amount(e.Actual, e.Currency, counted), amount(e.Expected, e.Currency, counted))
	b.differ(e.Head, standing{state: isOpen}, says, c, func(m *mismatch) {
		m.size.take(c.Offset, e)
		if at := c.Envelope.OccurredAt.UTC(); m.first.IsZero() || at.Before(m.first) {
			m.first = at
		}
	})
}

func (b *Bench) onCleared(e mismatchCleared, c topology.Cause) {
	b.differ(e.Head, standing{state: isCleared, why: e.Reason}, e.Head.Code+" "+e.Head.Subject+" cleared: "+e.Reason, c, nil)
}

func (b *Bench) onAccepted(e mismatchAccepted, c topology.Cause) {
	b.differ(e.Head, standing{state: isAccepted, why: e.AcceptedBy, delta: e.Delta, currency: e.Currency},
		fmt.Sprintf("%s %s: %s accepted by %s", e.Head.Code, e.Head.Subject, amount(e.Delta, e.Currency, b.words.counted(e.Head.Code)), e.AcceptedBy), c, nil)
}

func (b *Bench) differ(h mismatchHead, s standing, says string, c topology.Cause, size func(*mismatch)) {
	s.at = c.Envelope.OccurredAt.UTC()
	b.take(fact{event: c.Envelope.Type, says: says}, c, func(f *flow) {
		m := f.mismatch(h)
		m.state.take(c.Offset, s)
		if size != nil {
			size(m)
		}
	})
}

func (b *Bench) onException(e exceptionRaised, c topology.Cause) {
	order := c.Envelope.Order
	if e.Order != "" {
		order = e.Order
	}
	tenant := c.Envelope.Tenant
	if t, rest, _ := strings.Cut(e.RecordKey, "/"); tenant == "" && order != "" && rest == order {
		tenant = t // a dead letter carries no tenant, but its key does
	}
	if r := []rune(e.Detail); len(r) > detailLimit {
		e.Detail = string(r[:detailLimit]) + "…"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hear(c)
	b.except(exception{e, number{tenant, order}, c.Envelope.OccurredAt.UTC()})
}
