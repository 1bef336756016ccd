package virtual

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// trace is what happened, in the order in which it did, with virtual times.
type trace struct {
	mu    sync.Mutex
	began time.Time
	sum   hash.Hash
	lines int
	out   io.Writer // nil: only the hash is kept
}

func newTrace(out io.Writer) *trace { return &trace{began: time.Now(), sum: sha256.New(), out: out} }

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("%12.6f ", time.Since(t.began).Seconds()) + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(t.sum, line) // a hash never fails
	t.lines++
	if t.out != nil {
		_, _ = io.WriteString(t.out, line) // for a reader who may have gone
	}
}

// hash names the run: another run of the same seed has the same one.
func (t *trace) hash() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return hex.EncodeToString(t.sum.Sum(nil))[:16]
}
