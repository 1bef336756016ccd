package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services"
	"troupe/services/edge"
	"troupe/testenv/broker"
	"troupe/testenv/inproc"
	"troupe/testenv/world"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// partitions of every topic: enough for two processes to share.
const partitions = 2

// site is all there is: brokers, a registry, the world, the edge, and the
// processes of the estate.
type site struct {
	seed      uint64
	dir       string
	trace     *trace
	log       *slog.Logger
	brokers   *kfake.VirtualNetwork
	cluster   *kfake.Cluster
	addresses []string
	hosts     *inproc.Net
	registry  string
	catalogue *schemas.Catalogue
	estate    topology.Estate
	business  clock.Clock
	calendar  *calendar
	world     *world.World
	processes []*process
	harm      harm
	ctx       context.Context
	stop      context.CancelFunc

	mu       sync.Mutex
	turn     int
	failures []string
	armed    []ambush
}

// harm is what a test does to the estate to see it found.
type harm struct {
	options []kgo.Opt // of every client
}

// setup is what a run is made of.
type setup struct {
	seed      uint64
	dir       string
	processes int
	orders    int
	trace     io.Writer
	harm      harm
}

func build(ctx context.Context, u setup) (*site, error) {
	s := &site{
		seed: u.seed, dir: u.dir, trace: newTrace(u.trace), brokers: new(kfake.VirtualNetwork), hosts: new(inproc.Net), harm: u.harm,
		business: clock.Quick(begin, speed),
	}
	s.log = slog.New(slog.NewTextHandler(s.words(), &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: timeless}))
	s.ctx, s.stop = context.WithCancel(ctx)
	var err error
	if s.catalogue, err = schemas.Load(); err != nil {
		return nil, err
	}
	if s.estate, err = topology.DefaultEstate(); err != nil {
		return nil, err
	}
	s.estate.Partitions = partitions
	if err := s.openBroker(); err != nil {
		return nil, err
	}
	if err := s.openWorld(u.orders); err != nil {
		return nil, err
	}
	if err := s.openEdge(); err != nil {
		return nil, err
	}
	if err := s.makeTopics(); err != nil {
		return nil, err
	}
	for n := range u.processes {
		p := &process{site: s, name: fmt.Sprint(n), dir: folder(u.dir, fmt.Sprint("state-", n))}
		s.processes = append(s.processes, p)
		if err := p.start(s.ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *site) openBroker() (err error) {
	s.cluster, err = kfake.NewCluster(
		kfake.Ports(9092), kfake.ListenFn(s.brokers.Listen), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
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

func (s *site) openWorld(orders int) error {
	source, err := world.Invent(world.Lively(s.seed, begin))
	if err != nil {
		return err
	}
	s.calendar = &calendar{Clock: s.business, ctx: s.ctx}
	s.world, err = world.Start(world.Config{Source: &first{source, orders}, Clock: s.calendar, Log: s.log, Network: s.hosts})
	return err
}

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
		if p.ready() {
			p.door.ServeHTTP(w, r)
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

// plain is a configuration that nothing befalls.
func (s *site) plain() (stream.Config, error) {
	registry, err := schemas.NewRegistryOver(s.hosts, s.registry)
	if err != nil {
		return stream.Config{}, err
	}
	return stream.Config{
		Brokers: s.addresses, Options: []kgo.Opt{kgo.Dialer(newLink("plain", s.seed, s.brokers, s.hosts).dial)}, Estate: s.estate, Wire: schemas.NewWire(s.catalogue, registry),
	}, nil
}

func (s *site) makeTopics() error {
	c, err := s.plain()
	if err != nil {
		return err
	}
	all, err := services.New(services.Config{Mail: "mail:25", MailFrom: "orders@troupe.example", Now: s.business.Now})
	if err != nil {
		return err
	}
	_, err = stream.Apply(s.ctx, c, all.All)
	return err
}

// close ends everything; a goroutine left behind would hold the bubble.
func (s *site) close() error {
	for _, p := range s.processes {
		p.link.goOn()
		p.end()
	}
	s.stop()
	s.calendar.open.Wait()
	err := s.world.Close()
	s.cluster.Close()
	return err
}

func (s *site) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

func (s *site) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.failures {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}

// words are the log's, among the trace but not part of it: how a thing is said
// must not make another run.
func (s *site) words() io.Writer {
	if s.trace.out == nil {
		return io.Discard
	}
	return s.trace.out
}

func timeless(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// skew is how wrong a process's clock is when it starts.
func (s *site) skew(*process) time.Duration { return 0 }

// ambush is a kill that waits at a point.
type ambush struct {
	process string
	at      stream.Point
	after   int
	spring  func(*process) error
}

func (s *site) pass(p *process, worker string, at stream.Point) error {
	return nil
}

var _ = table.Config{}
