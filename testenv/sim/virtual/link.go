package virtual

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	hosts   http.RoundTripper
	mail    *inproc.Net
	harm    harm

	mu     sync.Mutex
	dead   bool          // the process is: nothing goes in or out
	silent bool          // bytes are lost, and nobody is told
	thaw   chan struct{} // the process is stopped until it is closed
	slow   time.Duration // on top of the latency
	losing map[int16]int // answers to a kind of request that will be lost
	nth    map[message]uint64
	conns  map[*conn]struct{}
}

func newLink(name string, s *site) *link {
	return &link{
		name: name, seed: s.seed, latency: 4 * time.Millisecond, brokers: s.brokers, hosts: s.harm.through(s.provider()), mail: s.hosts, harm: s.harm,
		losing: map[int16]int{}, nth: map[message]uint64{}, conns: map[*conn]struct{}{},
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
	about := r.URL.String() + " " + r.Header.Get("Idempotency-Key")
	if err := l.reach(r.Context(), about); err != nil {
		return nil, err
	}
	resp, err := l.hosts.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := l.reach(r.Context(), about); err != nil { // it died, or was cut off, while it was being answered
		return nil, err
	}
	return resp, nil
}

func (l *link) dialMail(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := l.reach(ctx, "mail"); err != nil {
		return nil, err
	}
	return l.mail.DialContext(ctx, network, addr)
}

// reach takes the time of a message, or finds that there is no way.
func (l *link) reach(ctx context.Context, about string) error {
	time.Sleep(l.delay(message{who: about, call: true}))
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

// message is a kind of message of somebody.
type message struct {
	who    string // client ID, or what a call is about
	key    int16  // of the request
	places string // that it writes to
	reply  bool
	call   bool // to a partner or the registry: many may make the same one, in any order
}

// delay is drawn from the seed and from which message of its kind it is: it does
// not hang on which goroutine came first.
func (l *link) delay(m message) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !m.call {
		l.nth[m]++
	}
	h := fnv.New64a()
	fmt.Fprint(h, l.seed, l.name, m, l.nth[m])
	drawn := h.Sum64()
	return 1 + time.Duration(drawn%uint64(l.latency)) + time.Duration(drawn>>8%uint64(l.slow+1))
}

// conn is a connection to a broker. The client writes a request at a time, and
// one goroutine reads.
type conn struct {
	net.Conn
	link   *link
	answer []byte // what is left of the one that is being read

	mu    sync.Mutex
	asked []message // requests without an answer, oldest first
}

// Of a request: its size, kind, version, number, and the length and text of the
// client ID.
const (
	sizeHeader = 4
	keyAt      = 4
	nameAt     = 14
)

func read(b []byte) message {
	if len(b) < nameAt {
		return message{key: -1}
	}
	m := message{key: int16(binary.BigEndian.Uint16(b[keyAt:]))}
	if n := int(binary.BigEndian.Uint16(b[nameAt-2:])); n <= len(b)-nameAt {
		m.who = string(b[nameAt : nameAt+n])
		m.places = places(m.key, int16(binary.BigEndian.Uint16(b[keyAt+2:])), b[nameAt+n:])
	}
	return m
}

// places are the partitions of a produce request, sorted: a client that others
// share batches what it is given in the order of a map.
func places(key, version int16, rest []byte) string {
	var r kmsg.ProduceRequest
	if key != r.Key() {
		return ""
	}
	r.SetVersion(version)
	if r.IsFlexible() && len(rest) > 0 {
		rest = rest[1:] // tags of the header, of which there are none
	}
	if err := r.ReadFrom(rest); err != nil {
		return ""
	}
	var out []string
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s%x/%d", t.Topic, t.TopicID, p.Partition))
		}
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func (c *conn) Write(b []byte) (int, error) {
	m := read(b)
	time.Sleep(c.link.delay(m))
	c.link.wait()
	c.link.mu.Lock()
	silent := c.link.silent
	c.link.mu.Unlock()
	if silent {
		return len(b), nil
	}
	c.mu.Lock()
	c.asked = append(c.asked, m)
	c.mu.Unlock()
	if harm := c.link.harm.wire; harm != nil {
		if _, err := c.Conn.Write(harm(m, b)); err != nil {
			return 0, err
		}
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read hands answers on, each whole and after its time.
func (c *conn) Read(b []byte) (int, error) {
	for len(c.answer) == 0 {
		if err := c.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.answer)
	c.answer = c.answer[n:]
	return n, nil
}

// receive takes one answer off the wire; it may be lost.
func (c *conn) receive() error {
	size := make([]byte, sizeHeader)
	if _, err := io.ReadFull(c.Conn, size); err != nil {
		return err
	}
	answer := make([]byte, sizeHeader+binary.BigEndian.Uint32(size))
	copy(answer, size)
	if _, err := io.ReadFull(c.Conn, answer[sizeHeader:]); err != nil {
		return err
	}
	m := c.answered()
	m.reply = true
	time.Sleep(c.link.delay(m))
	c.link.wait()
	if c.link.loses(m.key) {
		_ = c.Close()
		return net.ErrClosed
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if !c.link.silent {
		c.answer = answer
	}
	return nil
}

func (c *conn) answered() message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		return message{key: -1}
	}
	m := c.asked[0]
	c.asked = c.asked[1:]
	return m
}

func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
