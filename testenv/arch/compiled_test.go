package arch

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"troupe/topology"
)

// What is compiled lies in the bytes that it was read from, what the library reads does
// not: so it shows which of the two has read. The library takes several times as long.

// TestRowsAreCompiled: no row of a service takes the library, and no request of an effect.
func TestRowsAreCompiled(t *testing.T) {
	codecs := map[string]topology.RowCodec{}
	add := func(name string, codec topology.RowCodec, err error) {
		if err != nil {
			t.Fatal(name, err)
		}
		codecs[name] = codec
	}
	for name, row := range allRows(t) {
		codec, err := row.Bind(row.Older...)
		add(name, codec, err)
	}
	for _, s := range allServices(t) {
		for _, set := range s.Sets {
			for _, h := range set.Handlers {
				if h.Effect != nil {
					codec, err := h.Effect.Bind()
					add(h.Effect.Name, codec, err)
				}
			}
		}
	}
	for name, codec := range codecs {
		full := codec.New()
		fill(reflect.ValueOf(full).Elem())
		b, err := codec.Append(nil, full)
		if err != nil {
			t.Fatal(err)
		}
		read, err := codec.Decode(b)
		if err != nil || !reflect.DeepEqual(read, full) {
			t.Fatalf("%s: %+v is read as %+v, %v", name, full, read, err)
		}
		shows := bytes.Contains(b, []byte("text")) // a row of numbers alone does not
		overwrite(b)
		if shows && reflect.DeepEqual(read, full) {
			t.Errorf("the row %s takes the library: see what schemas/compiled.go knows", name)
		}
	}
}

// TestReadersAreCompiled: what a step or a view reads of an event's latest version is
// compiled, but where it learns from data what to read. (A view keeps what it reads, so
// the library copies it.)
func TestReadersAreCompiled(t *testing.T) {
	w, c, registry := newWire(t)
	versions, readers := publish(t, c, registry), readersOf(t, w)
	for _, p := range versions {
		if p.version != c.Type(p.event).Latest().Number {
			continue
		}
		for _, r := range readers[p.event] {
			frame, err := w.Open(t.Context(), slices.Concat(p.head, p.golden))
			if err != nil {
				t.Fatal(err)
			}
			frame.Shares = true
			e, message, err := r.decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			if _, learned := message.(map[string]any); learned {
				continue
			}
			before := strings.Clone(e.ID)
			overwrite(frame.Body)
			if e.ID == before {
				t.Errorf("%s reads %s with the library: see what schemas/compiled.go knows", r.who, p.event)
			}
		}
	}
}

func overwrite(b []byte) {
	for i := range b {
		b[i] = 'z'
	}
}

// fill gives every field a value that it may set.
func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fill(f)
			}
		}
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	}
}
