package table

import (
	"fmt"
	"testing"
)

// TestFilter: what was added is never denied, and of what was not, few pass.
func TestFilter(t *testing.T) {
	f := newFilter()
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
}
