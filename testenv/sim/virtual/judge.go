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
// must have come. It returns how many records there are.
func (s *site) judge(ctx context.Context, whole bool) (records int, err error) {
	c, err := s.plain("judge")
	if err != nil {
		return 0, err
	}
	estate, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Topics: watched(c.Estate)})
	if err != nil {
		return 0, err
	}
	l, err := newLedger(s, c, estate.Partitions)
	if err != nil {
		return 0, err
	}
	if err := estate.Each(ctx, func(r check.Record) error { return l.add(ctx, r) }); err != nil {
		return 0, fmt.Errorf("judge the estate: %w", err)
	}
	if err := l.readProbe(ctx, c); err != nil {
		return 0, fmt.Errorf("judge the probe: %w", err)
	}
	l.judge(whole)
	if whole && s.world.Placed() != s.orders {
		s.fail("%d of %d orders were placed", s.world.Placed(), s.orders)
	}
	return l.records, nil
}

// watched are the estate's topics of which the invariants speak, and those where
// nothing may lie.
func watched(e topology.Estate) []string {
	var dead []string
	for _, t := range e.Topics {
		dead = append(dead, topology.DeadTopic(t.Owner))
	}
	slices.Sort(dead)
	return append(check.Topics(e), slices.Compact(dead)...)
}

var probeTopics = []string{probe.Inputs, probe.Facts, probe.Dead}

// ledger is what was read of the topics, and what the invariants make of it.
type ledger struct {
	site    *site
	records int
	checker *check.Checker
	facts   *facts
	reader  *probe.Reader
	history *probe.History
	late    []check.Record // dead letters of timers
}

func newLedger(s *site, c stream.Config, partitions map[string]int32) (*ledger, error) {
	checker, err := check.New(c.Wire, c.Estate, partitions)
	if err != nil {
		return nil, err
	}
	reader, err := probe.NewReader(c.Wire)
	return &ledger{site: s, checker: checker, facts: newFacts(c.Wire), reader: reader, history: probe.NewHistory()}, err
}

// add takes a record of the estate's.
func (l *ledger) add(ctx context.Context, r check.Record) error {
	l.records++
	if strings.HasSuffix(r.Topic, topology.DeadTopic("")) {
		if missed(r) {
			l.late = append(l.late, r)
		} else {
			l.site.fail("a dead letter in %s under %q", r.Topic, r.Key)
		}
		return nil
	}
	return errors.Join(l.checker.Add(ctx, r), l.facts.add(ctx, r))
}

// missed says that a dead letter tells of an order, or a booking, that has not come. A fault
// of seconds is hours of business: it may come so late that who waits for it has said so.
func missed(r check.Record) bool {
	says := map[string]string{}
	for _, h := range r.Headers {
		says[h.Key] = string(h.Value)
	}
	return check.WaitedInVain(says["dead.topic"], says["dead.cause"])
}

// addProbe takes a record of the probe's.
func (l *ledger) addProbe(ctx context.Context, r check.Record) error {
	l.records++
	if r.Topic == probe.Dead {
		l.site.fail("probe: a dead letter of %q", r.Key)
		return nil
	}
	e, err := l.reader.Open(ctx, r.Value)
	if err != nil {
		return err
	}
	l.history.Add(r.Topic, r.Key, e)
	return nil
}

// judge says what is wrong with all that was taken.
func (l *ledger) judge(whole bool) {
	report := l.checker.Report()
	for _, name := range slices.Sorted(maps.Keys(report.Violations)) {
		if n := report.Violations[name]; n > 0 && (whole || !owed[name]) {
			l.site.fail("invariant %s: %d violations, such as %v", name, n, examples(report, name))
		}
	}
	for _, r := range l.late {
		placed, is := l.facts.placed[string(r.Key)]
		if is && placed.Add(limits.TransactionTimeout).Before(r.At) || !is && whole {
			l.site.fail("a dead letter in %s says that the order of %q has not come: it came at %v, the letter at %v", r.Topic, r.Key, placed, r.At)
		}
	}
	for _, gap := range l.facts.gaps() {
		l.site.fail("%s", gap)
	}
	for _, w := range l.history.Wrong(whole) {
		l.site.fail("probe: %s", w)
	}
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
	placed  map[string]time.Time
}

func newFacts(w *schemas.Wire) *facts {
	return &facts{wire: w, readers: map[string]*schemas.FieldReader{}, numbers: map[string][]int64{}, placed: map[string]time.Time{}}
}

func (f *facts) add(ctx context.Context, r check.Record) error {
	if len(r.Value) == 0 {
		return nil
	}
	frame, err := f.wire.Open(ctx, r.Value)
	if err != nil && !schemas.IsUnavailable(err) {
		return nil // the checker says so
	}
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
	if frame.Type == "OrderPlaced" && f.placed[string(r.Key)].IsZero() {
		f.placed[string(r.Key)] = r.At
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
func (l *ledger) readProbe(ctx context.Context, c stream.Config) error {
	sc, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Prefix: probePrefix, Topics: probeTopics})
	if err != nil {
		return err
	}
	return sc.Each(ctx, func(r check.Record) error { return l.addProbe(ctx, r) })
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
	l, err := newLedger(s, c, nil)
	if err != nil {
		return err
	}
	if err := l.readProbe(ctx, c); err != nil {
		return err
	}
	c.Estate, c.Prefix = probe.Estate(partitions), probePrefix
	wrong, err := l.history.WrongRows(ctx, c)
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
