package table

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// TestFilter: what was added is never denied, and of what was not, few pass.
func TestFilter(t *testing.T) {
	var most atomic.Int64
	most.Store(1 << 20)
	f := newFilter(&most)
	const n = 200_000
	for i := range n {
		f.add(fmt.Sprint("Racme/web-", i))
	}
	wrong := 0
	for i := range n {
		if !f.has(fmt.Sprint("Racme/web-", i)) {
			t.Fatalf("key %d was added and is denied: its row would be lost", i)
		}
		if f.has(fmt.Sprint("Racme/app-", i)) {
			wrong++
		}
	}
	if share := float64(wrong) / n; share > 0.04 {
		t.Errorf("%.1f %% of keys that were never added pass", 100*share)
	}
	for i := range 3 * n {
		f.add(fmt.Sprint("Racme/more-", i))
	}
	if !f.full || f.layers != nil {
		t.Errorf("it is larger than its limit")
	}
	if !f.has("Racme/web-1") || !f.has("Racme/more-1") {
		t.Error("beyond its limit it denies what was added: the row would be lost")
	}
}
