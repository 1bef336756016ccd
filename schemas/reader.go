package schemas

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"
)

// Reader decodes one event type into T.
type Reader[T any] struct {
	name   string
	schema *avro.Schema // nil for a foreign type: the writer's schema is cut
}

// NewReader makes a reader whose schema is the published one cut down to the
// fields of T. A field that the published type does not have is an error that
// names it. Of a type that is not published here, what the writer has counts.
func NewReader[T any](w *Wire, typeName string) (*Reader[T], error) {
	r := &Reader[T]{name: typeName}
	t := w.catalogue.Type(typeName)
	if t == nil {
		return r, nil
	}
	var err error
	r.schema, err = cut(t.Latest().Schema, fieldsOf(reflect.TypeFor[T]()))
	if err != nil {
		return nil, fmt.Errorf("%v reads %s: %w", reflect.TypeFor[T](), typeName, err)
	}
	return r, nil
}

// Decode reads a frame into a zero T.
func (r *Reader[T]) Decode(f Frame, into *T) error {
	return decode(f, r, func() (*avro.Schema, error) {
		if r.schema != nil {
			return r.schema, nil
		}
		return cut(f.schema.schema, fieldsOf(reflect.TypeFor[T]()))
	}, into)
}

func decode(f Frame, key any, reader func() (*avro.Schema, error), into any) error {
	plan, err := f.schema.resolved(key, reader)
	if err != nil {
		return err
	}
	rest, err := plan.Decode(f.Body, into)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBody, f.Type, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %s: %d bytes too many", ErrBody, f.Type, len(rest))
	}
	return nil
}

// FieldReader decodes an event type into the envelope and named top-level
// fields, for readers that learn from data what to read.
type FieldReader struct {
	name   string
	want   fields
	schema *avro.Schema
}

// NewFieldReader makes one; a field that the published type lacks is an error.
func NewFieldReader(w *Wire, typeName string, names []string) (*FieldReader, error) {
	r := &FieldReader{name: typeName, want: fields{"envelope": nil}}
	for _, n := range names {
		r.want[n] = nil
	}
	t := w.catalogue.Type(typeName)
	if t == nil {
		return r, nil
	}
	var err error
	if r.schema, err = cut(t.Latest().Schema, r.want); err != nil {
		return nil, fmt.Errorf("read %s: %w", typeName, err)
	}
	return r, nil
}

// Decode reads a frame; values are int32, int64, string, bool, time.Time, nil.
func (r *FieldReader) Decode(f Frame) (Envelope, map[string]any, error) {
	var values map[string]any
	err := decode(f, r, func() (*avro.Schema, error) {
		if r.schema != nil {
			return r.schema, nil
		}
		return cut(f.schema.schema, r.want)
	}, &values)
	if err != nil {
		return Envelope{}, nil, err
	}
	head, _ := values["envelope"].(map[string]any)
	delete(values, "envelope")
	return envelopeOf(head), values, nil
}

func envelopeOf(m map[string]any) Envelope {
	text := func(name string) string { s, _ := m[name].(string); return s }
	at, _ := m["occurredAt"].(time.Time)
	seq, _ := m["aggregateSequence"].(int64)
	return Envelope{
		ID: text("id"), Type: text("type"), Source: text("source"), OccurredAt: at, Tenant: text("tenant"),
		Region: text("region"), ProductLine: text("productLine"), CorrelationID: text("correlationId"),
		CausationID: text("causationId"), Order: text("order"), AggregateID: text("aggregateId"),
		AggregateSequence: seq, Traceparent: text("traceparent"),
	}
}

// fields are the names that a reader wants; nil inside stands for all of it.
type fields map[string]fields

// fieldsOf lists what a struct reads, by its avro tags.
func fieldsOf(t reflect.Type) fields {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	want := fields{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("avro"), ",")
		switch {
		case name == "-":
		case options == "inline" || f.Anonymous && name == "":
			for n, inner := range fieldsOf(f.Type) {
				want[n] = inner
			}
		case name == "":
			want[f.Name] = fieldsOf(f.Type)
		default:
			want[name] = fieldsOf(f.Type)
		}
	}
	return want
}

// cut is a schema reduced to some of its fields.
func cut(published *avro.Schema, want fields) (*avro.Schema, error) {
	node := *published.Root().ExpandReferences()
	if err := cutNode(&node, want, ""); err != nil {
		return nil, err
	}
	return node.Schema()
}

func cutNode(n *avro.SchemaNode, want fields, path string) error {
	if want == nil {
		return nil
	}
	switch n.Type {
	case "array":
		return cutNode(n.Items, want, path)
	case "union":
		for i := range n.Branches {
			if n.Branches[i].Type == "record" {
				return cutNode(&n.Branches[i], want, path)
			}
		}
		return nil
	case "record":
	default:
		return fmt.Errorf("%s is a %s, not a record", strings.TrimPrefix(path, "."), n.Type)
	}
	have := map[string]bool{}
	for _, f := range n.Fields {
		have[f.Name] = true
	}
	for name := range want {
		if !have[name] {
			return fmt.Errorf("the published schema has no field %s", strings.TrimPrefix(path+"."+name, "."))
		}
	}
	n.Fields = slices.DeleteFunc(n.Fields, func(f avro.SchemaField) bool { _, wanted := want[f.Name]; return !wanted })
	for i := range n.Fields {
		f := &n.Fields[i]
		if err := cutNode(&f.Type, want[f.Name], path+"."+f.Name); err != nil {
			return err
		}
	}
	return nil
}
