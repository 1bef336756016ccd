package virtual

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services"
	"troupe/services/edge"
	"troupe/testenv/broker"
	"troupe/testenv/inproc"
	"troupe/testenv/probe"
	"troupe/testenv/world"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
)

// partitions of every topic: enough for the processes to share.
const partitions = 2

// probePrefix is of the probe's names on the broker.
const probePrefix = "probe."

// limits are shorter than a production's, so that more of them pass in a run. The
// rebalance timeout is below the session's: the embedded broker ends the session of a
// member that waits for others to join or for its share, as no real one does, and if
// that one waited for its share, counts one too few who join from then on. Such a
// rebalance ends by its timeout alone, which begins anew whenever somebody comes or
// goes: two workers that gave up waiting and came again in turn kept it from ending.
var limits = stream.Limits{
	SessionTimeout: 10 * time.Second, Heartbeat: time.Second, TransactionTimeout: 8 * time.Second, RebalanceTimeout: 9 * time.Second,
	EffectTimeout: 5 * time.Second,
}

// setup is what a run is made of.
type setup struct {
	seed      uint64
	dir       string // of the processes' disks
	processes int
	orders    int
	trace     io.Writer // nil: only its hash is kept
	harm      harm
}

// site is all there is: a broker, a registry, the world, the edge, and the
// processes of the estate.
type site struct {
	setup
	trace     *trace
	log       *slog.Logger
	brokers   *kfake.VirtualNetwork
	cluster   *kfake.Cluster
	addresses []string
	hosts     *inproc.Net
	registry  string
	caller    string // what the probe calls
	catalogue *schemas.Catalogue
	estate    topology.Estate
	business  clock.Clock
	calendar  *calendar
	world     *world.World
	processes []*process
	groups    []string // of the estate and the probe
	ctx       context.Context
	stop      context.CancelFunc
	aftermath sync.WaitGroup // what faults have begun

	mu       sync.Mutex
	turn     int // whose door is next
	failures []string
	wrong    chan struct{} // closed once something is
	ambushes []*ambush
	captured map[string]string // at the provider: of which tender for which shipment → under which key
}

