package virtual

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/testenv/check"
	"troupe/testenv/probe"
	"troupe/testenv/scan"
	"troupe/topology"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// judge looks at all topics as they are now, read committed: the ends are asked
// for at once, so that what it sees is of one instant. With whole, what was owed
// must have come.
func (s *site) judge(ctx context.Context, whole bool) error {
	c, err := s.plain("judge")
	if err != nil {
		return err
	}
	if err := s.judgeEstate(ctx, c, whole); err != nil {
		return fmt.Errorf("judge the estate: %w", err)
	}
	h, err := s.readProbe(ctx, c)
	if err != nil {
		return fmt.Errorf("judge the probe: %w", err)
	}
	for _, w := range h.Wrong(whole) {
		s.fail("probe: %s", w)
	}
	return nil
}

func (s *site) judgeEstate(ctx context.Context, c stream.Config, whole bool) error {
	topics := check.Topics(c.Estate)
	var dead []string
	for _, t := range c.Estate.Topics {
		dead = append(dead, topology.DeadTopic(t.Owner))
	}
	slices.Sort(dead)
	sc, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Topics: append(topics, slices.Compact(dead)...)})
	if err != nil {
		return err
	}
	checker, err := check.New(c.Wire, c.Estate, sc.Partitions)
	if err != nil {
		return err
	}
	facts := newFacts(c.Wire)
	err = sc.Each(ctx, func(r check.Record) error {
		if strings.HasSuffix(r.Topic, topology.DeadTopic("")) {
			s.fail("a dead letter in %s under %q", r.Topic, r.Key)
			return nil
		}
		if err := facts.add(ctx, r); err != nil {
			return err
		}
		return checker.Add(ctx, r)
	})
	if err != nil {
		return err
	}
	report := checker.Report()
	for _, name := range slices.Sorted(maps.Keys(report.Violations)) {
		if n := report.Violations[name]; n > 0 && (whole || !owed[name]) {
			s.fail("invariant %s: %d violations, such as %v", name, n, examples(report, name))
		}
	}
	for _, gap := range facts.gaps() {
		s.fail("%s", gap)
	}
	if whole && s.world.Placed() != s.orders {
		s.fail("%d of %d orders were placed", s.world.Placed(), s.orders)
	}
	return nil
}

// owed are the invariants that an estate may break for as long as part of it is
// down: an answer is late.
var owed = map[string]bool{"order_accounted": true, "reservations_settled": true, "matched_or_reported": true}

func examples(r check.Report, name string) (out []string) {
	for _, v := range r.Examples {
		if v.Invariant == name && len(out) < 2 {
			out = append(out, fmt.Sprintf("%s/%d@%d %s: %s", v.Topic, v.Partition, v.Offset, v.Order, v.Detail))
		}
	}
	return out
}

// facts holds how the facts of each row are numbered, over all topics.
type facts struct {
	wire    *schemas.Wire
	readers map[string]*schemas.FieldReader
	numbers map[string][]int64 // by writer and order, or key
}

func newFacts(w *schemas.Wire) *facts {
	return &facts{wire: w, readers: map[string]*schemas.FieldReader{}, numbers: map[string][]int64{}}
}

func (f *facts) add(ctx context.Context, r check.Record) error {
	if len(r.Value) == 0 {
		return nil
	}
	frame, err := f.wire.Open(ctx, r.Value)
	if err != nil {
		return err
	}
	reader := f.readers[frame.Type]
	if reader == nil {
		if reader, err = schemas.NewFieldReader(f.wire, frame.Type, nil); err != nil {
			return err
		}
		f.readers[frame.Type] = reader
	}
	e, _, err := reader.Decode(frame)
	if err != nil {
		return err
	}
	if e.AggregateSequence > 0 {
		key := e.Source + " " + string(r.Key)
		if r.Topic == "customers" { // told by the row of an order
			key = e.Source + " " + e.Tenant + "/" + e.Order
		}
		f.numbers[key] = append(f.numbers[key], e.AggregateSequence)
	}
	return nil
}

// gaps are facts that are missing between others.
func (f *facts) gaps() (out []string) {
	for _, key := range slices.Sorted(maps.Keys(f.numbers)) {
		n := slices.Compact(slices.Sorted(slices.Values(f.numbers[key])))
		if n[len(n)-1] != int64(len(n)) {
			out = append(out, fmt.Sprintf("the facts of %s are numbered %v", key, n))
		}
	}
	return out
}

