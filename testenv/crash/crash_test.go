package crash

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/broker"
	"troupe/testenv/check"
	"troupe/testenv/probe"
	"troupe/testenv/scan"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

var (
	crashes = flag.Int("crashes", 0, "faults to inject; 0: none, the test is skipped")
	seed    = flag.Uint64("seed", 1, "of the schedule and the load")
	nodes   = flag.Int("nodes", 1, "of Kafka, 1 or 3")
)

// TestMain is also the main of the processes that are killed.
func TestMain(m *testing.M) {
	if p, is := placeOfThisProcess(); is {
		if err := serve(p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	processes = 3
	patience  = 2 * time.Minute // for all that is owed to come, once nothing is broken any more
)

func TestCrashes(t *testing.T) {
	if *crashes == 0 {
		t.Skip("make crash runs it: it needs a real Kafka and minutes")
	}
	s := newSite(t, *nodes)
	for range processes {
		s.add()
	}
	plan := schedule(*seed, *crashes, processes, *nodes)
	t.Logf("seed %d: %d faults on %d processes and %d brokers", *seed, len(plan), processes, *nodes)
	l, err := newLoad(t.Context(), s.place, *seed)
	if err != nil {
		t.Fatal(err)
	}
	stop, loaded := make(chan struct{}), make(chan error, 1)
	go func() { loaded <- l.run(t.Context(), stop) }()
	done := map[kind]int{}
	for n, f := range plan {
		time.Sleep(f.wait)
		s.revive()
		t.Logf("%3d  %v", n+1, f)
		if s.suffer(f) {
			done[f.kind]++
		}
	}
	close(stop)
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	inputs, facts := s.conclude(l)
	t.Logf("%v; %d orders, %d inputs, %d facts", done, l.Made, inputs, facts)
}

// conclude lets all that is owed come, stops everything and judges it.
func (s *site) conclude(l *load) (inputs, facts int) {
	s.t.Helper()
	s.heal()
	s.settle()
	if err := l.last(s.t.Context()); err != nil { // what each key has in memory, it says once more
		s.t.Fatal(err)
	}
	s.settle()
	for _, p := range s.processes {
		p.end(s.t)
	}
	h := s.read() // what came after all was there is one too many
	wrong := h.Wrong(true)
	for _, v := range slices.Concat(s.audit(h, l.acknowledged), s.rows(h)) {
		wrong = append(wrong, v.String())
	}
	for i, what := range wrong {
		if i < maxSaid {
			s.t.Error(what)
		}
	}
	s.verify()
	for _, in := range h.Inputs {
		inputs += len(in)
	}
	for _, f := range h.Facts {
		facts += len(f)
	}
	return inputs, facts
}

// maxSaid bounds what is said to be wrong: the first is the one to look at.
const maxSaid = 20

// site is a broker, a registry, a world and the processes that are killed.
type site struct {
	t         *testing.T
	real      *broker.Real
	place     place
	dir       string
	down      atomic.Bool // the registry
	processes []*process
	waking    sync.WaitGroup
	outages   sync.WaitGroup
}

func newSite(t *testing.T, nodes int) *site {
	t.Helper()
	s := &site{t: t}
	var err error
	if s.dir, err = os.MkdirTemp("", "troupe-crash-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs and topics are kept in %s", s.dir)
		} else if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
	s.real, err = broker.StartReal(t.Context(), broker.RealConfig{Nodes: nodes, DataDir: filepath.Join(s.dir, "broker"), Extra: impatience, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.real.Close(); err != nil {
			t.Error(err)
		}
	})
	s.place = place{
		brokers: strings.Join(s.real.Kafka.Brokers, ","), registry: s.registry(), world: s.world(), prefix: "crash.",
	}
	c, err := config(s.place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Apply(t.Context(), c, []topology.Service{service("")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range s.processes {
			p.kill()
		}
		s.waking.Wait()
	})
	return s
}

// add makes another process, with a disk and a way to the brokers of its own.
func (s *site) add() *process {
	s.t.Helper()
	ways, err := broker.NewWays(s.real.Kafka.Brokers)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := ways.Close(); err != nil {
			s.t.Error(err)
		}
	})
	place := s.place.by(ways)
	place.instance = fmt.Sprint(len(s.processes))
	disk := newDisk(s.t, filepath.Join(s.dir, "disk-"+place.instance))
	place.state = filepath.Join(disk.dir, "state")
	p := &process{place: place, ways: ways, disk: disk, log: filepath.Join(s.dir, "log-"+place.instance)}
	s.processes = append(s.processes, p)
	p.start(s.t)
	return p
}

