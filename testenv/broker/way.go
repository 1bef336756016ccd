package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Way is a TCP path to an address that can be made slow or silent, or be cut.
type Way struct {
	Addr string // where it begins

	to       string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	passage Passage
	changed chan struct{} // closed when the passage changes
	conns   map[net.Conn]bool
	closed  bool
}

// Passage is what happens to what passes. The zero value lets all through.
type Passage struct {
	Delay  time.Duration // of every piece, on top of those before it
	Silent bool          // what is sent is held back until that changes: nobody hears that a peer is gone
	Cut    bool          // connections break, new ones are refused
}

// pieceBytes is how much passes at once.
const pieceBytes = 64 << 10

// NewWay begins a path on a loopback port.
func NewWay(to string) (*Way, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("begin a way to %s: %w", to, err)
	}
	w := &Way{Addr: listener.Addr().String(), to: to, listener: listener, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	w.wg.Go(w.accept)
	return w, nil
}

// Set changes what happens from now on.
func (w *Way) Set(p Passage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passage = p
	close(w.changed)
	w.changed = make(chan struct{})
	if p.Cut {
		w.breakAll()
	}
}

// Close breaks all connections and waits until nothing passes any more.
func (w *Way) Close() error {
	w.mu.Lock()
	w.closed = true
	close(w.changed)
	w.changed = make(chan struct{})
	w.breakAll()
	w.mu.Unlock()
	err := w.listener.Close()
	w.wg.Wait()
	return err
}

func (w *Way) breakAll() {
	for c := range w.conns {
		_ = c.Close() // to break it is the point
	}
	clear(w.conns)
}

func (w *Way) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		if !w.keep(near) {
			continue
		}
		w.wg.Go(func() { w.connect(near) })
	}
}

// keep notes a connection, or breaks it where none may be.
func (w *Way) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.passage.Cut {
		_ = c.Close()
		return false
	}
	w.conns[c] = true
	return true
}

// connect carries both directions until either ends.
func (w *Way) connect(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", w.to)
	if err != nil || !w.keep(far) {
		return
	}
	var both sync.WaitGroup
	for _, d := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			w.carry(d[0], d[1])
			_ = near.Close()
			_ = far.Close()
		})
	}
	both.Wait()
	w.mu.Lock()
	delete(w.conns, near)
	delete(w.conns, far)
	w.mu.Unlock()
}

func (w *Way) carry(from, to net.Conn) {
	piece := make([]byte, pieceBytes)
	for {
		n, err := from.Read(piece)
		if n > 0 && !w.pass() {
			return
		}
		if _, werr := to.Write(piece[:n]); errors.Join(err, werr) != nil {
			return
		}
	}
}

// pass waits as long as the passage says; false: the way is closed.
func (w *Way) pass() bool {
	for {
		w.mu.Lock()
		p, changed, closed := w.passage, w.changed, w.closed
		w.mu.Unlock()
		switch {
		case closed:
			return false
		case p.Silent:
			<-changed
		case p.Delay > 0:
			select {
			case <-time.After(p.Delay):
				return true
			case <-changed:
			}
		default:
			return true
		}
	}
}

// Ways lead to the nodes of a cluster, for one client.
type Ways map[string]*Way // by the node's own address

// NewWays begins a way to each address.
func NewWays(addrs []string) (Ways, error) {
	ways := Ways{}
	for _, a := range addrs {
		w, err := NewWay(a)
		if err != nil {
			return nil, errors.Join(err, ways.Close())
		}
		ways[a] = w
	}
	return ways, nil
}

// Set changes all.
func (ws Ways) Set(p Passage) {
	for _, w := range ws {
		w.Set(p)
	}
}

// Close closes all.
func (ws Ways) Close() error {
	var errs []error
	for _, w := range ws {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// Addrs is where each node's way begins.
func (ws Ways) Addrs() map[string]string {
	m := map[string]string{}
	for to, w := range ws {
		m[to] = w.Addr
	}
	return m
}

// Dialer goes by the ways: clients know brokers by the names that those give of
// themselves.
func Dialer(begins map[string]string) func(ctx context.Context, network, host string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		if begin, ok := begins[host]; ok {
			host = begin
		}
		return (&net.Dialer{}).DialContext(ctx, network, host)
	}
}
