package notification

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/topology"
)

// monday is when everything happens.
func monday() time.Time { return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC) }

func turn(fact string) *topology.Turn {
	return &topology.Turn{
		Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{ID: fact, Tenant: "acme", Order: "web-1"}},
		Now:   monday(),
	}
}

func order() placed      { return placed{ChannelOrder: "1", CustomerID: "c"} }
func parcel() dispatched { return dispatched{ShipmentID: "s1", Carrier: "DHL", TrackingNumber: "42"} }

// asks are the mails that a turn asked for, as template and fact.
func asks(t *topology.Turn) string {
	var out []string
	for _, i := range t.Outputs().Intents {
		out = append(out, i.Request.(sendRequest).Template+" "+i.Discriminator)
	}
	return strings.Join(out, ", ")
}

func TestWhatIsWritten(t *testing.T) {
	var c Correspondence
	for _, s := range []struct {
		name, want string
		step       func(*topology.Turn) error
		fact       string
	}{
		{"placed", "order-placed f1", func(tn *topology.Turn) error { return onPlaced(&c, order(), tn) }, "f1"},
		{"a parcel", "shipment-dispatched f2", func(tn *topology.Turn) error { return onDispatched(&c, parcel(), tn) }, "f2"},
		{"another parcel", "shipment-dispatched f3", func(tn *topology.Turn) error { return onDispatched(&c, dispatched{ShipmentID: "s2"}, tn) }, "f3"},
		{"cancelled", "order-cancelled f4", func(tn *topology.Turn) error { return onCancelled(&c, cancelled{}, tn) }, "f4"},
	} {
		tn := turn(s.fact)
		if err := s.step(tn); err != nil || asks(tn) != s.want {
			t.Errorf("%s: %v, asks for %q, want %q", s.name, err, asks(tn), s.want)
		}
		again := turn(s.fact)
		if err := s.step(again); !topology.Dropped(err) || asks(again) != "" {
			t.Errorf("%s, again: %v, asks for %q", s.name, err, asks(again))
		}
	}
}

func TestAMailWaitsForItsCustomer(t *testing.T) {
	var c Correspondence
	tn := turn("f2")
	if err := onDispatched(&c, parcel(), tn); err != nil || asks(tn) != "" {
		t.Fatalf("%v, asks for %q before anyone knows of whom", err, asks(tn))
	}
	tn = turn("f1")
	if err := onPlaced(&c, order(), tn); err != nil || asks(tn) != "order-placed f1, shipment-dispatched f2" {
		t.Fatalf("%v, asks for %q", err, asks(tn))
	}
	want := sendRequest{
		Template: "shipment-dispatched", FactID: "f2", CustomerID: "c", OrderNumber: "1", ShipmentID: "s1", Carrier: "DHL", TrackingNumber: "42",
	}
	if got := tn.Outputs().Intents[1].Request.(sendRequest); got != want {
		t.Errorf("asks for %+v", got)
	}
}

func TestAnswers(t *testing.T) {
	for status, want := range map[string]string{
		sent: "NotificationSent", suppressed: "NotificationSuppressed", failed: "NotificationFailed", unknown: "NotificationUnknown",
	} {
		var c Correspondence
		if err := onPlaced(&c, order(), turn("f1")); err != nil {
			t.Fatal(err)
		}
		a := mailAnswered{Template: orderPlacedMail, FactID: "f1", CustomerID: "c", MessageID: "<f1@x>", Status: status}
		tn := turn("a1")
		if err := onAnswered(&c, a, tn); err != nil {
			t.Fatalf("%s: %v", status, err)
		}
		facts := tn.Outputs().Facts
		if len(facts) != 1 || facts[0].Type != want || !slices.Equal(facts[0].Discriminator, []string{"f1"}) {
			t.Errorf("%s: publishes %+v, want %s", status, facts, want)
		}
		if c.Mails[0].State != status {
			t.Errorf("the mail is %s, want %s", c.Mails[0].State, status)
		}
		if err := onAnswered(&c, a, turn("a2")); !topology.Dropped(err) {
			t.Errorf("%s, answered twice: %v", status, err)
		}
	}
	var c Correspondence
	if err := onAnswered(&c, mailAnswered{FactID: "f1", Status: sent}, turn("a")); !topology.Poisoned(err) {
		t.Errorf("an answer to a mail that nobody asked for: %v", err)
	}
	if err := onAnswered(&c, mailAnswered{FactID: "f1", Status: "LOST"}, turn("a")); !topology.Poisoned(err) {
		t.Errorf("an unknown status: %v", err)
	}
}

