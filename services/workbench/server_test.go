package workbench

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"troupe/schemas"
)

// wellFormed reads a page as a forgiving parser does; tags must still match.
func wellFormed(page string) error {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestPages(t *testing.T) {
	b := bench(1560, estate()...)
	for _, path := range []string{"/", "/?refresh", "/flows", "/flows?overdue=CarrierScanned&owner=shipment", "/flows?q=none", "/flows/acme/web-1", "/flows/acme/web-2", "/flows/acme/web-3", "/mismatches", "/mismatches?state=all", "/exceptions", "/exceptions?cause=BODY&service=payment"} {
		html := shown(t, b, path)
		if err := wellFormed(html); err != nil {
			t.Errorf("%s: %v\n%s", path, err, html)
		}
		for _, banned := range []string{"<script", "style=", "onclick", "ZgotmplZ", "<no value>", "0001"} {
			if strings.Contains(html, banned) {
				t.Errorf("%s: the page has %q", path, banned)
			}
		}
	}
	empty := bench(0)
	for _, path := range []string{"/", "/flows", "/mismatches", "/exceptions"} {
		if err := wellFormed(shown(t, empty, path)); err != nil {
			t.Errorf("%s, empty: %v", path, err)
		}
	}
}

func TestDoor(t *testing.T) {
	b := bench(1560, estate()...)
	for _, c := range []struct {
		method, path, host, accept string
		status                     int
		want                       string
	}{
		{"GET", "/", "127.0.0.1:8090", "text/html", 200, "Flows are late"},
		{"GET", "/", "[::1]:8090", "*/*", 200, "<!doctype html>"},
		{"HEAD", "/", "localhost", "text/html", 200, ""},
		{"GET", "/", "localhost", "application/json", 200, `"headline"`},
		{"GET", "/style.css", "localhost", "text/css", 200, "prefers-color-scheme"},
		{"GET", "/", "rebound.example:8090", "text/html", 421, "loopback"},
		{"GET", "/", "127.0.0.1.example", "application/json", 421, `"status":421`},
		{"POST", "/flows", "localhost", "text/html", 405, "read only"},
		{"DELETE", "/flows/acme/web-1", "localhost", "application/json", 405, `"status":405`},
		{"GET", "/flows/acme/none", "localhost", "text/html", 404, "Nothing has been heard"},
		{"GET", "/flows/acme/none", "localhost", "application/json", 404, `"status":404`},
		{"GET", "/nowhere", "localhost", "text/html", 404, "nothing at this address"},
		{"GET", "/flows?page=0", "localhost", "application/json", 400, "pages count from 1"},
		{"GET", "/mismatches?page=x", "localhost", "text/html", 400, "pages count from 1"},
		{"GET", "/exceptions?page=-1", "localhost", "application/json", 400, "pages count from 1"},
		{"GET", "/flows?phase=foo", "localhost", "application/json", 400, `no phase \"foo\": there are ALLOCATING, BACKORDERED, `},
		{"GET", "/flows?phase=foo", "localhost", "text/html", 400, "there are ALLOCATING"},
		{"GET", "/flows?overdue=Foo", "localhost", "application/json", 400, "there are ApproveStep, CarrierScanned, InvoiceIssued, PaymentAuthorized, ShipmentPlanned, any"},
		{"GET", "/flows?owner=foo", "localhost", "application/json", 400, "there are invoicing, payment, processmanager, shipment"},
		{"GET", "/mismatches?state=foo", "localhost", "application/json", 400, "there are accepted, all, cleared, open"},
		{"GET", "/mismatches?code=FOO", "localhost", "application/json", 400, `no code \"FOO\": there are `},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Host = c.host
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		b.Handler().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s of %s: %d %.200s, want %d with %q", c.method, c.path, c.host, w.Code, w.Body, c.status, c.want)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s %s: policy %q", c.method, c.path, got)
		}
	}
}

// TestAnyCase: what pages show in lower case may be asked for so.
func TestAnyCase(t *testing.T) {
	b := bench(1560, estate()...)
	b.config.Codes = []string{"PRICE_VARIANCE"}
	all := read[Flows](t, b, "/flows")
	phase := all.Flows[0].Phase
	l := read[Flows](t, b, "/flows?phase="+strings.ToLower(phase))
	if l.Phase != phase || len(l.Flows) == 0 || l.Flows[0].Phase != phase {
		t.Errorf("in lower case %s finds %+v", phase, l)
	}
	m := read[Mismatches](t, b, "/mismatches?code=price_variance&state=ALL")
	if m.Code != "PRICE_VARIANCE" || m.State != anyState {
		t.Errorf("code %q, state %q", m.Code, m.State)
	}
}

