package conformance

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// mortal starts an instance that can die as if its machine burnt: from one instant on
// nothing of it reaches a broker, so nothing is finished, handed over or taken leave
// of, whatever it tries, and what it had on its disk is gone. It must be alone in its
// group, which gives it up at once.
func (b *bench) mortal(name string, services ...topology.Service) (die func()) {
	b.t.Helper()
	its := &network{}
	b.options = []kgo.Opt{kgo.Dialer(its.dial)}
	i := b.start(name, services...)
	b.options = nil // whoever comes next has one of his own
	return func() {
		b.t.Helper()
		who := b.member()
		its.cut()
		b.expel(who)
		i.end() // one clock serves all: what a corpse holds of it would be taken for its successor's
		delete(b.dirs, name)
	}
}

// network is an instance's, until it is cut.
type network struct {
	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

func (n *network) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone { // in words upon which a client does not try for half a minute
		return nil, &net.OpError{Op: "dial", Net: kind, Err: os.NewSyscallError("connect", syscall.EPERM)}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, kind, host)
	if err == nil {
		n.conns = append(n.conns, c)
	}
	return c, err
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = true
	for _, c := range n.conns {
		_ = c.Close() // to break it is the point
	}
}
