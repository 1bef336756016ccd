package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"troupe/services/inventory"
	"troupe/testenv/check"
	"troupe/topology"
)

// The simulator's own invariants, beside those of testenv/check. The first five
// hold after every transaction, the others at the end, when nothing is due.
const (
	causedByCommitted = "caused_by_committed" // nothing follows from what is not committed
	keyOrder          = "key_order"           // a row takes what is under its key in order
	rowsRestorable    = "rows_restorable"     // what a restore would give is what memory holds
	deadlineLast      = "deadline_last"       // what could be read when a deadline came is read before it fires
	noDefect          = "no_defect"           // no step fails but by a verdict, and none is poisoned
	deadReported      = "dead_reported"       // a dead letter raises an exception
	accepted          = "accepted"            // the estate refuses no partner's message
	timersFire        = "timers_fire"         // no timer is left when time has gone by
	intentsEnd        = "intents_end"         // every intent has had its outcome
	nothingUnread     = "nothing_unread"      // everybody has read everything
	bankAgrees        = "bank_agrees"         // the provider took and gave back what the facts say
	stockAgrees       = "stock_agrees"        // on hand is what came less what left; reserved is what is held
	nobodyWaits       = "nobody_waits"        // no closed order waits for goods
	mailAgrees        = "mail_agrees"         // no mail twice, and none told of that was not sent
	comesToRest       = "comes_to_rest"       // a run ends
)

// maxViolations ends a run: what follows is noise.
const maxViolations = 10

// judge looks on.
type judge struct {
	sim     *Sim
	checker *check.Checker
	found   int // of the checker's violations

	violations   []Violation
	records      int
	crashes      int
	transactions int
	last         map[string]int64 // row and place → offset taken last
	bank         books            // as the provider has it
	told         books            // as the facts have it
	keys         map[string]bool  // idempotency keys that the provider has answered
	unsure       int              // facts that say that nobody knows
	mails        map[string]bool  // Message-IDs that were told of as sent
	gone         map[level]int32  // units that left
	counted      map[level]int32  // units that came
	takenBack    map[level]bool   // a count said less than was thought: what left may have been off already
	closed       map[string]bool  // orders
	buried       map[string]*topology.DeadLetter
}

// books are amounts by the provider's own number of a capture or a refund.
type books map[string]int64

// level is a SKU in a node.
type level struct{ sku, node string }

func newJudge(s *Sim, checker *check.Checker) *judge {
	checker.Reset()
	return &judge{
		sim: s, checker: checker, last: map[string]int64{}, bank: books{}, told: books{}, keys: map[string]bool{},
		mails: map[string]bool{}, gone: map[level]int32{}, counted: map[level]int32{}, takenBack: map[level]bool{}, closed: map[string]bool{}, buried: map[string]*topology.DeadLetter{},
	}
}

func (j *judge) say(invariant, format string, args ...any) {
	v := Violation{invariant, fmt.Sprintf(format, args...)}
	j.sim.say("VIOLATION", v.Invariant, v.Detail)
	j.violations = append(j.violations, v)
}

func (j *judge) broken() bool { return len(j.violations) >= maxViolations }

// committed looks at a transaction whose outputs have just become visible.
func (j *judge) committed(s *service, t *txn) {
	for _, r := range t.outputs {
		j.written(r)
	}
	for _, in := range s.stage.taken {
		r := in.record
		if !r.visible() {
			j.say(causedByCommitted, "%s took %s of %s, which is not committed", in.task, r.envelope.Type, r.key)
		}
		key := fmt.Sprintf("%s %s %s/%d", in.task, in.key, r.topic, r.n)
		if last, known := j.last[key]; known && r.offset < last {
			j.say(keyOrder, "%s took %s/%d@%d of %s after @%d", in.task, r.topic, r.n, r.offset, r.key, last)
		}
		j.last[key] = r.offset
	}
}

// written looks at a record that has just become visible.
func (j *judge) written(r *record) {
	j.records++
	r.shown = j.sim.now
	if d := r.letter; d != nil {
		j.buried[d.ID()] = d
		if !expected(d) {
			j.say(noDefect, "%s buries %s of %s (%s): %s", d.Service, r.key, d.Topic, d.Cause, d.Detail)
		}
		return
	}
	sound(j.checker.Add(context.Background(), check.Record{Topic: r.topic, Partition: r.n, Offset: r.offset, Key: []byte(r.key), Value: r.value}))
	j.hear()
	j.book(r)
}

// expected dead letters are those that follow from what the world was told to do:
// an ERP that does not answer to the last, word of an order or parcel that nobody knows
// of, and what comes after the probe's end.
func expected(d *topology.DeadLetter) bool {
	return check.WaitedInVain(d.Topic, d.Cause) ||
		d.Service == "invoicing" && d.Cause == "poison" && strings.HasPrefix(d.Detail, "the ERP does not bill") ||
		d.Service == "probe" && d.Cause == "attempts"
}

