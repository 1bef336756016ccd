package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"troupe/topology"
)

// Runner runs services of one process.
type Runner struct {
	config  Config
	plans   []*plan
	views   []*view
	widths  *widths
	outbox  *Outbox
	hangar  *hangar
	workers []*worker
	ends    map[string]map[int32]int64
	starts  map[string]map[int32]int64 // of what views read

	mu      sync.Mutex
	waiting map[string]bool // workers and views that are not ready
	ready   chan struct{}
}

// New checks the services against the estate and the broker, and prepares them.
func New(ctx context.Context, c Config, services []topology.Service) (*Runner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := topology.Validate(c.Estate, services); err != nil {
		return nil, err
	}
	c.Limits = c.Limits.withDefaults()
	def(&c.Workers, 1)
	r := &Runner{config: c, waiting: map[string]bool{}, ready: make(chan struct{})}
	for _, s := range services {
		p, err := newPlan(c, s)
		if err != nil {
			return nil, err
		}
		if err := p.prepare(ctx, c); err != nil {
			return nil, err
		}
		r.plans = append(r.plans, p)
		for _, spec := range s.Views {
			v, err := newView(c, s.Name, spec)
			if err != nil {
				return nil, err
			}
			r.views = append(r.views, v)
			r.waiting[v.name] = true
		}
	}
	return r, r.connect(ctx)
}

// connect asks the broker for widths and ends, and makes the workers.
func (r *Runner) connect(ctx context.Context) error {
	c := r.config
	cl, err := kgo.NewClient(c.client("start." + c.Instance)...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cl.Close()
	if r.widths, err = measure(ctx, c, kadm.NewClient(cl), r.plans); err != nil {
		return err
	}
	if err := promises(ctx, c, cl, r.plans); err != nil {
		return err
	}
	if r.ends, err = endsOf(ctx, kadm.NewClient(cl), r.reads()); err != nil {
		return err
	}
	for _, v := range r.views {
		if _, err := v.places(r.widths); err != nil {
			return err
		}
	}
	if r.starts, err = startsOf(ctx, kadm.NewClient(cl), r.viewed()); err != nil {
		return err
	}
	wire := framer{wire: c.Wire, prefix: c.Prefix, widths: r.widths}
	if r.outbox, err = newOutbox(c, wire); err != nil {
		return err
	}
	if r.hangar, err = openHangar(c.Store.Dir(), len(r.plans)*c.Workers+len(r.views)); err != nil {
		return err
	}
	for n, v := range r.views {
		v.flight = r.hangar.flight(len(r.plans)*c.Workers+n, v.name, c.Version())
	}
	for _, p := range r.plans {
		if len(p.inputs()) == 0 {
			continue
		}
		for n := range c.Workers {
			w := &worker{
				name: fmt.Sprintf("%s.%s.%d", p.service.Name, c.Instance, n), number: strconv.Itoa(n), config: c, limits: c.Limits, plan: p, wire: wire,
				outbox: r.outbox, log: c.Log.With("service", p.service.Name, "worker", n), metrics: c.Metrics,
			}
			w.flight = r.hangar.flight(len(r.workers), p.service.Name, c.Version()).knows(p)
			w.ready = func(is bool) { r.set(w.name, is) }
			w.alarm = c.Clock.Alarm(w.name, w.wake)
			r.workers = append(r.workers, w)
			r.waiting[w.name] = true
		}
	}
	r.raiseTide()
	return nil
}

// reads lists the topics that somebody here reads, as far as they exist.
func (r *Runner) reads() []string {
	topics := r.viewed()
	for _, p := range r.plans {
		topics = append(topics, p.inputs()...)
	}
	return r.widths.existing(topics)
}

// viewed lists those of views.
func (r *Runner) viewed() (topics []string) {
	for _, v := range r.views {
		topics = append(topics, v.topics...)
	}
	return r.widths.existing(topics)
}

// raiseTide tells the clock what lies on the topics and who will read it, so
// that it stands until the last of it is read.
func (r *Runner) raiseTide() {
	tide := r.config.Clock.Tide()
	for _, p := range r.plans {
		for _, topic := range p.inputs() {
			tide.Subscribe(p.service.Name, topic, r.widths.n[topic])
		}
	}
	for _, v := range r.views {
		for _, topic := range v.topics {
			tide.Subscribe(v.name, topic, r.widths.n[topic])
		}
	}
	r.tell()
	for topic, partitions := range r.ends {
		for p, end := range partitions {
			tide.Published(topic, p, end)
		}
	}
}

func (r *Runner) set(name string, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.tell()
	if !ready {
		r.waiting[name] = true
		return
	}
	delete(r.waiting, name)
	if len(r.waiting) == 0 {
		select {
		case <-r.ready:
		default:
			close(r.ready)
		}
	}
}

// tell keeps the clock standing while anything is being restored.
func (r *Runner) tell() {
	r.config.Clock.Tide().Busy(r.config.Instance+" restoring", len(r.waiting))
}

// Ready is closed once every worker has had its tasks restored and every view
// has caught up, for the first time.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Check is nil while every worker holds restored tasks: the readiness probe.
func (r *Runner) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		return errNotReady
	}
	return nil
}

// Intakes serves a service's endpoints; nil if it has none.
func (r *Runner) Intakes(service string) http.Handler {
	for _, p := range r.plans {
		if p.service.Name == service && len(p.service.Intakes) > 0 {
			return r.outbox.intakes(p.service)
		}
	}
	return nil
}

// Run runs everything until ctx is done, then stops it cleanly: finish, commit,
// checkpoint, leave.
func (r *Runner) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, v := range r.views {
		g.Go(func() error { return r.supervise(ctx, v) })
	}
	for _, p := range r.plans {
		if p.service.Watch != nil && !r.config.Clock.Settled() {
			g.Go(func() error { return r.watch(ctx, p.service) })
		}
	}
	for _, w := range r.workers {
		g.Go(func() error {
			defer w.alarm.Stop()
			if err := w.supervise(ctx); err != nil {
				return fmt.Errorf("service %s: %w", w.plan.service.Name, err)
			}
			return nil
		})
	}
	err := g.Wait()
	r.outbox.close()
	err = errors.Join(err, r.hangar.close())
	r.config.Clock.Tide().Busy(r.config.Instance+" restoring", 0)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (r *Runner) supervise(ctx context.Context, v *view) error {
	for ctx.Err() == nil {
		if err := v.run(ctx, r.widths, r.starts, r.ends, func() { r.set(v.name, true) }); err != nil && ctx.Err() == nil {
			r.config.Log.Warn("a view is read again", "view", v.name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(r.config.Limits.RebuildBackoff):
			}
		}
	}
	return nil
}