// build makes a site on which nothing has happened yet.
func build(ctx context.Context, u setup) (*site, error) {
	s := &site{
		setup: u, trace: newTrace(u.trace), brokers: new(kfake.VirtualNetwork), hosts: new(inproc.Net),
		business: clock.Quick(begin, speed), captured: map[string]string{}, wrong: make(chan struct{}),
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.log = slog.New(slog.NewTextHandler(s.words(), &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: timeless}))
	var err error
	if s.catalogue, err = schemas.Load(); err != nil {
		return nil, err
	}
	if s.estate, err = topology.DefaultEstate(); err != nil {
		return nil, err
	}
	s.estate.Partitions = partitions
	for _, open := range []func() error{s.openBroker, s.openWorld, s.openEdge, s.makeTopics} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	for n := range u.processes {
		p := &process{site: s, name: fmt.Sprint(n)}
		s.processes = append(s.processes, p)
		if err := p.start(folder(u.dir, p.name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *site) openBroker() (err error) {
	s.cluster, err = kfake.NewCluster(
		kfake.Ports(9092), kfake.ListenFn(patiently(s.brokers.Listen)), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	)
	if err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	s.addresses = s.cluster.ListenAddrs()
	registry, err := broker.NewRegistry(schemas.CompatText)
	if err != nil {
		return err
	}
	s.registry, _, err = s.hosts.Serve("registry", registry)
	return err
}

func (s *site) openWorld() error {
	dials := world.Lively(s.seed, begin)
	dials.PerHour, dials.Lost, dials.NeverLeaves = ordersPerHour, 0, 0
	source, err := world.Invent(dials)
	if err != nil {
		return err
	}
	s.calendar = &calendar{Clock: s.business, ctx: s.ctx}
	s.world, err = world.Start(world.Config{Source: &first{source, s.orders}, Clock: s.calendar, Log: s.log, Network: s.hosts})
	if err != nil {
		return err
	}
	s.caller, _, err = s.hosts.Serve("caller", http.HandlerFunc(called))
	return err
}

// called answers the probe's calls.
func called(w http.ResponseWriter, r *http.Request) {
	var in struct{ Number int32 }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Number == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(in) // who has hung up asks again
}

// ordersPerHour is in business time: an order every few virtual seconds.
const ordersPerHour = 0.6

// first is a source that ends after so many orders.
type first struct {
	world.Source
	left int
}

func (f *first) Next() (*world.Order, bool) {
	if f.left == 0 {
		return nil, false
	}
	f.left--
	return f.Source.Next()
}

// openEdge lets the edge and the processes' doors be called.
func (s *site) openEdge() error {
	doors, _, err := s.hosts.Serve("services", http.HandlerFunc(s.anyDoor))
	if err != nil {
		return err
	}
	facade, err := edge.New(edge.Config{
		OrderCapture: doors + "/ordercapture", Tracking: doors + "/tracking", CRM: s.world.CRM, Now: s.business.Now, Transport: s.hosts,
	})
	if err != nil {
		return err
	}
	_, _, err = s.hosts.Serve("edge", facade)
	return err
}

// anyDoor is what stands before the processes: it picks one that is ready.
func (s *site) anyDoor(w http.ResponseWriter, r *http.Request) {
	for range s.processes {
		s.mu.Lock()
		s.turn++
		p := s.processes[s.turn%len(s.processes)]
		s.mu.Unlock()
		if door, open := p.ready(); open {
			door.ServeHTTP(w, r)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// connect lets the world begin, once the estate stands.
func (s *site) connect() {
	for _, p := range s.processes {
		<-p.runner.Ready()
	}
	at := func(service string) string { return "http://services/" + service }
	s.world.Connect(world.Estate{
		Edge: "http://edge", Payment: at("payment"), Fraud: at("fraud"), Shipment: at("shipment"), Inventory: at("inventory"), Invoicing: at("invoicing"),
	})
}

// plain is a configuration of somebody whom nothing befalls.
func (s *site) plain(name string) (stream.Config, error) {
	registry, err := schemas.NewRegistryOver(s.hosts, s.registry)
	if err != nil {
		return stream.Config{}, err
	}
	return stream.Config{
		Brokers: s.addresses, Options: []kgo.Opt{kgo.Dialer(newLink(name, s).dial)}, Estate: s.estate, Wire: schemas.NewWire(s.catalogue, registry),
		Metrics: stream.NewMetrics(prometheus.NewRegistry()),
	}, nil
}

func (s *site) makeTopics() error {
	c, err := s.plain("maker")
	if err != nil {
		return err
	}
	all, err := services.New(services.Config{Mail: "mail:25", MailFrom: "orders@troupe.example", Now: s.business.Now})
	if err != nil {
		return err
	}
	if _, err := stream.Apply(s.ctx, c, all.All); err != nil {
		return err
	}
	for _, service := range all.All {
		if len(service.Sets) > 0 {
			s.groups = append(s.groups, service.Name)
		}
	}
	s.groups = append(s.groups, probePrefix+probe.Name)
	c.Estate, c.Prefix = probe.Estate(partitions), probePrefix
	_, err = stream.Apply(s.ctx, c, []topology.Service{probe.Service(probe.Config{})})
	return err
}

// heal ends what faults are under way, and waits for it.
func (s *site) heal() {
	s.mu.Lock()
	s.ambushes = nil
	s.mu.Unlock()
	s.aftermath.Wait()
	for _, p := range s.processes {
		p.clock.set(0)
	}
}

// stuck names the groups in which the embedded broker keeps a member that is no
// more: it waits for that one, and the others have asked for minutes to join; or it
// has given it partitions, and no session timeout ends it. What those services owe
// cannot come, and is not theirs to be judged by.
func (s *site) stuck() (out []string) {
	for _, name := range s.groups {
		g := s.cluster.GroupInfo(name)
		if g == nil {
			continue
		}
		if g.State != "Stable" {
			out = append(out, name+" is "+g.State)
		}
		workers := map[string]bool{} // each is one member, whatever lives it has had
		for _, m := range g.Members {
			if workers[m.ClientID] {
				out = append(out, name+" has "+m.ClientID+" twice")
			}
			workers[m.ClientID] = true
		}
	}
	return out
}

// rest stops the processes cleanly.
func (s *site) rest() {
	for _, p := range s.processes {
		p.end()
	}
}

// close ends the rest; a goroutine left behind would hold the bubble.
func (s *site) close() error {
	s.stop()
	s.calendar.open.Wait()
	err := s.world.Close()
	s.cluster.Close()
	return err
}

// fail notes what is wrong, and when that was seen.
func (s *site) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) == 0 {
		close(s.wrong)
	}
	s.failures = append(s.failures, fmt.Sprintf("at %v: ", s.trace.age())+fmt.Sprintf(format, args...))
}

func (s *site) failed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

// words are the log's, among the trace but not of it: how a thing is said makes
// no other run.
func (s *site) words() io.Writer {
	if s.setup.trace == nil {
		return io.Discard
	}
	return s.setup.trace
}

func timeless(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
