package reconciliation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

func happy(r Rules) []event {
	return append(allowed(r, 1), order(r, 0), left(r, 60, "s1", true, 2, 1), taken(r, 60, "s1", 2700),
		billed(r, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500)))
}

func without(events []event, ids ...string) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return slices.Contains(ids, e.id) })
}

// TestLives plays an order to its end and says all that is told of it.
func TestLives(t *testing.T) {
	r, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	stop := func(minute int, cancelled, leaving []Units) event {
		return happen(r, "stopped", at(minute), stopped{cancelled, leaving}, bookStopped)
	}
	came := func(minute int, amount int64) event {
		return happen(r, "received", at(minute), received{2, "r1", amount, "EUR", 0}, bookReceived)
	}
	back := func(minute int, amount int64) event {
		return happen(r, "refunded", at(minute), refunded{2, "r1", "b1", amount, "EUR"}, bookRefunded)
	}
	for _, c := range []struct {
		name   string
		events []event
		want   []string
	}{
		{"all is well", happy(r), nil},
		{"never captured", without(happy(r), "taken s1"), []string{
			"detected DISPATCHED_NOT_CAPTURED web-1 high 2700/0 2700 at 1h30m0s"}},
		{"captured in parts, the rest after its time", append(without(happy(r), "taken s1"), taken(r, 80, "a", 2000), taken(r, 100, "b", 300), taken(r, 110, "c", 400)), []string{
			"detected DISPATCHED_NOT_CAPTURED web-1 high 2700/2000 700 at 1h30m0s",
			"changed DISPATCHED_NOT_CAPTURED web-1 high 2700/2300 400 at 1h40m0s",
			"cleared DISPATCHED_NOT_CAPTURED web-1 at 1h50m0s: the ledgers agree again"}},
		{"each dispatch has its own half hour", append(without(happy(r), "left s1", "taken s1"), left(r, 60, "s1", false, 2), left(r, 80, "s2", true, 0, 1),
			taken(r, 89, "a", 2100), taken(r, 110, "b", 600), billed(r, 120, "i2", bill1("s2", 2, 1, 500)), takenBack(r, 121, "i1"), billed(r, 122, "i3", bill1("s1", 1, 2, 2000))), nil},
		{"a cent is accepted", append(without(happy(r), "taken s1"), taken(r, 60, "a", 2699)), []string{
			"accepted DISPATCHED_NOT_CAPTURED web-1 -1 at 1h30m0s"}},
		{"what opened shrinks to a cent", append(without(happy(r), "taken s1"), taken(r, 100, "a", 2699)), []string{
			"detected DISPATCHED_NOT_CAPTURED web-1 high 2700/0 2700 at 1h30m0s",
			"cleared DISPATCHED_NOT_CAPTURED web-1 at 1h40m0s: what is left lies within tolerance",
			"accepted DISPATCHED_NOT_CAPTURED web-1 -1 at 2h10m0s"}},
		{"too much is compared once the last has left", append(without(happy(r), "left s1", "taken s1", "invoice i1"), came(2, 2750), left(r, 60, "s1", false, 2), left(r, 600, "s2", true, 0, 1),
			billed(r, 601, "i1", bill1("s1", 1, 2, 2000), bill1("s2", 2, 1, 500)), back(700, 50)), []string{
			"detected SHIPPED_NOT_INVOICED s1/1 medium 2/0 2100 at 5h0m0s",
			"cleared SHIPPED_NOT_INVOICED s1/1 at 10h1m0s: the ledgers agree again",
			"detected CAPTURED_NOT_DISPATCHED web-1 high 2700/2750 50 at 10h30m0s",
			"cleared CAPTURED_NOT_DISPATCHED web-1 at 11h40m0s: the ledgers agree again"}},
		{"prepaid and waiting", append(allowed(r, 1), order(r, 0), came(2, 2700)), nil},
		{"cancelled and refunded in time", append(allowed(r, 1), order(r, 0), came(2, 2700), stop(100, []Units{{1, 2}, {2, 1}}, nil), back(130, 2700)), nil},
		{"cancelled and not refunded", append(allowed(r, 1), order(r, 0), came(2, 2700), stop(100, []Units{{1, 2}, {2, 1}}, nil)), []string{
			"detected CAPTURED_NOT_DISPATCHED web-1 high 0/2700 2700 at 2h10m0s"}},
		{"stopped, but a parcel could not be held", append(allowed(r, 1), order(r, 0), came(2, 2700), stop(100, []Units{{2, 1}}, []Units{{1, 2}}), back(101, 600),
			left(r, 900, "s1", false, 2), billed(r, 901, "i1", bill1("s1", 1, 2, 2000))), nil},
		{"an unreleased dispatch takes in its capture until it is released", append(happy(r)[3:4:4], left(r, 60, "s1", true, 2, 1),
			happen(r, "cleared", at(1), fraudCleared{}, bookCleared), happen(r, "reserved", at(1), reserved{[]Units{{1, 2}, {2, 1}}}, bookReserved),
			billed(r, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500)),
			happen(r, "held", at(200), authorised{}, bookAuthorised), taken(r, 231, "s1", 2700)), []string{
			"detected SHIPPED_NOT_RELEASED s1 high 0/2700 2700 at 1h15m0s",
			"cleared SHIPPED_NOT_RELEASED s1 at 3h20m0s: the ledgers agree again",
			"detected DISPATCHED_NOT_CAPTURED web-1 high 2700/0 2700 at 3h50m0s",
			"cleared DISPATCHED_NOT_CAPTURED web-1 at 3h51m0s: the ledgers agree again"}},
		{"never billed", without(happy(r), "invoice i1"), []string{
			"detected SHIPPED_NOT_INVOICED s1/1 medium 2/0 2100 at 5h0m0s",
			"detected SHIPPED_NOT_INVOICED s1/2 medium 1/0 600 at 5h0m0s",
			"changed SHIPPED_NOT_INVOICED s1/1 high 2/0 2100 at 25h0m0s",
			"changed SHIPPED_NOT_INVOICED s1/2 high 1/0 600 at 25h0m0s"}},
		{"billed twice, and credited", append(happy(r), billed(r, 180, "i2", bill1("s1", 1, 2, 2000)), unbilled(r, 240, "c1", "i2", bill1("s1", 1, 2, 2000))), []string{
			"detected DUPLICATE_INVOICE s1/1 critical 2/4 2100 at 3h0m0s",
			"cleared DUPLICATE_INVOICE s1/1 at 4h0m0s: the ledgers agree again"}},
		{"billed beyond what left", append(happy(r), billed(r, 180, "i2", bill1("s1", 1, 1, 1000))), []string{
			"detected DUPLICATE_INVOICE s1/1 critical 2/3 1050 at 3h0m0s"}},
		{"the same bill again before anything left", append(without(happy(r), "invoice i1"), billed(r, 50, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500)), billed(r, 50, "i2", bill1("s1", 1, 2, 2000))), []string{
			"detected DUPLICATE_INVOICE s1/1 critical 2/4 2100 at 50m0s"}},
		{"billed and never shipped", append(allowed(r, 1), order(r, 0), billed(r, 10, "i1", bill1("s1", 1, 2, 2000))), []string{
			"detected INVOICED_NOT_SHIPPED s1/1 high 0/2 2100 at 2h10m0s"}},
		{"three of two", append(without(happy(r), "left s1", "taken s1", "invoice i1"), left(r, 60, "s1", true, 3, 1), taken(r, 60, "a", 3750), billed(r, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500))), []string{
			"detected SHIPPED_NOT_ORDERED 1 high 2/3 1050 at 1h0m0s"}},
		{"left after it was cancelled", append(allowed(r, 1), order(r, 0), stop(30, []Units{{1, 2}, {2, 1}}, nil), left(r, 60, "s1", true, 2), taken(r, 60, "s1", 2100), billed(r, 61, "i1", bill1("s1", 1, 2, 2000))), []string{
			"detected SHIPPED_NOT_ORDERED 1 high 0/2 2100 at 1h0m0s"}},
		{"price a little off", append(without(happy(r), "invoice i1"), billed(r, 120, "i1", bill1("s1", 1, 2, 2030), bill1("s1", 2, 1, 500))), []string{
			"accepted PRICE_VARIANCE s1/1 30 at 2h0m0s"}},
		{"price off by more than its share", append(without(happy(r), "invoice i1"), billed(r, 120, "i1", bill1("s1", 1, 2, 2060), bill1("s1", 2, 1, 500))), []string{
			"detected PRICE_VARIANCE s1/1 medium 2000/2060 60 at 2h0m0s"}},
		{"price off by both", append(without(happy(r), "invoice i1"), billed(r, 120, "i1", bill1("s1", 1, 2, 2500), bill1("s1", 2, 1, 500))), []string{
			"detected PRICE_VARIANCE s1/1 high 2000/2500 500 at 2h0m0s"}},
		{"a document that nobody ordered, voided after it was told", []event{billed(r, 0, "x1", bill1("s9", 1, 1, 900)), billed(r, 1, "x2"), takenBack(r, 20, "x2"), takenBack(r, 60, "x1")}, []string{
			"detected UNKNOWN_REFERENCE x1 high 0/900 900 at 30m0s",
			"cleared UNKNOWN_REFERENCE x1 at 1h0m0s: the ledgers agree again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			f.play(c.events...)
			f.fire(late)
			if got := f.told(); !slices.Equal(got, c.want) {
				t.Errorf("told:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			if !f.timer.IsZero() {
				t.Errorf("a timer is left at %v", f.timer)
			}
		})
	}
}

