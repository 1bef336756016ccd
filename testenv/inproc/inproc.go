// Package inproc is a network inside the process: who is called answers in the
// caller's goroutine, and what is not HTTP goes through a pipe. Without a socket
// all of it can stand in a bubble of virtual time (testing/synctest), and what
// happens in it does not depend on the machine.
package inproc

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Net is a network of names. The zero value is one where nobody is.
type Net struct {
	mu        sync.Mutex
	handlers  map[string]http.Handler
	listeners map[string]*listener
}

// Serve lets h answer at http://name, until stop.
func (n *Net) Serve(name string, h http.Handler) (url string, stop func() error, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handlers == nil {
		n.handlers = map[string]http.Handler{}
	}
	if n.handlers[name] != nil {
		return "", nil, fmt.Errorf("serve %s: the name is taken", name)
	}
	n.handlers[name] = h
	return "http://" + name, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.handlers, name)
		return nil
	}, nil
}

// RoundTrip calls the handler of the request's host. One that nobody serves
// refuses the connection. A caller whose time is over gets no answer, whatever
// the handler has done.
func (n *Net) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // the contract of a RoundTripper
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	h := n.handlers[r.URL.Host]
	n.mu.Unlock()
	if h == nil {
		return nil, refused(r.URL.Host)
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "inproc"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

// mailPort is the port of every listener: some clients insist on one.
const mailPort = "25"

// Listen takes connections that DialContext makes to name:25.
func (n *Net) Listen(name string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	at := net.JoinHostPort(name, mailPort)
	if n.listeners[at] != nil {
		return nil, fmt.Errorf("listen at %s: the name is taken", at)
	}
	l := &listener{net: n, at: address(at), dialled: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// DialContext connects to a listener.
func (n *Net) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, refused(addr)
	}
	ours, theirs := net.Pipe()
	select {
	case l.dialled <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, refused(addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	net     *Net
	at      address
	dialled chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialled:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, string(l.at))
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.at }

type address string

func (address) Network() string  { return "inproc" }
func (a address) String() string { return string(a) }
