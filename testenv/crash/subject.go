package crash

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/testenv/probe"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/partner"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// service is the subject. Its world is an HTTP address.
func service(world string) topology.Service {
	return probe.Service(probe.Config{World: partner.Client{URL: world}, RingAfter: 2 * time.Second, ParkAfter: parkAfter, Now: time.Now})
}

const partitions = 6

// parkAfter is how old some inputs must be. Of a key's twenty, three wait for that, and
// those that come meanwhile wait behind them: about half of all keys have inputs parked
// at any instant, while each task still has keys that go on.
const parkAfter = 500 * time.Millisecond

// limits let a group give a member up, and the broker a transaction, within
// seconds: more happens in a minute, and nothing of it means less.
var limits = stream.Limits{
	SessionTimeout: 2 * time.Second, Heartbeat: 400 * time.Millisecond, RebalanceTimeout: 8 * time.Second,
	TransactionTimeout: 4 * time.Second, EffectTimeout: 2 * time.Second,
	RowCacheBytes: 64 << 10, // most rows are asked of the disk, and restored past the cache
}

// impatience is what brokers are told so that the limits can be that short.
var impatience = []string{
	"group.min.session.timeout.ms=1000", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
	"broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
}

// place is what a process of the subject is told by its environment.
type place struct {
	brokers, registry, prefix, world, instance, state string
	ways                                              string // broker=where the way to it begins, …
}

func (p place) environment() []string {
	return append(os.Environ(), "CRASH_BROKERS="+p.brokers, "CRASH_REGISTRY="+p.registry, "CRASH_PREFIX="+p.prefix,
		"CRASH_WORLD="+p.world, "CRASH_INSTANCE="+p.instance, "CRASH_STATE="+p.state, "CRASH_WAYS="+p.ways)
}

func placeOfThisProcess() (p place, is bool) {
	get := os.Getenv
	p = place{get("CRASH_BROKERS"), get("CRASH_REGISTRY"), get("CRASH_PREFIX"), get("CRASH_WORLD"), get("CRASH_INSTANCE"), get("CRASH_STATE"), get("CRASH_WAYS")}
	return p, p.instance != ""
}

// by goes to brokers by their ways.
func (p place) by(ways broker.Ways) place {
	var pairs []string
	for to, begin := range ways.Addrs() {
		pairs = append(pairs, to+"="+begin)
	}
	p.ways = strings.Join(pairs, ",")
	return p
}

func (p place) options() []kgo.Opt {
	begins := map[string]string{}
	for pair := range strings.SplitSeq(p.ways, ",") {
		if to, begin, ok := strings.Cut(pair, "="); ok {
			begins[to] = begin
		}
	}
	return []kgo.Opt{kgo.Dialer(broker.Dialer(begins))}
}

// serve is the whole of a process of the subject.
func serve(p place) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := config(p)
	if err != nil {
		return err
	}
	if c.Store, err = table.Open(table.Config{Dir: p.state}); err != nil {
		return err
	}
	defer func() {
		if err := c.Store.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	runner, err := stream.New(ctx, c, []topology.Service{service(p.world)})
	if err != nil {
		return err
	}
	return runner.Run(ctx)
}

// config is all but the store.
func config(p place) (stream.Config, error) {
	wire, err := wireOf(p)
	if err != nil {
		return stream.Config{}, err
	}
	return stream.Config{
		Brokers: strings.Split(p.brokers, ","), Options: p.options(), Prefix: p.prefix, Instance: p.instance, Estate: probe.Estate(partitions), Wire: wire, Clock: clock.Wall(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: stream.NewMetrics(prometheus.NewRegistry()), Limits: limits,
	}, nil
}

func wireOf(p place) (*schemas.Wire, error) {
	catalogue, err := schemas.Load()
	if err != nil {
		return nil, err
	}
	registry, err := schemas.NewRegistry(p.registry)
	if err != nil {
		return nil, err
	}
	return schemas.NewWire(catalogue, registry), nil
}
