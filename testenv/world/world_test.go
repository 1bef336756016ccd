package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"troupe/testenv/inproc"
	"troupe/topology/clock"
)

var monday = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// few is a Source of the orders it is given.
type few struct {
	orders  []*Order
	mishaps map[string]Mishap
}

func (f *few) Start() time.Time                               { return monday.Add(-time.Minute) }
func (f *few) Tenant() string                                 { return "acme" }
func (f *few) Stock() []Level                                 { return []Level{{SKU: "s", Node: "DC-1", Quantity: 5}} }
func (f *few) Mishap(id string) Mishap                        { return f.mishaps[id] }
func (f *few) Fate(tenant, order string, at time.Time) *Order { return ordinary(tenant, order, at) }
func (f *few) Next() (*Order, bool) {
	if len(f.orders) == 0 {
		return nil, false
	}
	o := f.orders[0]
	f.orders = f.orders[1:]
	return o, true
}

func simple(number string, at time.Time) *Order {
	return &Order{
		Tenant: "acme", Channel: "web", Number: number, Customer: Customer{CustomerID: "c", Name: "Ann"}, Currency: "EUR",
		Lines: []Line{{Line: 1, SKU: "s", Quantity: 1, UnitNet: 1000, Node: "DC-1"}}, Tenders: []Tender{{Sequence: 1, Kind: "credit_card", Amount: 1000}},
		PlacedAt: at, PromisedBy: at.Add(48 * time.Hour), VerdictAt: at.Add(5 * time.Minute),
		Departs: map[string]Departure{"DC-1": {At: at.Add(270 * time.Minute), DeliveredAt: at.Add(24 * time.Hour), Regardless: true}},
	}
}

// stage is a world with an estate of which only the intakes stand.
type stage struct {
	t       *testing.T
	world   *World
	clock   *clock.Jump
	intakes string
	mu      sync.Mutex
	heard   []string          // "path kind at"
	bodies  map[string]string // by the same
	deaf    int               // answers 503 so often
}

func play(t *testing.T, dir string, source Source, at time.Time) *stage {
	t.Helper()
	return set(t, dir, source, at).connect()
}

// set is a stage on which nothing has happened.
func set(t *testing.T, dir string, source Source, at time.Time) *stage {
	t.Helper()
	return setOn(t, newPorts(), dir, source, at)
}

func setOn(t *testing.T, network Network, dir string, source Source, at time.Time) *stage {
	t.Helper()
	s := &stage{t: t, clock: clock.NewJump(at), bodies: map[string]string{}}
	url, stop, err := network.Serve("intakes", http.HandlerFunc(s.hear))
	if err != nil {
		t.Fatal(err)
	}
	s.world, err = Start(Config{Dir: dir, Source: source, Clock: s.clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.world.Close(), stop()); err != nil {
			t.Error(err)
		}
	})
	s.intakes = url
	return s
}

// connect starts what stage has set up.
func (s *stage) connect() *stage {
	u := s.intakes
	s.world.Connect(Estate{Edge: u, Payment: u + "/payment", Fraud: u + "/fraud", Shipment: u + "/shipment", Inventory: u + "/inventory", Invoicing: u + "/invoicing"})
	return s
}