// hear takes over what the checker has found.
func (j *judge) hear() {
	found := j.checker.Found()
	for _, v := range found[j.found:] {
		j.say(v.Invariant, "%s %s", v.Order, v.Detail)
	}
	j.found = len(found)
}

// book keeps what is compared with the world's own books at the end.
func (j *judge) book(r *record) {
	reader := j.sim.ledger[r.envelope.Type]
	if reader == nil {
		return
	}
	f, err := j.sim.binder.wire.Open(context.Background(), r.value)
	sound(err)
	_, fields, err := reader.Decode(f)
	sound(err)
	text := func(name string) string { v, _ := fields[name].(string); return v }
	number := func(name string) int64 { v, _ := fields[name].(int64); return v }
	switch r.envelope.Type {
	case "PaymentCaptured":
		j.told[text("capture")] += number("amount")
	case "PaymentRefunded":
		j.told[text("refund")] += number("amount")
	case "CaptureUnknown", "RefundFailed":
		j.unsure++
	case "NotificationSent":
		j.mails[text("messageId")] = true
	case "ExceptionRaised":
		delete(j.buried, r.envelope.AggregateID)
	case "FlowClosed":
		j.closed[r.key] = true
	case "StockAdjusted":
		delta, _ := fields["delta"].(int32)
		at := level{text("sku"), text("node")}
		j.counted[at] += delta
		j.takenBack[at] = j.takenBack[at] || delta < 0
	case "ReservationConsumed":
		lines, _ := fields["lines"].([]any)
		for _, l := range lines {
			line, _ := l.(map[string]any)
			sku, _ := line["sku"].(string)
			node, _ := line["node"].(string)
			quantity, _ := line["quantity"].(int32)
			j.gone[level{sku, node}] += quantity
		}
	}
}

// ledgerReads are the facts that book reads, with their fields.
var ledgerReads = map[string][]string{
	"PaymentCaptured": {"capture", "amount"}, "PaymentRefunded": {"refund", "amount"}, "CaptureUnknown": {"amount"}, "RefundFailed": {"amount"},
	"NotificationSent": {"messageId"}, "ExceptionRaised": {"cause"}, "FlowClosed": {"outcome"}, "StockAdjusted": {"sku", "node", "delta"}, "ReservationConsumed": {"lines"},
}

// asked looks at what the provider was asked for, and did: once for each key.
func (j *judge) asked(r *http.Request, answer *http.Response) {
	key := r.URL.Path + " " + r.Header.Get("Idempotency-Key")
	if r.URL.Host != "provider" || r.Method != http.MethodPost || j.keys[key] {
		return
	}
	j.keys[key] = true
	b, err := io.ReadAll(answer.Body)
	sound(err)
	answer.Body = io.NopCloser(bytes.NewReader(b))
	var a struct {
		Capture, Refund string
		Amount          int64
	}
	sound(json.Unmarshal(b, &a))
	if name := cmp.Or(a.Capture, a.Refund); name != "" {
		j.bank[name] += a.Amount
	}
}

// rings looks at what a task has left unread when its timer fires.
func (j *judge) rings(s *service, x *stage, in *input) {
	came := in.turn.Now.Add(-s.skew) // the deadline, as the service's clock has it
	for _, topic := range in.task.set.inputs {
		p := place{topic, in.task.n}
		end := j.sim.journal.end(p)
		from := min(max(s.positions[p], x.moved[p]), end)
		for _, r := range j.sim.journal.at(p).records[from:end] {
			if r.visible() && !r.shown.After(came) {
				j.say(deadlineLast, "%s rings %s of %s at %v, and has not read %s", in.task.name, in.turn.Cause.Timer, in.key, in.turn.Now, names([]*record{r}))
			}
		}
	}
}

func (j *judge) refused(id string, err error) {
	j.say(accepted, "call %s: %v", id, err)
}

// often is how many transactions of all services lie between two looks at all rows
// of one.
const often = 16

// remembered looks at the rows of a service that has just committed.
func (j *judge) remembered(s *service, x *stage) {
	for _, c := range x.touched {
		if c.row.ended {
			j.restorable(c.task, c.row)
		}
	}
	if j.transactions++; j.transactions%often == 0 {
		j.whole(s)
	}
}

// restorable compares a row in memory with what its changelog holds.
func (j *judge) restorable(t *task, r *row) {
	stored := t.changelog()[r.key]
	if r.ended {
		if stored != nil {
			j.say(rowsRestorable, "%s %s has ended, and a restore brings it back", t.name, r.key)
		}
		return
	}
	if r.dirty || t.rows[r.key] != r || bytes.Equal(must(t.set.encode(r)), stored) {
		return
	}
	if stored == nil && r.stored == nil {
		return // read, and never written
	}
	j.say(rowsRestorable, "%s %s in memory is not what its changelog holds", t.name, r.key)
}

