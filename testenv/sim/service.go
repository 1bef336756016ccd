package sim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"troupe/topology"
)

// endSample is between two looks at the inputs' ends for a due timer.
const endSample = 200 * time.Millisecond

// idleCommit is how late offsets of inputs without effect are committed.
const idleCommit = time.Second

// transactionTimeout is after how long the broker aborts what its owner has left.
const transactionTimeout = 30 * time.Second

// service is a service's one worker: what it holds is lost when it crashes.
type service struct {
	sim  *Sim
	plan *plan
	skew time.Duration // of its clock

	incarnation int
	up          bool
	tasks       []*task
	positions   map[place]int64 // dealt with
	sampled     map[place]int64 // the inputs' ends
	sampledAt   time.Time
	stage       *stage // between the poll and the end of its transaction
	txn         *txn   // as the broker knows it; a crash leaves it open
	running     map[string]*call
	turnAt      time.Time // of the next turn; zero: none
	idling      bool      // offsets wait for an idle commit
	views       []*view
}

// task is a set's partition.
type task struct {
	name    string
	home    string // the key of what is about the partition
	set     *set
	n       int32
	journal *journal
	rows    map[string]*row
	due     map[string]time.Time // row → its deadline, as committed
}

func (t *task) changelog() map[string][]byte { return t.journal.table(t.name) }

// row returns a key's row, from memory or from the changelog.
func (t *task) row(key string) *row {
	if r := t.rows[key]; r != nil {
		return r
	}
	r := &row{key: key, stored: t.changelog()[key]}
	sound(t.set.decode(r, r.stored))
	t.rows[key] = r
	return r
}

func (s *service) task(of *set, n int32) *task {
	i := slices.IndexFunc(s.tasks, func(t *task) bool { return t.set == of && t.n == n })
	return s.tasks[i]
}

// clock is the time as this service's machine has it.
func (s *service) clock() time.Time { return s.sim.now.Add(s.skew) }

// start restores the tasks from what is committed, as after a crash.
func (s *service) start() {
	if s.txn != nil {
		s.sim.journal.abort(s.txn) // the successor fences what its predecessor left
		s.sim.wakeReaders(s.txn)
	}
	s.txn, s.stage, s.running, s.up = nil, nil, map[string]*call{}, true
	s.positions, s.sampledAt, s.idling, s.turnAt = map[place]int64{}, time.Time{}, false, time.Time{}
	maps.Copy(s.positions, s.sim.journal.offsets[s.plan.Name])
	before := s.tasks
	s.tasks = nil
	for _, set := range s.plan.sets {
		for n := range s.sim.journal.width {
			s.tasks = append(s.tasks, s.restore(set, n))
		}
	}
	if s.sim.bug == EarlyState && before != nil {
		s.tasks = before
		for _, t := range s.tasks {
			t.keepStaged()
		}
	}
	s.sim.judge.whole(s)
	for _, t := range s.tasks {
		s.resume(t)
	}
	s.wake(0)
}

func (s *service) restore(of *set, n int32) *task {
	t := &task{
		name: of.full + "/" + strconv.Itoa(int(n)), home: s.sim.partitionKey(n), set: of, n: n, journal: s.sim.journal,
		rows: map[string]*row{}, due: map[string]time.Time{},
	}
	for key := range t.changelog() {
		if isParked(key) || s.sim.bug == LostTimer {
			continue
		}
		if at := t.row(key).frame.deadline(); !at.IsZero() {
			t.due[key] = at
		}
	}
	return t
}

// keepStaged is what a runtime does that takes what was staged for the state.
func (t *task) keepStaged() {
	for _, r := range t.rows {
		r.touched = false
		if r.dirty {
			r.stored, r.dirty = r.staged, false
		}
	}
}

// wake lets the service have a turn, soon or after a while.
func (s *service) wake(after time.Duration) {
	at := s.sim.now.Add(after + s.sim.latency())
	if !s.turnAt.IsZero() && !at.Before(s.turnAt) {
		return
	}
	s.turnAt = at
	s.sim.at(at, func() {
		if s.turnAt.Equal(at) {
			s.turnAt = time.Time{}
			s.turn()
		}
	})
}

// then goes on with a transaction, unless the service dies first.
func (s *service) then(step string, do func()) {
	born := s.incarnation
	s.sim.after(s.sim.latency(), func() {
		if s.incarnation != born {
			return
		}
		if s.sim.happens(s.sim.dials.Crash) {
			s.sim.say(s.plan.Name, "dies before", step)
			s.crash()
			return
		}
		do()
	})
}

// turn is one turn of the loop: poll, step, fire, commit, remember.
func (s *service) turn() {
	if !s.up || s.stage != nil {
		return
	}
	x := &stage{moved: map[place]int64{}}
	records := s.poll(x)
	for _, r := range records {
		s.accept(x, r)
	}
	s.fire(x)
	if len(records) > 0 || !x.empty() {
		s.sim.say(s.plan.Name, "takes", len(records), "gives", len(x.outputs), "rows", len(x.touched))
	}
	if x.empty() {
		s.dealt(x)
		s.idle()
		s.sleep()
		return
	}
	s.stage = x
	s.then("produce", s.produce)
}

