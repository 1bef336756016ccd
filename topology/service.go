package topology

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"troupe/schemas"
)

// Service is a bounded context as a value: what it reads, writes, keeps and
// does to the world. It is checked before it runs, drawn from itself, and run
// by the stream package.
type Service struct {
	Name      string
	Owner     string   // the team that is asked when it is behind
	Doc       string   // one sentence: what it decides
	Publishes []Output // the only facts it may publish
	Asks      []Output // the only requests it may send to other inboxes
	Sets      []Set
	Views     []View
	Intakes   []Intake
	Watch     *Watch
	Bounds    []Bound // the limits of its own, for people
}

// Output declares a message that a service may write.
type Output struct {
	Type  string
	Inbox string // for a request: whose inbox; "" for a fact
	Go    reflect.Type
}

// Publishes declares a fact by its struct.
func Publishes[M any]() Output {
	typ := reflect.TypeFor[M]()
	return Output{Type: TypeName(typ), Go: typ}
}

// Asks declares a request to an inbox by its struct.
func Asks[M any](inbox string) Output {
	typ := reflect.TypeFor[M]()
	return Output{Type: TypeName(typ), Inbox: inbox, Go: typ}
}

// Set is a co-partition set of a service: topics with the same key and the same
// number of partitions, one row a key. A task is a set's partition.
type Set struct {
	Name     string // "" for the main set; "stock" makes inventory.stock.inbox and inventory.stock.state
	Key      string // what the key is, for people: "order", "SKU"
	Row      Row
	Beside   *Row                                         // a row shared by all keys of a partition, written by Shared steps
	RowKey   func(key string, e *schemas.Envelope) string // nil: the record's key
	Remember int                                          // how many inputs, and intents that had their outcome, a row remembers; 0: DefaultRemember
	Handlers []Handler
}

// DefaultRemember bounds the inputs and intents that a row remembers. An order sees some
// forty inputs in its life; a row that sees more must say so in its set.
const DefaultRemember = 128

// Row makes and codes the state of one key.
type Row struct {
	Type  reflect.Type
	Older []string // schemas that rows were written with before, as schemas.State.Text gave them
	Bind  func(older ...string) (RowCodec, error)
}

// After makes rows of earlier schemas readable: each becomes a row of today's
// when it is read, and is written as one. Without it a row of before is refused.
func (r Row) After(older ...string) Row {
	r.Older = append(slices.Clone(r.Older), older...)
	return r
}

// RowCodec is a row's state in memory and as bytes.
type RowCodec interface {
	New() any
	Append(dst []byte, row any) ([]byte, error)
	Decode(b []byte) (any, error)
}