// registry is the way to the registry, which can be cut.
func (s *site) registry() string {
	target, err := url.Parse(s.real.Apicurio.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	through.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		through.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	return server.URL
}

// world answers calls, late and not always.
func (s *site) world() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Number int32 }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Number == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if rand.IntN(10) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(time.Duration(rand.IntN(300)) * time.Millisecond):
			_ = json.NewEncoder(w).Encode(in) // who has hung up asks again
		}
	}))
	s.t.Cleanup(server.Close)
	return server.URL
}

func (s *site) suffer(f fault) (done bool) {
	s.t.Helper()
	switch f.kind {
	case kill:
		s.processes[f.who].kill()
		s.processes[f.who].start(s.t)
	case end:
		s.processes[f.who].end(s.t)
		s.processes[f.who].start(s.t)
	case freeze:
		wake := s.processes[f.who].freeze()
		s.later(f.lasts, wake)
	case registry:
		s.down.Store(true)
		s.later(f.lasts, func() { s.down.Store(false) })
	case outage:
		s.outage(f.who)
	case slow:
		s.way(f, broker.Passage{Delay: slowness})
	case silent:
		s.way(f, broker.Passage{Silent: true})
	case cut:
		s.way(f, broker.Passage{Cut: true})
	case full:
		disk := s.processes[f.who].disk
		if err := disk.fill(); err != nil {
			s.t.Logf("left out: %v", err)
			return false
		}
		s.later(f.lasts, disk.clear)
	}
	return true
}

// slowness is added to each piece of what passes a slow way.
const slowness = 100 * time.Millisecond

// way changes how a process gets to the brokers. What comes later is stronger, and
// is over when any of them is.
func (s *site) way(f fault, p broker.Passage) {
	ways := s.processes[f.who].ways
	ways.Set(p)
	s.later(f.lasts, func() { ways.Set(broker.Passage{}) })
}

// outage kills a broker of several and starts it again while the others go on, but
// never two at a time, which is more than is promised.
func (s *site) outage(node int) {
	s.outages.Wait()
	if err := s.real.Kafka.Kill(node); err != nil {
		s.t.Fatal(err)
	}
	s.outages.Go(func() {
		if err := s.real.Kafka.Restart(s.t.Context(), node); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) later(after time.Duration, do func()) {
	s.waking.Go(func() {
		time.Sleep(after)
		do()
	})
}

// heal waits until nothing is broken any more.
func (s *site) heal() {
	s.waking.Wait()
	s.outages.Wait()
	s.revive()
}

// revive starts what has ended by itself, as whatever runs services does: one
// ends that starts while there is no registry, or finds no room on its disk.
func (s *site) revive() {
	for _, p := range s.processes {
		if p.gone() {
			s.t.Logf("process %s has ended: %s", p.place.instance, p.lastWords())
			p.start(s.t)
		}
	}
}

// settle waits until all that is owed has come.
func (s *site) settle() {
	s.t.Helper()
	began := time.Now()
	for {
		left := s.read().Missing()
		if left <= 0 {
			s.t.Logf("all had come %v after the last fault", time.Since(began).Round(time.Second))
			return
		}
		if time.Since(began) > patience {
			s.t.Errorf("%d facts are lost, or late by %v; open transactions: %v", left, patience, s.open())
			return
		}
		time.Sleep(time.Second)
		s.heal()
	}
}

// open lists the transactions that hold up readers, as each partition's leader
// sees them, and what their coordinators know of them.
func (s *site) open() (out []string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.real.Kafka.Brokers...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		s.t.Error(err)
	}
	producers, err := adm.DescribeProducers(ctx, topics.TopicsSet())
	if err != nil {
		s.t.Error(err)
	}
	for _, p := range producers.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 {
			out = append(out, fmt.Sprintf("%s/%d from %d on by producer %d epoch %d", p.Topic, p.Partition, p.CurrentTxnStartOffset, p.ProducerID, p.ProducerEpoch))
		}
	}
	known, err := adm.DescribeTransactions(ctx)
	if err != nil {
		s.t.Error(err)
	}
	for _, t := range known.Sorted() {
		out = append(out, fmt.Sprintf("%s is %s as producer %d epoch %d", t.TxnID, t.State, t.ProducerID, t.ProducerEpoch))
	}
	return out
}

