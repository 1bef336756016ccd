package topology

import (
	"errors"
	"fmt"
	"time"
)

// A step's error is a verdict on the record that caused it. Any error that is
// not one of these three counts as a defect: the record is poison, and the
// service's circuit breaker counts it.
type verdict struct {
	kind  verdictKind
	why   string
	after time.Duration
}

type verdictKind int

const (
	drop verdictKind = iota + 1
	park
	poison
)

func (v *verdict) Error() string { return v.why }

// Drop says that the record has nothing to do here: it is counted and forgotten.
func Drop(format string, args ...any) error {
	return &verdict{kind: drop, why: fmt.Sprintf(format, args...)}
}

// Park says that the record cannot be used yet. It waits under its key for
// after; later records and timers of the same key wait behind it, in order.
func Park(after time.Duration, format string, args ...any) error {
	return &verdict{kind: park, why: fmt.Sprintf(format, args...), after: after}
}

// Poison says that the record can never be used: it goes to the service's dead
// letters at once, byte for byte, and its key flows on. An outcome's intent is
// settled with it: what the world has done is done.
func Poison(format string, args ...any) error {
	return &verdict{kind: poison, why: fmt.Sprintf(format, args...)}
}

// Dropped is true for Drop alone. The runtime asks, and a context's test may.
func Dropped(err error) bool { return is(err, drop) }

// Parked is true for Park alone, and says for how long.
func Parked(err error) (after time.Duration, ok bool) {
	var v *verdict
	if errors.As(err, &v) && v.kind == park {
		return v.after, true
	}
	return 0, false
}

// Poisoned is true for Poison alone, not for a defect.
func Poisoned(err error) bool { return is(err, poison) }

func is(err error, kind verdictKind) bool {
	var v *verdict
	return errors.As(err, &v) && v.kind == kind
}
