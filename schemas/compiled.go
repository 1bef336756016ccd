package schemas

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/twmb/avro"
)

// part reads and writes the values of a Go type as those of an Avro type (Avro 1.12,
// "Binary encoding"): a schema and a type, compiled once into functions that know
// where in memory each field lies.
//
// The library goes by the schema for each value anew, which was most of what a
// service's processor did (decision 15). Parts are made of what the estate's schemas
// are made of, and read what writers usually write. Whatever else there is in a schema,
// a type or some bytes is the library's, and so is every verdict on damaged bytes.
type part struct {
	// read fills the zero value at a place from b and returns what follows it; nil where
	// the library has to be asked. The texts and bytes that it reads lie in b, which must
	// not change any more.
	read func(b []byte, at unsafe.Pointer) []byte
	skip func(b []byte) []byte // reads and forgets
	// write appends to b; what it returns is nil where the library has to be asked. It is
	// nil itself where the type lacks a field of the schema.
	write func(b []byte, at unsafe.Pointer) []byte
	least int // bytes of a value at least
}

// compile makes the part of a schema and a type, nil if that takes the library.
func compile(s *avro.Schema, t reflect.Type) *part {
	root := s.Root()
	p, ok := compileNode(root.ExpandReferences(), t)
	if !ok {
		return nil
	}
	return &p
}

// append is write where there is one; nil where the library has to be asked.
func (p *part) append(b []byte, at unsafe.Pointer) []byte {
	if p == nil || p.write == nil {
		return nil
	}
	return p.write(b, at)
}

var timeType = reflect.TypeFor[time.Time]()

// isText says that the library reads and writes a type as a text of its own.
func isText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t == reflect.TypeFor[json.Number]() || p.Implements(reflect.TypeFor[encoding.TextMarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextAppender]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// compileNode does so for a node of the schema. Without a type it makes what is only
// skipped.
func compileNode(n *avro.SchemaNode, t reflect.Type) (part, bool) {
	is := func(k reflect.Kind) bool { return t == nil || t.Kind() == k }
	switch {
	case n.LogicalType == "timestamp-millis":
		return millis, n.Type == "long" && (t == nil || t == timeType)
	case n.LogicalType != "":
		return part{}, false
	case t != nil && t.Kind() != reflect.Pointer && isText(t):
		return part{}, false
	}
	switch n.Type {
	case "boolean":
		return boolean, is(reflect.Bool)
	case "int":
		return integer, is(reflect.Int32)
	case "long":
		return long, is(reflect.Int64)
	case "string":
		return text, is(reflect.String)
	case "bytes":
		return octets, is(reflect.Slice) && (t == nil || t.Elem().Kind() == reflect.Uint8)
	case "record":
		return compileRecord(n, t)
	case "array":
		return compileArray(n, t)
	case "union":
		return compileOptional(n, t)
	}
	return part{}, false
}

var (
	boolean = scalar(
		func(b []byte) (bool, []byte) {
			if len(b) == 0 || b[0] > 1 {
				return false, nil
			}
			return b[0] == 1, b[1:]
		},
		func(b []byte, v bool) []byte {
			if v {
				return append(b, 1)
			}
			return append(b, 0)
		})
	integer = scalar(small, func(b []byte, v int32) []byte { return binary.AppendVarint(b, int64(v)) })
	long    = scalar(number, binary.AppendVarint)
	millis  = scalar(
		func(b []byte) (time.Time, []byte) {
			v, b := number(b)
			return time.UnixMilli(v).UTC(), b
		},
		func(b []byte, v time.Time) []byte {
			if s := v.Unix(); s <= -mostSeconds || s >= mostSeconds {
				return nil
			}
			return binary.AppendVarint(b, v.UnixMilli())
		})
	text = scalar(
		func(b []byte) (string, []byte) {
			v, b := piece(b)
			return unsafe.String(unsafe.SliceData(v), len(v)), b
		},
		func(b []byte, v string) []byte { return append(binary.AppendVarint(b, int64(len(v))), v...) })
)

// octets are bytes of their own: whoever has them may change them in place, and append
// without new ones.
var octets = part{
	read: func(b []byte, at unsafe.Pointer) []byte {
		v, b := piece(b)
		if b != nil {
			*(*[]byte)(at) = append(make([]byte, 0, len(v)+octetsRoom), v...)
		}
		return b
	},
	skip: func(b []byte) []byte {
		_, b = piece(b)
		return b
	},
	write: func(b []byte, at unsafe.Pointer) []byte {
		v := *(*[]byte)(at)
		return append(binary.AppendVarint(b, int64(len(v))), v...)
	},
	least: 1,
}

// octetsRoom is kept behind bytes that are read, for what is appended: a row's frame gets
// 24 more with each input.
const octetsRoom = 24

func scalar[T any](read func([]byte) (T, []byte), write func([]byte, T) []byte) part {
	return part{
		read: func(b []byte, at unsafe.Pointer) (rest []byte) {
			*(*T)(at), rest = read(b)
			return rest
		},
		skip: func(b []byte) []byte {
			_, b = read(b)
			return b
		},
		write: func(b []byte, at unsafe.Pointer) []byte { return write(b, *(*T)(at)) },
		least: 1,
	}
}

// mostSeconds is how far from 1970 a time's milliseconds may be too many for a long.
const mostSeconds = math.MaxInt64 / 1000

// number reads a long.
func number(b []byte) (int64, []byte) {
	if len(b) > 0 && b[0] < 0x80 { // most of them
		return int64(b[0]>>1) ^ -int64(b[0]&1), b[1:]
	}
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil
	}
	return v, b[n:]
}