// poll takes a part of what can be read, in the order of topics, partitions and
// offsets.
func (s *service) poll(x *stage) []*record {
	var out []*record
	for _, set := range s.plan.sets {
		for _, topic := range set.inputs {
			for n := range s.sim.journal.width {
				out = append(out, s.readable(x, place{topic, n})...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *record) int { return byPlace(a.place, b.place) })
	if s.sim.bug == Reordered && s.sim.happens(0.2) {
		slices.Reverse(out)
	}
	return out
}

func (s *service) readable(x *stage, p place) (out []*record) {
	from, end := s.positions[p], s.sim.journal.end(p)
	if s.sim.bug == DirtyRead {
		end = s.sim.journal.written(p)
	}
	if end <= from {
		return nil
	}
	if s.sim.happens(0.3) { // the batch was cut
		end = from + 1 + s.sim.rnd.Int64N(end-from)
	}
	for _, r := range s.sim.journal.at(p).records[from:end] {
		if r.visible() || s.sim.bug == DirtyRead && r.txn.state == open {
			out = append(out, r)
		}
	}
	x.moved[p] = end
	return out
}

func byPlace(a, b place) int { return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.n, b.n)) }

// fire runs the timers that are due.
//
// A deadline fires only once every input of its task was read up to an end
// sampled at or after it: what meets it may already lie in the topic.
func (s *service) fire(x *stage) {
	for _, t := range s.tasks {
		until := s.readUpTo(t)
		for _, key := range t.dueBy(until) {
			r := t.row(key)
			if !r.frame.deadline().Equal(t.due[key]) {
				continue // stale: the row has moved on
			}
			x.touch(t, r)
			if r.frame.parked() > 0 {
				s.unpark(x, t, r)
				continue
			}
			s.ring(x, t, r, until)
		}
	}
}

// readUpTo is the latest deadline that may fire; zero for none.
func (s *service) readUpTo(t *task) time.Time {
	next := t.next()
	if next.IsZero() || next.After(s.clock()) {
		return time.Time{}
	}
	if s.sim.bug == HastyTimer {
		return s.clock()
	}
	if s.sampledAt.Before(next) {
		s.sample()
	}
	for _, topic := range t.set.inputs {
		p := place{topic, t.n}
		if s.positions[p] < s.sampled[p] {
			return time.Time{}
		}
	}
	return s.sampledAt
}

func (s *service) sample() {
	s.sampled, s.sampledAt = map[place]int64{}, s.clock()
	for _, set := range s.plan.sets {
		for _, topic := range set.inputs {
			for n := range s.sim.journal.width {
				s.sampled[place{topic, n}] = s.sim.journal.end(place{topic, n})
			}
		}
	}
}

// next is the earliest deadline; zero for none.
func (t *task) next() (next time.Time) {
	for _, at := range t.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

func (t *task) dueBy(until time.Time) (keys []string) {
	if until.IsZero() {
		return nil
	}
	for key, at := range t.due {
		if !at.After(until) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(t.due[a].Compare(t.due[b]), cmp.Compare(a, b)) })
	return keys
}

// ring runs a row's due timers, earliest first.
func (s *service) ring(x *stage, t *task, r *row, until time.Time) {
	due := slices.DeleteFunc(slices.Clone(r.frame.Timers), func(a armed) bool { return a.At > until.UnixMilli() })
	slices.SortStableFunc(due, func(a, b armed) int { return cmp.Compare(a.At, b.At) })
	for _, tm := range due {
		if !r.frame.disarm(tm.Name, tm.Discriminator) {
			continue // a step before it took it back
		}
		t.restage(r) // without the timer, whatever the step says
		h := t.set.timers[tm.Name]
		if h == nil {
			continue
		}
		key := r.key[1:]
		in := &input{task: t, key: key, handler: h, turn: topology.Turn{Now: time.UnixMilli(tm.At).UTC(), Cause: topology.Cause{
			Envelope: r.frame.envelope(), Key: key, Timer: tm.Name, Discriminator: tm.Discriminator,
		}}}
		s.sim.say(s.plan.Name, "rings", tm.Name, tm.Discriminator, "of", key)
		s.sim.judge.rings(s, x, in)
		if err := s.run(x, in); err != nil && !topology.Dropped(err) {
			s.buryTimer(x, t, r, tm, err)
		}
	}
}

// produce gives the outputs to the broker.
func (s *service) produce() {
	x := s.stage
	for p, at := range s.positions {
		if _, moved := x.moved[p]; !moved {
			x.moved[p] = at // unchanged, so that a zombie's is fenced
		}
	}
	s.txn = &txn{group: s.plan.Name, outputs: x.outputs, rows: x.changes(), offsets: x.moved}
	if n := len(x.outputs); s.sim.bug == LostOutput && n > 1 && s.sim.happens(0.05) {
		s.txn.outputs = x.outputs[:n-1]
	}
	s.sim.journal.produce(s.txn)
	if s.sim.bug == DirtyRead {
		s.sim.wakeReaders(s.txn)
	}
	s.then("commit", s.commit)
}

