package crash

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/partner"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// The events are borrowed from the catalogue; what they mean here:
type (
	// input n of a key is a FraudHoldPlaced with score n.
	input struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	// fraudCleared says the count of a key's inputs after one of them.
	fraudCleared struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"` // what counted it, and the input's number
	}
	// fraudRejected is the same of the set behind the hop.
	fraudRejected struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"`
		Reason           string `avro:"reason"`
	}
	// fraudReviewed goes over the hop.
	fraudReviewed struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Reviewer         string `avro:"reviewer"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	// fraudScored is the outcome of the effect.
	fraudScored struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	read struct {
		Score int32 `avro:"score"`
	}
	request struct {
		Number int32 `avro:"number"`
	}
	// row counts what a key has had, by what brought it.
	row struct {
		Inputs   int32 `avro:"inputs"`
		Rings    int32 `avro:"rings"`
		Outcomes int32 `avro:"outcomes"`
	}
	tally struct {
		Count int32 `avro:"count"`
	}
)

// How facts are told apart.
const (
	byStep   = "STEP"
	byTimer  = "TIMER"
	byEffect = "EFFECT"
	byHop    = "HOP"
)

// Every input is counted and goes over the hop; some arm a timer, some call the
// world.
const (
	ringEvery = 5
	callEvery = 7
	ringAfter = 2 * time.Second
)

const partitions = 6

// estate is the map of the subject: one topic in, one out.
func estate() topology.Estate {
	topic := func(name, event string, more ...string) topology.Topic {
		return topology.Topic{Name: name, Owner: "risk", Key: "tenant/order", Events: append(more, event), Retention: topology.Retention{For: 24 * time.Hour}}
	}
	return topology.Estate{Version: 1, Partitions: partitions, Topics: []topology.Topic{
		topic("holds", "FraudHoldPlaced"), topic("counts", "FraudCleared", "FraudRejected"),
	}, Inboxes: []topology.Inbox{{Name: "risk", Writers: []string{"risk"}}, {Name: "risk.tally", Writers: []string{"risk"}}}}
}

// service is the subject. Its world is an HTTP address.
func service(world partner.Client) topology.Service {
	call := func(ctx context.Context, c topology.Call, r request) (fraudScored, error) {
		var answer struct{ Number int32 }
		err := world.Post(ctx, "/calls", c.ID, r, &answer)
		return fraudScored{Decision: "CLEAR", Score: answer.Number}, err
	}
	return topology.Service{
		Name: "risk", Owner: "risk", Doc: "counts what it is given, in every way the runtime has",
		Publishes: []topology.Output{topology.Publishes[fraudCleared](), topology.Publishes[fraudRejected]()},
		Asks:      []topology.Output{topology.Asks[fraudReviewed]("risk.tally")},
		Sets: []topology.Set{
			topology.Keyed("", "order", "crash.row",
				topology.On("FraudHoldPlaced", onInput),
				topology.Due("ring", onRing),
				topology.Outcome("call", topology.ByKey, call, onOutcome),
			),
			topology.Keyed("tally", "order backwards", "crash.tally", topology.Asked("FraudReviewed", onHop)),
		},
	}
}

func onInput(r *row, e read, t *topology.Turn) error {
	r.Inputs++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudCleared{Score: r.Inputs, Basis: byStep + " " + n}, byStep, n)
	t.AskAs("risk.tally", "hop/"+t.Cause.Key, &fraudReviewed{Score: e.Score}, n)
	if e.Score%ringEvery == 0 {
		t.At(t.Now.Add(ringAfter), "ring", n)
	}
	if e.Score%callEvery == 0 {
		t.Intend("call", request{e.Score}, n)
	}
	return nil
}

func onRing(r *row, t *topology.Turn) error {
	r.Rings++
	n := strconv.Itoa(int(r.Rings))
	t.Publish(&fraudCleared{Score: r.Rings, Basis: byTimer + " " + n}, byTimer, n)
	return nil
}

func onOutcome(r *row, e fraudScored, t *topology.Turn) error {
	r.Outcomes++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudCleared{Score: r.Outcomes, Basis: byEffect + " " + n}, byEffect, n)
	return nil
}

func onHop(r *tally, e read, t *topology.Turn) error {
	r.Count++
	n := strconv.Itoa(int(e.Score))
	t.Publish(&fraudRejected{Score: r.Count, Basis: byHop + " " + n}, byHop, n)
	return nil
}

// limits let a group give a member up, and the broker a transaction, within
// seconds: more happens in a minute, and nothing of it means less.
var limits = stream.Limits{
	DedupeWindow:   24 * time.Hour,
	SessionTimeout: 2 * time.Second, Heartbeat: 400 * time.Millisecond, RebalanceTimeout: 8 * time.Second,
	TransactionTimeout: 4 * time.Second, EffectTimeout: 2 * time.Second,
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
	services := []topology.Service{service(partner.Client{URL: p.world})}
	runner, err := stream.New(ctx, c, services)
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
		Brokers: strings.Split(p.brokers, ","), Options: p.options(), Prefix: p.prefix, Instance: p.instance, Estate: estate(), Wire: wire, Clock: clock.Wall(),
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