// TestEscapes: whatever a record says, a page shows it as text, and a link
// leads where it says.
func TestEscapes(t *testing.T) {
	const order = `<script>alert("x")</script>/../&?#`
	b := bench(100, placed(order, 1, 100), detected(order, "m", `<b>CODE`, 1, 2, 5), exceptional("x", order, `"><img src=x>`, 3),
		rec("FlowClosed", order, 4, flowClosed{"<i>"}))
	flow := link("acme", order)
	for _, path := range []string{"/", "/flows", "/flows?q=%3Cscript%3E", "/mismatches", "/exceptions", flow} {
		html := shown(t, b, path)
		for _, raw := range []string{"<script", "<b>", "<i>", "<img"} {
			if strings.Contains(html, raw) {
				t.Errorf("%s shows %s as it came", path, raw)
			}
		}
		if err := wellFormed(html); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if html := shown(t, b, "/flows"); !strings.Contains(html, `href="`+strings.ReplaceAll(flow, "&", "&amp;")+`"`) {
		t.Errorf("no link to %s:\n%s", flow, html)
	}
}

func TestBase(t *testing.T) {
	b := New(Config{Now: bench(0).config.Now, Base: "/workbench"})
	fill(b, estate()...)
	if html := shown(t, b, "/flows"); !strings.Contains(html, `href="/workbench/flows/acme/web-1"`) || !strings.Contains(html, `href="/workbench/style.css"`) {
		t.Error("links do not begin with the base")
	}
}

// TestBadConfigDoesNotStart: what is wrong is said when the view binds.
func TestBadConfigDoesNotStart(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{{Config{}, "clock"}, {Config{Now: bench(0).config.Now, Base: "workbench/"}, "base"}} {
		b := New(c.config)
		for _, h := range b.Service().Views[0].Handlers {
			if _, err := h.Bind(nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s binds with %v, want %q", h.Event, err, c.want)
			}
		}
		if w := get(b, "application/json", "/"); w.Code != 500 {
			t.Errorf("it answers %d", w.Code)
		}
	}
}

func TestWordsRefuse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"version: 2", "version 2"},
		{"version: 1\nfacts:\n - {event: A}", "row 1 lacks"},
		{"version: 1\nfacts:\n - {event: A, says: x}\n - {event: A, says: y}", "A stands there twice"},
		{"version: 1\nfacts:\n - {event: A, says: \"{x\"}", "a field that is none"},
		{"version: 1\nfacts:\n - {event: A, says: \"{}\"}", "a field that is none"},
		{"version: 1\nfacts:\n - {event: A, says: \"{x#}\"}", "a field that is none"},
		{"version: 1\nfacts:\n - {event: A, sais: x}", "sais"},
	} {
		if _, err := ReadWords([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	b := bench(5000)
	b.limits = limits{factsPerFlow: 3, wholeClosed: 2, exceptions: 2}
	for i := range 4 {
		order := fmt.Sprint("web-", i)
		fill(b, placed(order, i, 100), rec("FlowClosed", order, 100+i, flowClosed{"CLOSED"}), exceptional(order, order, "BODY", i))
	}
	for i, left := range []string{onlySummary, onlySummary, "", ""} {
		a := read[FlowAnswer](t, b, fmt.Sprint("/flows/acme/web-", i))
		if a.Left != left || a.Flow.Phase != "CLOSED" || a.Flow.CustomerID != "c1" || (len(a.Facts) == 0) != (left != "") {
			t.Errorf("web-%d: %q with %d facts, %+v", i, a.Left, len(a.Facts), a.Flow)
		}
	}
	// A fact that comes late of a flow that is a summary still counts.
	fill(b, detected("web-0", "m", "DUPLICATE_INVOICE", 3, 900, 5))
	if a := read[FlowAnswer](t, b, "/flows/acme/web-0"); len(a.Mismatches) != 1 || len(a.Facts) != 0 {
		t.Errorf("%+v", a)
	}
	if x := read[Exceptions](t, b, "/exceptions"); x.Left != 2 || len(x.Exceptions) != 2 || x.Exceptions[0].ID != "web-3" {
		t.Errorf("exceptions: %+v", x)
	}
	for i := range 5 {
		fill(b, rec("CarrierScanned", "long", 10+i, values{"shipmentId": fmt.Sprint(i)}, fmt.Sprint(i)))
	}
	a := read[FlowAnswer](t, b, "/flows/acme/long")
	if a.Left != onlyLatest || len(a.Facts) != 3 || a.Facts[0].Offset != 12 {
		t.Errorf("%q, %d facts", a.Left, len(a.Facts))
	}
}

func TestListsAreCut(t *testing.T) {
	b := bench(5000)
	for i := range flowsPerPage + 1 {
		fill(b, placed(fmt.Sprintf("web-%03d", i), i, 100))
	}
	for i := range factsPerPage + 1 {
		fill(b, rec("CarrierScanned", "long", i, values{}, fmt.Sprint(i)))
	}
	if l := read[Flows](t, b, "/flows?q=web&page=2"); len(l.Flows) != 1 || l.Part != (Part{2, 2, flowsPerPage + 1, flowsPerPage + 1, flowsPerPage + 1}) {
		t.Errorf("%d flows, %+v", len(l.Flows), l.Part)
	}
	if html := shown(t, b, "/flows?q=web&page=9"); !strings.Contains(html, `href="?page=1&amp;q=web"`) || strings.Contains(html, "After →") {
		t.Error("a page beyond the last is not the last")
	}
	a := read[FlowAnswer](t, b, "/flows/acme/long?page=2")
	if len(a.Facts) != 1 || a.Facts[0].Offset != factsPerPage {
		t.Errorf("%d facts", len(a.Facts))
	}
}

// TestUnknownNumber: a document for a number that nobody placed is found by its key.
func TestUnknownNumber(t *testing.T) {
	r := rec("InvoiceIssued", "", 1, values{"invoice": "I-9", "currency": "BRL"})
	r.origin.Key = "acme/erp:4711"
	r.origin.Envelope.ID = schemas.FactID("I-9")
	b := bench(10, r)
	if l := read[Flows](t, b, "/flows?q=I-9"); len(l.Flows) != 1 || l.Flows[0].Order != "erp:4711" || l.Flows[0].Phase != "UNKNOWN" {
		t.Errorf("%+v", l.Flows)
	}
	if err := wellFormed(shown(t, b, "/flows/acme/erp:4711")); err != nil {
		t.Error(err)
	}
}
