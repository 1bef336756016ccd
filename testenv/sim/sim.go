package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"troupe/schemas"
	"troupe/services"
	"troupe/services/notification"
	"troupe/services/processmanager"
	"troupe/testenv/broker"
	"troupe/testenv/check"
	"troupe/testenv/inproc"
	"troupe/testenv/world"
	"troupe/topology"
	"troupe/topology/table"
)

// Bug is something that a runtime may do wrong. Each was somebody's.
type Bug int

// The bugs that can be planted.
const (
	None             Bug = iota
	EarlyState           // what was staged is the state, also after an abort
	DirtyRead            // outputs are read before their transaction has committed
	DroppedTombstone     // what was deleted comes back with the next restore
	BlindRepeat          // an effect is repeated without its key and without a look
	LostTimer            // a restore forgets what is due
	NoDeduplication      // an input that was seen is taken again
	Reordered            // a batch is taken in another order
	UnknownIsNo          // a commit without an answer is made again
	LostOutput           // an output that the broker refuses does not stop the commit
	HastyTimer           // a deadline fires although its inputs are not read up to it
	TornCommit           // the offsets are committed and the rows are not
)

// begin is where every run starts: a Monday morning.
var begin = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// width is the number of partitions of every topic.
const width = 2

// maxSteps ends a run that does not come to rest.
const maxSteps = 40_000

// Estate is what runs of many seeds share: the services' schemas and decoders.
type Estate struct {
	estate   topology.Estate
	binder   *binder
	process  *processmanager.Definition
	ledger   map[string]*schemas.FieldReader
	checkers sync.Pool
}

// NewEstate reads the map and registers what the services write.
func NewEstate() (*Estate, error) {
	estate, err := topology.DefaultEstate()
	if err != nil {
		return nil, err
	}
	estate.Partitions = width
	estate.Topics = append(estate.Topics, topology.Topic{Name: "probe", Owner: "probe", Key: "tenant/order"}) // so that triage reads its dead letters
	catalogue, err := schemas.Load()
	if err != nil {
		return nil, err
	}
	net := new(inproc.Net)
	handler, err := broker.NewRegistry(schemas.CompatText)
	if err != nil {
		return nil, err
	}
	url, _, err := net.Serve("registry", handler)
	if err != nil {
		return nil, err
	}
	registry, err := schemas.NewRegistryOver(net, url)
	if err != nil {
		return nil, err
	}
	wire := schemas.NewWire(catalogue, registry)
	b, err := newBinder(wire, estate)
	if err != nil {
		return nil, err
	}
	process, err := processmanager.DefaultDefinition()
	if err != nil {
		return nil, err
	}
	e := &Estate{estate: estate, binder: b, process: process, ledger: map[string]*schemas.FieldReader{}}
	for name, fields := range ledgerReads {
		if e.ledger[name], err = schemas.NewFieldReader(wire, name, fields); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// checker is one that no run uses now. Making one costs as much as a run.
func (e *Estate) checker() (*check.Checker, error) {
	if c, ok := e.checkers.Get().(*check.Checker); ok {
		return c, nil
	}
	partitions := map[string]int32{}
	for _, t := range check.Topics(e.estate) {
		partitions[t] = width
	}
	return check.New(e.binder.wire, e.estate, partitions)
}

// Sim is one run. It has no goroutine, no clock and no chance but its seed's.
type Sim struct {
	*Estate
	seed    uint64
	bug     Bug
	dials   Dials
	rnd     *rand.Rand
	now     time.Time
	queue   queue
	steps   int
	journal *journal
	disk    *table.Store // of views that keep rows there
	net     *network
	world   *world.World
	judge   *judge

	services []*service
	readers  map[string][]*service // by topic
	watchAt  time.Time
	told     map[topology.Position]bool

	trace hash.Hash64
	lines io.Writer // of the trace; nil: only hashed
}

// Result is what became of a run.
type Result struct {
	Seed       uint64
	Trace      uint64 // the same seed, the same trace
	Steps      int
	Records    int
	Orders     int
	Crashes    int
	Ended      time.Time
	Violations []Violation
}

// Violation is an invariant that does not hold.
type Violation struct{ Invariant, Detail string }

// Run plays a seed to its end. lines takes the trace and may be nil.
func (e *Estate) Run(seed uint64, bug Bug, lines io.Writer) (r Result, err error) {
	s := &Sim{
		Estate: e, seed: seed, bug: bug, rnd: rand.New(rand.NewPCG(seed, 7)), now: begin, journal: newJournal(width),
		readers: map[string][]*service{}, told: map[topology.Position]bool{}, trace: fnv.New64a(), lines: lines,
	}
	s.dials = drawn(s.rnd)
	if s.disk, err = table.Open(table.Config{Memory: true}); err != nil {
		return Result{}, err
	}
	s.net = &network{Net: new(inproc.Net), sim: s, astray: map[string]string{}, failed: map[string]bool{}}
	defer func() {
		var broken errSimulator
		if p, ok := recover().(error); ok && errors.As(p, &broken) {
			err = fmt.Errorf("seed %d at %s: %w", seed, s.now.Format(time.DateTime), broken.error)
		} else if ok {
			panic(p)
		}
	}()
	if err := s.open(); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.world.Close()) }()
	defer e.checkers.Put(s.judge.checker)
	for len(s.queue) > 0 && s.steps < maxSteps && !s.judge.broken() {
		next := heap.Pop(&s.queue).(event)
		if next.at.After(s.now) {
			s.now = next.at
		}
		s.steps++
		next.do()
	}
	s.judge.end()
	return Result{
		Seed: seed, Trace: s.trace.Sum64(), Steps: s.steps, Records: s.judge.records, Orders: s.world.Placed(), Crashes: s.crashes(),
		Ended: s.now, Violations: s.judge.violations,
	}, nil
}

