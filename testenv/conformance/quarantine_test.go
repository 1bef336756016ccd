package conformance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// childPlace is set for a process of its own, which a test may let end.
const childPlace = "CONFORMANCE_CHILD"

// The child's service ends its process on these orders.
const (
	exits     = "exits"
	overflows = "overflows"
	rings     = "rings" // its timer exits
)

// child runs the counting service until it is told to stop.
func child(place string) error {
	at := strings.Split(place, "|") // brokers, registry, prefix, state, what it does
	store, err := table.Open(table.Config{Dir: at[3]})
	if err != nil {
		return err
	}
	catalogue, err := schemas.Load()
	if err != nil {
		return err
	}
	registry, err := schemas.NewRegistry(at[1])
	if err != nil {
		return err
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		return err
	}
	estate.Partitions = partitions
	services := []topology.Service{killing()}
	limits := stream.Limits{Heartbeat: 100 * time.Millisecond, SessionTimeout: 6 * time.Second}
	switch at[4] {
	case answers, mended:
		services = []topology.Service{answering(at[4])}
	case "measured":
		services = []topology.Service{counting(tallying)}
		limits.FetchBytes, limits.FetchPartitionBytes, limits.RowCacheBytes = tightFetch, tightFetch/partitions, tightCache
		limits.CheckpointBytes, limits.KeyFilterBytes, limits.TransactionInputs = tightCache, tightCache, tightInputs
		defer measure()()
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { // the test closes our input when we are to stop
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	c := stream.Config{
		Brokers: strings.Split(at[0], ","), Prefix: at[2], Instance: "child", Estate: estate, Wire: schemas.NewWire(catalogue, registry), Clock: clock.Wall(), Store: store,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: stream.NewMetrics(prometheus.NewRegistry()),
		Limits: limits, Build: at[4],
	}
	if _, err := stream.Apply(ctx, c, services); err != nil {
		return err
	}
	runner, err := stream.New(ctx, c, services)
	if err != nil {
		return err
	}
	return errors.Join(runner.Run(ctx), store.Close())
}

// killing is the child's service.
func killing() topology.Service {
	return counting(deadly, topology.Due("ring", func(*count, *topology.Turn) error {
		os.Exit(9)
		return nil
	}))
}

// What the child with an effect does, and its version.
const (
	answers = "answers" // the answer's step exits
	mended  = "mended"
)

// answering is the child's service that asks the world.
func answering(version string) topology.Service {
	call := func(context.Context, topology.Call, request) (fraudScored, error) {
		return fraudScored{Decision: "CLEAR", Score: 1}, nil
	}
	return asking(call, func(c *count, e fraudScored, turn *topology.Turn) error {
		if version != mended {
			os.Exit(9)
		}
		return onScored(c, e, turn)
	})
}

func deadly(c *count, e placedRead, turn *topology.Turn) error {
	switch turn.Cause.Envelope.Order {
	case exits:
		os.Exit(9)
	case overflows:
		var deeper func(n int) int
		deeper = func(n int) int { return 1 + deeper(n+1) }
		deeper(0) // a stack that overflows cannot be recovered from
	case rings:
		turn.At(turn.Now, "ring", "")
		return nil
	}
	return clearing(c, e, turn)
}

// TestQuarantine: records that end their process are run so often and no more,
// by a process that knows nothing but what the one before left on its disk.
func TestQuarantine(t *testing.T) {
	b := newBench(t)
	if _, err := stream.Apply(t.Context(), stream.Config{Brokers: b.brokers, Prefix: b.prefix, Estate: b.estate}, []topology.Service{killing()}); err != nil {
		t.Fatal(err)
	}
	good := orders(20)
	b.publishAll(good[:10])
	for _, o := range []string{exits, overflows, rings} {
		b.publish(o)
	}
	b.publishAll(good[10:])
	ends := b.runChildren(b.childAt(t.TempDir(), "deadly"), 12, func(log string) bool {
		return b.consumed("fraud", "orders") && strings.Contains(log, "timer ring/")
	})
	if ends < 9 { // each of the three may end it three times
		t.Errorf("it ended %d times, want at least 9: something was given up too early", ends)
	}
	b.each(good)
	var buried []string
	for _, r := range b.read("fraud.dead") {
		buried = append(buried, string(r.Key)+" "+headerOf(r, "dead.cause")+" "+headerOf(r, "dead.attempts"))
		if timer := strings.HasPrefix(headerOf(r, "dead.topic"), "timer ring/"); timer && r.Value == nil {
			continue
		}
		if !slices.Equal(r.Value, b.framed(strings.TrimPrefix(string(r.Key), "acme/"))) {
			t.Errorf("%s: the record was changed", r.Key)
		}
	}
	slices.Sort(buried)
	if want := []string{"acme/exits quarantine 3", "acme/overflows quarantine 3", "acme/rings quarantine 3"}; !slices.Equal(buried, want) {
		t.Errorf("dead letters %q, want %q", buried, want)
	}
}

// TestQuarantinedOutcome: an outcome that ends its process is buried like any record,
// and is not asked for again, which would write the next one to end on. The version
// that can take it asks once more.
func TestQuarantinedOutcome(t *testing.T) {
	b := newBench(t)
	if _, err := stream.Apply(t.Context(), stream.Config{Brokers: b.brokers, Prefix: b.prefix, Estate: b.estate}, []topology.Service{answering(answers)}); err != nil {
		t.Fatal(err)
	}
	b.publish("web-1")
	dir := t.TempDir()
	given := func(log string) bool {
		return strings.Contains(log, "an intent stays in hand") && b.consumed("fraud", "fraud.inbox")
	}
	if ends := b.runChildren(b.childAt(dir, answers), 4, given); ends != 3 {
		t.Errorf("it ended %d times, want 3", ends)
	}
	asked, buried := len(b.read("fraud.inbox")), len(b.read("fraud.dead"))
	if asked == 0 || buried != asked {
		t.Errorf("%d outcomes, %d of them dead letters", asked, buried)
	}
	b.runChildren(b.childAt(dir, answers), 0, given)
	if n := len(b.read("fraud.inbox")); n != asked {
		t.Errorf("%d outcomes after another start, %d before: the world was asked again", n, asked)
	}
	b.runChildren(b.childAt(dir, mended), 0, func(string) bool { return len(b.scores()) > 0 })
	b.each([]string{"web-1"})
	if n := len(b.read("fraud.dead")); n != buried {
		t.Errorf("%d dead letters, %d before the version that can take the answer", n, buried)
	}
}

// childAt is the environment of a child with that directory.
func (b *bench) childAt(dir, what string) string {
	return childPlace + "=" + strings.Join([]string{strings.Join(b.brokers, ","), b.registry, b.prefix, dir, what}, "|")
}

// runChildren runs a child after another until one is done, and counts those that
// ended by themselves: so many at most.
func (b *bench) runChildren(env string, most int, is func(log string) bool) (ends int) {
	b.t.Helper()
	for !b.runChild(env, is) {
		if ends++; ends > most {
			b.t.Fatalf("it ended %d times: nothing is quarantined", ends)
		}
	}
	return ends
}

// runChild runs a child until it ends by itself, or is done; then it is stopped.
func (b *bench) runChild(env string, is func(log string) bool) (done bool) {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	c := exec.CommandContext(b.t.Context(), self)
	c.Env = append(os.Environ(), env)
	var log tail
	c.Stderr = &log
	stdin, err := c.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	late := time.After(patience)
	tick := time.NewTicker(10 * askEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !done && is(log.String()) {
				done = true
				_ = stdin.Close()
			}
		case err := <-ended:
			if done && err != nil {
				b.t.Errorf("the child ends with %v\n%s", err, log.String())
			}
			b.dismiss("fraud")
			return done
		case <-late:
			_ = c.Process.Kill()
			b.t.Fatalf("the child neither ends nor comes to an end\n%s", log.String())
		}
	}
}

// dismiss takes dead members off a group, which would wait for them.
func (b *bench) dismiss(group string) {
	b.t.Helper()
	groups, err := b.adm.DescribeGroups(b.t.Context(), b.prefix+group)
	if err != nil {
		b.t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = b.prefix + group
	for _, m := range groups[req.Group].Members {
		leaving := kmsg.NewLeaveGroupRequestMember()
		leaving.MemberID = m.MemberID
		req.Members = append(req.Members, leaving)
	}
	if _, err := req.RequestWith(b.t.Context(), b.raw); err != nil {
		b.t.Fatal(err)
	}
}

// consumed reports whether a group has committed a topic to its end.
func (b *bench) consumed(group, topic string) bool {
	b.t.Helper()
	committed, err := b.adm.FetchOffsets(b.t.Context(), b.prefix+group)
	if err != nil {
		return false
	}
	for p, end := range b.ends(topic) {
		if o, ok := committed.Lookup(b.prefix+topic, p); end > 0 && (!ok || o.At < end) {
			return false
		}
	}
	return true
}

// tail keeps the end of what a child says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	l.b = l.b[max(0, len(l.b)-tailSize):]
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