// commit ends the transaction. What is not a clear yes is unknown: it may have
// happened, and only the broker's answer was lost.
func (s *service) commit() {
	t := s.txn
	lost := s.sim.happens(s.sim.dials.Unknown)
	if lost && s.sim.happens(0.5) {
		s.sim.say(s.plan.Name, "cannot commit")
		s.rebuild()
		return
	}
	s.committed(t)
	if lost {
		s.sim.say(s.plan.Name, "commits, and does not know it")
		if s.sim.bug == UnknownIsNo {
			again := *s.stage
			s.txn = &txn{group: t.group, outputs: repeated(again.outputs), rows: t.rows, offsets: t.offsets}
			s.sim.journal.produce(s.txn)
			s.committed(s.txn)
			s.then("remember", s.remember)
			return
		}
		s.rebuild()
		return
	}
	s.then("remember", s.remember)
}

func repeated(records []*record) (out []*record) {
	for _, r := range records {
		again := *r
		out = append(out, &again)
	}
	return out
}

func (s *service) committed(t *txn) {
	if s.sim.bug == DroppedTombstone {
		t.rows = slices.DeleteFunc(t.rows, func(c rowChange) bool { return c.value == nil })
	}
	if s.sim.bug == TornCommit && s.sim.happens(0.05) {
		t.rows = nil
	}
	s.sim.journal.commit(t)
	s.sim.say(s.plan.Name, "commits", names(t.outputs))
	s.sim.judge.committed(s, t)
	s.sim.wakeReaders(t)
}

// remember makes what was staged the state in memory, and starts the effects.
func (s *service) remember() {
	x := s.stage
	s.stage, s.txn = nil, nil
	for _, c := range x.touched {
		c.task.apply(c.row)
	}
	s.dealt(x)
	s.sim.judge.remembered(s, x)
	for _, id := range x.ended {
		delete(s.running, id)
	}
	for i := range x.started {
		s.begin(&x.started[i])
	}
	s.sleep()
}

func (t *task) apply(r *row) {
	r.stored, r.staged, r.dirty, r.touched = r.staged, nil, false, false
	if at := r.frame.deadline(); at.IsZero() || r.ended {
		delete(t.due, r.key)
	} else {
		t.due[r.key] = at
	}
	if r.ended {
		delete(t.rows, r.key)
	}
}

// dealt moves the positions.
func (s *service) dealt(x *stage) { maps.Copy(s.positions, x.moved) }

// idle commits offsets of inputs that had no effect, a little later.
func (s *service) idle() {
	if s.idling || maps.Equal(s.positions, s.sim.journal.offsets[s.plan.Name]) {
		return
	}
	s.idling = true
	born := s.incarnation
	s.sim.after(idleCommit, func() {
		if s.incarnation != born {
			return
		}
		s.idling = false
		if s.stage == nil {
			s.sim.journal.move(s.plan.Name, s.positions)
			s.sim.watch()
		}
	})
}

// sleep sets the next turn: at once while there is something to read, else at
// the next deadline.
func (s *service) sleep() {
	for _, set := range s.plan.sets {
		for _, topic := range set.inputs {
			for n := range s.sim.journal.width {
				if p := (place{topic, n}); s.positions[p] < s.sim.journal.end(p) {
					s.wake(0)
					return
				}
			}
		}
	}
	var next time.Time
	for _, t := range s.tasks {
		if at := t.next(); next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	switch wait := next.Sub(s.clock()); {
	case next.IsZero():
	case wait <= 0:
		s.wake(endSample) // it waits for its inputs
	default:
		s.wake(wait)
	}
}

// rebuild ends a session whose fate is unknown, and restores what is committed.
func (s *service) rebuild() { s.end(100 * time.Millisecond) }

// crash loses all that is in memory, for a moment or for hours; where it is the
// machine, of all services.
func (s *service) crash() {
	if !s.sim.happens(s.sim.dials.Together) {
		s.fall()
		return
	}
	for _, other := range s.sim.services {
		if other.up {
			other.fall()
		}
	}
}

func (s *service) fall() {
	down := time.Duration(s.sim.rnd.Int64N(int64(5 * time.Second)))
	if s.sim.happens(s.sim.dials.LongOutage) {
		down = time.Duration(s.sim.rnd.Int64N(int64(12 * time.Hour)))
	}
	s.strand()
	s.forget()
	s.end(down)
}

// end drops the session; another is built after a while.
func (s *service) end(down time.Duration) {
	s.sim.say(s.plan.Name, "is down for", down)
	s.incarnation++
	s.up = false
	s.running = map[string]*call{}
	if t := s.txn; t != nil && down > transactionTimeout {
		s.sim.after(transactionTimeout, func() {
			s.sim.journal.abort(t)
			s.sim.wakeReaders(t)
		})
	}
	s.sim.after(down, func() {
		s.sim.say(s.plan.Name, "is up")
		s.start()
	})
}
