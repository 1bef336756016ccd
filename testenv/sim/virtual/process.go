package virtual

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"troupe/schemas"
	"troupe/services"
	"troupe/testenv/probe"
	"troupe/topology"
	"troupe/topology/partner"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// process is one of the estate: the same services as the others and the probe, on
// a disk, a clock and a way to the network of its own.
type process struct {
	site *site
	name string

	mu   sync.Mutex
	life int // how often it has been started
	*body
}

// body is a process while it lives.
type body struct {
	site   *site
	name   string
	dir    string
	link   *link
	clock  *skewed
	stores []*table.Store // the estate's, the probe's
	runner *stream.Runner
	door   http.Handler
	cancel context.CancelFunc
	ended  chan struct{}
	dead   atomic.Bool
}

// errDead is what every point of a dead process says.
var errDead = errors.New("the process is dead")

// start runs a new life on what lies in a folder.
func (p *process) start(dir string) error {
	s := p.site
	p.life++
	b := &body{site: s, name: p.name, dir: dir, link: newLink(fmt.Sprintf("%s.%d", p.name, p.life), s), clock: newSkewed(s.business)}
	ctx, cancel := context.WithCancel(s.ctx)
	b.cancel = cancel
	run, err := b.prepare(ctx, p)
	if err != nil {
		cancel()
		return fmt.Errorf("start process %s: %w", p.name, err)
	}
	b.ended = make(chan struct{})
	p.mu.Lock()
	p.body = b
	p.mu.Unlock()
	go func() {
		defer close(b.ended)
		if err := run(); err != nil && !b.dead.Load() {
			s.fail("process %s ends: %v", b.name, err)
		}
	}()
	return nil
}

func (b *body) prepare(ctx context.Context, p *process) (run func() error, err error) {
	s := b.site
	registry, err := schemas.NewRegistryOver(b.link, s.registry)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	for _, dir := range disks(b.dir) {
		store, err := table.Open(table.Config{Dir: dir})
		if err != nil {
			return nil, err
		}
		b.stores = append(b.stores, store)
	}
	w := s.world
	contexts, err := services.New(services.Config{
		Provider: w.Provider, Scoring: w.Scoring, Warehouse: w.Warehouse, ERP: w.ERP, Mail: w.Mail, MailFrom: "orders@troupe.example",
		Transport: b.link, DialMail: b.link.dialMail, Now: b.clock.Now,
	})
	if err != nil {
		return nil, err
	}
	c := stream.Config{
		Brokers: s.addresses, Options: append([]kgo.Opt{kgo.Dialer(b.link.dial)}, s.harm.options...), Instance: b.name, Estate: s.estate,
		Wire: schemas.NewWire(s.catalogue, registry), Clock: b.clock, Store: b.stores[0], Limits: limits,
		Log: s.log.With("process", b.name), Metrics: stream.NewMetrics(prometheus.NewRegistry()),
		Rehearse: func(worker string, at stream.Point) error { return b.rehearse(p, worker, at) },
	}
	if b.runner, err = stream.New(ctx, c, s.harm.to(contexts.All)); err != nil {
		return nil, err
	}
	b.door = door(b.runner, contexts)
	c.Estate, c.Prefix, c.Wire, c.Store = probe.Estate(partitions), probePrefix, schemas.NewWire(s.catalogue, registry), b.stores[1]
	beside, err := stream.New(ctx, c, s.harm.to([]topology.Service{probe.Service(probe.Config{
		World:     partner.Client{URL: s.caller, HTTP: &http.Client{Transport: b.link}},
		RingAfter: 30 * time.Minute, ParkAfter: 20 * time.Minute, Now: b.clock.Now, // of business time
	})}))
	if err != nil {
		return nil, err
	}
	return func() error {
		var g errgroup.Group
		g.Go(func() error { return b.runner.Run(ctx) })
		g.Go(func() error { return beside.Run(ctx) })
		return g.Wait()
	}, nil
}

// rehearse is where the process may be stopped, or die.
func (b *body) rehearse(p *process, worker string, at stream.Point) error {
	b.link.wait()
	if b.dead.Load() {
		return errDead
	}
	b.site.trace.add("%s %s", worker, at)
	p.mu.Lock()
	current := p.body == b
	p.mu.Unlock()
	if current {
		b.site.pass(p, at)
	}
	b.link.wait()
	if b.dead.Load() {
		return errDead
	}
	return nil
}

// die is a loss of power: at once its network is gone, and what lay on its disk
// at that instant is all that is left of it. It reports false if it was dead.
func (b *body) die() bool {
	if b.dead.Swap(true) {
		return false
	}
	b.site.trace.add("%s is dead", b.name)
	b.link.die()
	if err := copyDisk(b.dir, b.left()); err != nil {
		b.site.fail("copy what process %s has on its disk: %v", b.name, err)
	}
	b.cancel()
	return true
}

// left is where a dead process's disk lies.
func (b *body) left() string { return b.dir + "+" }

// bury waits until nothing of a dead process runs any more.
func (b *body) bury() {
	<-b.ended
	if err := errors.Join(b.close(), os.RemoveAll(b.dir), os.Rename(b.left(), b.dir)); err != nil {
		b.site.fail("bury process %s: %v", b.name, err)
	}
}

// end lets the process finish what it does. It reports false if it was dead.
func (b *body) end() bool {
	if b.dead.Load() {
		return false
	}
	b.site.trace.add("%s is asked to stop", b.name)
	b.cancel()
	<-b.ended
	if b.dead.Swap(true) { // killed while it stopped
		return false
	}
	b.link.die()
	if err := b.close(); err != nil {
		b.site.fail("close the store of process %s: %v", b.name, err)
	}
	return true
}

// again starts the process on the disk that its last life has left.
func (p *process) again() {
	for {
		err := p.start(p.dir)
		if err == nil {
			return
		}
		if p.site.ctx.Err() != nil {
			return
		}
		p.site.log.Warn("a process is started again", "error", err)
	}
}

// split makes the living body a stranger to the process: its place is free, with
// a copy of its disk.
func (p *process) split() *body {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.body
	dir := fmt.Sprintf("%s.%d", old.dir, p.life)
	if err := copyDisk(old.dir, dir); err != nil {
		p.site.fail("copy the disk of process %s: %v", p.name, err)
	}
	p.body = &body{site: p.site, name: p.name, dir: dir, link: old.link, clock: old.clock}
	p.body.dead.Store(true)
	return old
}

// ready reports whether the process takes calls.
func (p *process) ready() (http.Handler, bool) {
	p.mu.Lock()
	b := p.body
	p.mu.Unlock()
	if b == nil || b.dead.Load() || b.runner.Check() != nil {
		return nil, false
	}
	return b.door, true
}

// door serves what the process shows.
func door(runner *stream.Runner, contexts services.Contexts) http.Handler {
	mux := http.NewServeMux()
	for _, s := range contexts.All {
		if intakes := runner.Intakes(s.Name); intakes != nil {
			mux.Handle("/"+s.Name+"/", http.StripPrefix("/"+s.Name, intakes))
		}
	}
	mux.Handle("/tracking/", http.StripPrefix("/tracking", contexts.Tracking.Handler()))
	return mux
}

// disks are where the estate's rows and the probe's lie.
func disks(dir string) []string {
	return []string{filepath.Join(dir, "estate"), filepath.Join(dir, "probe")}
}

func (b *body) close() error {
	var errs []error
	for _, s := range b.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func folder(root, name string) string { return filepath.Join(root, "state-"+name) }
