package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/broker"
)

// sitting is one run of the benchmarks: a Kafka, and what was found on it.
type sitting struct {
	rounds     int
	scale      float64
	workers    int
	partitions int32
	profile    string
	peers      bool
	log        io.Writer

	kafka    *broker.Kafka
	embedded *broker.Embedded // only its registry is used here: a registry is asked once a schema
	admin    *kadm.Client
	figures  map[string]float64
	details  []string
	trials   int
}

// joinDelay lets the workers of a process, or the threads of a peer, join a new
// group together, as a broker's default of 3 s does: at the 0 of the tests the
// first would take all tasks and have to give some back while it works.
const joinDelay = "group.initial.rebalance.delay.ms=300"

func (s *sitting) open(ctx context.Context) (err error) {
	if s.embedded, err = broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText}); err != nil {
		return err
	}
	if s.kafka, err = broker.StartKafka(ctx, broker.KafkaConfig{Log: s.log, Extra: []string{joinDelay}}); err != nil {
		return errors.Join(err, s.embedded.Close())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Brokers...))
	if err != nil {
		return errors.Join(fmt.Errorf("connect: %w", err), s.close())
	}
	s.admin = kadm.NewClient(client)
	return nil
}

func (s *sitting) close() error {
	if s.admin != nil {
		s.admin.Close()
	}
	return errors.Join(s.kafka.Close(), s.embedded.Close())
}

func (s *sitting) say(format string, args ...any) {
	fmt.Fprintf(s.log, "%s  %s\n", time.Now().UTC().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// detail is said at once and again below the table.
func (s *sitting) detail(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.say("%s", line)
	s.details = append(s.details, line)
}

// scaled is so many, or fewer for a quick look.
func (s *sitting) scaled(n int) int { return max(1000, int(float64(n)*s.scale)) }

// place is where a measurement's trials run.
func (s *sitting) place(name string) place {
	return place{Brokers: s.kafka.Brokers, Registry: s.embedded.Registry, Prefix: name + ".", Partitions: s.partitions, Workers: s.workers}
}

// result is what a trial found, by name.
type result map[string]float64

// trialLimit bounds one trial: what takes longer hangs.
const trialLimit = 20 * time.Minute

// trial runs this program again, for one thing.
func (s *sitting) trial(ctx context.Context, name string, spec any) (result, error) {
	profile := ""
	if s.profile != "" {
		s.trials++
		profile = filepath.Join(s.profile, fmt.Sprintf("%02d-%s", s.trials, name))
	}
	return runSelf(ctx, name, profile, spec, s.log)
}

func runSelf(ctx context.Context, name, profile string, spec any, log io.Writer) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, trialLimit, fmt.Errorf("not done after %v", trialLimit))
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("trial %s: %w", name, err)
	}
	c := exec.CommandContext(ctx, self, "-trial", name, "-profile", profile)
	c.Stderr = log
	// Left open: a trial whose parent is gone reads its end, and ends too.
	in, err := c.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("trial %s: %w", name, err)
	}
	if _, err := fmt.Fprintf(in, "%s\n", text); err != nil {
		return nil, fmt.Errorf("trial %s: %w", name, err)
	}
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("trial %s of %s: %w", name, text, errors.Join(err, context.Cause(ctx)))
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("trial %s: read %q: %w", name, out, err)
	}
	return r, nil
}

// trials are what this program runs in processes of their own.
func trials() map[string]func(context.Context, []byte) (result, error) {
	return map[string]func(context.Context, []byte) (result, error){
		"trade": trial(trade), "serve": trial(serve), "holds": trial(holds), "copy": trial(bareCopy), "hop": trial(hopTrial), "restart": trial(restart), "flows": trial(flowsTrial), "place": trial(placeOrders),
		"estate": trial(estateTrial),
	}
}

func trial[S any](do func(context.Context, S) (result, error)) func(context.Context, []byte) (result, error) {
	return func(ctx context.Context, text []byte) (result, error) {
		var spec S
		if err := json.Unmarshal(text, &spec); err != nil {
			return nil, fmt.Errorf("read what to do: %w", err)
		}
		return do(ctx, spec)
	}
}

// runTrial is the other side: one line says what to do, one what was found.
func runTrial(ctx context.Context, name, profile string, in io.Reader, out io.Writer) error {
	do, ok := trials()[name]
	if !ok {
		return fmt.Errorf("no trial %q", name)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var spec json.RawMessage
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end, not what it says
		cancel()
	}()
	if profile != "" {
		stop, err := profileTo(profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	r, err := do(ctx, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// profileTo writes a CPU profile, and when it is stopped one of the heap beside
// it: what was in use at the last collection, and all that was allocated.
func profileTo(path string) (stop func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of profiles: %w", err)
	}
	cpu, err := os.Create(path + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	heap, err := os.Create(path + ".heap.pprof")
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	return func() { // a profile that is cut short shows when it is read
		pprof.StopCPUProfile()
		_ = pprof.WriteHeapProfile(heap)
		_ = cpu.Close()
		_ = heap.Close()
	}, nil
}

// contender is one of several that take turns.
type contender struct {
	name string
	run  func(context.Context) (float64, error)
}

// alternate runs each contender once a round and returns what each reached, by
// name, round by round.
func (s *sitting) alternate(ctx context.Context, contenders ...contender) (map[string][]float64, error) {
	reached := map[string][]float64{}
	for round := range s.rounds {
		for _, c := range contenders {
			v, err := c.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			s.say("round %d of %d: %s %s", round+1, s.rounds, c.name, number(v))
			reached[c.name] = append(reached[c.name], v)
		}
	}
	return reached, nil
}

// ratios divide round by round: what was taken together drifts together.
func ratios(a, b []float64) (out []float64) {
	for i := range a {
		out = append(out, a[i]/b[i])
	}
	return out
}

// forget removes topics and groups, so that the next round finds nothing of
// this one. What is not there is fine.
func (s *sitting) forget(ctx context.Context, group string, topics ...string) error {
	groups, err := s.admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	if _, there := groups[group]; there {
		if _, err := s.admin.DeleteGroup(ctx, group); err != nil {
			return fmt.Errorf("forget group %s: %w", group, err)
		}
	}
	return s.remove(ctx, topics...)
}

// forgetAll removes every topic whose name begins so.
func (s *sitting) forgetAll(ctx context.Context, prefix string) error {
	all, err := s.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	return s.remove(ctx, slices.DeleteFunc(all.Names(), func(t string) bool { return !strings.HasPrefix(t, prefix) })...)
}

// remove deletes topics and waits until nobody is told of them any more.
func (s *sitting) remove(ctx context.Context, topics ...string) error {
	for _, t := range topics {
		if _, err := s.admin.DeleteTopic(ctx, t); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("forget topic %s: %w", t, err)
		}
	}
	for tick := time.NewTicker(seldom); ; {
		all, err := s.admin.ListTopics(ctx)
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		if !slices.ContainsFunc(topics, all.Has) {
			tick.Stop()
			return nil
		}
		<-tick.C
	}
}