func (s *stage) hear(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var in struct{ Kind, Status string }
	_ = json.Unmarshal(b, &in)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf > 0 {
		s.deaf--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	line := strings.Join(strings.Fields(r.URL.Path+" "+in.Kind+in.Status+" "+s.clock.Now().Format("02T15:04")), " ")
	s.heard = append(s.heard, line)
	s.bodies[line] = string(b)
	w.WriteHeader(http.StatusAccepted)
}

func (s *stage) run() {
	s.t.Helper()
	if err := s.clock.Run(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) ask(url, path, key string, body any) (int, map[string]any) {
	s.t.Helper()
	b, _ := json.Marshal(body)
	req, _ := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url+path, bytes.NewReader(b))
	req.Header.Set("Idempotency-Key", key)
	resp, err := (&http.Client{Transport: s.world.config.Network}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

func (s *stage) tender(key string) map[string]any {
	_, a := s.ask(s.world.Provider, "/tenders", key, map[string]any{
		"tenant": "acme", "order": "web-1", "tender": 1, "kind": "credit_card", "amount": 1000, "currency": "EUR"})
	return a
}

func (s *stage) release() {
	s.ask(s.world.Warehouse, "/releases", "r", map[string]any{"tenant": "acme", "order": "web-1", "shipmentId": "S1", "node": "DC-1",
		"lines": []map[string]any{{"line": 1, "sku": "s", "quantity": 1}}})
}

func TestOrderGoesItsWay(t *testing.T) {
	goesItsWay(t, newPorts())
}

// TestWithoutASocket: a bubble holds no socket, so what works in one needs none.
func TestWithoutASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { goesItsWay(t, new(inproc.Net)) })
}

func goesItsWay(t *testing.T, network Network) {
	s := setOn(t, network, "", &few{orders: []*Order{simple("1", monday)}}, monday).connect()
	s.clock.At(monday, "ask", func(context.Context) error {
		s.tender("t")
		s.release()
		return nil
	})
	s.run()
	slices.Sort(s.heard)
	want := []string{
		"/inventory/stock/events 05T09:00", "/payment/provider/events AUTHORISED 05T09:05",
		"/shipment/carrier/events DELIVERED 06T09:00", "/shipment/carrier/events SCANNED 05T23:00",
		"/shipment/warehouse/events DISPATCHED 05T13:30", "/shipment/warehouse/events PACKED 05T13:00", "/shipment/warehouse/events PICKING 05T12:00",
		"/v1/orders 05T09:00",
	}
	if !slices.Equal(s.heard, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(s.heard, "\n"), strings.Join(want, "\n"))
	}
	if body := s.bodies["/shipment/warehouse/events DISPATCHED 05T13:30"]; !strings.Contains(body, `"shipmentId":"S1"`) {
		t.Errorf("dispatched %s", body)
	}
}

func TestGoodsLeaveUnasked(t *testing.T) {
	s := play(t, "", &few{orders: []*Order{simple("1", monday)}}, monday)
	s.run()
	body := s.bodies["/shipment/warehouse/events DISPATCHED 05T13:30"]
	if !strings.Contains(body, `"shipmentId":""`) || !strings.Contains(body, `"sku":"s"`) {
		t.Errorf("dispatched %q", body)
	}
	if code, a := s.ask(s.world.Warehouse, "/releases", "r", map[string]any{"tenant": "acme", "order": "web-1", "shipmentId": "S1", "node": "DC-1"}); code != 200 || a["accepted"] != false {
		t.Errorf("%d %v: goods that have left were released", code, a)
	}
}

func TestRepeatIsAnsweredAlike(t *testing.T) {
	s := play(t, "", &few{orders: []*Order{simple("1", monday)}}, monday)
	first := s.tender("t")
	s.run()
	if again := s.tender("t"); again["reference"] != first["reference"] || again["status"] != "PENDING" {
		t.Errorf("%v, then %v", first, again)
	}
	capture := map[string]any{"reference": first["reference"], "shipmentId": "S1", "amount": 600, "last": true}
	for range 2 {
		if _, a := s.ask(s.world.Provider, "/captures", "c", capture); a["amount"] != 1000.0 {
			t.Errorf("the last capture took %v, not what was left", a)
		}
	}
	if _, a := s.ask(s.world.Provider, "/captures", "d", capture); a["amount"] != 0.0 {
		t.Errorf("a second capture took %v of nothing", a)
	}
	resp, err := http.Get(s.world.Provider + "/captures/c")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("look-up: %v %v", resp, err)
	}
	resp.Body.Close()
	if code, _ := s.ask(s.world.Provider, "/captures", "", capture); code != http.StatusBadRequest {
		t.Errorf("without a key: %d", code)
	}
}

func TestCallIsRepeatedUntilAccepted(t *testing.T) {
	s := play(t, "", &few{mishaps: map[string]Mishap{"verdict/acme/web-1/1": {Repeated: true, Late: time.Hour}}, orders: []*Order{simple("1", monday)}}, monday)
	s.deaf = 2
	s.tender("t")
	s.run()
	n := 0
	for _, h := range s.heard {
		if h == "/payment/provider/events AUTHORISED 05T10:05" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("a late, repeated verdict came %d times: %v", n, s.heard)
	}
}

