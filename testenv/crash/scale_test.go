package crash

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/testenv/check"
	"troupe/testenv/probe"
	"troupe/testenv/scan"
)

// sides of a change over which pauses are looked for.
const (
	before = 3 * time.Second
	after  = 6 * time.Second
)

// TestScaleOut: one process, two, three, two, three again, two, under load. No
// task is ever split, none of it is lost or doubled, and who comes back gets the
// tasks that lie on its disk. What a change costs is printed: how long each
// partition's outputs paused.
func TestScaleOut(t *testing.T) {
	if os.Getenv("TROUPE_REAL") != "1" {
		t.Skip("needs a real Kafka: make conformance runs it")
	}
	s := newSite(t, 1)
	g := s.group()
	s.add()
	g.members(1)
	l, err := newLoad(t.Context(), s.place, *seed)
	if err != nil {
		t.Fatal(err)
	}
	stop, loaded := make(chan struct{}), make(chan error, 1)
	go func() { loaded <- l.run(t.Context(), stop) }()
	watched := g.watch()
	var changes []change
	turn := func(what string, members int, do func()) {
		t.Helper()
		time.Sleep(before) // load, by which a pause shows
		c := change{what: what, at: time.Now(), from: g.members(0)}
		do()
		c.to = g.members(members)
		time.Sleep(after)
		changes = append(changes, c)
	}
	turn("1 → 2", 2, func() { s.add() })
	turn("2 → 3", 3, func() { s.add() })
	had := g.of("2")
	turn("3 → 2", 2, func() { s.processes[2].end(t) })
	turn("2 → 3, again", 3, func() { s.processes[2].start(t) })
	if has := g.of("2"); !slices.Equal(has, had) {
		t.Errorf("the process that came back has %v, want what lies on its disk: %v", has, had)
	}
	turn("3 → 2, killed", 2, func() { s.processes[2].kill() })
	close(stop)
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	for _, split := range watched() {
		t.Error(split)
	}
	s.processes[2].start(t)
	inputs, facts := s.conclude(l)
	t.Logf("%d inputs, %d facts\n%s", inputs, facts, s.pauses(changes))
}

// task is a set and a partition.
type task struct {
	set       string
	partition int32
}

func (t task) String() string { return fmt.Sprintf("%s/%d", t.set, t.partition) }

// owners is who has each task, by instance.
type owners map[task]string

type change struct {
	what     string
	at       time.Time
	from, to owners
}

// group asks for the subject's group.
type group struct {
	s   *site
	adm *kadm.Client
}

func (s *site) group() *group {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.real.Kafka.Brokers...))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(cl.Close)
	return &group{s, kadm.NewClient(cl)}
}

// look says who has what, and which tasks have two owners.
func (g *group) look() (stable bool, members int, has owners, split []string) {
	name := g.s.place.prefix + probe.Name
	groups, err := g.adm.DescribeGroups(g.s.t.Context(), name)
	if err != nil {
		return false, 0, nil, nil // the next look will tell
	}
	has = owners{}
	for _, m := range groups[name].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		instance := strings.Split(m.ClientID, ".")
		for _, topic := range assigned.Topics {
			set := probe.Name
			if strings.HasPrefix(topic.Topic, g.s.place.prefix+probe.Behind+".") {
				set = probe.Behind
			}
			for _, p := range topic.Partitions {
				of, me := task{set, p}, instance[len(instance)-2]
				if other := has[of]; other != "" && other != me {
					split = append(split, fmt.Sprintf("task %v is split between %s and %s", of, other, me))
				}
				has[of] = me
			}
		}
	}
	return groups[name].State == "Stable", len(groups[name].Members), has, split
}

// members waits until so many have all tasks between them; 0 is as many as there are.
func (g *group) members(n int) owners {
	g.s.t.Helper()
	late := time.After(patience)
	for {
		stable, members, has, _ := g.look()
		if stable && (members == n || n == 0) && len(has) == 2*partitions {
			return has
		}
		select {
		case <-late:
			g.s.t.Fatalf("%d members and %d tasks after %v, want %d and %d", members, len(has), patience, n, 2*partitions)
		case <-time.After(lookEvery):
		}
	}
}

const lookEvery = 50 * time.Millisecond

// of lists the tasks of an instance.
func (g *group) of(instance string) (out []string) {
	for t, who := range g.members(0) {
		if who == instance {
			out = append(out, t.String())
		}
	}
	slices.Sort(out)
	return out
}

// watch looks for split tasks until it is asked what it saw.
func (g *group) watch() (seen func() []string) {
	stop := make(chan struct{})
	var all []string
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(lookEvery):
				_, _, _, split := g.look()
				all = append(all, split...)
			}
		}
	})
	return func() []string {
		close(stop)
		watching.Wait()
		return all
	}
}

// pauses says how long each change kept outputs from coming: the longest gap
// between two of a task, which its partition's inputs fill every few
// milliseconds, for tasks that moved and for those that stayed.
func (s *site) pauses(changes []change) string {
	s.t.Helper()
	told := map[task][]time.Time{}
	open := s.opener()
	s.scan(scan.Config{Prefix: s.place.prefix, Topics: []string{probe.Facts}}, func(r check.Record) {
		by := open(r).By
		of := task{probe.Name, r.Partition}
		if by == probe.ByHop {
			of.set = probe.Behind
		}
		if by == probe.ByStep || by == probe.ByHop {
			told[of] = append(told[of], r.At)
		}
	})
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "change\ttasks moved\ttheir pause, median\tlongest\ttasks that stayed\ttheir pause, median\tlongest")
	for _, c := range changes {
		var moved, stayed []time.Duration
		for _, of := range slices.SortedFunc(maps.Keys(c.from), func(a, b task) int { return strings.Compare(a.String(), b.String()) }) {
			gap := longest(told[of], c.at, c.at.Add(after))
			if c.from[of] != c.to[of] {
				moved = append(moved, gap)
			} else {
				stayed = append(stayed, gap)
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%v\t%v\t%d\t%v\t%v\n", c.what, len(moved), median(moved), most(moved), len(stayed), median(stayed), most(stayed))
	}
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// longest is the longest gap that begins or ends between two times.
func longest(times []time.Time, from, to time.Time) (gap time.Duration) {
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		if times[i].After(from) && times[i-1].Before(to) {
			gap = max(gap, times[i].Sub(times[i-1]))
		}
	}
	return gap.Round(time.Millisecond)
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}

func most(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}
