package arch

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"troupe/schemas"
	"troupe/schemas/readtest"
	"troupe/topology"
)

// reader is how one service reads an event.
type reader struct {
	who    string
	decode topology.Decode
}

// readersOf are the readers that the runtime makes of all steps and views, by the
// event that they read.
func readersOf(t testing.TB, w *schemas.Wire) map[string][]reader {
	t.Helper()
	all := map[string][]reader{}
	add := func(who, event string, bind func(*schemas.Wire) (topology.Decode, error)) {
		if bind == nil {
			return // a timer, or a dead letter
		}
		decode, err := bind(w)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		all[event] = append(all[event], reader{who, decode})
	}
	for _, s := range allServices(t) {
		for _, set := range s.Sets {
			for _, h := range set.Handlers {
				add(s.Full(set), h.Name, h.Bind)
			}
		}
		for _, v := range s.Views {
			for _, h := range v.Handlers {
				add(v.Name, h.Event, h.Bind)
			}
		}
	}
	return all
}

// published is a version of an event, as the registry knows it.
type published struct {
	event   string
	version int
	head    []byte // magic byte and ID
	golden  []byte // a body
}

// publish registers every version of every event.
func publish(t testing.TB, c *schemas.Catalogue, registry *schemas.Registry) (all []published) {
	t.Helper()
	for _, typ := range c.Types() {
		for _, v := range typ.Versions {
			id, err := registry.Register(t.Context(), schemas.Subject("any", typ), v.Text)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s.v%d.hex", typ.Name, v.Number)
			text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "testdata", "wire", name))
			if err != nil {
				t.Fatal(err)
			}
			golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, published{typ.Name, v.Number, binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), golden})
		}
	}
	return all
}

// newWire is a codec over a registry of its own.
func newWire(t testing.TB) (*schemas.Wire, *schemas.Catalogue, *schemas.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	c, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	registry, err := schemas.NewRegistry(fake.URL())
	if err != nil {
		t.Fatal(err)
	}
	return schemas.NewWire(c, registry), c, registry
}

// read lets every service that reads the event read it under that version; refused
// says which errors are in order.
func (p published) read(t testing.TB, w *schemas.Wire, readers []reader, body []byte, refused func(error) bool) {
	t.Helper()
	value := slices.Concat(p.head, body)
	frame, err := w.Open(t.Context(), value)
	if err != nil {
		t.Fatalf("a good frame: %v", err)
	}
	sharing := frame
	sharing.Shares = true
	for _, r := range readers {
		var e, again schemas.Envelope
		var message, alike any
		took := readtest.Allocated(func() { e, message, err = r.decode(frame) })
		var serr error
		took = max(took, readtest.Allocated(func() { again, alike, serr = r.decode(sharing) }))
		if (err == nil) != (serr == nil) || e != again || !reflect.DeepEqual(message, alike) {
			t.Errorf("%s reads %s: %+v, %v; where it may share memory: %+v, %v", r.who, p.event, message, err, alike, serr)
		}
		if err == nil && message == nil || err != nil && !refused(err) {
			t.Errorf("%s reads %s: %v, %v", r.who, p.event, message, err)
		}
		if took > readtest.Allowed(value) {
			t.Errorf("%s reads %s: %d bytes took %d of memory", r.who, p.event, len(value), took)
		}
	}
}

// FuzzServiceReaders: whatever stands behind an event's frame, each service that reads
// it has a message or refuses the body, at the cost of the bytes. A reader that
// panics takes its process down with every start, until the record is in quarantine;
// one that believes a length takes the machine.
func FuzzServiceReaders(f *testing.F) {
	w, c, registry := newWire(f)
	versions, readers := publish(f, c, registry), readersOf(f, w)
	for i, p := range versions {
		p.read(f, w, readers[p.event], p.golden, func(error) bool { return false })
		f.Add(uint16(i), p.golden)
		f.Add(uint16(i), p.golden[:len(p.golden)/2])
	}
	f.Fuzz(func(t *testing.T, n uint16, body []byte) {
		p := versions[int(n)%len(versions)]
		p.read(t, w, readers[p.event], body, func(err error) bool { return errors.Is(err, schemas.ErrBody) })
	})
}
