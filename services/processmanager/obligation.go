package processmanager

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Event is what the ledger needs of a record.
type Event struct {
	ID, Type  string
	Topic     string
	Partition int32
	Offset    int64
	At        time.Time
	Fields    map[string]any
}

// Ledger is who owes what to a flow. Everything in it converges: what closes an
// obligation may come before what opens it, unless both stand on one topic,
// whose order then decides.
type Ledger struct {
	Open     []Obligation `avro:"open"`
	Answered []Answer     `avro:"answered"`
	Met      []Condition  `avro:"met"`
}

// Obligation is an event that somebody owes.
type Obligation struct {
	Rule      string    `avro:"rule"`
	Subject   string    `avro:"subject"`
	CauseID   string    `avro:"causeId"`
	CauseType string    `avro:"causeType"`
	Topic     string    `avro:"topic"` // where the cause stands
	Offset    int64     `avro:"offset"`
	At        time.Time `avro:"at"`
	Due       time.Time `avro:"due"` // zero: shown, never raised here
	Overdue   bool      `avro:"overdue"`
	Waits     bool      `avro:"waits"` // its owner has not read the cause
}

// Answer is that a rule's obligation on a subject was closed or made void.
type Answer struct {
	Rule    string `avro:"rule"`
	Subject string `avro:"subject"` // everySubject for all of them
	Topic   string `avro:"topic"`
}

// Condition is a part of a rule's cause that has come.
type Condition struct {
	Rule string `avro:"rule"`
	Part int32  `avro:"part"` // 0 is because; the needs count from 1
}

// A ledger keeps its lists sorted: events of different topics come in no order,
// and what it has come to must not hang on it.

func (o Obligation) compare(p Obligation) int {
	return cmp.Or(o.At.Compare(p.At), cmp.Compare(o.Rule, p.Rule), cmp.Compare(o.Subject, p.Subject))
}

func (a Answer) compare(b Answer) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Topic, b.Topic))
}

func (c Condition) compare(d Condition) int {
	return cmp.Or(cmp.Compare(c.Rule, d.Rule), cmp.Compare(c.Part, d.Part))
}

// with puts a value where it belongs in a sorted list, unless it is there.
func with[V any](list []V, v V, compare func(V, V) int) []V {
	i, there := slices.BinarySearchFunc(list, v, compare)
	if there {
		return list
	}
	return slices.Insert(list, i, v)
}

// everySubject stands for all subjects of a rule.
const everySubject = "*"

// changes is what an event did to a ledger.
type changes struct {
	opened []Obligation
	closed []closed
}

type closed struct {
	Obligation
	by  Event
	met bool // closed by an event that was owed, not made void
}

// take lets an event close, void and open obligations, in that order.
func (l *Ledger) take(d *Definition, e Event) (c changes) {
	for _, r := range d.Obligations {
		if p, ok := matching(r.Events, e); ok {
			c.closed = append(c.closed, l.answer(r, p, e, true)...)
		}
		if p, ok := matching(r.Void, e); ok {
			c.closed = append(c.closed, l.answer(r, p, e, false)...)
			l.Met = slices.DeleteFunc(l.Met, func(m Condition) bool { return m.Rule == r.Name && m.Part == 0 && len(r.Needs) > 0 })
		}
		if o, ok := l.open(d, r, e); ok {
			c.opened = append(c.opened, o)
		}
	}
	return c
}

func matching(patterns []Pattern, e Event) (Pattern, bool) {
	i := slices.IndexFunc(patterns, func(p Pattern) bool { return p.matches(e) })
	if i < 0 {
		return Pattern{}, false
	}
	return patterns[i], true
}

func (l *Ledger) answer(r *Rule, p Pattern, e Event, met bool) (out []closed) {
	for _, subject := range r.subjects(p, e) {
		a := Answer{r.Name, subject, e.Topic}
		l.Answered = with(l.Answered, a, Answer.compare)
		l.Open = slices.DeleteFunc(l.Open, func(o Obligation) bool {
			if o.Rule != r.Name || subject != everySubject && o.Subject != subject {
				return false
			}
			out = append(out, closed{o, e, met})
			return true
		})
	}
	return out
}

// open opens the rule's obligation if the event completes its cause.
func (l *Ledger) open(d *Definition, r *Rule, e Event) (Obligation, bool) {
	part := r.Because.matches(e)
	complete := part
	if len(r.Needs) > 0 {
		part, complete = l.conditions(r, e)
	}
	subject := r.subject(e)
	if !part || slices.ContainsFunc(l.Open, func(o Obligation) bool { return o.Rule == r.Name && o.Subject == subject }) {
		return Obligation{}, false
	}
	l.Answered = slices.DeleteFunc(l.Answered, func(a Answer) bool {
		return a.Rule == r.Name && a.Subject == subject && a.Topic == e.Topic // it answered an earlier one
	})
	if !complete || slices.ContainsFunc(l.Answered, func(a Answer) bool {
		return a.Rule == r.Name && (a.Subject == subject || a.Subject == everySubject)
	}) {
		return Obligation{}, false
	}
	o := Obligation{
		Rule: r.Name, Subject: subject, CauseID: e.ID, CauseType: e.Type, Topic: e.Topic, Offset: e.Offset, At: e.At,
		Due: d.due(r, e, e.At),
	}
	l.Open = with(l.Open, o, Obligation.compare)
	return o, true
}

// conditions notes which part of a rule's cause the event is, if any, and says
// whether all parts have come.
func (l *Ledger) conditions(r *Rule, e Event) (part, complete bool) {
	parts := append([][]Pattern{{r.Because}}, r.Needs...)
	for i, p := range parts {
		if _, ok := matching(p, e); ok {
			part = true
			l.Met = with(l.Met, Condition{r.Name, int32(i)}, Condition.compare)
		}
	}
	have := 0
	for _, m := range l.Met {
		if m.Rule == r.Name {
			have++
		}
	}
	return part, have == len(parts)
}

