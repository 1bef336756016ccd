package schemas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"troupe/schemas/readtest"
)

// told is a message of nothing but its envelope.
type told struct {
	Envelope `avro:"envelope"`
}

// emptyRegistry knows no schema.
type emptyRegistry struct{}

func (emptyRegistry) RoundTrip(_ *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	answer.WriteHeader(http.StatusNotFound)
	_, _ = answer.WriteString(`{"error_code": 40403, "message": "Schema not found"}`)
	return answer.Result(), nil
}

// FuzzOpen: all of a record's bytes are another's, from the magic byte to the last of
// the body. It is opened, or refused for the first thing that is wrong with it, and
// neither takes memory beyond what the bytes can hold.
func FuzzOpen(f *testing.F) {
	registry, err := NewRegistryOver(emptyRegistry{}, "http://empty")
	if err != nil {
		f.Fatal(err)
	}
	w := NewWire(load(f), registry)
	readers := map[string]*Reader[told]{}
	seed := 0
	for _, typ := range w.catalogue.Types() {
		if readers[typ.Name], err = NewReader[told](w, typ.Name); err != nil {
			f.Fatal(err)
		}
		for _, v := range typ.Versions {
			id := len(w.byID) + 1
			if w.byID[id], err = writtenAs(v.Text); err != nil {
				f.Fatal(err)
			}
			body, err := v.Schema.Encode(sample(v.Schema.Root().ExpandReferences(), &seed))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(framed(uint32(id), body))
		}
	}
	f.Add([]byte(nil))
	f.Add([]byte{0, 0, 0, 1})
	f.Add([]byte(`{"id": "no frame"}`))
	f.Add(framed(4711, nil))
	f.Add(framed(math.MaxUint32, nil))
	f.Fuzz(func(t *testing.T, value []byte) {
		frame, err := w.Open(t.Context(), value)
		switch {
		case len(value) < 5 || value[0] != 0:
			if !errors.Is(err, ErrFraming) {
				t.Fatalf("no frame: %v", err)
			}
			return
		case w.byID[int(binary.BigEndian.Uint32(value[1:]))] == nil:
			if !errors.Is(err, ErrUnknownSchema) {
				t.Fatalf("no such schema: %v", err)
			}
			return
		case err != nil || !bytes.Equal(frame.Body, value[5:]):
			t.Fatalf("a good frame: %v, with the body %x", err, frame.Body)
		}
		var m told
		took := readtest.Allocated(func() { err = readers[frame.Type].Decode(frame, &m) })
		if err != nil && !errors.Is(err, ErrBody) {
			t.Errorf("%s is refused for more than its body: %v", frame.Type, err)
		}
		if took > readtest.Allowed(value) {
			t.Errorf("%s: %d bytes took %d of memory", frame.Type, len(value), took)
		}
	})
}

// framed is a body under its schema's ID.
func framed(id uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

// headOf reads the envelope of an OrderPlaced in both ways that there are.
func headOf(t testing.TB, w *Wire) func(Frame) (typed Envelope, terr error, generic Envelope, gerr error) {
	t.Helper()
	typed, err := NewReader[told](w, "OrderPlaced")
	if err != nil {
		t.Fatal(err)
	}
	byName, err := NewFieldReader(w, "OrderPlaced", nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(f Frame) (Envelope, error, Envelope, error) {
		var m told
		terr := typed.Decode(f, &m)
		e, _, gerr := byName.Decode(f)
		return m.Envelope, terr, e, gerr
	}
}

// FuzzEnvelope: whatever an envelope's fields hold is read as it was written, by
// the reader of a step and by the one that learns its fields from data.
func FuzzEnvelope(f *testing.F) {
	w, _ := known(f)
	w.writers[output{"orders", "OrderPlaced"}] = writer{1, w.byID[1].schema, map[reflect.Type]*part{}}
	type placed struct {
		Envelope     `avro:"envelope"`
		Channel      string     `avro:"channel"`
		ChannelOrder string     `avro:"channelOrder"`
		CustomerID   string     `avro:"customerId"`
		Currency     string     `avro:"currency"`
		Lines        []struct{} `avro:"lines"`
		Tenders      []struct{} `avro:"tenders"`
		PromisedBy   time.Time  `avro:"promisedBy"`
		Origin       string     `avro:"origin"`
	}
	read := headOf(f, w)
	f.Add("id", "acme", "web-1", "acme/web-1", "", int64(1767603600000), int64(1))
	f.Add("", "\x00", "\xff\xfe", "\x1b[31m\n", "00-\x7f", int64(math.MinInt64), int64(math.MinInt64))
	f.Add("\u202e", "", "", "", "", int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, id, tenant, order, aggregate, trace string, at, sequence int64) {
		m := &placed{Envelope: Envelope{
			ID: id, Type: "OrderPlaced", Source: tenant, OccurredAt: time.UnixMilli(at).UTC(), Tenant: tenant, Region: order, ProductLine: trace,
			CorrelationID: id, CausationID: aggregate, Order: order, AggregateID: aggregate, AggregateSequence: sequence, Traceparent: trace,
		}}
		value, err := w.Encode("orders", m)
		if err != nil {
			if m.OccurredAt.UnixMilli() != at {
				return // no time that this language can hold
			}
			t.Fatalf("cannot be written: %v", err)
		}
		frame, err := w.Open(t.Context(), value)
		if err != nil {
			t.Fatal(err)
		}
		typed, terr, generic, gerr := read(frame)
		if terr != nil || gerr != nil {
			t.Fatalf("was written and cannot be read: %v, %v", terr, gerr)
		}
		typed.OccurredAt, generic.OccurredAt = typed.OccurredAt.UTC(), generic.OccurredAt.UTC()
		if typed != m.Envelope || generic != m.Envelope {
			t.Fatalf("read as %+v and %+v, written as %+v", typed, generic, m.Envelope)
		}
	})
}

// FuzzEnvelopeBytes: the two readers of an envelope agree on any bytes, whether
// they are one and what is in it.
func FuzzEnvelopeBytes(f *testing.F) {
	w, body := known(f)
	read := headOf(f, w)
	for cut := 0; cut <= len(body); cut += 3 {
		f.Add(body[:cut])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		frame, err := w.Open(t.Context(), framed(1, body))
		if err != nil {
			t.Fatalf("a good frame: %v", err)
		}
		typed, terr, generic, gerr := read(frame)
		if (terr == nil) != (gerr == nil) {
			t.Fatalf("one reads it and one does not: %v, %v", terr, gerr)
		}
		if terr == nil && !reflect.DeepEqual(typed, generic) {
			t.Fatalf("read as %+v and %+v", typed, generic)
		}
	})
}

