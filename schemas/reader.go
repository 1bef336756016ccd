package schemas

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"
)

// projection is what a reader wants of a type.
type projection struct {
	want      fields
	published string       // the type's latest version, as compact makes it
	schema    *avro.Schema // that, cut; nil for a foreign type: the writer's schema is cut
}

// project cuts a type's latest version. A field that it does not have is an error.
func (w *Wire) project(typeName string, want fields) (p projection, err error) {
	p.want = want
	if t := w.catalogue.Type(typeName); t != nil {
		p.published = compact(t.Latest().Text)
		p.schema, err = cut(t.Latest().Schema, want)
	}
	return p, err
}

// resolve plans to read a part of what was written, by the rules of Avro where the
// reader's schema differs from the writer's.
func (p *projection) resolve(writer *written) (plan, error) {
	reader := p.schema
	if reader == nil {
		var err error
		if reader, err = cut(writer.schema, p.want); err != nil {
			return plan{}, err
		}
	}
	resolved, err := avro.Resolve(writer.schema, reader)
	if err != nil {
		return plan{}, fmt.Errorf("%w: written with a schema that its reader cannot resolve: %w", ErrBody, err)
	}
	return plan{schema: resolved}, nil
}

// Reader decodes one event type into T.
type Reader[T any] struct{ projection }

// NewReader makes a reader whose schema is the published one cut down to the
// fields of T. A field that the published type does not have is an error that
// names it. Of a type that is not published here, what the writer has counts.
func NewReader[T any](w *Wire, typeName string) (*Reader[T], error) {
	r := &Reader[T]{}
	want, err := fieldsOf(reflect.TypeFor[T]())
	if err == nil {
		r.projection, err = w.project(typeName, want)
	}
	if err != nil {
		return nil, fmt.Errorf("%v reads %s: %w", reflect.TypeFor[T](), typeName, err)
	}
	return r, nil
}

// Decode reads a frame into a zero T.
func (r *Reader[T]) Decode(f Frame, into *T) error { return decode(f, r, r.plan, into) }

// plan is to read with the writer's own schema where that is the published one, of
// which T is known to be a part: nothing is to be resolved then, and it can be compiled.
func (r *Reader[T]) plan(writer *written) (plan, error) {
	if r.schema != nil && writer.text == r.published {
		return plan{writer.schema, []avro.Opt{avro.SkipUnknown()}, compile(writer.schema, reflect.TypeFor[T]())}, nil
	}
	return r.resolve(writer)
}

func decode(f Frame, reader any, draw func(*written) (plan, error), into any) error {
	p, err := f.schema.plan(reader, draw)
	if err != nil {
		return err
	}
	if f.Shares && p.direct != nil {
		at := reflect.ValueOf(into)
		if rest := p.direct.read(f.Body, at.UnsafePointer()); rest != nil && len(rest) == 0 {
			return nil
		}
		at.Elem().SetZero()
	}
	rest, err := p.schema.Decode(f.Body, into, p.options...)
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
type FieldReader struct{ projection }

// NewFieldReader makes one; a field that the published type lacks is an error.
func NewFieldReader(w *Wire, typeName string, names []string) (*FieldReader, error) {
	want := fields{"envelope": nil}
	for _, n := range names {
		want[n] = nil
	}
	p, err := w.project(typeName, want)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", typeName, err)
	}
	return &FieldReader{p}, nil
}

// Decode reads a frame; values are int32, int64, string, bool, time.Time, nil.
func (r *FieldReader) Decode(f Frame) (Envelope, map[string]any, error) {
	var values map[string]any
	if err := decode(f, r, r.resolve, &values); err != nil {
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

// fieldsOf lists what a struct reads, by its avro tags. Nothing can be read into a
// field that is not exported.
func fieldsOf(t reflect.Type) (fields, error) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil, nil
	}
	want := fields{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("avro"), ",")
		if name == "-" {
			continue
		}
		if !f.IsExported() && !f.Anonymous {
			return nil, fmt.Errorf("nothing can be read into its field %s, which is not exported", f.Name)
		}
		inner, err := fieldsOf(f.Type)
		if err != nil {
			return nil, err
		}
		switch {
		case options == "inline" || f.Anonymous && name == "":
			maps.Copy(want, inner)
		case name == "":
			want[f.Name] = inner
		default:
			want[name] = inner
		}
	}
	return want, nil
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
