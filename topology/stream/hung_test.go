package stream

import (
	"math"
	"testing"
)

// TestProbes: one transactional ID for each partition of the transactions' topic,
// placed as Java's hash of a string places it.
func TestProbes(t *testing.T) {
	for _, c := range []struct {
		id   string
		hash int32 // what Java says, without its sign
	}{{"hello", 99162322}, {"polygenelubricants", 0}, {"fraud.a.0", 772092761}} {
		if got := transactionPartition(c.id, math.MaxInt32); got != c.hash {
			t.Errorf("%q hashes to %d, want %d", c.id, got, c.hash)
		}
	}
	for _, partitions := range []int32{1, 31, 50, 62, 1000} {
		for at, id := range probes("acme.fraud.state", partitions) {
			if id == "" || transactionPartition(id, partitions) != int32(at) {
				t.Errorf("of %d partitions %d has the probe %q", partitions, at, id)
			}
		}
	}
}
