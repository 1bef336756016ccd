// Package check holds the invariants of the estate as pure functions of a log of
// records: tests, crash runs, the demo and troupe verify all ask the same ones.
//
// A Checker takes records of all topics, those of one partition in their order,
// the partitions in any; it keeps a small ledger an order and judges at the end.
// What is younger than a day and a bit by the log's own time may still be under
// way and is not judged where an answer is owed.
package check

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

// Record is what lies on a topic.
type Record struct {
	Topic      string // without the prefix
	Partition  int32
	Offset     int64
	Key, Value []byte
	Headers    []kgo.RecordHeader
	At         time.Time // when it was written

	Transactional bool
	Writer        Writer // if it is transactional, or a marker
	Marker        Marker
}

// WaitedInVain says that a dead letter, of such a source and cause, is of a timer that tells a
// person what has not come: an order, a booking. That follows from what comes late.
func WaitedInVain(source, cause string) bool {
	timer, _, _ := strings.Cut(strings.TrimPrefix(source, "timer "), "/")
	return cause == "poison" && slices.Contains([]string{"early-cancel", "waiting", "orphan"}, timer)
}

// Violation is where an invariant does not hold. The place is that of the record
// which showed it; an offset of -1 is the order as a whole.
type Violation struct {
	Invariant string `json:"invariant"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Order     string `json:"order,omitempty"`
	Detail    string `json:"detail"`
}

// Report is what was found. Every invariant is counted, also those that hold.
type Report struct {
	Records    int            `json:"records"`
	Violations map[string]int `json:"violations"`
	Examples   []Violation    `json:"examples"`
}

// Total counts all violations.
func (r Report) Total() (n int) {
	for _, v := range r.Violations {
		n += v
	}
	return n
}

// The invariants.
const (
	oneWriter       = "one_writer"             // a public topic is written by its owner alone
	readable        = "readable"               // every record is framed and decodes
	eventOnce       = "event_once"             // an event is told once
	eventBytes      = "event_bytes"            // the same event ID, the same bytes
	keyed           = "keyed"                  // a record lies under its order's key, in that key's partition
	sequence        = "sequence"               // what a row tells is numbered without a gap
	correlated      = "correlated"             // what is told of an order carries its flow's correlation, and no other's
	stockNotBelow   = "stock_not_negative"     // neither on hand nor reserved
	linesAddUp      = "lines_add_up"           // what left and what was cancelled is what was ordered
	shipsReleased   = "ships_released"         // nothing is planned unreserved, uncleared or unpaid
	capturedWithin  = "captured_within"        // captured ≤ authorised
	capturedOnce    = "captured_once"          // once a shipment and tender
	refundedWithin  = "refunded_within"        // refunded ≤ what came in
	accounted       = "order_accounted"        // a placed order has a flow, which is closed or in a phase
	reserved        = "reservations_settled"   // a closed order holds no stock
	matched         = "matched_or_reported"    // shipments and invoices agree, or a mismatch says so
	mismatchOnce    = "mismatch_once"          // no difference is detected twice
	mailOnce        = "mail_once"              // at most one mail a fact
	exceptionSource = "exception_names_source" // topic, offset and cause
	effectOnce      = "effect_answered_once"   // one outcome an intent
	atRest          = "open_and_reported"      // once nothing is due, an order is closed or somebody was told
	paidFor         = "paid_for_what_left"     // once nothing is due, money in hand is what left is worth, or a mismatch or a person says so
)

var invariants = []string{
	oneWriter, readable, eventOnce, eventBytes, keyed, sequence, correlated, stockNotBelow, linesAddUp, shipsReleased, capturedWithin, capturedOnce,
	refundedWithin, accounted, reserved, matched, mismatchOnce, mailOnce, exceptionSource, effectOnce, atRest, paidFor,
}

// maxExamples bounds what is kept of one invariant.
const maxExamples = 5

// underWay is how long an answer between contexts may be on its way: the longest
// grace of reconciliation and an hour.
const underWay = 25 * time.Hour

// Checker takes records.
type Checker struct {
	wire       *schemas.Wire
	estate     topology.Estate
	partitions map[string]int32
	readers    map[string]*schemas.FieldReader

	records  int
	counts   map[string]int
	examples []Violation
	latest   time.Time

	seen    map[string]told
	rows    map[string]int64  // the number told last
	flows   map[string]string // order → correlation
	orders  map[string]*order
	differs map[string]bool // mismatch → open
	mails   map[string]bool
	answers map[string]string // inbox and intent → event
	rest    bool
}

type told struct{ digest [32]byte }

// New makes a checker for topics with these numbers of partitions.
func New(wire *schemas.Wire, estate topology.Estate, partitions map[string]int32) (*Checker, error) {
	c := &Checker{wire: wire, estate: estate, partitions: partitions, readers: map[string]*schemas.FieldReader{}}
	c.Reset()
	for name, b := range books {
		reader, err := schemas.NewFieldReader(wire, name, b.fields)
		if err != nil {
			return nil, err
		}
		c.readers[name] = reader
	}
	return c, nil
}

// Reset forgets all records. What it knows of the schemas stays: making that costs
// more than checking a short log.
func (c *Checker) Reset() {
	*c = Checker{
		wire: c.wire, estate: c.estate, partitions: c.partitions, readers: c.readers, counts: map[string]int{},
		seen: map[string]told{}, rows: map[string]int64{}, flows: map[string]string{}, orders: map[string]*order{}, differs: map[string]bool{},
		mails: map[string]bool{}, answers: map[string]string{},
	}
}

// AtRest says that the log has ended and nothing is due any more: no answer is
// under way, and what is not closed must have been reported.
func (c *Checker) AtRest() { c.rest = true }

// Found is what was found so far, at most maxExamples of each invariant. What
// needs an order as a whole is found by Report.
func (c *Checker) Found() []Violation { return c.examples }

// Topics lists what a checker wants to read: every public topic and every inbox.
func Topics(e topology.Estate) (out []string) {
	for _, t := range e.Topics {
		out = append(out, t.Name)
	}
	for _, in := range e.Inboxes {
		out = append(out, topology.InboxTopic(in.Name))
	}
	return out
}

// Add takes a record. An error is the registry's; whatever is wrong with the
// record is a violation.
func (c *Checker) Add(ctx context.Context, r Record) error {
	c.records++
	if len(r.Value) == 0 {
		return nil // a tombstone
	}
	f, err := c.wire.Open(ctx, r.Value)
	if schemas.IsUnavailable(err) {
		return err
	}
	if err != nil {
		c.unreadable(r, err)
		return nil
	}
	reader := c.readers[f.Type]
	if reader == nil {
		if reader, err = schemas.NewFieldReader(c.wire, f.Type, nil); err != nil {
			return err
		}
		c.readers[f.Type] = reader
	}
	e, fields, err := reader.Decode(f)
	if err != nil {
		c.unreadable(r, err)
		return nil
	}
	c.take(input{Record: r, Envelope: e, fields: fields})
	return nil
}

// take books an opened record.
func (c *Checker) take(in input) {
	if in.OccurredAt.After(c.latest) {
		c.latest = in.OccurredAt
	}
	topic, public := c.public(in.Topic)
	if !public {
		if IsOutcome(in.Type) {
			c.answer(in)
		}
		return
	}
	c.fact(topic, in)
	if b, ok := books[in.Type]; ok {
		b.book(c, c.order(in.Envelope), in)
	}
}

// unreadable is only a violation on a public topic: what lies unread in an inbox
// is its reader's to bury.
func (c *Checker) unreadable(r Record, err error) {
	if _, public := c.public(r.Topic); public {
		c.say(readable, input{Record: r}, "%v", err)
	}
}

func (c *Checker) public(name string) (topology.Topic, bool) {
	i := slices.IndexFunc(c.estate.Topics, func(t topology.Topic) bool { return t.Name == name })
	if i < 0 {
		return topology.Topic{}, false
	}
	return c.estate.Topics[i], true
}

// input is a record that was opened.
type input struct {
	Record
	schemas.Envelope
	fields map[string]any
}

// say counts a violation.
func (c *Checker) say(invariant string, in input, format string, args ...any) {
	c.counts[invariant]++
	if c.counts[invariant] <= maxExamples {
		c.examples = append(c.examples, Violation{
			Invariant: invariant, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Order: in.Order, Detail: fmt.Sprintf(format, args...),
		})
	}
}

// fact judges what holds of every public record.
func (c *Checker) fact(t topology.Topic, in input) {
	if in.Source != t.Owner {
		c.say(oneWriter, in, "%s wrote to a topic of %s", in.Source, t.Owner)
	}
	digest := sha256.Sum256(in.Value)
	before, twice := c.seen[in.ID]
	switch {
	case !twice:
		c.seen[in.ID] = told{digest}
	case before.digest != digest:
		c.say(eventBytes, in, "%s %s was told before in other words: a fact that is told more than once of a key needs a discriminator", in.Type, in.ID)
	case !t.Retention.Compact: // a compacted topic holds states: a repeat is the same state
		c.say(eventOnce, in, "%s %s was told before", in.Type, in.ID)
	}
	if t.Key == "tenant/order" {
		c.home(in)
		c.correlate(in)
	}
	c.number(in)
}

// correlate checks that an order has one correlation: the process manager's rows
// go by it.
func (c *Checker) correlate(in input) {
	if in.Envelope.Order == "" || in.CorrelationID == "" {
		return
	}
	key := in.Tenant + "/" + in.Envelope.Order
	if flow, known := c.flows[key]; known && flow != in.CorrelationID {
		c.say(correlated, in, "%s has correlation %s, and %s before", in.Type, in.CorrelationID, flow)
		return
	}
	c.flows[key] = in.CorrelationID
}

// home checks key and partition.
func (c *Checker) home(in input) {
	key := string(in.Key)
	ofPartition := in.Envelope.Order == "" && strings.HasPrefix(key, "partition/") // about how far an owner has read
	if key != in.Tenant+"/"+in.Envelope.Order && !strings.HasPrefix(key, in.Tenant+"/erp:") && !ofPartition {
		c.say(keyed, in, "it lies under %q", key)
		return
	}
	width := c.partitions[in.Topic]
	if width < 1 {
		return
	}
	// The client's own partitioner, so that ours is not judged by itself.
	want := kgo.StickyKeyPartitioner(nil).ForTopic(in.Topic).Partition(&kgo.Record{Key: in.Key}, int(width))
	if int32(want) != in.Partition {
		c.say(keyed, in, "%q belongs in partition %d of %d", key, want, width)
	}
}

// number checks that what one row has told is numbered without a gap, as far as it
// stands on one topic: under one key. A row that ended begins anew.
func (c *Checker) number(in input) {
	n := in.AggregateSequence
	if n == 0 {
		return // told by an intake, which counts nothing
	}
	key := in.Topic + "\x00" + in.Source + "\x00" + string(in.Key)
	last, known := c.rows[key]
	if known && n != 1 && n != last+1 {
		c.say(sequence, in, "%s of %s is number %d after %d", in.Type, in.AggregateID, n, last)
	}
	c.rows[key] = n
}

// IsOutcome reports whether a message is the outcome of an effect, of which an intent
// has one.
func IsOutcome(typ string) bool { return outcomes[typ] }

var outcomes = map[string]bool{
	"FraudScored": true, "TenderOpened": true, "CaptureAnswered": true, "VoidAnswered": true, "RefundAnswered": true,
	"WarehouseAnswered": true, "ErpBookingAnswered": true, "ErpBillingAnswered": true, "MailAnswered": true,
}

// answer checks that an intent has one outcome. The same outcome may be written
// twice: its reader knows it by its ID.
func (c *Checker) answer(in input) {
	key := in.Topic + "\x00" + in.CausationID
	if before, known := c.answers[key]; known && before != in.ID {
		c.say(effectOnce, in, "intent %s has outcomes %s and %s", in.CausationID, before, in.ID)
	}
	c.answers[key] = in.ID
}

// Report judges what can only be judged at the end, and sums up.
func (c *Checker) Report() Report {
	for _, key := range slices.Sorted(maps.Keys(c.orders)) {
		c.judge(key, c.orders[key])
	}
	r := Report{Records: c.records, Violations: map[string]int{}, Examples: c.examples}
	for _, name := range invariants {
		r.Violations[name] = c.counts[name]
	}
	return r
}
