package services

import (
	"os"
	"runtime/debug"

	"troupe/topology/stream"
)

// What the collector of a process that runs services goes by: the heap may grow to
// three times of what lives before garbage is collected, but once it is larger than
// what its caches account for, garbage is collected more often.
const (
	gcPercent = 200
	besides   = 512 << 20 // bytes beside the caches: of the database, and of what is on its way
)

// TuneCollector is for a process that runs so many services. What an event leaves
// behind dies with its transaction, so garbage costs what its collections cost, and
// fewer are cheaper. GOGC and GOMEMLIMIT, where set, count instead.
func TuneCollector(services int, l stream.Limits) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		l = l.Defaults()
		debug.SetMemoryLimit(besides + int64(services)*(l.RowCacheBytes+2*l.CheckpointBytes+l.KeyFilterBytes)*3/2)
	}
}