// open builds the estate and the world around it.
func (s *Sim) open() (err error) {
	checker, err := s.checker()
	if err != nil {
		return err
	}
	s.judge = newJudge(s, checker)
	source, err := newShop(s.dials, s.seed, s.rnd)
	if err != nil {
		return err
	}
	s.world, err = world.Start(world.Config{Source: source, Clock: calendar{s}, Log: s.log(), Network: s.net})
	if err != nil {
		return err
	}
	contexts, err := services.New(services.Config{
		Provider: s.world.Provider, Scoring: s.world.Scoring, Warehouse: s.world.Warehouse, ERP: s.world.ERP, Mail: s.world.Mail,
		MailFrom: mailFrom, Now: func() time.Time { return s.now }, Transport: s.net, DialMail: s.net.dialMail,
		Process: s.process,
	})
	if err != nil {
		return err
	}
	for _, spec := range append(contexts.All, probe()) {
		if err := s.add(spec); err != nil {
			return err
		}
	}
	if err := s.net.openDoors(contexts); err != nil {
		return err
	}
	s.world.Connect(world.Estate{Edge: "http://edge", Payment: "http://payment", Fraud: "http://fraud", Shipment: "http://shipment", Inventory: "http://inventory", Invoicing: "http://invoicing"})
	for _, svc := range s.services {
		svc.start()
	}
	s.deliverStock(source)
	return nil
}

const mailFrom = "orders@troupe.example"

// add makes a service's worker and views.
func (s *Sim) add(spec topology.Service) error {
	p, err := s.binder.plan(spec)
	if err != nil {
		return err
	}
	if err := s.prepare(p); err != nil {
		return err
	}
	svc := &service{sim: s, plan: p}
	if s.dials.Skew > 0 {
		svc.skew = time.Duration(s.rnd.Int64N(int64(2*s.dials.Skew))) - s.dials.Skew
	}
	s.services = append(s.services, svc)
	for topic := range p.bySrc {
		s.readers[topic] = append(s.readers[topic], svc)
	}
	return svc.see(spec)
}

// forget loses all that a process has in memory: its rows, and of the mail gateway
// the addresses that it has read and what it remembers of its attempts.
func (s *service) forget() {
	s.sim.judge.crashes++
	s.tasks = nil
	if s.plan.Name != "notification" {
		return
	}
	directory := notification.NewDirectory()
	gateway, err := notification.NewGateway(notification.Config{Addr: s.sim.world.Mail, From: mailFrom, Dial: s.sim.net.dialMail}, directory)
	sound(err)
	spec := notification.Service(gateway, directory)
	s.plan, err = s.sim.binder.plan(spec)
	sound(err)
	sound(s.see(spec))
}

func (s *Sim) crashes() int { return s.judge.crashes }