// TestUnknownLedgers: what nobody publishes here is not read, and nothing is
// said that would need it; what remains is judged as ever.
func TestUnknownLedgers(t *testing.T) {
	all, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		unknown []string
		steps   int
		events  func(Rules) []event
		want    []string
	}{
		{"nothing", nil, 15, happy, nil},
		{"an invoice of an order that cannot be known", []string{"orders", "payments", "stock"}, 6, func(r Rules) []event {
			return []event{left(r, 60, "s1", true, 2, 1), billed(r, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500))}
		}, nil},
		{"one too many is billed, one too few", []string{"orders", "payments", "stock"}, 6, func(r Rules) []event {
			return []event{left(r, 60, "s1", true, 2, 1), billed(r, 120, "i1", bill1("s1", 1, 3, 3000))}
		}, []string{
			"detected DUPLICATE_INVOICE s1/1 critical 2/3 1050 at 2h0m0s",
			"detected SHIPPED_NOT_INVOICED s1/2 medium 1/0 600 at 5h0m0s",
			"changed SHIPPED_NOT_INVOICED s1/2 high 1/0 600 at 25h0m0s"}},
		{"never shipped", []string{"orders", "payments", "stock"}, 6, func(r Rules) []event {
			return []event{billed(r, 10, "i1", bill1("s1", 1, 2, 2000))}
		}, []string{"detected INVOICED_NOT_SHIPPED s1/1 high 0/2 2000 at 2h10m0s"}},
		{"without stock, what left and was not captured is no less missing", []string{"stock"}, 12, func(r Rules) []event {
			return without(happy(r), "taken s1", "cleared", "held", "reserved")
		}, []string{"detected DISPATCHED_NOT_CAPTURED web-1 high 2700/0 2700 at 1h30m0s"}},
		{"without payments, the order still says what was too much", []string{"payments"}, 10, func(r Rules) []event {
			return []event{order(r, 0), left(r, 60, "s1", true, 3, 1), billed(r, 120, "i1", bill1("s1", 1, 2, 2000), bill1("s1", 2, 1, 500))}
		}, []string{"detected SHIPPED_NOT_ORDERED 1 high 2/3 1050 at 1h0m0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if f.rules, err = all.Without(c.unknown...); err != nil {
				t.Fatal(err)
			}
			if steps := Service(f.rules).Sets[0].Handlers; len(steps) != c.steps {
				t.Errorf("%d steps, want %d", len(steps), c.steps)
			}
			f.play(c.events(f.rules)...)
			f.fire(late)
			if got := f.told(); !slices.Equal(got, c.want) {
				t.Errorf("told:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
	if _, err := all.Without("invoices"); err == nil || !strings.Contains(err.Error(), `"invoices" cannot be unknown`) {
		t.Errorf("invoices unknown: %v", err)
	}
}

// TestBoundary: a release exactly at the end of the grace meets it, whichever
// comes first, and one a millisecond later does not.
func TestBoundary(t *testing.T) {
	r, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	end := at(60).Add(15 * time.Minute)
	for _, c := range []struct {
		name   string
		held   time.Time
		opened int
	}{{"exactly", end, 0}, {"a millisecond late", end.Add(time.Millisecond), 1}} {
		held := happen(r, "held", c.held, authorised{}, bookAuthorised)
		dispatch := left(r, 60, "s1", true, 2, 1)
		rest := append(without(allowed(r, 1), "held"), order(r, 0))
		orders := map[string]func(*fixture){
			"as it happened":        func(f *fixture) { f.play(append(rest, dispatch, held)...) },
			"read before the timer": func(f *fixture) { f.deliver(append(rest, dispatch, held)...) },
			"release read first":    func(f *fixture) { f.deliver(append(rest, held, dispatch)...) },
		}
		for name, deliver := range orders {
			f := newFixture(t)
			deliver(f)
			f.fire(end.Add(time.Minute))
			var opened, cleared int
			for _, p := range f.facts {
				opened += strings.Count(describe(p), "detected SHIPPED_NOT_RELEASED")
				cleared += strings.Count(describe(p), "cleared SHIPPED_NOT_RELEASED")
			}
			if opened != c.opened || cleared != c.opened {
				t.Errorf("released %s, %s: opened %d times, cleared %d times: %v", c.name, name, opened, cleared, f.told())
			}
		}
	}
}

// TestEvidence: a mismatch shows the records that make it, and no more than a few.
func TestEvidence(t *testing.T) {
	f := newFixture(t)
	events := append(without(happy(f.rules), "taken s1"), order(f.rules, 0))
	for n := range int64(20) {
		events = append(events, taken(f.rules, 60, string(rune('a'+n)), 10))
	}
	f.play(events...)
	f.fire(late)
	m, ok := f.facts[0].Message.(*mismatchDetected)
	if !ok || len(m.Evidence) != maxEvidence || m.Evidence[0].Topic != "topic" || m.Evidence[0].EventID == "" {
		t.Errorf("%v: %+v", f.told(), f.facts)
	}
	if m.Rules != f.rules.Version || m.Number != 11 || m.Repair == "" || m.MismatchID != m.AggregateID || m.Delta != -2500 {
		t.Errorf("%+v", m)
	}
}

func TestNonsenseIsPoison(t *testing.T) {
	r, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []event{
		happen(r, "x", start, dispatched{Value: -1}, bookDispatched),
		happen(r, "x", start, reserved{[]Units{{1, -1}}}, bookReserved),
		happen(r, "x", start, refunded{Amount: -5}, bookRefunded),
		billed(r, 0, "x", billedLine{Quantity: maxUnits + 1}),
	} {
		if err := e.step(new(Book), &topology.Turn{Now: start}); !topology.Poisoned(err) {
			t.Errorf("%v", err)
		}
	}
}

// TestFitsTheEstate: every event that is read or published is in the estate
// under one key, and has the fields that are read of it.
func TestFitsTheEstate(t *testing.T) {
	r, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	s := Service(r)
	if err := topology.Validate(estate, []topology.Service{s}); err != nil {
		t.Error(err)
	}
	wire := schemas.NewWire(catalogue, nil)
	for _, h := range s.Sets[0].Handlers {
		if h.Trigger != topology.OnFact {
			continue
		}
		if _, err := h.Bind(wire); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
	f := newFixture(t)
	for _, kind := range []kind{detected, changed, cleared, tolerated} {
		n := note{Mismatch: Mismatch{Code: shippedNotReleased, Subject: "s1"}, kind: kind, at: start, evidence: []Fact{{EventID: "e"}}}
		f.turn(start, "x", func(_ *Book, t *topology.Turn) error { r.publish(n, "EUR", t); return nil })
	}
	for _, p := range f.facts {
		if _, err := catalogue.Type(p.Type).Latest().Schema.AppendEncode(nil, p.Message); err != nil {
			t.Errorf("%s: %v", p.Type, err)
		}
	}
}

func TestRulesRefuse(t *testing.T) {
	text := string(defaultRules)
	for _, c := range []struct{ name, text, want string }{
		{"a code is missing", strings.Replace(text, "  SHIPPED_NOT_RELEASED:", "  SHIPPED_NOT_PAID:", 1), "no rule judges SHIPPED_NOT_RELEASED"},
		{"a code is unknown", strings.Replace(text, "  SHIPPED_NOT_RELEASED:", "  SHIPPED_NOT_PAID:", 1), "no difference is called SHIPPED_NOT_PAID"},
		{"no severity", strings.Replace(text, "severity: critical", "severity: terrible", 1), `"terrible"`},
		{"stages go back", strings.Replace(text, "after: 24h", "after: 3h", 1), "stage 2 is not after"},
		{"no stage", strings.Replace(text, "stages: [{after: 15m, severity: high}]", "stages: []", 1), "never open"},
		{"below nothing", strings.Replace(text, "{minor: 1}", "{minor: -1}", 1), "below nothing"},
		{"unknown field", strings.Replace(text, "repair: refund", "repairs: refund", 1), "repairs"},
		{"no version", strings.Replace(text, "version: 1", "version: 0", 1), "version 0"},
	} {
		if _, err := ReadRules([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