// FuzzWriterSchema: the schema that a record was written with comes from a
// registry that others write to as well. Whatever text it is, a record of it is
// read or refused, as a type that is published here and as one that is not, and
// neither takes the process down.
func FuzzWriterSchema(f *testing.F) {
	published, body := known(f)
	f.Add(published.catalogue.Type("OrderPlaced").Latest().Text, body)
	for _, text := range []string{
		`"string"`, `["null", "string"]`, `{"type": "array", "items": "long"}`,
		`{"type": "record", "name": "OrderPlaced", "fields": [{"name": "envelope", "type": "OrderPlaced"}]}`,
		`{"type": "record", "name": "OrderPlaced", "fields": [{"name": "envelope", "type": ["null", "OrderPlaced"]}, {"name": "currency", "type": "string"}]}`,
		`{"type": "record", "name": "N", "fields": [{"name": "currency", "type": {"type": "enum", "name": "C", "symbols": ["EUR"]}}, {"name": "next", "type": {"type": "array", "items": "N"}}]}`,
		`{"type": "record", "name": "N", "fields": [{"name": "currency", "type": {"type": "fixed", "name": "F", "size": 2147483647}}]}`,
		`{"type": "record", "name": "N", "fields": []}`,
	} {
		f.Add(text, []byte{0, 2, 'x', 2, 0})
	}
	type order struct {
		Envelope Envelope `avro:"envelope"`
		Currency string   `avro:"currency"`
		Lines    []struct {
			SKU string `avro:"sku"`
		} `avro:"lines"`
	}
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		writer, err := writtenAs(text)
		if err != nil {
			return
		}
		w := NewWire(published.catalogue, nil)
		w.byID[1] = writer
		value := framed(1, body)
		frame, err := w.Open(t.Context(), value)
		if err != nil {
			t.Fatalf("a good frame: %v", err)
		}
		for _, name := range []string{"OrderPlaced", "NobodyPublishesThis"} {
			typed, err := NewReader[order](w, name)
			if err != nil {
				t.Fatal(err)
			}
			byName, err := NewFieldReader(w, name, []string{"currency", "lines"})
			if err != nil {
				t.Fatal(err)
			}
			took := readtest.Allocated(func() {
				var m order
				_ = typed.Decode(frame, &m)
				_, _, _ = byName.Decode(frame)
			})
			if took > uint64(8<<20+1024*(len(text)+len(body))) {
				t.Fatalf("%s: %d bytes of schema and %d of body took %d of memory", name, len(text), len(body), took)
			}
		}
	})
}

// FuzzEveryType opens any bytes as each published type, with all its fields, by
// the reader of services and by the generic one: neither may panic, nor take
// memory beyond what the bytes can hold.
func FuzzEveryType(f *testing.F) {
	w := NewWire(load(f), nil)
	types := w.catalogue.Types()
	readers := make([]*FieldReader, len(types))
	seed := 0
	for i, typ := range types {
		v := typ.Latest()
		var err error
		if w.byID[i], err = writtenAs(v.Text); err != nil {
			f.Fatal(err)
		}
		var names []string
		for _, field := range v.Schema.Root().Fields {
			if field.Name != "envelope" {
				names = append(names, field.Name)
			}
		}
		reader, err := NewFieldReader(w, typ.Name, names)
		if err != nil {
			f.Fatal(err)
		}
		readers[i] = reader
		body, err := v.Schema.Encode(sample(v.Schema.Root().ExpandReferences(), &seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(i), body)
		f.Add(uint16(i), body[:len(body)/2])
	}
	f.Fuzz(func(t *testing.T, n uint16, body []byte) {
		i := int(n) % len(types)
		value := framed(uint32(i), body)
		frame, err := w.Open(t.Context(), value)
		if err != nil {
			t.Fatalf("a good frame: %v", err)
		}
		if took := readtest.Allocated(func() { _, _, _ = readers[i].Decode(frame) }); took > readtest.Allowed(value) {
			t.Fatalf("%s: %d bytes took %d of memory", frame.Type, len(value), took)
		}
		if took := readtest.Allocated(func() { _, _, _ = w.JSON(t.Context(), value) }); took > 16<<20+2*readtest.Allowed(value) {
			t.Fatalf("%s as JSON: %d bytes took %d of memory", frame.Type, len(value), took)
		}
	})
}