// TestKilledWorldGoesOn cuts a world off at every line of its journal: together,
// the two halves must say what the undisturbed one says.
func TestKilledWorldGoesOn(t *testing.T) {
	whole := t.TempDir()
	s := play(t, whole, &few{orders: []*Order{simple("1", monday), simple("2", monday.Add(time.Hour))}}, monday)
	s.tender("t")
	s.release()
	s.run()
	all := unique(s.heard)
	lines, err := os.ReadFile(filepath.Join(whole, "world.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	journal := bytes.SplitAfter(lines, []byte("\n"))
	for cut := range journal {
		dir := t.TempDir()
		torn := append(bytes.Join(journal[:cut], nil), `{"done":"torn`...)
		if err := os.WriteFile(filepath.Join(dir, "world.jsonl"), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		h := play(t, dir, &few{orders: []*Order{simple("1", monday), simple("2", monday.Add(time.Hour))}}, monday)
		h.tender("t")
		h.release()
		h.run()
		for _, line := range h.heard {
			if !slices.Contains(all, line) {
				t.Errorf("cut at %d: %s was never said before", cut, line)
			}
		}
		done := bytes.Count(bytes.Join(journal[:cut], nil), []byte(`"done"`))
		if got := done + len(h.heard); got < len(all) {
			t.Errorf("cut at %d: %d calls made, then %d, of %d", cut, done, len(h.heard), len(all))
		}
	}
}

// TestAskedBeforeTheJournalIsRead: an estate that starts with calls in hand asks
// at once. A provider that answered from an empty memory opened the same tender
// twice and settled it twice, with different words.
func TestAskedBeforeTheJournalIsRead(t *testing.T) {
	s := set(t, t.TempDir(), &few{orders: []*Order{simple("1", monday)}}, monday)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.world.Provider+"/tenders/t", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("answered %s before the journal was read", resp.Status)
	}
	s.connect()
	if a := s.tender("t"); a["status"] != "PENDING" {
		t.Errorf("answered %v once it was read, want PENDING", a)
	}
}

func unique(lines []string) []string {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestMailIsCountedByMessageID(t *testing.T) {
	s := play(t, "", &few{}, monday)
	for _, id := range []string{"<1@x>", "<2@x>", "<1@x>"} {
		if err := smtp.SendMail(s.world.Mail, nil, "a@x.example", []string{"b@x.example"}, []byte("Message-ID: "+id+"\r\nSubject: s\r\n\r\nhello\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := smtp.SendMail(s.world.Mail, nil, "a@x.example", []string{"b@x.example"}, []byte("Subject: s\r\n\r\nhello\r\n")); err == nil {
		t.Error("a mail without a Message-ID was taken")
	}
	if n := s.world.Mails(); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
}

func TestERPBooksAndBills(t *testing.T) {
	s := play(t, "", &few{orders: []*Order{simple("1", monday)}}, monday)
	soap := func(key, body string) string {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.world.ERP, strings.NewReader(
			`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`+body+`</s:Body></s:Envelope>`))
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	booked := soap("b", `<BookOrder xmlns="urn:troupe:erp:v1"><tenant>acme</tenant><order>web-1</order></BookOrder>`)
	_, after, _ := strings.Cut(booked, "<erpNumber>")
	n, _, _ := strings.Cut(after, "<")
	if n == "" {
		t.Fatalf("booking answered %s", booked)
	}
	billed := soap("c", `<BillShipment xmlns="urn:troupe:erp:v1"><tenant>acme</tenant><erpNumber>`+n+`</erpNumber><shipmentId>S1</shipmentId>`+
		`<lines><line><line>1</line><quantity>1</quantity><net>1000</net></line></lines></BillShipment>`)
	if !strings.Contains(billed, "<accepted>true") {
		t.Errorf("billing answered %s", billed)
	}
	if refused := soap("d", `<Cancel xmlns="urn:troupe:erp:v1"/>`); !strings.Contains(refused, "soap:Client") {
		t.Errorf("an unknown operation answered %s", refused)
	}
	s.run()
	body := s.bodies["/invoicing/erp 05T11:00"]
	if !strings.Contains(body, "<net>1000</net>") || !strings.Contains(body, "<shipmentId>S1</shipmentId>") {
		t.Errorf("document %q among %v", body, s.heard)
	}
}

func TestInventedTrafficIsTheSameForASeed(t *testing.T) {
	draw := func(seed uint64) string {
		i, err := Invent(Lively(seed, monday))
		if err != nil {
			t.Fatal(err)
		}
		var out []*Order
		for range 300 {
			o, _ := i.Next()
			out = append(out, o)
		}
		b, _ := json.Marshal(out)
		return string(b)
	}
	first, again, other := draw(1), draw(1), draw(2)
	if first != again {
		t.Error("a seed must decide everything")
	}
	if first == other {
		t.Error("seeds must differ")
	}
	if _, err := Invent(Dials{PerHour: -1, Lost: 2}); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("dials out of range: %v", err)
	}
}
