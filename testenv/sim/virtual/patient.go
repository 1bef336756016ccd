package virtual

import (
	"net"
	"sync"
)

// patiently makes the embedded broker learn that a client is gone only once it has
// answered what that one asked.
//
// A broker's groups know nothing of connections: who is gone is a member until its
// session is over. The embedded one begins a member's session with the answer to its
// join, and begins none where the connection broke before: that member stays for
// good, each rebalance waits for it in vain, and if a leader comes first it is given
// partitions that nobody reads.
func patiently(listen func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		return patientListener{l}, err
	}
}

type patientListener struct{ net.Listener }

func (l patientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newPatient(c), nil
}

// patient is the broker's end of a connection.
type patient struct {
	net.Conn

	mu      sync.Mutex
	changed sync.Cond
	asked   bool // and not yet answered
	closed  bool
}

func newPatient(c net.Conn) *patient {
	p := &patient{Conn: c}
	p.changed.L = &p.mu
	return p
}

// Read says that the client is gone when nothing is left to answer.
func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = p.asked || n > 0
	for err != nil && p.asked && !p.closed {
		p.changed.Wait()
	}
	return n, err
}

// Write gives an answer. That it may reach nobody is for the broker to find.
func (p *patient) Write(b []byte) (int, error) {
	p.set(&p.asked, false)
	return p.Conn.Write(b)
}

func (p *patient) Close() error {
	p.set(&p.closed, true)
	return p.Conn.Close()
}

func (p *patient) set(what *bool, to bool) {
	p.mu.Lock()
	*what = to
	p.mu.Unlock()
	p.changed.Broadcast()
}
