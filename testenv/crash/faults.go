package crash

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// kind is what is done to whom.
type kind string

const (
	kill     kind = "kill -9"  // and started again at once
	end      kind = "SIGTERM"  // the same, but it may finish what it does
	freeze   kind = "SIGSTOP"  // longer than its group waits: it wakes up a zombie
	outage   kind = "broker"   // kill -9, and started again
	registry kind = "registry" // answers nothing but errors for a while
)

// shares is how often each comes, of a hundred.
var shares = []struct {
	kind  kind
	share int
}{{kill, 62}, {end, 12}, {freeze, 12}, {registry, 8}, {outage, 6}}

// fault is one entry of the schedule.
type fault struct {
	wait  time.Duration // since the one before
	kind  kind
	who   int
	lasts time.Duration // freeze, registry
}

func (f fault) String() string {
	switch f.kind {
	case registry:
		return fmt.Sprintf("registry gone for %v", f.lasts)
	case freeze:
		return fmt.Sprintf("%s of process %d for %v", f.kind, f.who, f.lasts)
	}
	return fmt.Sprintf("%s of %d", f.kind, f.who)
}

// schedule draws n faults: the same for the same seed, processes and nodes.
func schedule(seed uint64, n, processes, nodes int) []fault {
	rnd := rand.New(rand.NewPCG(seed, 1))
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(rnd.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	var out []fault
	for range n {
		f := fault{wait: between(100*time.Millisecond, 2500*time.Millisecond)}
		at := rnd.IntN(100)
		for _, s := range shares {
			if at < s.share {
				f.kind = s.kind
				break
			}
			at -= s.share
		}
		switch f.kind {
		case outage:
			f.who = 1 + rnd.IntN(nodes)
		case freeze:
			f.who, f.lasts = rnd.IntN(processes), between(limits.SessionTimeout+time.Second, 2*limits.SessionTimeout)
		case registry:
			f.lasts = between(500*time.Millisecond, 4*time.Second)
		default:
			f.who = rnd.IntN(processes)
		}
		out = append(out, f)
	}
	return out
}