// topics are those that the subject and its load write to, and what is theirs to
// keep: the changelogs.
var (
	told  = []string{probe.Inputs, probe.Facts, probe.Inbox, probe.HopInbox, probe.Dead}
	state = []string{probe.State, probe.HopState}
)

// history is what the log holds, read committed.
type history struct {
	*probe.History
	records []check.Record // all of it
	told    map[string][]check.Told
}

// read reads what lies on the topics now, read committed.
func (s *site) read() history {
	s.t.Helper()
	h := history{History: probe.NewHistory(), told: map[string][]check.Told{}}
	open := s.opener()
	s.scan(scan.Config{Prefix: s.place.prefix, Topics: told}, func(r check.Record) {
		if r.Topic == probe.Dead {
			s.t.Errorf("a dead letter of %q", r.Key)
			return
		}
		e := open(r)
		h.Add(r.Topic, r.Key, e)
		h.records = append(h.records, brief(r))
		h.told[r.Topic] = append(h.told[r.Topic], check.Told{Record: brief(r), ID: e.ID, Cause: e.Cause})
	})
	return h
}

// brief is a record with the digest of its value in its place, and without its
// headers: a long run has millions of them.
func brief(r check.Record) check.Record {
	digest := sha256.Sum256(r.Value)
	r.Value, r.Headers = digest[:], nil
	return r
}