// whole looks at all that a service holds between transactions.
func (j *judge) whole(s *service) {
	for _, t := range s.tasks {
		for _, key := range slices.Sorted(maps.Keys(t.rows)) {
			j.restorable(t, t.rows[key])
		}
	}
}

// end judges a run in which nothing is due any more.
func (j *judge) end() {
	if len(j.sim.queue) > 0 {
		if !j.broken() {
			j.say(comesToRest, "after %d steps there is still something to do", j.sim.steps)
		}
		return
	}
	for _, s := range j.sim.services {
		j.whole(s)
		for _, t := range s.tasks {
			j.leftOver(s, t)
		}
	}
	j.checker.AtRest()
	j.checker.Report()
	j.hear()
	for _, id := range slices.Sorted(maps.Keys(j.buried)) {
		j.say(deadReported, "%s buried %s of %s, and no exception was raised", j.buried[id].Service, j.buried[id].Key, j.buried[id].Topic)
	}
	j.money()
	j.mail()
	j.stock()
}

// leftOver looks for what should have happened to a task.
func (j *judge) leftOver(s *service, t *task) {
	for _, topic := range t.set.inputs {
		p := place{topic, t.n}
		if at, end := s.positions[p], j.sim.journal.written(p); at < end {
			j.say(nothingUnread, "%s is at %s/%d@%d of %d", s.plan.Name, p.topic, p.n, at, end)
		}
	}
	changelog := t.changelog()
	for _, key := range slices.Sorted(maps.Keys(changelog)) {
		if isParked(key) {
			j.say(timersFire, "%s still has a parked input %q", t.name, key)
			continue
		}
		r := &row{key: key}
		sound(t.set.decode(r, changelog[key]))
		for _, tm := range r.frame.Timers {
			j.say(timersFire, "%s %s: %s %s has not rung", t.name, key, tm.Name, tm.Discriminator)
		}
		for _, in := range r.frame.Intents {
			j.say(intentsEnd, "%s %s: %s %s has no outcome", t.name, key, in.Effect, in.Discriminator)
		}
	}
}

// money compares the provider's books with the facts: what he did and nobody told
// of must be what a fact says that nobody knows.
func (j *judge) money() {
	untold := 0
	for _, name := range slices.Sorted(maps.Keys(j.bank)) {
		told, known := j.told[name]
		if !known {
			untold++
		}
		if known && j.bank[name] != told || untold > j.unsure {
			j.say(bankAgrees, "%s: the provider has %d, the facts say %d", name, j.bank[name], told)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.told)) {
		if _, known := j.bank[name]; !known {
			j.say(bankAgrees, "the provider knows nothing of %s over %d", name, j.told[name])
		}
	}
}

// mail compares the mailbox with the facts.
func (j *judge) mail() {
	mailbox := j.sim.world.Mailbox()
	for _, id := range slices.Sorted(maps.Keys(mailbox)) {
		if n := mailbox[id]; n != 1 {
			j.say(mailAgrees, "mail %s came %d times", id, n)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(j.mails)) {
		if mailbox[id] == 0 {
			j.say(mailAgrees, "mail %s was never sent", id)
		}
	}
}

// stock compares the rows of all SKUs with what came and what left.
func (j *judge) stock() {
	i := slices.IndexFunc(j.sim.services, func(s *service) bool { return s.plan.Name == "inventory" })
	for _, t := range j.sim.services[i].tasks {
		changelog := t.changelog()
		for _, key := range slices.Sorted(maps.Keys(changelog)) {
			r := &row{key: key}
			sound(t.set.decode(r, changelog[key]))
			if stock, ok := r.state.(*inventory.Stock); ok {
				_, sku, _ := strings.Cut(key, "/")
				j.sku(sku, stock)
			}
		}
	}
}

func (j *judge) sku(sku string, stock *inventory.Stock) {
	held := map[string]int32{}
	for _, r := range stock.Held {
		held[r.Node] += r.Quantity
	}
	for _, r := range stock.Waiting {
		if j.closed[r.Order] {
			j.say(nobodyWaits, "%s still waits for %d of %s", r.Order, r.Quantity, sku)
		}
	}
	for _, n := range stock.Nodes {
		at := level{sku, n.Name}
		if want := j.counted[at] - j.gone[at]; n.OnHand != want && !j.takenBack[at] || n.Reserved != held[n.Name] {
			j.say(stockAgrees, "%s in %s: %d on hand of %d, %d reserved of %d held", sku, n.Name, n.OnHand, want, n.Reserved, held[n.Name])
		}
	}
}
