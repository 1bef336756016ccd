package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"troupe/services"
	"troupe/services/edge"
	"troupe/testenv/inproc"
	"troupe/testenv/world"
	"troupe/topology"
)

// Dials turn a seed's mishaps; shares are of 1. A seed draws them too, so that
// some runs are quiet but for one thing and others have some of all.
type Dials struct {
	Crash      float64 // before each step of a transaction or effect
	LongOutage float64 // of a crash: hours rather than seconds
	Together   float64 // of a crash: the machine, with all services
	Unknown    float64 // of a commit or a send: its answer is lost, before or after
	Refused    float64 // of a call to a partner: it does not arrive
	Unanswered float64 // of a call to a partner: it arrives, and the answer is lost
	Resent     float64 // of a partner's message: it comes again later
	Failed     float64 // of a capture: the provider says that it cannot be
	Astray     float64 // of a parcel: it is not delivered but lost, returned or not taken in
	Skew       time.Duration

	Orders  int
	Scarce  bool // goods are short, and come later or not at all
	Traffic world.Dials
}

// drawn are a seed's dials.
func drawn(rnd *rand.Rand) Dials {
	pick := func(shares ...float64) float64 { return shares[rnd.IntN(len(shares))] }
	d := Dials{
		Crash: pick(0, 0.01, 0.05), LongOutage: pick(0, 0.05, 0.3), Together: pick(0, 0.1), Unknown: pick(0, 0.02, 0.1), Refused: pick(0, 0.1, 0.4),
		Unanswered: pick(0, 0.05, 0.2), Resent: pick(0, 0.1, 0.3), Failed: pick(0, 0, 0.3), Astray: pick(0, 0, 0.2), Orders: 3 + rnd.IntN(5), Scarce: rnd.IntN(2) == 0,
	}
	if rnd.IntN(2) == 0 {
		d.Skew = time.Duration(1+rnd.Int64N(20)) * time.Second
	}
	d.Traffic = world.Dials{
		Begin: begin, PerHour: pick(0.5, 6, 60), Nodes: 1 + rnd.IntN(3), SKUs: 2 + rnd.IntN(4), Customers: 3,
		Boleto: pick(0.1, 0.5), Decline: pick(0, 0.2), Hold: pick(0, 0.3), Cancel: pick(0, 0.2, 0.8), NeverLeaves: pick(0, 0.2), Regardless: pick(0, 0.2),
		NeverBilled: pick(0, 0.2), BilledTwice: pick(0, 0.2), Overbilled: pick(0, 0.2),
		Lost: pick(0, 0, 0.05), Repeated: pick(0, 0.3), Late: pick(0, 0.3), Delay: time.Duration(1+rnd.Int64N(6)) * time.Hour,
	}
	return d
}

// shop is a few orders of invented traffic, and what the nodes own.
type shop struct {
	*world.Invented
	left  int
	stock []world.Level
}

func newShop(d Dials, seed uint64, rnd *rand.Rand) (*shop, error) {
	d.Traffic.Seed = seed
	invented, err := world.Invent(d.Traffic)
	if err != nil {
		return nil, err
	}
	s := &shop{Invented: invented, left: d.Orders, stock: invented.Stock()}
	for i := range s.stock {
		s.stock[i].Quantity = 100
		if d.Scarce {
			s.stock[i].Quantity = rnd.Int32N(6)
		}
	}
	return s, nil
}

func (s *shop) Stock() []world.Level { return s.stock }

func (s *shop) Next() (*world.Order, bool) {
	if s.left == 0 {
		return nil, false
	}
	s.left--
	return s.Invented.Next()
}

// deliverStock lets lorries bring what was short, to some nodes.
func (s *Sim) deliverStock(from *shop) {
	if !s.dials.Scarce {
		return
	}
	for i, l := range from.stock {
		if s.happens(0.4) {
			continue
		}
		at := begin.Add(time.Duration(1+s.rnd.Int64N(72)) * time.Hour)
		s.at(at, func() {
			body := fmt.Sprintf(`{"id":"lorry/%d","tenant":%q,"mode":"ADD","reason":"delivery","at":%q,"levels":[{"sku":%q,"node":%q,"quantity":10}]}`,
				i, from.Tenant(), at.Format(time.RFC3339), l.SKU, l.Node)
			req, err := http.NewRequest(http.MethodPost, "http://inventory/stock/events", strings.NewReader(body))
			sound(err)
			answer, err := s.net.RoundTrip(req)
			sound(err)
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusAccepted {
				sound(fmt.Errorf("a delivery was answered %s", answer.Status))
			}
		})
	}
}

// calendar is the time that world and estate share.
type calendar struct{ sim *Sim }

func (c calendar) Now() time.Time { return c.sim.now }

// At runs what a partner does, a little after its time: what two of them do in
// the same minute comes in any order.
func (c calendar) At(t time.Time, id string, do func(context.Context) error) {
	if t.Before(c.sim.now) {
		t = c.sim.now
	}
	c.sim.at(t.Add(c.sim.latency()), func() {
		c.sim.say("world", id)
		if err := do(context.Background()); err != nil {
			c.sim.judge.refused(id, err)
		}
	})
}

func (s *Sim) log() *slog.Logger { return slog.New(slog.DiscardHandler) }

