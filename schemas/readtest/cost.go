// Package readtest tells tests of readers what foreign bytes have cost: a reader that
// believes a length takes the machine.
package readtest

import "runtime"

// Allocated is how many bytes f takes from the heap.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Allowed bounds what reading b may allocate: some tens of bytes for each of its
// own, and what a reader costs that reads nothing.
func Allowed(b []byte) uint64 { return 1<<20 + 512*uint64(len(b)) }
