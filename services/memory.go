package services

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times of what lives before garbage is
// collected.
const gcPercent = 200

// TuneCollector is for a process that runs services. What an event leaves behind
// dies with its transaction, so garbage costs what its collections cost, and fewer
// are cheaper. GOGC and GOMEMLIMIT, where set, count instead.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
