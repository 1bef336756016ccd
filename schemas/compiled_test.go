package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
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
	Yes      bool       `avro:"yes"`
	Small    int32      `avro:"small"`
	Large    int64      `avro:"large"`
	At       time.Time  `avro:"at"`
	Text     string     `avro:"text"`
	Raw      []byte     `avro:"raw"`
	Maybe    *item      `avro:"maybe"`
	Until    *time.Time `avro:"until"`
	New      string     `avro:"new,default="`
	Items    []item     `avro:"items"`
	Texts    []string   `avro:"texts"`
	Last     int64      `avro:"last"`
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

// failing is a test, or a try of a property's.
type failing interface {
	Helper()
	Fatalf(format string, args ...any)
}

// both reads bytes with the library and with what is compiled, which must not read
// what the library refuses, nor otherwise.
func both[T any](t failing, s *avro.Schema, direct *part, b []byte) (read T, is bool) {
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
		v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(-1<<36, 1<<36).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))))
		if rapid.IntRange(0, 9).Draw(t, "none") == 0 {
			v.SetZero()
		}
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
			rt.Fatalf("%v", err)
		}
		if got := whole.write([]byte("before"), unsafe.Pointer(&v)); !bytes.Equal(got, append([]byte("before"), written...)) {
			rt.Fatalf("%+v: the library writes %x, compiled: %x", v, written, got)
		}
		behind := append(slices.Clone(written), "behind"...)
		if _, is := both[shapes](rt, s, whole, behind); !is {
			rt.Fatalf("%+v: what is compiled does not read it", v)
		}
		if _, is := both[some](rt, s, part, behind); !is {
			rt.Fatalf("%+v: what is compiled does not read a part of it", v)
		}
		cut := rapid.IntRange(0, len(written)-1).Draw(rt, "cut")
		if _, is := both[shapes](rt, s, whole, written[:cut:cut]); is {
			rt.Fatalf("%d of %d bytes are read", cut, len(written))
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
	for _, index := range []string{"\x02", "\x82\x80\x00", "\x82\x80\x80\x80\x80\x00", "\x04"} { // of what may be null
		f.Add(append(make([]byte, 19), index+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...))
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
		if got := whole.write(nil, unsafe.Pointer(&v)); got != nil && !bytes.Equal(got, written) {
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
	if err := s.Decode(b, &v); err != nil || s.direct == nil {
		t.Fatal(err, s.direct)
	}
	v.A = append(v.A, "xyz"...)
	if string(v.B) != "b" {
		t.Errorf("B is %q", v.B)
	}
}

// TestEverySchemaIsCompiled: no published schema has what takes the library.
func TestEverySchemaIsCompiled(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range c.Types() {
		root := typ.Latest().Schema.Root()
		if _, ok := compileNode(root.ExpandReferences(), nil); !ok {
			t.Errorf("%s takes several times as long to read and write as what is compiled", typ.Name)
		}
	}
}

// TestTimesThatAreTooFar: the library says why a time has no milliseconds, wherever it stands.
func TestTimesThatAreTooFar(t *testing.T) {
	s, whole, _ := compiledOf(t)
	far, last := time.Unix(1<<60, 0), time.UnixMilli(math.MaxInt64)
	if b, err := s.AppendEncode(nil, &shapes{At: last}); err != nil {
		t.Fatal(err)
	} else if v, is := both[shapes](t, s, whole, b); !is || !v.At.Equal(last) {
		t.Errorf("the last time is read as %v", v.At)
	}
	for name, v := range map[string]*shapes{"by itself": {At: far}, "in a list": {Items: []item{{At: far}}}, "of what may be null": {Until: &far}} {
		_, err := s.AppendEncode(nil, v)
		if b := whole.write([]byte{1}, unsafe.Pointer(v)); err == nil || b != nil {
			t.Errorf("%s: the library: %v; compiled: %x", name, err, b)
		}
	}
	state, err := NewState[shapes]("shapes")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := state.Append(nil, &shapes{At: far}); err == nil {
		t.Errorf("a row with it is %x", b)
	}
	w, _ := known(t)
	w.writers[output{"here", "Shapes"}] = writer{1, s, map[reflect.Type]*part{}}
	if b, err := w.Encode("here", &shapes{Envelope: Envelope{Type: "Shapes"}, At: far}); err == nil {
		t.Errorf("a message with it is %x", b)
	}
	good := &shapes{Envelope: Envelope{Type: "Shapes"}}
	b, err := w.Encode("here", good)
	if direct := w.writers[output{"here", "Shapes"}].direct[reflect.TypeOf(good)]; err != nil || direct == nil || len(b) <= 5 {
		t.Errorf("a message without it: %x, %v, compiled: %v", b, err, direct)
	}
}

// ownText is written as a text of its own.
type ownText string

func (o *ownText) UnmarshalText(b []byte) error {
	*o = ownText("own " + string(b))
	return nil
}

// TestNotCompiled: what only the library knows is left to it.
func TestNotCompiled(t *testing.T) {
	type (
		enum struct {
			A string `avro:"a"`
		}
		mapped struct {
			A map[string]int32 `avro:"a"`
		}
		double struct {
			A float64 `avro:"a"`
		}
		wide struct {
			A int64 `avro:"a"`
		}
		moment struct {
			A time.Time `avro:"a"`
		}
		behind struct {
			A *string `avro:"a"`
		}
		nothings struct {
			A []struct{} `avro:"a"`
		}
		own struct {
			A ownText `avro:"a"`
		}
		number struct {
			A json.Number `avro:"a"`
		}
		tooMany struct {
			A string `avro:"a"`
			B string `avro:"b"`
		}
		option struct {
			A string `avro:"a,omitzero"`
		}
		anything struct {
			A any `avro:"a"`
		}
		twice struct {
			enum `avro:",inline"`
			A    string `avro:"a"`
		}
		leftOut struct {
			A string `avro:"a"`
			B string `avro:"-"`
		}
		pointers struct {
			A **string `avro:"a"`
		}
	)
	const record, text = `{"type":"record","name":"R","fields":[{"name":"a","type":%s}]}`, `"string"`
	for name, of := range map[string]struct {
		schema string
		typ    reflect.Type
	}{
		"an enum":              {`{"type":"enum","name":"E","symbols":["A"]}`, reflect.TypeFor[enum]()},
		"a map":                {`{"type":"map","values":"int"}`, reflect.TypeFor[mapped]()},
		"a double":             {`"double"`, reflect.TypeFor[double]()},
		"an int into a long":   {`"int"`, reflect.TypeFor[wide]()},
		"microseconds":         {`{"type":"long","logicalType":"timestamp-micros"}`, reflect.TypeFor[moment]()},
		"null behind":          {`["string","null"]`, reflect.TypeFor[behind]()},
		"items without a byte": {`{"type":"array","items":{"type":"record","name":"N","fields":[]}}`, reflect.TypeFor[nothings]()},
		"a text of its own":    {text, reflect.TypeFor[own]()},
		"a number as a text":   {text, reflect.TypeFor[number]()},
		"a field too many":     {text, reflect.TypeFor[tooMany]()},
		"an option":            {text, reflect.TypeFor[option]()},
		"anything":             {text, reflect.TypeFor[anything]()},
		"a name twice":         {text, reflect.TypeFor[twice]()},
		"what is left out":     {text, reflect.TypeFor[leftOut]()},
		"two pointers":         {`["null","string"]`, reflect.TypeFor[pointers]()},
	} {
		s, err := avro.Parse(fmt.Sprintf(record, of.schema))
		if err != nil {
			t.Fatal(name, err)
		}
		if compile(s, of.typ) != nil {
			t.Errorf("%s is compiled", name)
		}
	}
}
