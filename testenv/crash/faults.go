package crash

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// kind is what is done to whom.
type kind string

const (
	kill     kind = "kill -9"   // and started again at once
	end      kind = "SIGTERM"   // the same, but it may finish what it does
	freeze   kind = "SIGSTOP"   // longer than its group waits: it wakes up a zombie
	outage   kind = "broker"    // kill -9, and started again
	registry kind = "registry"  // answers nothing but errors for a while
	slow     kind = "slow way"  // to all brokers, for one process
	silent   kind = "silent"    // the same, and longer than its group waits: a zombie that is awake
	cut      kind = "cut off"   // connections break, new ones are refused
	full     kind = "full disk" // of one process
)

// shares is how often each comes, of a hundred.
var shares = []struct {
	kind  kind
	share int
}{{kill, 56}, {end, 8}, {freeze, 7}, {registry, 4}, {outage, 6}, {slow, 5}, {silent, 5}, {cut, 5}, {full, 4}}

// fault is one entry of the schedule.
type fault struct {
	wait  time.Duration // since the one before
	kind  kind
	who   int
	lasts time.Duration // of what does not end at once
}

func (f fault) String() string {
	switch f.kind {
	case registry:
		return fmt.Sprintf("registry gone for %v", f.lasts)
	case kill, end, outage:
		return fmt.Sprintf("%s of %d", f.kind, f.who)
	}
	return fmt.Sprintf("%s of process %d for %v", f.kind, f.who, f.lasts)
}

// schedule draws n faults: the same for the same seed, processes and nodes.
func schedule(seed uint64, n, processes, nodes int) []fault {
	rnd := rand.New(rand.NewPCG(seed, 1))
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(rnd.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	var out []fault
	for range n {
		f := fault{wait: between(50*time.Millisecond, 2*time.Second)}
		at := rnd.IntN(100)
		for _, s := range shares {
			if at < s.share {
				f.kind = s.kind
				break
			}
			at -= s.share
		}
		if f.kind == outage && nodes == 1 {
			f.kind = kill // a lone broker that is killed can lose a part of a transaction: nothing of ours makes up for that
		}
		switch f.kind {
		case outage:
			f.who = 1 + rnd.IntN(nodes)
		case freeze, silent:
			f.who, f.lasts = rnd.IntN(processes), between(limits.SessionTimeout+500*time.Millisecond, 2*limits.SessionTimeout)
		case slow, cut, full:
			f.who, f.lasts = rnd.IntN(processes), between(500*time.Millisecond, 2*limits.SessionTimeout)
		case registry:
			f.lasts = between(500*time.Millisecond, 4*time.Second)
		default:
			f.who = rnd.IntN(processes)
		}
		out = append(out, f)
	}
	return out
}
