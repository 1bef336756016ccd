package virtual

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology/stream"
)

// kind is what is done to whom.
type kind string

const (
	killed   kind = "killed"   // at once, and started again later
	ambushed kind = "ambushed" // killed at a point of the loop
	ended    kind = "ended"    // asked to stop, and started again later
	stopped  kind = "stopped"  // at a point, often past its session: it goes on as a zombie
	replaced kind = "replaced" // stopped, another takes its place and name, then it goes on
	cut      kind = "cut off"  // connections break, and are made anew
	silenced kind = "silenced" // nobody is told that nothing arrives
	slowed   kind = "slowed"   // messages take seconds
	unheard  kind = "unheard"  // what it asks for is done, and no answer comes
	refusing kind = "refusing" // the broker answers with an error
	reset    kind = "reset"    // its clock is set
)

// shares is how often each comes, of the sum.
var shares = []struct {
	kind  kind
	share int
}{{killed, 8}, {ambushed, 30}, {ended, 5}, {stopped, 10}, {replaced, 5}, {cut, 8}, {silenced, 6}, {slowed, 5}, {unheard, 12}, {refusing, 16}, {reset, 5}}

// points are where a process may die or stand still.
var points = []stream.Point{
	stream.AtPolled, stream.AtTaken, stream.AtProduced, stream.AtOffsets, stream.AtEnded, stream.AtApplied, stream.AtCalling, stream.AtCalled, stream.AtAnswered,
}

// lost are the requests whose answers may be lost.
var lost = []kmsg.Key{kmsg.EndTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Produce, kmsg.AddPartitionsToTxn, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.Heartbeat, kmsg.Fetch}

// refusals are errors of a broker. A request that times out is done all the same,
// where a broker can answer so.
var refusals = []struct {
	key  kmsg.Key
	errs []*kerr.Error
}{
	{kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend}},
	{kmsg.AddPartitionsToTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable, kerr.NotCoordinator}},
	{kmsg.TxnOffsetCommit, []*kerr.Error{kerr.RequestTimedOut, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnknownMemberID, kerr.IllegalGeneration}},
	{kmsg.EndTxn, []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch, kerr.ProducerFenced}},
	{kmsg.InitProducerID, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions}},
	{kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition}},
	{kmsg.Heartbeat, []*kerr.Error{kerr.NotCoordinator, kerr.UnknownMemberID, kerr.RebalanceInProgress}},
	{kmsg.JoinGroup, []*kerr.Error{kerr.NotCoordinator, kerr.UnknownMemberID}},
	{kmsg.SyncGroup, []*kerr.Error{kerr.NotCoordinator, kerr.RebalanceInProgress}},
	{kmsg.OffsetFetch, []*kerr.Error{kerr.NotCoordinator, kerr.UnstableOffsetCommit}},
	{kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition}},
	{kmsg.FindCoordinator, []*kerr.Error{kerr.CoordinatorNotAvailable}},
}

// fault is an entry of the schedule.
type fault struct {
	at    time.Duration // since the estate stood
	kind  kind
	who   int
	point stream.Point
	after int           // passes of the point
	lasts time.Duration // until it is started, goes on, or is heard again
	key   kmsg.Key
	err   *kerr.Error
	count int
	skew  time.Duration // business time
}

func (f fault) String() string {
	s := fmt.Sprintf("%v process %d is %s", f.at, f.who, f.kind)
	switch f.kind {
	case ambushed, stopped, replaced:
		return fmt.Sprintf("%s at %s after %d passes, for %v", s, f.point, f.after, f.lasts)
	case unheard:
		return fmt.Sprintf("%s: %d answers to %s", s, f.count, f.key.Name())
	case refusing:
		return fmt.Sprintf("%v the broker is refusing %d times %s with %s", f.at, f.count, f.key.Name(), f.err.Message)
	case reset:
		return fmt.Sprintf("%s by %v", s, f.skew)
	case cut:
		return s
	}
	return fmt.Sprintf("%s for %v", s, f.lasts)
}

