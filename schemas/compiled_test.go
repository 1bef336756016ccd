package schemas

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"troupe/schemas/readtest"
)

// shapes is of all that is compiled.
type shapes struct {
	Envelope `avro:"envelope"`
	Yes      bool      `avro:"yes"`
	Small    int32     `avro:"small"`
	Large    int64     `avro:"large"`
	At       time.Time `avro:"at"`
	Text     string    `avro:"text"`
	Raw      []byte    `avro:"raw"`
	Maybe    *item     `avro:"maybe"`
	Items    []item    `avro:"items"`
	Texts    []string  `avro:"texts"`
	Last     int64     `avro:"last"`
}

type item struct {
	At    time.Time `avro:"at"`
	sizes `avro:"sizes"`
	Name  kindOfText `avro:"name"`
	Parts []sizes    `avro:"parts"`
	Some  *string    `avro:"some"`
}

type sizes struct {
	Few  int32 `avro:"few"`
	Many int64 `avro:"many"`
}

type kindOfText string

// some is a part of shapes, of each kind of field some that is left out.
type some struct {
	Envelope struct {
		Type string `avro:"type"`
	} `avro:"envelope"`
	Inner `avro:",inline"`
	Items []struct {
		Parts []struct {
			Many int64 `avro:"many"`
		} `avro:"parts"`
	} `avro:"items"`
	Last int64 `avro:"last"`
}

type Inner struct {
	Small int32 `avro:"small"`
}

// both reads bytes with the library and with what is compiled, which must not read
// what the library refuses, nor otherwise.
func both[T any](t testing.TB, s *avro.Schema, direct *part, b []byte) (read T, is bool) {
	t.Helper()
	var byLibrary, compiled T
	rest, err := s.Decode(b, &byLibrary, avro.SkipUnknown())
	var after []byte
	if took := readtest.Allocated(func() { after = direct.read(b, unsafe.Pointer(&compiled)) }); took > readtest.Allowed(b) {
		t.Fatalf("%d bytes took %d of memory", len(b), took)
	}
	switch {
	case after == nil:
		return byLibrary, false
	case err != nil:
		t.Fatalf("%x: the library refuses it: %v; compiled, it is read as %+v", b, err, compiled)
	case !bytes.Equal(rest, after) || !reflect.DeepEqual(byLibrary, compiled):
		t.Fatalf("%x: the library reads %+v and leaves %d bytes; compiled: %+v, %d bytes", b, byLibrary, len(rest), compiled, len(after))
	}
	return compiled, true
}

// compiledOf compiles shapes and its part.
func compiledOf(t testing.TB) (s *avro.Schema, whole, part *part) {
	t.Helper()
	s, err := avro.SchemaFor[shapes]()
	if err != nil {
		t.Fatal(err)
	}
	whole, part = compile(s, reflect.TypeFor[shapes]()), compile(s, reflect.TypeFor[some]())
	if whole == nil || whole.write == nil || part == nil || part.write != nil {
		t.Fatalf("the whole: %+v, a part of it: %+v", whole, part)
	}
	return s, whole, part
}

// draw fills any value.
func draw(t *rapid.T, v reflect.Value) {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "ms")).UTC()))
		return
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			draw(t, reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()) // also where it is not exported
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes"))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 3).Draw(t, "len"), 4))
		for i := range v.Len() {
			draw(t, v.Index(i))
		}
	case v.Kind() == reflect.Pointer:
		if rapid.Bool().Draw(t, "is") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem())
		}
	case v.Kind() == reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case v.Kind() == reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case v.Kind() == reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "long"))
	case v.Kind() == reflect.String:
		v.SetString(rapid.StringN(0, 20, 200).Draw(t, "text"))
	}
}

// TestCompiled: what is compiled writes what the library writes, reads it as the library
// does, whole and in part, and leaves to the library what is cut short.
func TestCompiled(t *testing.T) {
	s, whole, part := compiledOf(t)
	rapid.Check(t, func(rt *rapid.T) {
		var v shapes
		draw(rt, reflect.ValueOf(&v).Elem())
		written, err := s.AppendEncode(nil, &v)
		if err != nil {
			t.Fatal(err)
		}
		if got := whole.write([]byte("before"), unsafe.Pointer(&v)); !bytes.Equal(got, append([]byte("before"), written...)) {
			t.Fatalf("%+v: the library writes %x, compiled: %x", v, written, got)
		}
		behind := append(slices.Clone(written), "behind"...)
		if _, is := both[shapes](t, s, whole, behind); !is {
			t.Fatalf("%+v: what is compiled does not read it", v)
		}
		if _, is := both[some](t, s, part, behind); !is {
			t.Fatalf("%+v: what is compiled does not read a part of it", v)
		}
		cut := rapid.IntRange(0, len(written)-1).Draw(rt, "cut")
		if _, is := both[shapes](t, s, whole, written[:cut:cut]); is {
			t.Fatalf("%d of %d bytes are read", cut, len(written))
		}
	})
}

