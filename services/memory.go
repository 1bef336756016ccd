package services

import (
	"os"
	"runtime/debug"
)

// What the collector of a process that runs services goes by.
const (
	gcPercent = 300
	heapLimit = 1536 << 20 // bytes
)

// TuneCollector is for a process that runs services. What an event leaves behind
// dies with its transaction, so garbage costs what its collections cost: the heap
// may grow to four times of what lives before the next one, but short of a limit
// they come more often. GOGC and GOMEMLIMIT, where set, count instead.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
}
