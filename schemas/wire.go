package schemas

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// Errors of bytes that cannot be read. Neither gets better by trying again.
var (
	ErrFraming = errors.New("not a framed record")
	ErrBody    = errors.New("the body is not what its schema says")
)

// Wire turns structs into framed bytes and back. It is safe for concurrent use
// and asks the registry once for each schema.
type Wire struct {
	catalogue *Catalogue
	registry  *Registry
	header    sr.ConfluentHeader

	mu      sync.RWMutex
	writers map[output]writer
	byID    map[int]*written
	generic generic
}

// output is a type on a topic.
type output struct{ topic, typ string }

type writer struct {
	id     int
	schema *avro.Schema
	direct map[reflect.Type]*part // by the type of the message; nil where that takes the library
}

// written is a schema that some record was written with.
type written struct {
	name, full, text string // the text as compact makes it
	schema           *avro.Schema

	mu    sync.RWMutex
	plans map[any]plan // by reader
}

// plan is how a reader decodes what was written with a schema.
type plan struct {
	schema  *avro.Schema
	options []avro.Opt
	direct  *part // of the schema and the reader's type; nil where that takes the library
}

// Frame is an opened record.
type Frame struct {
	SchemaID int
	Type     string
	FullName string
	Body     []byte
	// Shares lets the texts and bytes of what is decoded lie in Body: nobody may change it
	// then, and whoever keeps one of them keeps all of it.
	Shares bool
	schema *written
}

// mostWritten bounds the schemas that are kept of what others have written with.
const mostWritten = 10_000

// NewWire makes a codec over a catalogue and a registry.
func NewWire(c *Catalogue, r *Registry) *Wire {
	return &Wire{catalogue: c, registry: r, writers: map[output]writer{}, byID: map[int]*written{}}
}

// Prepare registers the latest version of a type for a topic, so that Encode
// needs no network.
func (w *Wire) Prepare(ctx context.Context, topic, typeName string) error {
	w.mu.RLock()
	_, done := w.writers[output{topic, typeName}]
	w.mu.RUnlock()
	if done {
		return nil
	}
	t := w.catalogue.Type(typeName)
	if t == nil {
		return fmt.Errorf("no schema of %s is published: add schemas/<owner>/%s.v1.avsc", typeName, typeName)
	}
	id, err := w.registry.Register(ctx, Subject(topic, t), t.Latest().Text)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.writers[output{topic, typeName}] = writer{id, t.Latest().Schema, map[reflect.Type]*part{}}
	w.mu.Unlock()
	return nil
}

// Encode writes a message for a topic with the latest version of its type.
func (w *Wire) Encode(topic string, m Message) ([]byte, error) {
	return w.AppendEncode(make([]byte, 0, 512), topic, m)
}

// AppendEncode is Encode behind the bytes of dst.
func (w *Wire) AppendEncode(dst []byte, topic string, m Message) ([]byte, error) {
	name, typ := m.Head().Type, reflect.TypeOf(m)
	w.mu.RLock()
	wr, ok := w.writers[output{topic, name}]
	direct, known := wr.direct[typ]
	w.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%s was not prepared for topic %s", name, topic)
	}
	if !known {
		direct = w.compile(wr, typ)
	}
	dst = append(dst, 0) // the magic byte
	dst = binary.BigEndian.AppendUint32(dst, uint32(wr.id))
	if direct != nil { // the message is a pointer then
		if b := direct.append(dst, reflect.ValueOf(m).UnsafePointer()); b != nil {
			return b, nil
		}
	}
	dst, err := wr.schema.AppendEncode(dst, m)
	if err != nil {
		return nil, fmt.Errorf("%s does not fit its schema: %w", name, err)
	}
	return dst, nil
}

// compile looks once for what writes messages of a type.
func (w *Wire) compile(wr writer, message reflect.Type) *part {
	var p *part
	if message.Kind() == reflect.Pointer {
		p = compile(wr.schema, message.Elem())
	}
	w.mu.Lock()
	wr.direct[message] = p
	w.mu.Unlock()
	return p
}

// Open reads the frame and finds the schema that the record was written with.
func (w *Wire) Open(ctx context.Context, value []byte) (Frame, error) {
	id, body, err := w.header.DecodeID(value)
	if err != nil {
		return Frame{}, fmt.Errorf("%w: %d bytes: %w", ErrFraming, len(value), err)
	}
	s, err := w.writtenWith(ctx, id)
	if err != nil {
		return Frame{}, fmt.Errorf("schema %d: %w", id, err)
	}
	return Frame{SchemaID: id, Type: s.name, FullName: s.full, Body: body, schema: s}, nil
}

func (w *Wire) writtenWith(ctx context.Context, id int) (*written, error) {
	w.mu.RLock()
	s := w.byID[id]
	w.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	text, err := w.registry.Lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	if s, err = writtenAs(text); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byID) >= mostWritten {
		clear(w.byID) // the registry is asked for those in use again
	}
	w.byID[id] = s
	return s, nil
}

func writtenAs(text string) (*written, error) {
	schema, err := avro.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the registered text does not parse: %w", ErrBody, err)
	}
	root := schema.Root()
	return &written{name: root.Name, full: root.Namespace + "." + root.Name, text: compact(text), schema: schema, plans: map[any]plan{}}, nil
}

// compact is a schema's text without its white space, which a registry may change.
func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text // which does not parse as a schema either
	}
	return b.String()
}

// plan returns a reader's plan, drawn once.
func (s *written) plan(reader any, draw func(*written) (plan, error)) (plan, error) {
	s.mu.RLock()
	p, drawn := s.plans[reader]
	s.mu.RUnlock()
	if drawn {
		return p, nil
	}
	p, err := draw(s)
	if err != nil {
		return plan{}, err
	}
	s.mu.Lock()
	s.plans[reader] = p
	s.mu.Unlock()
	return p, nil
}
