package virtual

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"troupe/testenv/inproc"
)

// dialTime bounds a connection that is being made: the client gives a dialer of
// ours no time of its own.
const dialTime = 10 * time.Second

// link is all that a process has of the network: to the brokers, to its partners
// and to the registry. What is done to it befalls that process alone.
type link struct {
	name    string
	seed    uint64
	latency time.Duration // of a message, at most
	brokers *kfake.VirtualNetwork
	hosts   *inproc.Net

	mu     sync.Mutex
	dead   bool            // the process is: nothing goes in or out
	silent bool            // bytes are lost, and nobody is told
	thaw   chan struct{}   // the process is stopped until it is closed
	slow   time.Duration   // on top of the latency
	losing map[int16]int   // answers to a kind of request that will be lost
	nth    map[[2]int16]uint64
	conns  map[*conn]struct{}
}

func newLink(name string, seed uint64, brokers *kfake.VirtualNetwork, hosts *inproc.Net) *link {
	return &link{
		name: name, seed: seed, latency: 4 * time.Millisecond, brokers: brokers, hosts: hosts,
		losing: map[int16]int{}, nth: map[[2]int16]uint64{}, conns: map[*conn]struct{}{},
	}
}

// refused is what a closed port answers; the virtual network's own words are
// none that a client would try again after.
func refused() error {
	return &net.OpError{Op: "dial", Net: "virtual", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.wait()
	l.mu.Lock()
	dead, silent := l.dead, l.silent
	l.mu.Unlock()
	switch {
	case dead:
		return nil, refused()
	case silent:
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(dialTime):
			return nil, os.ErrDeadlineExceeded
		}
	}
	inner, err := l.brokers.DialContext(ctx, network, addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refused()
	}
	c := &conn{Conn: inner, link: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c, nil
}

// RoundTrip is a call to a partner or the registry.
func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := l.reach(r.Context()); err != nil {
		return nil, err
	}
	resp, err := l.hosts.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := l.reach(r.Context()); err != nil { // it died, or was cut off, while it was being answered
		return nil, err
	}
	return resp, nil
}

func (l *link) dialMail(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	return l.hosts.DialContext(ctx, network, addr)
}

// reach takes the time of a message, or finds that there is no way.
func (l *link) reach(ctx context.Context) error {
	time.Sleep(l.delay(-1, -1))
	l.wait()
	l.mu.Lock()
	dead, silent := l.dead, l.silent
	l.mu.Unlock()
	if dead {
		return refused()
	}
	if silent {
		<-ctx.Done()
	}
	return ctx.Err()
}

// wait holds whoever belongs to a process that is stopped.
func (l *link) wait() {
	l.mu.Lock()
	thaw := l.thaw
	l.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
}

// cut closes every connection; they can be made anew.
func (l *link) cut() {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[*conn]struct{}{}
	l.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close() // what is written to it is lost: that is meant
	}
}

// die ends the link for good.
func (l *link) die() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.goOn()
	l.cut()
}

// silence loses what is sent, until it is ended; the connections that lost bytes
// are then broken.
func (l *link) silence(on bool) {
	l.mu.Lock()
	l.silent = on
	l.mu.Unlock()
	if !on {
		l.cut()
	}
}

// stop lets nothing in the process go on, as SIGSTOP does; goOn ends it. What
// came meanwhile is there then.
func (l *link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw == nil && !l.dead {
		l.thaw = make(chan struct{})
	}
}

func (l *link) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw != nil {
		close(l.thaw)
		l.thaw = nil
	}
}

func (l *link) slowDown(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = by
}

// lose makes the next answers to a kind of request never arrive: what was asked
// for is done, and the connection breaks.
func (l *link) lose(key int16, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losing[key] += n
}

func (l *link) loses(key int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.losing[key] == 0 {
		return false
	}
	l.losing[key]--
	return true
}

// delay is drawn from the seed and from which message it is, by kind: it does not
// hang on which goroutine came first.
func (l *link) delay(direction, key int16) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := [2]int16{direction, key}
	l.nth[kind]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(l.name)) // a hash never fails
	b := binary.BigEndian.AppendUint64(nil, l.seed)
	b = binary.BigEndian.AppendUint16(b, uint16(direction))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	_, _ = h.Write(binary.BigEndian.AppendUint64(b, l.nth[kind]))
	drawn := h.Sum64()
	return 1 + time.Duration(drawn%uint64(l.latency)) + time.Duration(drawn>>8%uint64(l.slow+1))
}

// conn is a connection to a broker. The client writes a request at a time, and
// reads an answer's size before the rest.
type conn struct {
	net.Conn
	link *link

	mu    sync.Mutex
	asked []int16 // requests without an answer, oldest first
}

const (
	sizeHeader = 4
	keyAt      = 4 // of a request, after its size
)

func (c *conn) Write(b []byte) (int, error) {
	key := int16(-1)
	if len(b) >= keyAt+2 {
		key = int16(binary.BigEndian.Uint16(b[keyAt:]))
	}
	time.Sleep(c.link.delay(0, key))
	c.link.wait()
	c.link.mu.Lock()
	silent := c.link.silent
	c.link.mu.Unlock()
	if silent {
		return len(b), nil
	}
	c.mu.Lock()
	c.asked = append(c.asked, key)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err == nil && len(b) == sizeHeader {
			key := c.answered()
			time.Sleep(c.link.delay(1, key))
			c.link.wait()
			if c.link.loses(key) {
				_ = c.Close()
				return 0, net.ErrClosed
			}
		}
		c.link.mu.Lock()
		silent := c.link.silent
		c.link.mu.Unlock()
		if err != nil || !silent {
			return n, err
		}
	}
}

func (c *conn) answered() int16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		return -1
	}
	key := c.asked[0]
	c.asked = c.asked[1:]
	return key
}

func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