// scan hands on what lies on topics now.
func (s *site) scan(c scan.Config, each func(check.Record)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c.Brokers = strings.Split(s.place.brokers, ",")
	topics, err := scan.New(ctx, c)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := topics.Each(ctx, func(r check.Record) error { each(r); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// opener opens records of the subject.
func (s *site) opener() func(check.Record) probe.Event {
	s.t.Helper()
	wire, err := wireOf(s.place)
	if err != nil {
		s.t.Fatal(err)
	}
	reader, err := probe.NewReader(wire)
	if err != nil {
		s.t.Fatal(err)
	}
	return func(r check.Record) probe.Event {
		e, err := reader.Open(s.t.Context(), r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		return e
	}
}

// audit looks at the log as a whole, also at what is not committed.
func (s *site) audit(h history, acknowledged []string) (wrong []check.Violation) {
	s.t.Helper()
	var log []check.Record
	var aborted []check.Told
	events := map[string]check.Told{} // by their place, also those that are not committed
	open := s.opener()
	at := func(r check.Record) string { return fmt.Sprint(r.Topic, r.Partition, r.Offset) }
	s.scan(scan.Config{Prefix: s.place.prefix, Topics: slices.Concat(told, state), Raw: true}, func(r check.Record) {
		if r.Marker == check.NoMarker && slices.Contains(told, r.Topic) {
			e := open(r)
			events[at(r)] = check.Told{Record: brief(r), ID: e.ID, Cause: e.Cause}
		}
		log = append(log, brief(r))
	})
	fates := check.Settle(log)
	s.t.Logf("%d records are committed, %d aborted, %d open", len(fates.Committed), len(fates.Aborted), len(fates.Open))
	if n := parked(fates); n > 0 {
		s.t.Logf("%d inputs were parked for a while", n)
	} else {
		s.t.Error("no input was ever parked: nothing is shown of those that are")
	}
	for _, r := range fates.Aborted {
		if e, ok := events[at(r)]; ok {
			aborted = append(aborted, e)
		}
	}
	fates.Committed = slices.DeleteFunc(fates.Committed, func(r check.Record) bool { return slices.Contains(state, r.Topic) })
	s.scan(scan.Config{Topics: []string{offsets}, Raw: true}, func(r check.Record) { log = append(log, brief(r)) })
	causes := slices.Concat(h.told[probe.Inputs], h.told[probe.Inbox], h.told[probe.HopInbox])
	return slices.Concat(
		check.Read(fates, h.records), check.Hanging(fates), check.Together(log, roleOf),
		check.Once(h.told[probe.Facts]), check.Kept(acknowledged, h.told[probe.Inputs]),
		check.Caused(h.told[probe.Facts], causes, aborted), check.Caused(h.told[probe.HopInbox], causes, aborted),
	)
}

// parked counts the inputs that were: each has a key of its own on the changelog.
func parked(f check.Fates) int {
	keys := map[string]bool{}
	for _, r := range f.Committed {
		if slices.Contains(state, r.Topic) && strings.HasPrefix(string(r.Key), "Q") {
			keys[string(r.Key)] = true
		}
	}
	return len(keys)
}

// offsets is where Kafka keeps them.
const offsets = "__consumer_offsets"

// roleOf is what a topic is to the subject's transactions. The answers of calls
// are in none.
func roleOf(topic string) check.Role {
	switch {
	case topic == offsets:
		return check.Offsets
	case slices.Contains(state, topic):
		return check.State
	case topic == probe.Facts || topic == probe.HopInbox:
		return check.Output
	}
	return check.NoRole
}

// rows compares the changelogs with what the inputs come to.
func (s *site) rows(h history) []check.Violation {
	s.t.Helper()
	c, err := config(s.place)
	if err != nil {
		s.t.Fatal(err)
	}
	wrong, err := h.WrongRows(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return wrong
}

// verify compares what each process has left on its disk with the changelogs.
func (s *site) verify() {
	s.t.Helper()
	for _, p := range s.processes {
		store, err := table.Open(table.Config{Dir: p.place.state})
		if err != nil {
			s.t.Fatal(err)
		}
		found, err := stream.Verify(s.t.Context(), stream.Config{Brokers: strings.Split(s.place.brokers, ","), Prefix: s.place.prefix, Store: store})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, v := range found {
			if v.Stale || len(v.Differs) > 0 {
				s.t.Errorf("process %s, task %s: stale %v, differs %v", p.place.instance, v.Task, v.Stale, v.Differs)
			}
		}
		if err := store.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// process is one process of the subject.
type process struct {
	place place
	ways  broker.Ways
	disk  *disk
	log   string
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.place.environment(), log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil {
			fmt.Fprintln(log, "ended:", err)
		}
		_ = log.Close() // it was written by others
	}()
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// lastWords is the end of its log.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-2):], "; ")
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// end asks it to stop, and lets it finish.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Errorf("process %s does not stop", p.place.instance)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// freeze stops it; wake lets this very process go on, if it still lives.
func (p *process) freeze() (wake func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	frozen := p.cmd.Process
	_ = frozen.Signal(syscall.SIGSTOP)
	return func() { _ = frozen.Signal(syscall.SIGCONT) }
}

func TestScheduleIsOfItsSeed(t *testing.T) {
	a, b := schedule(7, 100, 3, 3), schedule(7, 100, 3, 3)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, schedule(8, 100, 3, 3)) {
		t.Error("a seed that fails cannot be played again")
	}
}
