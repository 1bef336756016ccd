package topology

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"troupe/schemas"
)

// Turn is one step's view of the world: what caused it, the business time, and
// what it wants done. It does no I/O, so a test is a struct literal and a call:
//
//	t := topology.Turn{Cause: topology.Cause{Key: "acme/web-1"}}
//	err := onAllocated(&order, allocated{…}, &t)
//	got := t.Outputs()
//
// Nothing of a Turn takes effect when the step returns an error.
type Turn struct {
	Cause Cause
	// Now is the cause's time, or a timer's deadline; never the clock's. A
	// replay sees the same Now.
	Now time.Time
	// Beside is the row that the set shares per partition (Set.Beside), read
	// only here; nil where the set declares none.
	Beside any

	out  Outputs
	errs error
}

// Cause names the record or timer that made a step run.
type Cause struct {
	Envelope      schemas.Envelope // zero for a timer, but for what the row's flow carries
	Key           string           // of the row
	Topic         string
	Partition     int32
	Offset        int64
	Timer         string // the name of the timer that fired, else ""
	Discriminator string // what told this timer or intent from its like
}

// Outputs is what a turn asked for, in order.
type Outputs struct {
	Facts    []Fact
	Requests []Request
	Intents  []Intent
	Timers   []Timer
	Ends     bool // the row is no longer needed
}

// Fact is a public event to be published on the topic that the estate names for
// its type, under the row's key unless Key says otherwise.
type Fact struct {
	Type          string
	Message       schemas.Message
	Discriminator []string
	Key           string
}

// Request is a message to an inbox.
type Request struct {
	Inbox         string // "shipment", "inventory.stock"
	Key           string
	Type          string
	Message       schemas.Message
	Discriminator []string
}

// Intent is a wish to call the world, carried out after the commit.
type Intent struct {
	Effect        string
	Discriminator string
	Request       any
}

// Timer wakes the row at a deadline. A zero At disarms it.
type Timer struct {
	Name          string
	Discriminator string
	At            time.Time
}

// Outputs returns what the step asked for.
func (t *Turn) Outputs() Outputs { return t.out }

// Err is the first misuse of the turn, such as a message without a name.
func (t *Turn) Err() error { return t.errs }

// Publish adds a fact. Its ID is derived from service, type, row and the
// discriminator: what makes this fact another than its like in the same row
// (a line, a shipment, an allocation round), never a position or the input.
// The envelope is filled in by the runtime; what the step has set in it stays.
func (t *Turn) Publish(fact schemas.Message, discriminator ...string) {
	t.out.Facts = append(t.out.Facts, Fact{Type: t.typeOf(fact), Message: fact, Discriminator: discriminator})
}

// PublishAs is Publish under another key than the row's, for a topic that is
// keyed otherwise (stock by SKU, customers by customer).
func (t *Turn) PublishAs(key string, fact schemas.Message, discriminator ...string) {
	t.out.Facts = append(t.out.Facts, Fact{Type: t.typeOf(fact), Message: fact, Discriminator: discriminator, Key: key})
}

// Ask sends a request to another service's inbox, under the row's key.
func (t *Turn) Ask(inbox string, request schemas.Message, discriminator ...string) {
	t.AskAs(inbox, t.Cause.Key, request, discriminator...)
}

// AskAs is Ask under another key: a re-key hop.
func (t *Turn) AskAs(inbox, key string, request schemas.Message, discriminator ...string) {
	t.out.Requests = append(t.out.Requests, Request{Inbox: inbox, Key: key, Type: t.typeOf(request), Message: request, Discriminator: discriminator})
}

// Intend asks for an effect. Its outcome comes back to the same row as the
// message that the effect declares. The discriminator tells it from other
// intents of the same effect in this row, and so makes the idempotency key. To ask for
// the same once more, after an outcome that says nothing, is fine; to ask for something
// else under a name that was used is a defect, as far as the row remembers.
func (t *Turn) Intend(effect string, request any, discriminator string) {
	t.out.Intents = append(t.out.Intents, Intent{Effect: effect, Discriminator: discriminator, Request: request})
}

// At arms a timer, or moves it.
func (t *Turn) At(at time.Time, name, discriminator string) {
	if at.UnixMilli() <= 0 { // a row's deadline of 0 is none
		t.errs = errors.Join(t.errs, fmt.Errorf("timer %s/%s armed at %s: it must be after 1970-01-01", name, discriminator, at.UTC().Format(time.DateOnly)))
		return
	}
	t.out.Timers = append(t.out.Timers, Timer{Name: name, Discriminator: discriminator, At: at})
}

// Disarm takes a timer back; one that is not armed is no error.
func (t *Turn) Disarm(name, discriminator string) {
	t.out.Timers = append(t.out.Timers, Timer{Name: name, Discriminator: discriminator})
}

// End says that the row is no longer needed: it is deleted, with its timers, with
// what it remembers of its inputs, and with its intents: an answer that is yet to
// come finds no row that has asked for it, and is dropped.
func (t *Turn) End() { t.out.Ends = true }

// typeOf is the event's name: what its envelope says, else its Go type's name.
func (t *Turn) typeOf(m schemas.Message) string {
	if name := m.Head().Type; name != "" {
		return name
	}
	return TypeName(reflect.TypeOf(m))
}

// TypeName is the event name of a Go type: its own name, first letter upper.
func TypeName(typ reflect.Type) string {
	if known, done := typeNames.Load(typ); done {
		return known.(string)
	}
	of := typ
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	name := of.Name()
	if name != "" && name[0] >= 'a' && name[0] <= 'z' {
		name = string(name[0]-'a'+'A') + name[1:]
	}
	typeNames.Store(typ, name)
	return name
}

// typeNames holds what TypeName has made: every message asks.
var typeNames sync.Map // reflect.Type → string

// NameOf is a message's event name: what its envelope says, else its Go type's.
func NameOf(m schemas.Message) string { return (&Turn{}).typeOf(m) }
