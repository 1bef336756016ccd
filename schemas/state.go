package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/twmb/avro"
)

// ErrNewerState says that a row was written by a binary that knows more.
var ErrNewerState = errors.New("the row was written by another version of this program")

// stateVersion is the first byte of a row.
const stateVersion = 1

// stateHeader is the version byte and the schema's 8-byte Rabin fingerprint.
const stateHeader = 9

// State codes a service's rows as Avro. The schema is the struct's own; its
// fingerprint leads the row, so that a row of another version is resolved if
// that version is known and refused in words if not, never misread.
type State[S any] struct {
	name   string
	schema *avro.Schema
	direct *part // of it and S; nil where that takes the library
	mark   [stateHeader]byte
	older  map[[stateHeader]byte]*avro.Schema
}

// NewState makes the codec of S under a stable name.
func NewState[S any](name string) (*State[S], error) {
	schema, err := avro.SchemaFor[S](avro.WithName("Row"), avro.WithNamespace("troupe.state"))
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", name, err)
	}
	return &State[S]{name: name, schema: schema, direct: compile(schema, reflect.TypeFor[S]()), mark: mark(schema), older: map[[stateHeader]byte]*avro.Schema{}}, nil
}

func mark(s *avro.Schema) (m [stateHeader]byte) {
	m[0] = stateVersion
	copy(m[1:], s.Fingerprint(avro.NewRabin()))
	return m
}

// Older makes rows of an earlier schema readable.
func (s *State[S]) Older(text string) error {
	old, err := avro.Parse(text)
	if err != nil {
		return fmt.Errorf("state %s: %w", s.name, err)
	}
	plan, err := avro.Resolve(old, s.schema)
	if err != nil {
		return fmt.Errorf("state %s: an older row cannot become a new one: %w", s.name, err)
	}
	s.older[mark(old)] = plan
	return nil
}

// Text is the schema as it must be given to Older once it is one.
func (s *State[S]) Text() string { return s.schema.String() }

// Append writes a row.
func (s *State[S]) Append(dst []byte, row *S) ([]byte, error) {
	dst = append(dst, s.mark[:]...)
	if b := s.direct.append(dst, unsafe.Pointer(row)); b != nil {
		return b, nil
	}
	b, err := s.schema.AppendEncode(dst, row)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", s.name, err)
	}
	return b, nil
}

// Decode reads a row into a zero S, which shares its texts with b: b must not change any
// more.
func (s *State[S]) Decode(b []byte, into *S) error {
	rest, err := s.DecodePrefix(b, into)
	if err == nil && len(rest) > 0 {
		return fmt.Errorf("state %s: %d bytes too many", s.name, len(rest))
	}
	return err
}

// DecodePrefix reads what Append wrote at the front of b, and returns what
// follows it.
func (s *State[S]) DecodePrefix(b []byte, into *S) (rest []byte, err error) {
	if len(b) < stateHeader {
		return nil, fmt.Errorf("state %s: a row of %d bytes is cut short", s.name, len(b))
	}
	plan := s.schema
	switch body, current := s.Current(b); {
	case current && s.direct != nil:
		if rest := s.direct.read(body, unsafe.Pointer(into)); rest != nil {
			return rest, nil
		}
	case !current:
		if plan = s.older[[stateHeader]byte(b[:stateHeader])]; plan == nil {
			return nil, fmt.Errorf("state %s: %w: its schema %x is unknown here; run the newer binary or restore from the changelog with it", s.name, ErrNewerState, b[1:stateHeader])
		}
	}
	*into = *new(S) // whatever was read of it before the library was asked
	rest, err = plan.Decode(b[stateHeader:], into)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", s.name, err)
	}
	return rest, nil
}

// Current says whether b was written with this very schema, and returns what
// follows the mark: for a caller that reads it by itself.
func (s *State[S]) Current(b []byte) (body []byte, is bool) {
	if len(b) < stateHeader || [stateHeader]byte(b[:stateHeader]) != s.mark {
		return nil, false
	}
	return b[stateHeader:], true
}