// RowOf is a row of type S, coded as Avro under the given name. The name is
// stable: it is part of what lies on disk.
func RowOf[S any](name string) Row {
	return Row{Type: reflect.TypeFor[S](), Bind: func(older ...string) (RowCodec, error) {
		state, err := schemas.NewState[S](name)
		for _, text := range older {
			if err == nil {
				err = state.Older(text)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", name, err)
		}
		return rowCodec[S]{state}, nil
	}}
}

type rowCodec[S any] struct{ state *schemas.State[S] }

func (rowCodec[S]) New() any { return new(S) }

func (c rowCodec[S]) Append(dst []byte, row any) ([]byte, error) {
	return c.state.Append(dst, row.(*S))
}

func (c rowCodec[S]) Decode(b []byte) (any, error) {
	row := new(S)
	if err := c.state.Decode(b, row); err != nil {
		return nil, err
	}
	return row, nil
}

// Keyed is a set whose rows are of type S.
func Keyed[S any](name, key, row string, steps ...Step[S]) Set {
	set := Set{Name: name, Key: key, Row: RowOf[S](row)}
	for _, s := range steps {
		set.Handlers = append(set.Handlers, s.handler)
	}
	return set
}

// Step is a handler of rows of type S.
type Step[S any] struct{ handler Handler }

// Trigger says what makes a handler run.
type Trigger int

// The triggers.
const (
	OnFact    Trigger = iota + 1 // a public event
	OnRequest                    // a message in the set's inbox
	OnOutcome                    // the same, the answer to an intent
	OnTimer
	OnDead // a dead letter of any service
)

// Handler is a step with its types erased, as the runtime sees it.
type Handler struct {
	Trigger Trigger
	Name    string // of the event, message or timer
	Shared  bool   // runs on the set's Beside row
	Leisure bool   // a timer nobody waits for: retention, repeats
	Effect  *Effect
	Reads   reflect.Type // what it decodes; nil for a timer

	// Bind makes the decoder for this handler's projection.
	Bind func(*schemas.Wire) (Decode, error)
	// Apply runs the step. message is what Decode returned; nil for a timer.
	Apply func(row, message any, t *Turn) error
}

// Decode reads the envelope, and the fields that a handler declares: a pointer to
// its struct, or a map.
type Decode func(schemas.Frame) (schemas.Envelope, any, error)

type received[E any] struct {
	Envelope schemas.Envelope `avro:"envelope"`
	Body     E                `avro:",inline"`
}

func read[E any](name string) func(*schemas.Wire) (Decode, error) {
	return func(w *schemas.Wire) (Decode, error) {
		reader, err := schemas.NewReader[received[E]](w, name)
		if err != nil {
			return nil, err
		}
		return func(f schemas.Frame) (schemas.Envelope, any, error) {
			m := new(received[E]) // one allocation for both
			if err := reader.Decode(f, m); err != nil {
				return schemas.Envelope{}, nil, err
			}
			return m.Envelope, &m.Body, nil
		}, nil
	}
}

func onMessage[S, E any](trigger Trigger, name string, step func(*S, E, *Turn) error) Handler {
	return Handler{
		Trigger: trigger, Name: name, Reads: reflect.TypeFor[E](),
		Bind:  read[E](name),
		Apply: func(row, message any, t *Turn) error { return step(row.(*S), *message.(*E), t) },
	}
}

// On reacts to a public event. E is a small struct of the fields the step
// reads; the published event may have more.
func On[S, E any](event string, step func(*S, E, *Turn) error) Step[S] {
	return Step[S]{onMessage(OnFact, event, step)}
}

// OnFields reacts to a public event of which only data says what to read: the
// step is handed the named top-level fields.
func OnFields[S any](event string, fields []string, step func(*S, map[string]any, *Turn) error) Step[S] {
	return Step[S]{Handler{
		Trigger: OnFact, Name: event, Reads: reflect.TypeFor[map[string]any](),
		Bind: func(w *schemas.Wire) (Decode, error) {
			reader, err := schemas.NewFieldReader(w, event, fields)
			if err != nil {
				return nil, err
			}
			return func(f schemas.Frame) (schemas.Envelope, any, error) {
				e, values, err := reader.Decode(f)
				return e, values, err
			}, nil
		},
		Apply: func(row, message any, t *Turn) error { return step(row.(*S), message.(map[string]any), t) },
	}}
}

// Asked reacts to a message in the set's inbox.
func Asked[S, E any](message string, step func(*S, E, *Turn) error) Step[S] {
	return Step[S]{onMessage(OnRequest, message, step)}
}

// Due reacts to a timer that the set armed with Turn.At. It fires once every input of
// its partition up to the deadline was read, or hold-timers have passed: what has
// not come by then may be late, not missing. A timer cannot be parked or sent again: a
// step that does not return nil or Drop leaves a dead letter that names it.
func Due[S any](timer string, step func(*S, *Turn) error) Step[S] {
	return Step[S]{Handler{
		Trigger: OnTimer, Name: timer,
		Apply: func(row, _ any, t *Turn) error { return step(row.(*S), t) },
	}}
}

// Leisure is Due for a timer that nobody waits for, such as the end of a
// retention: a clock that jumps to the next thing due does not jump there.
func Leisure[S any](timer string, step func(*S, *Turn) error) Step[S] {
	s := Due(timer, step)
	s.handler.Leisure = true
	return s
}

// DeadLetter is a record that a service could not use, with its source.
type DeadLetter struct {
	Service, Cause, Detail string
	Topic                  string // of the source record
	Partition              int32
	Offset                 int64
	Key, Value             []byte
	Attempts               int32
	At                     time.Time
	Order                  string // where the envelope could be read
}

// ID names the exception that a dead letter raises.
func (d DeadLetter) ID() string {
	return schemas.FactID("exception", d.Service, d.Topic, fmt.Sprint(d.Partition), fmt.Sprint(d.Offset))
}

// OnDeadLetter reacts to the dead letters of every other service. Its rows are
// keyed by exception.
func OnDeadLetter[S any](step func(*S, DeadLetter, *Turn) error) Step[S] {
	return Step[S]{Handler{
		Trigger: OnDead, Name: "DeadLetter", Reads: reflect.TypeFor[DeadLetter](),
		Apply: func(row, message any, t *Turn) error { return step(row.(*S), message.(DeadLetter), t) },
	}}
}

// SharedStep reacts to a message in the set's inbox on the row that all keys of
// the partition share.
func SharedStep[B, E any](message string, step func(*B, E, *Turn) error) Handler {
	h := onMessage(OnRequest, message, step)
	h.Shared = true
	return h
}

// Repeat declares how an effect survives being asked for twice. It binds the
// effect's author: the runtime asks again after every error and every restart, and
// says so (Call.Again).
type Repeat int

// The ways. An effect that can neither name a key nor look up answers that the outcome
// is unknown when it is asked again, and a person settles it.
const (
	ByKey    Repeat = iota + 1 // the other side knows our idempotency key: ask again
	ByLookup                   // ask the other side first whether it has it
	Never
)

// Effect is a call to the world.
type Effect struct {
	Name    string
	Repeat  Repeat
	Outcome string // the message in which the answer comes back
	Request reflect.Type
	Bind    func() (RowCodec, error) // codes the request
	// Run calls the world. An error means that it may be tried again.
	Run func(ctx context.Context, call Call, request any) (schemas.Message, error)
}

// Call is what an effect knows beside its request.
type Call struct {
	ID      string // the intent's ID: the idempotency key
	Attempt int    // from 1
	// Again is true when an earlier attempt may have reached the other side:
	// after a crash, a time-out, a broken connection.
	Again    bool
	Last     bool             // it was tried often enough: an answer, such as unknown, ends it; an error does not, and it is called again
	Envelope schemas.Envelope // of the fact that asked: tenant, order, correlation
	Key      string
	Now      time.Time
}

// Message is satisfied by the pointer to a message struct.
type Message[M any] interface {
	*M
	schemas.Message
}

// Outcome declares an effect and the step that takes its answer. The answer is
// a message in the service's own inbox, so whatever changes a row stands on a
// topic and a replay needs no world.
func Outcome[S, Req, Out any, P Message[Out]](effect string, repeat Repeat, run func(context.Context, Call, Req) (Out, error), step func(*S, Out, *Turn) error) Step[S] {
	h := onMessage(OnOutcome, TypeName(reflect.TypeFor[Out]()), step)
	h.Bind = readWhole[Out, P](h.Name)
	h.Effect = &Effect{
		Name: effect, Repeat: repeat, Outcome: h.Name, Request: reflect.TypeFor[Req](),
		Bind: func() (RowCodec, error) { return RowOf[Req]("intent." + effect).Bind() },
		Run: func(ctx context.Context, call Call, request any) (schemas.Message, error) {
			out, err := run(ctx, call, *request.(*Req))
			if err != nil {
				return nil, err
			}
			return P(&out), nil
		},
	}
	return Step[S]{h}
}

// readWhole reads a message that embeds its own envelope.
func readWhole[M any, P Message[M]](name string) func(*schemas.Wire) (Decode, error) {
	return func(w *schemas.Wire) (Decode, error) {
		reader, err := schemas.NewReader[M](w, name)
		if err != nil {
			return nil, err
		}
		return func(f schemas.Frame) (schemas.Envelope, any, error) {
			m := new(M)
			if err := reader.Decode(f, m); err != nil {
				return schemas.Envelope{}, nil, err
			}
			return *P(m).Head(), m, nil
		}, nil
	}
}

// Intake is a stateless HTTP endpoint that turns a partner's message into a
// message in this service's inbox.
type Intake struct {
	Pattern string // net/http pattern: "POST /warehouse/events"
	Doc     string
	Writes  []Output
	Handle  func(w http.ResponseWriter, r *http.Request, send Send)
}

// Send writes messages and returns when the broker has them. The envelope must
// carry an ID derived from the partner's own, the time and the tenant; an empty
// Inbox means a fact of this service.
type Send func(ctx context.Context, messages ...Request) error

// ErrTooLarge is why Send will never take a message: it, or its key, is larger
// than a record may be.
var ErrTooLarge = errors.New("too large for a record")

// Watch lets a service see how far other services have read. The runtime looks
// every so often, and tells each change in the partition of the service's inbox
// that has the number of the one read: so it reaches the rows it is about.
type Watch struct {
	Readers map[string][]string // service → events whose topics are looked at
	Message func(Position) schemas.Message
}

// Position is the next offset that a service will read of a partition.
type Position struct {
	Service, Topic string
	Partition      int32
	Offset         int64
	AsOf           time.Time // business time
}

// View is a table that each replica fills by reading every partition of public
// topics.
type View struct {
	Name     string
	Handlers []ViewHandler
	// Keep, if set, is handed the place for the view's rows before anything is read. They
	// lie on the process's disk and outlive it: a restart reads on from where they reach.
	// Without, the view keeps by itself what it has, in memory, and reads all anew. None of
	// its topics may be compacted: it would miss what is deleted while it is away.
	Keep   func(Rows)
	Format string // of its rows: with another, or with other events, all is read anew
}

// Rows are what a view keeps. Its handlers put and delete, from one goroutine; a row is
// there once the records that were read with its own are dealt with, and until the topic
// lets go of the record that put it last. Get and Scan are for anyone.
type Rows interface {
	// Put keeps a row. The caller must not change value afterwards.
	Put(key string, value []byte)
	Delete(key string)
	// Get returns nil where there is no row.
	Get(key string) ([]byte, error)
	// Scan calls f with every row whose key has a prefix, by key. The value is valid
	// during the call.
	Scan(prefix string, f func(key string, value []byte) error) error
}

// ViewHandler applies one event type to a view. The view guards itself: Apply
// is called from one goroutine, its readers from others.
type ViewHandler struct {
	Event string
	Bind  func(*schemas.Wire) (Decode, error)
	Apply func(message any, origin Cause)
	// Erase is called for a tombstone.
	Erase func(key string)
}

// SeeFields applies an event to a view by field names chosen from data.
func SeeFields(event string, fields []string, apply func(schemas.Envelope, map[string]any, Cause)) ViewHandler {
	h := OnFields[struct{}](event, fields, nil).handler
	return ViewHandler{Event: event, Bind: h.Bind, Apply: func(m any, c Cause) { apply(c.Envelope, m.(map[string]any), c) }}
}

// See applies an event to a view.
func See[E any](event string, apply func(E, Cause)) ViewHandler {
	return ViewHandler{Event: event, Bind: read[E](event), Apply: func(m any, c Cause) { apply(*m.(*E), c) }}
}
