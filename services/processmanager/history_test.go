package processmanager

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/topology"
)

type fields = map[string]any

// event is a record of a script.
type event struct {
	topic, name string
	fields      fields
	after       string // the request of this context that caused it, if any did
}

// history is a flow with all that it armed, told and asked, driven through the
// handlers that the service declares.
type history struct {
	rapid.TB
	handlers map[string]topology.Handler
	flow     Flow
	beside   *Positions
	now      time.Time
	next     map[string]int64           // offset of each topic
	timers   map[string]time.Time       // by name and discriminator
	told     map[string]schemas.Message // facts and requests, by type and discriminator
	asks     int                        // requests, repeats too
	own      []event                    // what it published and has not read back
}

func newHistory(t rapid.TB, d *Definition) *history {
	h := &history{
		TB: t, handlers: map[string]topology.Handler{}, beside: &Positions{}, now: start, next: map[string]int64{},
		timers: map[string]time.Time{}, told: map[string]schemas.Message{},
	}
	for _, handler := range Service(d).Sets[0].Handlers {
		h.handlers[handler.Name] = handler
	}
	return h
}

// read has the flow read the next records of their topics.
func (h *history) read(events ...event) {
	for _, e := range events {
		h.next[e.topic]++
		h.readAt(e, h.next[e.topic]-1)
	}
}

// live is read where what the flow publishes comes back to it at once.
func (h *history) live(events ...event) *history {
	for _, e := range events {
		h.read(e)
		for ; len(h.own) > 0; h.own = h.own[1:] {
			h.read(h.own[0])
		}
	}
	return h
}

func (h *history) readAt(e event, offset int64) {
	var message any = e.fields
	if e.topic == "processmanager.inbox" {
		message = step{Step: fmt.Sprint(e.fields["step"])}
	}
	head := schemas.Envelope{ID: fmt.Sprint(e.topic, "/", offset), Type: e.name}
	if err := h.turn(e.name, &h.flow, message, topology.Cause{Envelope: head, Topic: e.topic, Offset: offset}); err != nil {
		h.Fatalf("%s: %v", e.name, err)
	}
	h.check()
}

// look has the row beside it take a message, and counts the incidents told.
func (h *history) look(name string, message any) int {
	before := len(h.told)
	if err := h.turn(name, h.beside, message, topology.Cause{Partition: 7}); err != nil && !topology.Dropped(err) {
		h.Fatalf("%s: %v", name, err)
	}
	return len(h.told) - before
}

// fire fires one timer, armed or not, and returns the step's error.
func (h *history) fire(timer string) error {
	name, discriminator, _ := strings.Cut(timer, " ")
	delete(h.timers, timer)
	return h.turn(name, &h.flow, nil, topology.Cause{Timer: name, Discriminator: discriminator})
}

// until lets time pass, with every timer that it brings.
func (h *history) until(when time.Time) {
	for len(h.timers) > 0 {
		first := slices.MinFunc(slices.Sorted(maps.Keys(h.timers)), func(a, b string) int { return h.timers[a].Compare(h.timers[b]) })
		if h.timers[first].After(when) {
			break
		}
		h.now = slices.MaxFunc([]time.Time{h.now, h.timers[first]}, time.Time.Compare)
		if err := h.fire(first); err != nil && !topology.Dropped(err) {
			h.Fatalf("%s: %v", first, err)
		}
		h.check()
	}
	h.now = when
}

// turn runs a handler and takes what it asked for. One ID, one content: a record
// that is read twice may only tell again what it told.
func (h *history) turn(handler string, row, message any, cause topology.Cause) error {
	t := &topology.Turn{Now: h.now, Beside: h.beside, Cause: cause}
	if err := h.handlers[handler].Apply(row, decoded(message), t); err != nil {
		return err
	}
	out := t.Outputs()
	for _, timer := range out.Timers {
		h.timers[timer.Name+" "+timer.Discriminator] = timer.At
	}
	maps.DeleteFunc(h.timers, func(_ string, at time.Time) bool { return at.IsZero() })
	h.asks += len(out.Requests)
	for _, r := range out.Requests {
		h.tell(r.Type, r.Discriminator, r.Message)
	}
	for _, f := range out.Facts {
		if f.Type == "FlowPhaseChanged" || !h.tell(f.Type, f.Discriminator, f.Message) {
			continue
		}
		switch fact := f.Message.(type) {
		case *personNeeded:
			h.own = append(h.own, on("flows", f.Type, fields{"desk": fact.Desk}))
		case *cancellationDecided:
			h.own = append(h.own, on("flows", f.Type, fields{"accepted": fact.Accepted}))
		}
	}
	return nil
}

func (h *history) tell(name string, discriminator []string, m schemas.Message) (news bool) {
	id := strings.TrimSpace(name + " " + strings.Join(discriminator, " "))
	had, known := h.told[id]
	if h.told[id] = m; known && !reflect.DeepEqual(had, m) {
		h.Fatalf("%s was %+v and is now %+v", id, had, m)
	}
	return !known
}

// told is what was published or asked under an ID, nil if nothing was.
func told[M any](h *history, id string) *M {
	m, _ := any(h.told[id]).(*M)
	return m
}

// check holds after every step: a timer for each obligation that can still come
// due, one for an orphan, and none for anything else.
func (h *history) check() {
	var want []string
	if h.flow.Definition == "" {
		want = append(want, orphan+" ")
	}
	for _, o := range h.flow.Ledger.Open {
		if !o.Due.IsZero() && !o.Overdue {
			want = append(want, deadline+" "+timerOf(o))
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(h.timers)); !slices.Equal(got, want) {
		h.Fatalf("the timers are %q, not %q: %+v", got, want, h.flow)
	}
}

func (h *history) owed() (names []string) {
	for _, o := range h.flow.Ledger.Open {
		names = append(names, timerOf(o))
	}
	slices.Sort(names)
	return names
}

func (h *history) owes(name string) bool { return slices.Contains(h.owed(), name) }

// decoded is a message as a handler is handed it: a pointer, or a map.
func decoded(body any) any {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Struct {
		return body
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}