// prepare gets the schema IDs of everything a service writes.
func (s *Sim) prepare(p *plan) error {
	var errs []error
	need := func(inbox, typ string) {
		topic, err := s.topicOf(inbox, typ)
		if err == nil {
			err = s.binder.wire.Prepare(context.Background(), topic, typ)
		}
		errs = append(errs, err)
	}
	outputs := slices.Concat(p.Publishes, p.Asks)
	for _, in := range p.Intakes {
		outputs = append(outputs, in.Writes...)
	}
	for _, o := range outputs {
		need(o.Inbox, o.Type)
	}
	for _, set := range p.sets {
		for _, e := range set.effects {
			need(set.full, e.Outcome)
		}
	}
	if p.Watch != nil {
		need(p.Name, topology.NameOf(p.Watch.Message(topology.Position{})))
	}
	return errors.Join(errs...)
}

func (s *Sim) topicOf(inbox, typ string) (string, error) {
	if inbox != "" {
		return topology.InboxTopic(inbox), nil
	}
	t, ok := s.estate.TopicOf(typ)
	if !ok {
		return "", fmt.Errorf("%s: %w", typ, errNoTopic)
	}
	return t.Name, nil
}

// record frames a message.
func (s *Sim) record(topic, key string, m schemas.Message) (*record, error) {
	value, err := s.binder.wire.Encode(topic, m)
	if err != nil {
		return nil, err
	}
	return &record{place: place{topic, s.journal.home(key)}, key: key, value: value, envelope: *m.Head()}, nil
}

// send writes what does not come from a step: partners' messages through
// intakes, and effects' outcomes. It is there at once.
func (s *Sim) send(source string, requests ...topology.Request) error {
	for _, q := range requests {
		e := q.Message.Head()
		e.Type = q.Type
		if e.Type == "" {
			e.Type = topology.NameOf(q.Message)
		}
		if e.Source == "" {
			e.Source = source
		}
		if e.AggregateID == "" {
			e.AggregateID = q.Key
		}
		if e.ID == "" || e.OccurredAt.IsZero() || q.Key == "" {
			return fmt.Errorf("send %s: the message needs an ID, a time and a key", e.Type)
		}
		topic, err := s.topicOf(q.Inbox, e.Type)
		if err != nil {
			return err
		}
		r, err := s.record(topic, q.Key, q.Message)
		if err != nil {
			return err
		}
		s.journal.append(r)
		s.say(source, "sends", names([]*record{r}))
		s.judge.written(r)
		s.wakeTopic(topic)
	}
	return nil
}

func (s *Sim) wakeTopic(topic string) {
	for _, svc := range s.readers[topic] {
		svc.wake(0)
	}
}

// wakeReaders lets those have a turn who can read on, now that it has ended.
func (s *Sim) wakeReaders(t *txn) {
	topics := map[string]bool{}
	for _, r := range t.outputs {
		topics[r.topic] = true
	}
	for _, svc := range s.services {
		for topic := range topics {
			if svc.plan.bySrc[topic] != nil {
				svc.wake(0)
				break
			}
		}
	}
	s.wakeViews(topics)
	s.watch()
}

// partitionKey is the key of what is about a partition and about no single key.
func (s *Sim) partitionKey(n int32) string {
	for i := 0; ; i++ {
		if key := "partition/" + strconv.Itoa(i); s.journal.home(key) == n {
			return key
		}
	}
}

// happens throws the dice.
func (s *Sim) happens(share float64) bool { return share > 0 && s.rnd.Float64() < share }

// latency is how long a step takes to be taken.
func (s *Sim) latency() time.Duration { return time.Duration(1+s.rnd.Int64N(400)) * time.Millisecond }

// event is an entry of the schedule.
type event struct {
	at  time.Time
	tie uint64 // the seed's, so that what falls together comes in any order
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].tie < q[j].tie
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any     { o := *q; e := o[len(o)-1]; *q = o[:len(o)-1]; return e }

func (s *Sim) at(t time.Time, do func())        { heap.Push(&s.queue, event{t, s.rnd.Uint64(), do}) }
func (s *Sim) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }
func (s *Sim) say(who string, what ...any) {
	line := fmt.Sprintf("%s %-15s %s", s.now.Format("01-02 15:04:05.000"), who, fmt.Sprintln(what...))
	_, _ = io.WriteString(s.trace, line) // a hash takes everything
	if s.lines != nil {
		_, _ = io.WriteString(s.lines, line)
	}
}

func names(records []*record) string {
	var b strings.Builder
	for i, r := range records {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s %s/%d@%d", orDead(r), r.key, r.topic, r.n, r.offset)
	}
	return b.String()
}

func orDead(r *record) string {
	if r.letter != nil {
		return "dead letter (" + r.letter.Cause + ": " + r.letter.Detail + ")"
	}
	return r.envelope.Type
}

var _ http.RoundTripper = (*network)(nil)