// small reads an int.
func small(b []byte) (int32, []byte) {
	v, rest := number(b)
	if int64(int32(v)) != v || len(b)-len(rest) > binary.MaxVarintLen32 {
		return 0, nil
	}
	return int32(v), rest
}

// piece reads a length and so many bytes, behind which nothing can be appended.
func piece(b []byte) (v, rest []byte) {
	n, b := number(b)
	if b == nil || n < 0 || n > int64(len(b)) {
		return nil, nil
	}
	return b[:n:n], b[n:]
}

// compileRecord is of the schema's fields in its order. Those that the type lacks are
// skipped.
func compileRecord(n *avro.SchemaNode, t reflect.Type) (part, bool) {
	type field struct {
		part
		at     uintptr
		wanted bool
	}
	members := map[string]reflect.StructField{}
	if t != nil && (t.Kind() != reflect.Struct || !membersOf(t, 0, members)) {
		return part{}, false
	}
	var fields []field
	r, found, whole := part{}, 0, true
	for i := range n.Fields {
		m, wanted := members[n.Fields[i].Name]
		p, ok := compileNode(&n.Fields[i].Type, m.Type)
		if !ok {
			return part{}, false
		}
		if wanted {
			found++
		}
		whole = whole && wanted && p.write != nil
		r.least += p.least
		fields = append(fields, field{p, m.Offset, wanted})
	}
	r.read = func(b []byte, at unsafe.Pointer) []byte {
		for i := range fields {
			if f := &fields[i]; f.wanted {
				b = f.read(b, unsafe.Add(at, f.at))
			} else {
				b = f.skip(b)
			}
			if b == nil {
				return nil
			}
		}
		return b
	}
	r.skip = func(b []byte) []byte {
		for i := range fields {
			if b = fields[i].skip(b); b == nil {
				return nil
			}
		}
		return b
	}
	if whole {
		r.write = func(b []byte, at unsafe.Pointer) []byte {
			for i := range fields {
				if b = fields[i].write(b, unsafe.Add(at, fields[i].at)); b == nil {
					return nil
				}
			}
			return b
		}
	}
	return r, found == len(members)
}

// membersOf lists a struct's fields by the names that their tags give them, with those
// of structs that lie in it without a name. It is false where the library's rules say
// more than that.
func membersOf(t reflect.Type, at uintptr, members map[string]reflect.StructField) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		f.Offset += at
		name, options, _ := strings.Cut(f.Tag.Get("avro"), ",")
		if strings.HasPrefix(options, "default=") {
			options = "" // of the schema alone
		}
		switch _, twice := members[name]; {
		case name == "" && (options == "inline" || f.Anonymous && options == "") && f.Type.Kind() == reflect.Struct:
			if !membersOf(f.Type, f.Offset, members) {
				return false
			}
		case name == "" || name == "-" || options != "" || twice || !f.IsExported() && !f.Anonymous:
			return false
		default:
			members[name] = f
		}
	}
	return true
}