// FuzzCompiled: the same of bytes that nobody wrote.
func FuzzCompiled(f *testing.F) {
	s, whole, part := compiledOf(f)
	text := "text"
	for _, v := range []shapes{{}, {
		Yes: true, Small: -7, Large: 1 << 60, Text: text, Raw: []byte{0, 255}, Maybe: &item{Some: &text}, Last: 3,
		Items: []item{{Name: "a", sizes: sizes{1, 2}, Parts: []sizes{{3, 4}, {5, 6}}}, {}}, Texts: []string{"", text},
	}} {
		b, err := s.AppendEncode(nil, &v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:len(b):len(b)]
		both[some](t, s, part, b)
		v, is := both[shapes](t, s, whole, b)
		if !is {
			return
		}
		written, err := s.AppendEncode(nil, &v)
		if err != nil {
			t.Fatal(err)
		}
		if got := whole.write(nil, unsafe.Pointer(&v)); !bytes.Equal(got, written) {
			t.Fatalf("%+v: the library writes %x, compiled: %x", v, written, got)
		}
	})
}

// TestReadBytesEnd: what is appended to bytes that were read does not run
// into those behind them.
func TestReadBytesEnd(t *testing.T) {
	type two struct {
		A []byte `avro:"a"`
		B []byte `avro:"b"`
	}
	s, err := NewState[two]("two")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Append(nil, &two{[]byte("a"), []byte("b")})
	if err != nil {
		t.Fatal(err)
	}
	var v two
	if err := s.Decode(b, &v); err != nil {
		t.Fatal(err)
	}
	v.A = append(v.A, "xyz"...)
	if string(v.B) != "b" {
		t.Errorf("B is %q", v.B)
	}
}

// TestNotCompiled: what only the library knows is left to it.
func TestNotCompiled(t *testing.T) {
	const named = `{"type":"record","name":"R","fields":[{"name":"a","type":%s}]}`
	for name, of := range map[string]struct {
		schema string
		typ    reflect.Type
	}{
		"an enum": {`{"type":"enum","name":"E","symbols":["A"]}`, reflect.TypeFor[struct {
			A string `avro:"a"`
		}]()},
		"a map": {`{"type":"map","values":"int"}`, reflect.TypeFor[struct {
			A map[string]int32 `avro:"a"`
		}]()},
		"a double": {`"double"`, reflect.TypeFor[struct {
			A float64 `avro:"a"`
		}]()},
		"an int into a long": {`"int"`, reflect.TypeFor[struct {
			A int64 `avro:"a"`
		}]()},
		"microseconds": {`{"type":"long","logicalType":"timestamp-micros"}`, reflect.TypeFor[struct {
			A time.Time `avro:"a"`
		}]()},
		"null behind": {`["string","null"]`, reflect.TypeFor[struct {
			A *string `avro:"a"`
		}]()},
		"items without a byte": {`{"type":"array","items":{"type":"record","name":"N","fields":[]}}`, reflect.TypeFor[struct {
			A []struct{} `avro:"a"`
		}]()},
		"a name of its own": {`"string"`, reflect.TypeFor[struct {
			A time.Weekday `avro:"a"`
		}]()},
		"a field too many": {`"string"`, reflect.TypeFor[struct{ A, B string }]()},
		"an option": {`"string"`, reflect.TypeFor[struct {
			A string `avro:"a,omitzero"`
		}]()},
		"any": {`"string"`, reflect.TypeFor[struct {
			A any `avro:"a"`
		}]()},
	} {
		s, err := avro.Parse(fmt.Sprintf(named, of.schema))
		if err != nil {
			t.Fatal(name, err)
		}
		if compile(s, of.typ) != nil {
			t.Errorf("%s is compiled", name)
		}
	}
}
