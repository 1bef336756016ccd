package conformance

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology/stream"
)

// tap sits on an instance's connections and may hold or change what passes:
// faults that need no broker's help, and so can be had on any.
type tap struct {
	asked    func(api kmsg.Key)                // before a request goes out; while it waits, so do the client's others
	askedBy  func(api kmsg.Key, client string) // the same, with the client's name
	answered func(api kmsg.Key, answer []byte) // before an answer is read; while it waits, only its connection does
}

func (p tap) options() []kgo.Opt {
	return []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &tapped{Conn: c, tap: p, asked: map[uint32]kmsg.Key{}}, nil
	})}
}

type tapped struct {
	net.Conn
	tap tap

	mu    sync.Mutex
	asked map[uint32]kmsg.Key // by correlation ID
	rest  []byte              // of an answer
}

// Write takes one request: its size, what is asked, a version, a correlation ID, a client.
func (c *tapped) Write(p []byte) (int, error) {
	if len(p) >= 14 {
		api := kmsg.Key(binary.BigEndian.Uint16(p[4:]))
		c.mu.Lock()
		c.asked[binary.BigEndian.Uint32(p[8:])] = api
		c.mu.Unlock()
		if c.tap.asked != nil {
			c.tap.asked(api)
		}
		if name := binary.BigEndian.Uint16(p[12:]); c.tap.askedBy != nil && len(p) >= 14+int(name) {
			c.tap.askedBy(api, string(p[14:14+name]))
		}
	}
	return c.Conn.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next reads one answer: its size, a correlation ID, the rest.
func (c *tapped) next() error {
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c.Conn, answer); err != nil {
		return err
	}
	answer = append(answer, make([]byte, binary.BigEndian.Uint32(answer))...)
	if _, err := io.ReadFull(c.Conn, answer[4:]); err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(answer[4:])
	c.mu.Lock()
	api, known := c.asked[id]
	delete(c.asked, id)
	c.mu.Unlock()
	if known && c.tap.answered != nil {
		c.tap.answered(api, answer)
	}
	c.rest = answer
	return nil
}

// setError changes an answer that begins with size, correlation ID, no tags,
// throttle and error, as those to Heartbeat and EndTxn do; nil is no error.
func setError(answer []byte, e *kerr.Error) {
	code := int16(0)
	if e != nil {
		code = e.Code
	}
	binary.BigEndian.PutUint16(answer[13:], uint16(code))
}

// errorOf reads the error of such an answer.
func errorOf(answer []byte) int16 { return int16(binary.BigEndian.Uint16(answer[13:])) }

// pulse answers a member's heartbeats in the group's place.
type pulse struct{ is atomic.Int32 }

const (
	honest    int32 = iota
	fine            // whatever the group says
	rebalance       // for once; then honest
)

func (p *pulse) answered(answer []byte) {
	switch {
	case p.is.Load() == fine:
		setError(answer, nil)
	case p.is.CompareAndSwap(rebalance, honest):
		setError(answer, kerr.RebalanceInProgress)
	}
}

// overheard is a client's own log, which a test can wait on: what it does without a
// word to the broker is said nowhere else.
type overheard struct {
	words string
	heard chan struct{}
	hear  func()
}

func overhear(words string) *overheard {
	o := &overheard{words: words, heard: make(chan struct{})}
	o.hear = sync.OnceFunc(func() { close(o.heard) })
	return o
}

func (o *overheard) Level() kgo.LogLevel { return kgo.LogLevelInfo }
func (o *overheard) Log(_ kgo.LogLevel, text string, _ ...any) {
	if strings.Contains(text, o.words) {
		o.hear()
	}
}

// gate holds whoever passes once it is shut, until it is opened for good.
type gate struct {
	shut            atomic.Bool
	arrived, opened chan struct{}
	arrive, open    func()
}

func newGate() *gate {
	g := &gate{arrived: make(chan struct{}), opened: make(chan struct{})}
	g.arrive = sync.OnceFunc(func() { close(g.arrived) })
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

func (g *gate) pass() {
	if g.shut.Load() {
		g.arrive()
		<-g.opened
	}
}

// at passes the gate at a point of an instance's loop.
func (g *gate) at(point stream.Point) func(string, stream.Point) error {
	return func(_ string, at stream.Point) error {
		if at == point {
			g.pass()
		}
		return nil
	}
}

// await waits for something that a test has caused.
func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v; the test shows nothing", what, patience)
	}
}
