package conformance

import (
	"net/http/httptest"
	"strings"
	"testing"

	"troupe/services/inventory"
	"troupe/services/ordercapture"
)

// TestReKeyHop: an order asks a SKU, across partitions and co-partition sets,
// and gathers the answer; without stock it waits, and is served when some comes.
func TestReKeyHop(t *testing.T) {
	b := newBench(t)
	i := b.start("a", ordercapture.Service(), inventory.Service())
	post := func(service, path, body string) {
		t.Helper()
		rec := httptest.NewRecorder()
		i.runner.Intakes(service).ServeHTTP(rec, httptest.NewRequest("POST", path, strings.NewReader(body)))
		if rec.Code != 202 {
			t.Fatalf("%s %d %s", path, rec.Code, rec.Body)
		}
	}
	post("ordercapture", "/orders", channelOrder)
	b.settle()
	kinds := func() string {
		var out []string
		for _, r := range b.read("allocations") {
			out = append(out, headerOf(r, "type"))
		}
		return strings.Join(out, " ")
	}
	if got := kinds(); got != "InventoryBackordered" {
		t.Fatalf("without stock: %q; dead letters %d", got, len(b.read("inventory.dead")))
	}
	post("inventory", "/stock/events", `{"id":"1","tenant":"acme","mode":"SET","reason":"count","at":"2026-01-05T09:30:00Z","levels":[{"sku":"s","node":"n","quantity":5}]}`)
	b.settle()
	if got := kinds(); !strings.HasPrefix(got, "InventoryBackordered InventoryAllocated") {
		t.Errorf("with stock: %q", got)
	}
}