// readProbe reads what lies on the probe's topics.
func (s *site) readProbe(ctx context.Context, c stream.Config) (*probe.History, error) {
	sc, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Prefix: probePrefix, Topics: []string{probe.Inputs, probe.Facts, probe.Dead}})
	if err != nil {
		return nil, err
	}
	reader, err := probe.NewReader(c.Wire)
	if err != nil {
		return nil, err
	}
	h := probe.NewHistory()
	return h, sc.Each(ctx, func(r check.Record) error {
		if r.Topic == probe.Dead {
			s.fail("probe: a dead letter of %q", r.Key)
			return nil
		}
		e, err := reader.Open(ctx, r.Value)
		if err != nil {
			return err
		}
		h.Add(r.Topic, r.Key, e)
		return nil
	})
}

// judgeState looks at what is left when all has stopped: rows on disk are those
// of the changelog, no transaction is open, and no row waits for what is over.
func (s *site) judgeState(ctx context.Context) error {
	c, err := s.plain("judge")
	if err != nil {
		return err
	}
	for _, p := range s.processes {
		for i, dir := range disks(p.dir) {
			c.Prefix = []string{"", probePrefix}[i]
			if err := s.judgeDisk(ctx, c, p.name, dir); err != nil {
				return err
			}
		}
	}
	c.Prefix = ""
	if err := s.judgeRows(ctx, c); err != nil {
		return err
	}
	return s.judgeChangelogs(ctx, c)
}

// judgeRows compares the probe's rows with what its inputs must have come to.
func (s *site) judgeRows(ctx context.Context, c stream.Config) error {
	h, err := s.readProbe(ctx, c)
	if err != nil {
		return err
	}
	c.Estate, c.Prefix = probe.Estate(partitions), probePrefix
	wrong, err := h.WrongRows(ctx, c)
	for _, v := range wrong {
		s.fail("probe: %v", v)
	}
	return err
}

func (s *site) judgeDisk(ctx context.Context, c stream.Config, process, dir string) (err error) {
	if c.Store, err = table.Open(table.Config{Dir: dir}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Store.Close()) }()
	found, err := stream.Verify(ctx, c)
	for _, v := range found {
		if v.Stale || len(v.Differs) > 0 {
			s.fail("process %s, task %s: stale %v, differs from the changelog: %v", process, v.Task, v.Stale, v.Differs)
		}
	}
	return err
}

// late is how long after its deadline a timer may still be armed: what the clock
// was wrong, and a poll.
const late = 4 * time.Hour

// maxTold bounds what is told of one look.
const maxTold = 10

func (s *site) read(ctx context.Context, c stream.Config, topics []string, raw bool) (out []check.Record, err error) {
	slices.Sort(topics)
	sc, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Topics: topics, Raw: raw})
	if err != nil {
		return nil, err
	}
	return out, sc.Each(ctx, func(r check.Record) error {
		out = append(out, r)
		return nil
	})
}

// judgeChangelogs looks at all topics whole, also at what is not committed.
func (s *site) judgeChangelogs(ctx context.Context, c stream.Config) error {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...)}, c.Options...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	raw, err := s.read(ctx, c, topics.Names(), true)
	if err != nil {
		return err
	}
	committed, err := s.read(ctx, c, topics.Names(), false)
	if err != nil {
		return err
	}
	fates := check.Settle(raw)
	found := slices.Concat(check.Hanging(fates), check.Read(fates, committed))
	for _, v := range found[:min(len(found), maxTold)] {
		s.fail("log: %v", v)
	}
	rows := map[string][]byte{}
	for _, r := range committed {
		if strings.HasSuffix(r.Topic, topology.StateSuffix) {
			rows[r.Topic+" "+string(r.Key)] = r.Value
		}
	}
	now := s.business.Now()
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if rows[key] == nil {
			continue
		}
		_, changelogKey, _ := strings.Cut(key, " ")
		owed, err := stream.OwedBy([]byte(changelogKey), rows[key])
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if len(owed.Intents) > 0 || owed.Parked > 0 {
			s.fail("row %q still waits: intents %v, %d parked", key, owed.Intents, owed.Parked)
		}
		for _, at := range owed.Deadlines {
			if at.Add(late).Before(now) {
				s.fail("row %q has a timer of %v, it is %v", key, at, now)
			}
		}
	}
	return nil
}
