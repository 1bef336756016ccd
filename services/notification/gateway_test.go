package notification

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"troupe/schemas"
	"troupe/topology"
)

func gateway(t *testing.T, addr string) *Gateway {
	t.Helper()
	d := NewDirectory()
	d.record(recorded{Name: "Änne \"A\" Meier", Email: "anne@example.invalid"}, topology.Cause{Key: "acme/c"})
	g, err := NewGateway(Config{Addr: addr, From: "Shop <orders@shop.example>", Timeout: 3 * time.Second}, d)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func first() topology.Call {
	return topology.Call{ID: "i1", Attempt: 1, Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}, Key: "acme/web-1", Now: monday()}
}

// after is the attempt that the runtime makes when c has failed.
func after(c topology.Call) topology.Call {
	c.Attempt, c.Again = c.Attempt+1, true
	return c
}

func request() sendRequest {
	return sendRequest{
		Template: shipmentDispatchedMail, FactID: "f1", CustomerID: "c", OrderNumber: "1", ShipmentID: "s1", Carrier: "DHL", TrackingNumber: "42",
	}
}

func TestSent(t *testing.T) {
	var s server
	g := gateway(t, s.start(t))
	a, err := g.Send(context.Background(), first(), request())
	if err != nil {
		t.Fatal(err)
	}
	want := mailAnswered{Template: shipmentDispatchedMail, FactID: "f1", CustomerID: "c", MessageID: "<f1@shop.example>", Status: sent}
	if a != want {
		t.Errorf("answers %+v, want %+v", a, want)
	}
	mails := s.taken()
	if len(mails) != 1 {
		t.Fatalf("the server took %d mails", len(mails))
	}
	m, err := mail.ReadMessage(strings.NewReader(mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || to[0].Address != "anne@example.invalid" || to[0].Name != `Änne "A" Meier` {
		t.Errorf("to %v, %v", to, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<f1@shop.example>", "Subject": "Your order 1 is on its way", "Auto-Submitted": "auto-generated",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if at, err := m.Header.Date(); err != nil || !at.Equal(monday()) {
		t.Errorf("dated %v, %v", at, err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil || !strings.Contains(string(body), "Tracking number: 42") {
		t.Errorf("body %s, %v", body, err)
	}

	// Its answer did not reach the inbox, and the runtime asks again.
	again, err := g.Send(context.Background(), after(first()), request())
	if err != nil || again != want || len(s.taken()) != 1 {
		t.Errorf("asked again: %+v, %v; %d mails", again, err, len(s.taken()))
	}
}

func TestEnds(t *testing.T) {
	no := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no anne@example.invalid here"}
	later := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted anne@example.invalid"}
	for _, c := range []struct {
		name, status, reason string // status "" for an error
		server               *server
	}{
		{"recipient refused", failed, "the mail server refused the recipient: 550 5.1.1", &server{recipient: no}},
		{"sender refused", failed, "the mail server refused the sender: 550 5.1.1", &server{sender: no}},
		{"mail refused", failed, "the mail server refused the mail: 550 5.1.1", &server{data: no}},
		{"recipient refused for now", "", "the mail server refused the recipient for now: 451 4.7.1", &server{recipient: later}},
		{"mail refused for now", "", "the mail server refused the mail for now: 451 4.7.1", &server{data: later}},
		{"lost after DATA", unknown, "the connection was lost before the server said whether it took the mail", &server{cut: "DATA"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gateway(t, c.server.start(t))
			a, err := g.Send(context.Background(), first(), request())
			got := a.Reason
			if err != nil {
				got = err.Error()
			}
			if a.Status != c.status || (err == nil) != (c.status != "") || got != c.reason {
				t.Errorf("%q %q, %v; want %q %q", a.Status, a.Reason, err, c.status, c.reason)
			}
			if strings.Contains(got, "anne") {
				t.Errorf("says who the customer is: %s", got)
			}
		})
	}
}

// TestTriedAgain: what certainly did not get out is sent later, and if it never
// does, it fails in words.
func TestTriedAgain(t *testing.T) {
	s := server{recipient: &smtp.SMTPError{Code: 451, Message: "later"}}
	g := gateway(t, s.start(t))
	call := first()
	if _, err := g.Send(context.Background(), call, request()); err == nil {
		t.Fatal("a refusal for now is no answer")
	}
	call = after(call)
	s.recipient = nil // the connection of the attempt before is closed
	a, err := g.Send(context.Background(), call, request())
	if err != nil || a.Status != sent || len(s.taken()) != 1 {
		t.Errorf("%+v, %v; %d mails", a, err, len(s.taken()))
	}

	g = gateway(t, (&server{cut: "RCPT"}).start(t))
	if a, err = g.Send(context.Background(), first(), request()); err == nil {
		t.Errorf("a connection lost before the mail is an answer: %+v", a)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	g = gateway(t, nobody)
	call = first()
	if _, err := g.Send(context.Background(), call, request()); err == nil {
		t.Fatal("a server that is not there took a mail")
	}
	call = after(call)
	call.Last = true
	a, err = g.Send(context.Background(), call, request())
	if err != nil || a.Status != failed || !strings.HasPrefix(a.Reason, "given up: connect to the mail server: ") {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestNotSentTwice: an attempt of which this process knows nothing may have
// reached the server.
func TestNotSentTwice(t *testing.T) {
	var s server
	addr := s.start(t)
	restarted := first()
	restarted.Again = true
	a, err := gateway(t, addr).Send(context.Background(), restarted, request())
	if err != nil || a.Status != unknown {
		t.Errorf("after a restart: %+v, %v", a, err)
	}
	// An attempt that failed here before the intent was in other hands proves
	// nothing about what those did.
	g := gateway(t, addr)
	g.attempts.note(first(), nil)
	a, err = g.Send(context.Background(), restarted, request())
	if err != nil || a.Status != unknown {
		t.Errorf("back from elsewhere: %+v, %v", a, err)
	}
	if s.called() > 0 {
		t.Errorf("the server was called %d times", s.called())
	}
}

func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if c, err := l.Accept(); err == nil {
			cancel()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	g := gateway(t, l.Addr().String())
	started := time.Now()
	if _, err := g.Send(ctx, first(), request()); err == nil {
		t.Error("a server that says nothing took a mail")
	}
	if d := time.Since(started); d > 2*time.Second {
		t.Errorf("a worker that stops waits %v for it", d)
	}
}

func TestPeople(t *testing.T) {
	var s server
	g := gateway(t, s.start(t))
	r := request()
	r.CustomerID = "new"
	if _, err := g.Send(context.Background(), first(), r); err == nil {
		t.Error("a mail to nobody")
	}
	last := after(first())
	last.Last = true
	a, err := g.Send(context.Background(), last, r)
	if err != nil || a.Status != failed || a.Reason != "given up: nobody is recorded under the customer's ID" {
		t.Errorf("%+v, %v", a, err)
	}

	g.directory.record(recorded{Email: "no address"}, topology.Cause{Key: "acme/c"})
	call := first()
	call.ID = "i2"
	if a, err = g.Send(context.Background(), call, request()); err != nil || a.Status != failed || strings.Contains(a.Reason, "no address") {
		t.Errorf("%+v, %v", a, err)
	}
	g.directory.erase("acme/c")
	call.ID = "i3"
	if a, err = g.Send(context.Background(), call, request()); err != nil || a.Status != suppressed || a.Reason != "erased" {
		t.Errorf("%+v, %v", a, err)
	}
	if s.called() > 0 {
		t.Errorf("the server was called %d times", s.called())
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	a := newAttempts()
	for i := range 2*rememberedAttempts + 1 {
		a.note(topology.Call{ID: fmt.Sprint(i), Attempt: 1}, nil)
	}
	if len(a.byCall) != rememberedAttempts || len(a.ring) != rememberedAttempts {
		t.Errorf("remembers %d of %d", len(a.byCall), len(a.ring))
	}
	if _, known := a.before(topology.Call{ID: fmt.Sprint(2 * rememberedAttempts), Attempt: 2}); !known {
		t.Error("the latest is forgotten")
	}
	if _, known := a.before(topology.Call{ID: "0", Attempt: 2}); known {
		t.Error("the oldest is remembered")
	}
}
