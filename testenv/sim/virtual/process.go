package virtual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/services"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// process is one of the estate: the same services as the others, its own disk,
// clock and way to the network.
type process struct {
	site  *site
	name  string
	dir   string
	life  int // how often it has been started
	link  *link
	clock *skewed
	store *table.Store

	contexts services.Contexts
	runner   *stream.Runner
	door     http.Handler
	cancel   context.CancelFunc
	ended    chan struct{}
	dead     atomic.Bool
	dies     func() // set by kill: what is to happen once it has died
}

// errDead is what every point of a dead process says.
var errDead = errors.New("the process is dead")

// limits are a production's, but for what a broker in the same process makes
// quicker.
var limits = stream.Limits{
	SessionTimeout: 10 * time.Second, Heartbeat: time.Second, TransactionTimeout: 8 * time.Second, RebalanceTimeout: 20 * time.Second,
	EffectTimeout: 5 * time.Second,
}

// start runs the process on what lies in its folder.
func (p *process) start(ctx context.Context) error {
	p.life++
	p.dead.Store(false)
	s := p.site
	p.link = newLink(fmt.Sprintf("%s.%d", p.name, p.life), s.seed, s.brokers, s.hosts)
	p.clock = newSkewed(s.business, s.skew(p))
	registry, err := schemas.NewRegistryOver(p.link, s.registry)
	if err != nil {
		return err
	}
	if p.store, err = table.Open(table.Config{Dir: p.dir, MemTable: 8 << 20}); err != nil {
		return err
	}
	p.contexts, err = services.New(services.Config{
		Provider: s.world.Provider, Scoring: s.world.Scoring, Warehouse: s.world.Warehouse, ERP: s.world.ERP, Mail: s.world.Mail,
		MailFrom: "orders@troupe.example", Transport: p.link, DialMail: p.link.dialMail, Now: p.clock.Now,
	})
	if err != nil {
		return err
	}
	c := stream.Config{
		Brokers: s.addresses, Options: append([]kgo.Opt{kgo.Dialer(p.link.dial)}, s.harm.options...), Instance: p.name, Estate: s.estate,
		Wire: schemas.NewWire(s.catalogue, registry), Clock: p.clock, Store: p.store, Limits: limits,
		Log: s.log.With("process", p.name), Metrics: stream.NewMetrics(prometheus.NewRegistry()), Rehearse: p.rehearse,
	}
	if p.runner, err = stream.New(ctx, c, p.contexts.All); err != nil {
		return errors.Join(err, p.store.Close())
	}
	p.door = door(p.runner, p.contexts)
	ctx, p.cancel = context.WithCancel(ctx)
	p.ended = make(chan struct{})
	ended := p.ended
	go func() {
		defer close(ended)
		if err := p.runner.Run(ctx); err != nil && !p.dead.Load() {
			s.fail("process %s ends: %v", p.name, err)
		}
	}()
	return nil
}

// rehearse is where the process may be stopped, or die.
func (p *process) rehearse(worker string, at stream.Point) error {
	p.link.wait()
	if p.dead.Load() {
		return errDead
	}
	p.site.trace.add("%s %s", worker, at)
	return p.site.pass(p, worker, at)
}

// kill ends the process as a loss of power to it would: at once its network is
// gone, and what lay on its disk at that instant is all that is left. It returns
// when nothing of it runs any more.
func (p *process) kill() {
	if p.dead.Swap(true) {
		return
	}
	p.site.trace.add("%s is killed", p.name)
	p.link.die()
	left := p.dir + fmt.Sprintf(".%d", p.life)
	err := os.CopyFS(left, os.DirFS(p.dir))
	if err != nil {
		p.site.fail("copy what %s has on its disk: %v", p.name, err)
	}
	p.bury()
	p.dir = left
}

// bury waits for the goroutines of a process, and takes its disk away.
func (p *process) bury() {
	p.cancel()
	<-p.ended
	if err := errors.Join(p.store.Close(), os.RemoveAll(p.dir)); err != nil {
		p.site.fail("bury %s: %v", p.name, err)
	}
}

// end lets the process finish what it does; its disk stays.
func (p *process) end() {
	if p.dead.Load() {
		return
	}
	p.site.trace.add("%s is asked to stop", p.name)
	p.cancel()
	<-p.ended
	p.dead.Store(true)
	p.link.die()
	if err := p.store.Close(); err != nil {
		p.site.fail("close the store of %s: %v", p.name, err)
	}
}

// ready reports whether the process takes calls.
func (p *process) ready() bool {
	return !p.dead.Load() && p.runner != nil && p.runner.Check() == nil
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

func folder(root, name string) string { return filepath.Join(root, name) }

var _ = slog.LevelInfo