func (l *Ledger) find(rule, subject string) *Obligation {
	i := slices.IndexFunc(l.Open, func(o Obligation) bool { return o.Rule == rule && o.Subject == subject })
	if i < 0 {
		return nil
	}
	return &l.Open[i]
}

// Positions is how far each owner has read, as far as it was observed: a row of
// the partition.
type Positions struct {
	Readers []Reader `avro:"readers"`
}

// Reader is an owner on a topic.
type Reader struct {
	Owner  string     `avro:"owner"`
	Topic  string     `avro:"topic"`
	Seen   []Position `avro:"seen"`   // oldest first
	Flows  int64      `avro:"flows"`  // that wait for it
	Until  int64      `avro:"until"`  // the furthest cause they wait for
	Behind time.Time  `avro:"behind"` // since; zero while it keeps up
}

// Position is the next offset that an owner will read, and when that was seen.
type Position struct {
	Offset int64     `avro:"offset"`
	AsOf   time.Time `avro:"asOf"`
}

// maxPositions bounds the observations kept of a reader.
const maxPositions = 256

// thin leaves out the observation that is missed least: the longer ago, the more roughly it
// is known when something was read, and the later that is said to be. To forget the oldest
// would be to say of what was read then that it was read when it occurred, and who had
// lagged would be overdue.
func thin(seen []Position) []Position {
	last := len(seen) - 1
	at, least := 1, math.Inf(1)
	for i := 1; i < last; i++ {
		gap, ago := seen[i+1].AsOf.Sub(seen[i-1].AsOf), seen[last].AsOf.Sub(seen[i-1].AsOf)
		if share := gap.Seconds() / ago.Seconds(); share < least {
			at, least = i, share
		}
	}
	return slices.Delete(seen, at, at+1)
}

func (p *Positions) reader(owner, topic string) *Reader {
	for i := range p.Readers {
		if r := &p.Readers[i]; r.Owner == owner && r.Topic == topic {
			return r
		}
	}
	return nil
}

// observe notes a position; it reports whether the owner is behind no more.
func (p *Positions) observe(owner, topic string, at Position) (r *Reader, caughtUp bool) {
	if r = p.reader(owner, topic); r == nil {
		p.Readers = append(p.Readers, Reader{Owner: owner, Topic: topic})
		r = &p.Readers[len(p.Readers)-1]
	}
	if n := len(r.Seen); n == 0 || r.Seen[n-1].Offset < at.Offset {
		r.Seen = append(r.Seen, at)
	}
	if len(r.Seen) > maxPositions {
		r.Seen = thin(r.Seen)
	}
	if !r.Behind.IsZero() && at.Offset > r.Until {
		r.Behind, r.Flows, r.Until = time.Time{}, 0, 0
		return r, true
	}
	return r, false
}

// await notes that a flow waits for an owner to read; it reports whether that
// opens an incident.
func (p *Positions) await(owner, topic string, offset int64, now time.Time) (r *Reader, news bool) {
	if r = p.reader(owner, topic); r == nil || r.next() > offset {
		return r, false
	}
	news = r.Behind.IsZero()
	if news {
		r.Behind = now
	}
	r.Flows++
	r.Until = max(r.Until, offset)
	return r, news
}

func (r *Reader) next() int64 {
	if len(r.Seen) == 0 {
		return 0
	}
	return r.Seen[len(r.Seen)-1].Offset
}

// read is when an owner was first seen to have read a record; at is the
// record's own time where nobody has looked, or not that far back.
func (p *Positions) read(owner, topic string, offset int64, at time.Time) (when time.Time, has bool) {
	if p == nil {
		return at, true
	}
	r := p.reader(owner, topic)
	if r == nil || len(r.Seen) == 0 {
		return at, true
	}
	i := slices.IndexFunc(r.Seen, func(s Position) bool { return s.Offset > offset })
	switch {
	case i < 0:
		return time.Time{}, false
	case i == 0 || r.Seen[i].AsOf.Before(at):
		return at, true
	}
	return r.Seen[i].AsOf, true
}

// lag is how many records an owner has before it until it reads one.
func (p *Positions) lag(owner, topic string, offset int64) int64 {
	if p == nil {
		return 0
	}
	if r := p.reader(owner, topic); r != nil {
		return max(0, offset+1-r.next())
	}
	return 0
}

// verdict on an obligation whose deadline has come.
type verdict int

const (
	isOverdue verdict = iota + 1
	isLater           // its deadline moved: the owner read the cause later
	isWaiting         // the owner has not read the cause
)

// recheck is how often an obligation looks whether its owner has read the cause.
const recheck = time.Minute

// judge says what becomes of an obligation at its deadline. Only a response
// waits for its owner; a promise never does.
func (d *Definition) judge(o *Obligation, p *Positions, now time.Time) (verdict, error) {
	r := d.rules[o.Rule]
	if r == nil {
		return 0, fmt.Errorf("definition %s v%d has no obligation %s any more", d.Name, d.Version, o.Rule)
	}
	o.Waits = false
	if r.Response > 0 {
		when, has := p.read(r.Owner, o.Topic, o.Offset, o.At)
		if !has {
			o.Waits, o.Due = true, now.Add(recheck)
			return isWaiting, nil
		}
		o.Due = d.due(r, Event{}, when) // not the look at which it was found
		if o.Due.After(now) {
			return isLater, nil
		}
	}
	o.Overdue = true
	return isOverdue, nil
}
