package virtual

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"
)

// trace is what happened, with virtual times. What happens at one instant happens
// in no order: it is sorted, since which goroutine runs first is nobody's to say.
type trace struct {
	mu    sync.Mutex
	began time.Time
	now   time.Time
	open  []string // of now
	sum   hash.Hash
	lines int
	out   io.Writer // nil: only the hash is kept
}

func newTrace(out io.Writer) *trace {
	return &trace{began: time.Now(), now: time.Now(), sum: sha256.New(), out: out}
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); !now.Equal(t.now) {
		t.settle()
		t.now = now
	}
	t.open = append(t.open, fmt.Sprintf("%12.6f ", t.now.Sub(t.began).Seconds())+fmt.Sprintf(format, args...)+"\n")
}

// age is how long the run has lasted.
func (t *trace) age() time.Duration { return time.Since(t.began) }

func (t *trace) settle() {
	slices.Sort(t.open)
	for _, line := range t.open {
		_, _ = io.WriteString(t.sum, line) // a hash never fails
		if t.out != nil {
			_, _ = io.WriteString(t.out, line) // for a reader who may have gone
		}
	}
	t.lines += len(t.open)
	t.open = nil
}

// hash names the run: runs with one hash went alike to the last line.
func (t *trace) hash() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	return hex.EncodeToString(t.sum.Sum(nil))[:16]
}