// schedule draws n faults over a time: the same for the same seed.
func schedule(seed uint64, n, processes int, over time.Duration) []fault {
	rnd := rand.New(rand.NewPCG(seed, 1))
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(rnd.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	sum := 0
	for _, s := range shares {
		sum += s.share
	}
	var out []fault
	at := time.Duration(0)
	for range n {
		at += between(0, 2*over/time.Duration(n))
		f := fault{at: at, who: rnd.IntN(processes), point: points[rnd.IntN(len(points))], after: rnd.IntN(12), lasts: between(100*time.Millisecond, 20*time.Second), count: 1 + rnd.IntN(3)}
		draw := rnd.IntN(sum)
		for _, s := range shares {
			if draw < s.share {
				f.kind = s.kind
				break
			}
			draw -= s.share
		}
		switch f.kind {
		case unheard:
			f.key = lost[rnd.IntN(len(lost))]
		case refusing:
			r := refusals[rnd.IntN(len(refusals))]
			f.key, f.err = r.key, r.errs[rnd.IntN(len(r.errs))]
		case reset:
			f.skew = between(-2*time.Hour, 2*time.Hour)
		}
		out = append(out, f)
	}
	return out
}

// ambush waits for a process at a point.
type ambush struct {
	fault
	who *process
}

// suffer lets a fault befall the estate. What it begins goes on by itself.
func (s *site) suffer(f fault) {
	s.trace.add("fault: %v", f)
	p := s.processes[f.who]
	switch f.kind {
	case ambushed, stopped, replaced:
		s.mu.Lock()
		s.ambushes = append(s.ambushes, &ambush{f, p})
		s.mu.Unlock()
	case killed:
		if p.die() {
			s.after(f.lasts, func() { p.bury(); p.again() })
		}
	case ended:
		s.after(0, func() {
			if p.end() {
				time.Sleep(f.lasts)
				p.again()
			}
		})
	case cut:
		p.link.cut()
	case silenced:
		p.link.silence(true)
		l := p.link
		s.after(f.lasts, func() { l.silence(false) })
	case slowed:
		p.link.slowDown(2 * time.Second)
		l := p.link
		s.after(f.lasts, func() { l.slowDown(0) })
	case unheard:
		p.link.lose(f.key.Int16(), f.count)
	case refusing:
		s.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{f.key}, Err: f.err, Count: f.count, When: ofTheEstate})
	case reset:
		p.clock.set(f.skew)
	}
}

// ofTheEstate spares the client that writes the probe's inputs, since what it
// believes to have committed is what the rest is measured by, and the one that
// watches.
func ofTheEstate(r kmsg.Request) bool {
	switch r := r.(type) {
	case *kmsg.FetchRequest:
		return r.Rack != watchName
	case *kmsg.ProduceRequest:
		return r.TransactionID == nil || *r.TransactionID != loadName
	case *kmsg.EndTxnRequest:
		return r.TransactionalID != loadName
	case *kmsg.AddPartitionsToTxnRequest:
		return len(r.Transactions) == 0 && r.TransactionalID != loadName || len(r.Transactions) > 0 && r.Transactions[0].TransactionalID != loadName
	case *kmsg.InitProducerIDRequest:
		return r.TransactionalID == nil || *r.TransactionalID != loadName
	}
	return true
}

// pass is a process at a point: whoever waits for it there strikes.
func (s *site) pass(p *process, at stream.Point) {
	s.mu.Lock()
	var strikes *ambush
	for i, a := range s.ambushes {
		if a.who != p || a.point != at {
			continue
		}
		if a.after--; a.after < 0 {
			strikes = a
			s.ambushes = append(s.ambushes[:i:i], s.ambushes[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	if strikes == nil {
		return
	}
	f := strikes.fault
	s.trace.add("process %s is %s at %s", p.name, f.kind, at)
	switch f.kind {
	case ambushed:
		if p.die() {
			s.after(f.lasts, func() { p.bury(); p.again() })
		}
	case stopped:
		l := p.link
		l.stop()
		s.after(f.lasts, l.goOn)
	case replaced:
		s.replace(p, f.lasts)
	}
}

// replace stops a process and gives its place to another of its name, on a copy
// of its disk. The first goes on for a moment before it is killed.
func (s *site) replace(p *process, after time.Duration) {
	p.link.stop()
	zombie := p.split()
	s.after(0, func() {
		p.again()
		time.Sleep(after)
		zombie.link.goOn()
		time.Sleep(zombieLives)
		if zombie.die() {
			zombie.bury()
		}
	})
}

// zombieLives is how long one goes on that has been replaced.
const zombieLives = 5 * time.Second

// after does something later, and is waited for.
func (s *site) after(d time.Duration, do func()) {
	s.aftermath.Go(func() {
		time.Sleep(d)
		do()
	})
}
