package workbench

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"

	"troupe/schemas"
	"troupe/topology"
)

// registry answers with the published schemas; an ID is a place in the list.
func registry(t *testing.T, c *schemas.Catalogue) *schemas.Registry {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id int
		if _, err := fmt.Sscan(path.Base(r.URL.Path), &id); err != nil || id >= len(c.Types()) {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": c.Types()[id].Versions[0].Text})
	}))
	t.Cleanup(server.Close)
	r, err := schemas.NewRegistry(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReadsGoldenBytes reads every event as it lies on a topic, and looks for
// what it says.
func TestReadsGoldenBytes(t *testing.T) {
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	wire := schemas.NewWire(catalogue, registry(t, catalogue))
	ids := map[string]uint32{}
	for i, typ := range catalogue.Types() {
		ids[typ.Name] = uint32(i)
	}
	b := bench(0)
	for i, h := range b.Service().Views[0].Handlers {
		text, err := os.ReadFile("../../schemas/testdata/wire/" + h.Event + ".v1.hex")
		if err != nil {
			t.Fatal(err)
		}
		body, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		decode, err := h.Bind(wire)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := wire.Open(t.Context(), append(binary.BigEndian.AppendUint32([]byte{0}, ids[h.Event]), body...))
		if err != nil {
			t.Fatal(err)
		}
		e, message, err := decode(frame)
		if err != nil {
			t.Errorf("%s: %v", h.Event, err)
			continue
		}
		e.ID = h.Event // the samples share theirs
		h.Apply(message, topology.Cause{Envelope: e, Key: "acme/web-1", Topic: "t", Offset: int64(i)})
	}
	for _, f := range b.flows {
		for _, x := range f.facts {
			if x.says == "" || strings.Contains(x.says, "unknown") && !strings.Contains(x.says, "expected") || strings.Contains(x.says, "%!") || strings.Contains(x.says, "map[") {
				t.Errorf("%s says %q", x.event, x.says)
			}
		}
	}
	for _, c := range []struct{ event, want string }{
		{"InvoiceIssued", "text-16: 190000.57 text-18 net"},
		{"PaymentCaptured", "text-20: 220000.66 text-23 of 210000.63 text-23 captured"},
		{"MismatchDetected", "text-17 text-19: 230000.69 text-21 instead of 220000.66 text-21"},
		{"OrderPlaced", "2 lines by text-16"},
	} {
		f := find(b, c.event)
		if !strings.HasPrefix(f.says, c.want) {
			t.Errorf("%s says %q, want %q …", c.event, f.says, c.want)
		}
	}
	if f := find(b, "InvoiceIssued"); len(f.about) != 4 {
		t.Errorf("an invoice is about %v", f.about)
	}
	if len(b.exceptions) != 1 || len(b.incidents) == 0 {
		t.Errorf("%d exceptions, %d incidents", len(b.exceptions), len(b.incidents))
	}
}

func find(b *Bench, event string) fact {
	for _, f := range b.flows {
		if x, ok := f.facts[event]; ok {
			return x
		}
	}
	return fact{}
}