// compileArray is of arrays that are written as one block.
func compileArray(n *avro.SchemaNode, t reflect.Type) (part, bool) {
	if t != nil && t.Kind() != reflect.Slice {
		return part{}, false
	}
	of := elem(t)
	item, ok := compileNode(n.Items, of)
	if !ok || item.least == 0 {
		return part{}, false
	}
	a := part{least: 1, skip: func(b []byte) []byte {
		n, b := count(b, item.least)
		for range n {
			if b = item.skip(b); b == nil {
				return nil
			}
		}
		return end(b, n)
	}}
	if t == nil {
		return a, true
	}
	empty := reflect.New(t)
	empty.Elem().Set(reflect.MakeSlice(t, 0, 0))
	size, none := of.Size(), *(*slice)(empty.UnsafePointer())
	a.read = func(b []byte, at unsafe.Pointer) []byte {
		n, b := count(b, item.least)
		if n == 0 {
			*(*slice)(at) = none
			return b
		}
		list := reflect.NewAt(t, at).Elem()
		list.Grow(n)
		list.SetLen(n)
		first := list.UnsafePointer()
		for i := range n {
			if b = item.read(b, unsafe.Add(first, uintptr(i)*size)); b == nil {
				return nil
			}
		}
		return end(b, n)
	}
	if item.write != nil {
		a.write = func(b []byte, at unsafe.Pointer) []byte {
			list := (*slice)(at)
			if list.len == 0 {
				return append(b, 0)
			}
			b = binary.AppendVarint(b, int64(list.len))
			for i := range list.len {
				if b = item.write(b, unsafe.Add(list.first, uintptr(i)*size)); b == nil {
					return nil
				}
			}
			return append(b, 0)
		}
	}
	return a, true
}

// elem is what a type is of; of none, none.
func elem(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	return t.Elem()
}

// slice is how any slice lies in memory.
type slice struct {
	first    unsafe.Pointer
	len, cap int
}

// count reads how many items there are. There cannot be more than bytes for them.
func count(b []byte, least int) (int, []byte) {
	n, b := number(b)
	if n < 0 || n > int64(len(b)/least) {
		return 0, nil
	}
	return int(n), b
}

// end reads the block of no items behind that of n.
func end(b []byte, n int) []byte {
	if n == 0 {
		return b
	}
	if len(b) == 0 || b[0] != 0 {
		return nil
	}
	return b[1:]
}

// compileOptional is of a type or null, which is a pointer.
func compileOptional(n *avro.SchemaNode, t reflect.Type) (part, bool) {
	if len(n.Branches) != 2 || n.Branches[0].Type != "null" || t != nil && t.Kind() != reflect.Pointer {
		return part{}, false
	}
	of := elem(t)
	some, ok := compileNode(&n.Branches[1], of)
	if !ok {
		return part{}, false
	}
	o := part{least: 1, skip: func(b []byte) []byte {
		is, b := branch(b)
		if is {
			return some.skip(b)
		}
		return b
	}}
	if t == nil {
		return o, true
	}
	o.read = func(b []byte, at unsafe.Pointer) []byte {
		is, b := branch(b)
		if !is {
			return b
		}
		v := reflect.New(of).UnsafePointer()
		*(*unsafe.Pointer)(at) = v
		return some.read(b, v)
	}
	if some.write != nil {
		o.write = func(b []byte, at unsafe.Pointer) []byte {
			v := *(*unsafe.Pointer)(at)
			if v == nil {
				return append(b, 0)
			}
			return some.write(append(b, 2), v)
		}
	}
	return o, true
}

// branch reads which of null and a type there is.
func branch(b []byte) (is bool, rest []byte) {
	n, b := small(b)
	if n != 0 && n != 1 {
		return false, nil
	}
	return n == 1, b
}