// network is the way between estate and partners. On it calls are lost, and
// partners' messages come twice.
type network struct {
	*inproc.Net
	sim    *Sim
	edge   http.Handler
	astray map[string]string // what became of a parcel, by the carrier's key
	failed map[string]bool   // captures that cannot be, by our key
}

var partners = []string{"provider", "scoring", "warehouse", "erp"}

var (
	errRefused    = errors.New("connection refused")
	errUnanswered = errors.New("the connection was lost before the answer")
)

// RoundTrip carries a call.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if !slices.Contains(partners, r.URL.Host) {
		return n.deliver(r)
	}
	if n.sim.happens(n.sim.dials.Refused) {
		return nil, errRefused
	}
	answer, err := n.ask(r)
	if err != nil {
		return nil, err
	}
	if n.sim.happens(n.sim.dials.Unanswered) {
		return nil, errUnanswered
	}
	return answer, nil
}

// ask lets a partner answer; the provider refuses some captures, whenever he is asked.
func (n *network) ask(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/captures" {
		key := r.Header.Get("Idempotency-Key")
		no, known := n.failed[key]
		if !known {
			no = n.sim.happens(n.sim.dials.Failed)
			n.failed[key] = no
		}
		if no {
			answer := httptest.NewRecorder()
			_, _ = answer.WriteString(`{"status":"FAILED","reason":"the issuer says no"}`) // it takes everything
			return answer.Result(), r.Body.Close()
		}
	}
	answer, err := n.Net.RoundTrip(r)
	if err == nil {
		n.sim.judge.asked(r, answer)
	}
	return answer, err
}

// deliver brings a message to the estate, and perhaps again later: its sender has
// not seen the answer.
func (n *network) deliver(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.URL.Path == "/carrier/events" {
		body = n.fate(r.Header.Get("Idempotency-Key"), body)
	}
	if n.sim.happens(n.sim.dials.Resent) && r.Method == http.MethodPost && r.URL.Host != "ordercapture" {
		again := r.Clone(context.Background())
		n.sim.after(time.Duration(n.sim.rnd.Int64N(int64(6*time.Hour))), func() {
			n.sim.say("world", "sends again", again.Header.Get("Idempotency-Key"))
			again.Body = io.NopCloser(bytes.NewReader(body))
			answer, err := n.Net.RoundTrip(again)
			sound(err)
			sound(answer.Body.Close())
		})
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return n.Net.RoundTrip(r)
}

// fate is the carrier's message of a delivery, as it is for a parcel that went
// astray: the same one however often it is sent.
func (n *network) fate(key string, body []byte) []byte {
	const delivered = "DELIVERED"
	fate, known := n.astray[key]
	if !known {
		fate = delivered
		if n.sim.happens(n.sim.dials.Astray) {
			fate = []string{"LOST", "RETURNED", "ATTEMPTED"}[n.sim.rnd.IntN(3)]
		}
		n.astray[key] = fate
	}
	return bytes.Replace(body, []byte(`"kind":"`+delivered+`"`), []byte(`"kind":"`+fate+`"`), 1)
}

// openDoors serves the intakes and the edge. An intake is stateless: others of
// its kind answer while one is down.
func (n *network) openDoors(contexts services.Contexts) error {
	for _, svc := range n.sim.services {
		if len(svc.plan.Intakes) == 0 {
			continue
		}
		if _, _, err := n.Serve(svc.plan.Name, n.intakes(svc.plan.Service)); err != nil {
			return err
		}
	}
	if _, _, err := n.Serve("tracking", contexts.Tracking.Handler()); err != nil {
		return err
	}
	if err := n.startEdge(); err != nil {
		return err
	}
	_, _, err := n.Serve("edge", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.sim.happens(n.sim.dials.Crash) {
			sound(n.startEdge())
		}
		n.edge.ServeHTTP(w, r)
	}))
	return err
}

// startEdge makes an edge that remembers no key.
func (n *network) startEdge() (err error) {
	n.edge, err = edge.New(edge.Config{
		OrderCapture: "http://ordercapture", Tracking: "http://tracking", CRM: n.sim.world.CRM, Transport: n,
		Now: func() time.Time { return n.sim.now },
	})
	return err
}

func (n *network) intakes(s topology.Service) http.Handler {
	mux := http.NewServeMux()
	for _, in := range s.Intakes {
		send := func(_ context.Context, requests ...topology.Request) error { return n.sim.send(s.Name, requests...) }
		mux.HandleFunc(in.Pattern, func(w http.ResponseWriter, r *http.Request) { in.Handle(w, r, send) })
	}
	return mux
}

// dialMail connects to the mail server; the connection may break once the server
// has the mail.
func (n *network) dialMail(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.sim.happens(n.sim.dials.Refused) {
		return nil, errRefused
	}
	conn, err := n.DialContext(ctx, network, addr)
	if err != nil || !n.sim.happens(n.sim.dials.Unanswered) {
		return conn, err
	}
	return &breaking{Conn: conn}, nil
}

// breaking is a connection that breaks when the server answers to the end of a mail.
type breaking struct {
	net.Conn
	sent bool
}

func (c *breaking) Write(b []byte) (int, error) {
	c.sent = c.sent || bytes.HasSuffix(b, []byte("\r\n.\r\n"))
	return c.Conn.Write(b)
}

func (c *breaking) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.sent && err == nil {
		_ = c.Close() // the break
		return 0, errUnanswered
	}
	return n, err
}
