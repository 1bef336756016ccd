package ordercapture

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

func turn() *topology.Turn {
	return &topology.Turn{Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}, Now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
}

func good() place {
	return place{
		Channel: "web", ChannelOrder: "1", CustomerID: "c", Currency: "EUR", RequestHash: "h",
		Lines: []orderLine{{Line: 1, SKU: "s", Quantity: 2, UnitNet: 100}}, Tenders: []tender{{1, "voucher", 0}, {2, "credit_card", 200}},
	}
}

func facts(t *topology.Turn) string {
	var names []string
	for _, f := range t.Outputs().Facts {
		names = append(names, f.Type)
	}
	return strings.Join(names, " ")
}

func TestPlacing(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(*place)
	}{
		{"good", "OrderPlaced", func(*place) {}},
		{"no lines", NoLines, func(p *place) { p.Lines = nil }},
		{"no tenders", NoTenders, func(p *place) { p.Tenders = nil }},
		{"no quantity", BadQuantity, func(p *place) { p.Lines[0].Quantity = 0 }},
		{"negative", BadAmount, func(p *place) { p.Lines[0].UnitNet = -1 }},
		{"discount above value", BadAmount, func(p *place) { p.Lines[0].Discount = 201 }},
		{"currency", UnknownCurrency, func(p *place) { p.Currency = "€" }},
		{"line twice", LineTwice, func(p *place) { p.Lines = append(p.Lines, p.Lines[0]) }},
		{"tender twice", TenderTwice, func(p *place) { p.Tenders[1].Sequence = 1 }},
	} {
		e := good()
		c.spoil(&e)
		var o Order
		tn := turn()
		if err := onPlace(&o, e, tn); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := facts(tn)
		if r, ok := tn.Outputs().Facts[0].Message.(*orderRejected); ok {
			got = r.Reason
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOneNumberIsOneOrder(t *testing.T) {
	var o Order
	if err := onPlace(&o, good(), turn()); err != nil {
		t.Fatal(err)
	}
	if err := onPlace(&o, good(), turn()); !topology.Dropped(err) {
		t.Errorf("a repeat: %v", err)
	}
	other := good()
	other.RequestHash = "other"
	if err := onPlace(&o, other, turn()); !topology.Poisoned(err) {
		t.Errorf("another order under the same number: %v", err)
	}
	bad := good()
	bad.Lines = nil
	var refused Order
	if err := onPlace(&refused, bad, turn()); err != nil {
		t.Fatal(err)
	}
	if err := onPlace(&refused, good(), turn()); !topology.Dropped(err) || refused.Status != Rejected {
		t.Errorf("a rejected order came back: %v, %s", err, refused.Status)
	}
}

func TestCancelling(t *testing.T) {
	var o Order
	if err := onCancel(&o, cancel{"channel", "quick"}, turn()); err != nil {
		t.Fatal(err)
	}
	quick := turn()
	if err := onPlace(&o, good(), quick); err != nil || facts(quick) != "OrderPlaced CancellationRequested" {
		t.Errorf("a cancellation before its order: %v, %s", err, facts(quick))
	}
	o = Order{}
	if err := onEarly(&Order{Early: &Early{}}, turn()); err == nil {
		t.Error("a cancellation of nothing ended in silence")
	}
	if err := onPlace(&o, good(), turn()); err != nil {
		t.Fatal(err)
	}
	tn := turn()
	if err := onCancel(&o, cancel{"customer", "late"}, tn); err != nil || facts(tn) != "CancellationRequested" {
		t.Errorf("%v, %s", err, facts(tn))
	}
	if err := onCancel(&o, cancel{"customer", "late"}, turn()); !topology.Dropped(err) {
		t.Errorf("asked twice: %v", err)
	}
	if err := onDecided(&o, decided{Accepted: false}, turn()); !topology.Dropped(err) || o.Status != Placed {
		t.Errorf("a refusal cancelled the order: %v", err)
	}
	tn = turn()
	yes := decided{Accepted: true, Lines: []struct {
		Line      int32 `avro:"line"`
		Cancelled int32 `avro:"cancelled"`
	}{{1, 2}, {2, 0}}}
	if err := onDecided(&o, yes, tn); err != nil || facts(tn) != "OrderCancelled" {
		t.Fatalf("%v, %s", err, facts(tn))
	}
	if got := tn.Outputs().Facts[0].Message.(*orderCancelled).Lines; len(got) != 1 || got[0] != (cancelledLine{1, 2}) {
		t.Errorf("lines %v", got)
	}
	tn = turn()
	if err := onFlowClosed(&o, flowClosed{"CANCELLED"}, tn); err != nil || facts(tn) != "OrderClosed" {
		t.Errorf("%v, %s", err, facts(tn))
	}
	if err := onFlowClosed(&o, flowClosed{"CANCELLED"}, turn()); !topology.Dropped(err) {
		t.Errorf("closed twice: %v", err)
	}
}

const body = `{"tenant":"acme","channel":"web","channelOrder":"1","customer":{"customerId":"c","name":"Ann","email":"a@example.invalid"},
"currency":"EUR","lines":[{"line":1,"sku":"s","quantity":1,"unitNet":100}],"tenders":[{"sequence":1,"kind":"card","amount":100}],
"promisedBy":"2026-01-08T00:00:00Z","placedAt":"2026-01-05T09:00:00Z"}`

func TestIntake(t *testing.T) {
	call := func(body string) (int, []topology.Request) {
		var sent []topology.Request
		rec := httptest.NewRecorder()
		ordersIntake().Handle(rec, httptest.NewRequest("POST", "/orders", strings.NewReader(body)), func(_ context.Context, rs ...topology.Request) error {
			sent = append(sent, rs...)
			return nil
		})
		return rec.Code, sent
	}
	code, first := call(body)
	if code != 202 || len(first) != 2 {
		t.Fatalf("%d, %d messages", code, len(first))
	}
	_, again := call(body)
	if first[1].Message.Head().ID != again[1].Message.Head().ID {
		t.Error("a repeat has another ID")
	}
	_, other := call(strings.Replace(body, `"quantity":1`, `"quantity":2`, 1))
	if first[1].Message.Head().ID == other[1].Message.Head().ID {
		t.Error("another order has the same ID")
	}
	if strings.Contains(first[1].Message.(*placeOrder).RequestHash+first[1].Key, "Ann") {
		t.Error("the request carries personal data")
	}
	for _, bad := range []string{`{`, `{"tenant":"acme"}`} {
		if code, sent := call(bad); code < 400 || len(sent) > 0 {
			t.Errorf("%s: %d, %d messages", bad, code, len(sent))
		}
	}
}

// TestCancellationOfAClosedOrderIsCarriedOn: the customer is told no by the
// process manager, not left without an answer.
func TestCancellationOfAClosedOrderIsCarriedOn(t *testing.T) {
	o := Order{Status: Closed}
	turn := &topology.Turn{Cause: topology.Cause{Key: "acme/web-1"}}
	if err := onCancel(&o, cancel{"customer", "late"}, turn); err != nil || facts(turn) != "CancellationRequested" {
		t.Errorf("%v, %s", err, facts(turn))
	}
}