// TestOrderDoesNotMatter: whatever the order of the facts, whatever comes twice,
// and whenever the answers come in, the row ends the same, and each fact has one
// intent and one end.
func TestOrderDoesNotMatter(t *testing.T) {
	type input struct {
		fact string
		step func(*Correspondence, *topology.Turn) error
	}
	facts := []input{{"placed", func(c *Correspondence, tn *topology.Turn) error { return onPlaced(c, order(), tn) }}}
	for i := range 3 {
		e := dispatched{ShipmentID: fmt.Sprint("s", i), Carrier: "DHL", TrackingNumber: fmt.Sprint(i)}
		facts = append(facts, input{e.ShipmentID, func(c *Correspondence, tn *topology.Turn) error { return onDispatched(c, e, tn) }})
	}
	facts = append(facts, input{"cancelled", func(c *Correspondence, tn *topology.Turn) error { return onCancelled(c, cancelled{}, tn) }})

	// play hands in what next chooses of what is due, answers what is asked for,
	// and returns the row, the intents and the facts published.
	play := func(t interface{ Fatalf(string, ...any) }, due []input, next func(n int) int) (Correspondence, []string, []string) {
		var c Correspondence
		var intents, published []string
		for len(due) > 0 {
			i := next(len(due))
			in := due[i]
			due = slices.Delete(slices.Clone(due), i, i+1)
			tn := turn(in.fact)
			if err := in.step(&c, tn); err != nil {
				if !topology.Dropped(err) {
					t.Fatalf("%s: %v", in.fact, err)
				}
				continue
			}
			for _, f := range tn.Outputs().Facts {
				published = append(published, f.Type+" "+f.Discriminator[0])
			}
			for _, intent := range tn.Outputs().Intents {
				r := intent.Request.(sendRequest)
				intents = append(intents, fmt.Sprintf("%s %+v", intent.Discriminator, r))
				answer := input{"answer " + r.FactID, func(c *Correspondence, tn *topology.Turn) error {
					return onAnswered(c, mailAnswered{Template: r.Template, FactID: r.FactID, CustomerID: r.CustomerID, Status: sent}, tn)
				}}
				due = append(due, answer, answer)
			}
		}
		slices.Sort(intents)
		slices.Sort(published)
		return c, intents, published
	}
	row, intents, published := play(t, facts, func(int) int { return 0 })
	if len(intents) != len(facts) || len(published) != len(facts) {
		t.Fatalf("%d facts make %d intents and %d ends", len(facts), len(intents), len(published))
	}
	rapid.Check(t, func(rt *rapid.T) {
		due := slices.Clone(facts)
		for range rapid.IntRange(0, 5).Draw(rt, "repeats") {
			due = append(due, rapid.SampledFrom(facts).Draw(rt, "repeat"))
		}
		c, i, p := play(rt, due, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "next") })
		if !reflect.DeepEqual(c, row) {
			rt.Errorf("the row is\n%+v, want\n%+v", c, row)
		}
		if !slices.Equal(i, intents) {
			rt.Errorf("the intents are\n%v, want\n%v", i, intents)
		}
		if !slices.Equal(p, published) {
			rt.Errorf("published\n%v, want\n%v", p, published)
		}
	})
}

func TestDirectory(t *testing.T) {
	d := NewDirectory()
	h := d.view().Handlers[0]
	if _, ok := d.find("acme", "c"); ok {
		t.Error("an empty directory knows somebody")
	}
	h.Apply(&recorded{Name: "Ann", Email: "a@example.invalid"}, topology.Cause{Key: "acme/c"})
	if p, ok := d.find("acme", "c"); !ok || p.name != "Ann" || p.email != "a@example.invalid" {
		t.Errorf("finds %+v, %v", p, ok)
	}
	if _, ok := d.find("other", "c"); ok {
		t.Error("a customer of another tenant was found")
	}
	h.Erase("acme/c")
	if p, ok := d.find("acme", "c"); !ok || p != (person{erased: true}) {
		t.Errorf("of an erased person there is left %+v, %v", p, ok)
	}
}

type noMailer struct{}

func (noMailer) Send(context.Context, topology.Call, sendRequest) (mailAnswered, error) {
	return mailAnswered{}, nil
}

// TestFitsTheEstate: the context reads and writes what the estate and the
// schemas know, and its row and its intent can be coded.
func TestFitsTheEstate(t *testing.T) {
	s := Service(noMailer{}, NewDirectory())
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.Validate(estate, []topology.Service{s}); err != nil {
		t.Error(err)
	}
	if _, err := s.Sets[0].Row.Bind(); err != nil {
		t.Error(err)
	}
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Check: schemas.CompatText})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	w := wire(t, b.Registry)
	for _, v := range s.Views[0].Handlers {
		if _, err := v.Bind(w); err != nil {
			t.Errorf("%s: %v", v.Event, err)
		}
	}
	for _, h := range s.Sets[0].Handlers {
		if _, err := h.Bind(w); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
		if h.Effect == nil {
			continue
		}
		if _, err := h.Effect.Bind(); err != nil {
			t.Errorf("%s: %v", h.Effect.Name, err)
		}
	}
	for _, m := range []schemas.Message{
		&notificationSent{}, &notificationSuppressed{}, &notificationFailed{}, &notificationUnknown{}, &mailAnswered{},
	} {
		m.Head().Type = topology.NameOf(m)
		if err := w.Prepare(t.Context(), "t", m.Head().Type); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Encode("t", m); err != nil {
			t.Error(err)
		}
	}
}

func wire(t *testing.T, url string) *schemas.Wire {
	t.Helper()
	c, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := schemas.NewRegistry(url)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.NewWire(c, r)
}
