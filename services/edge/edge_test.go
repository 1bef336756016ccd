package edge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func nine() time.Time { return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC) }

// world is what stands behind the edge.
type world struct {
	edge  http.Handler
	calls atomic.Int32 // at order capture

	orderCapture, tracking, crm http.HandlerFunc
}

func build(t *testing.T, change func(*world, *Config)) *world {
	t.Helper()
	w := &world{
		orderCapture: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		tracking:     says(200, `{"order":{"source":"ordercapture","asOf":"2026-01-05T08:00:00Z","milestones":[{"code":"PLACED"}],"data":{"customerId":"c1"}},"payment":{"source":"payment","asOf":"2026-01-05T08:01:00Z","data":{}},"more":1}`),
		crm:          says(200, `{"customerId":"c1","tier":"gold","name":"Ann"}`),
	}
	c := Config{
		OrderCapture: serve(t, func(rw http.ResponseWriter, r *http.Request) { w.calls.Add(1); w.orderCapture(rw, r) }),
		Tracking:     serve(t, func(rw http.ResponseWriter, r *http.Request) { w.tracking(rw, r) }),
		CRM:          serve(t, func(rw http.ResponseWriter, r *http.Request) { w.crm(rw, r) }),
		Timeout:      10 * time.Second, Now: nine,
	}
	if change != nil {
		change(w, &c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w.edge = h
	return w
}

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// soon is when the edge gives up on who is silent; long enough that nobody else
// seems to be on a busy machine.
const soon = 500 * time.Millisecond

// silent answers only once the caller has given up.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the caller is gone
	<-r.Context().Done()
}

func (w *world) send(method, path, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	rec := httptest.NewRecorder()
	w.edge.ServeHTTP(rec, r)
	return rec
}

const small = `{"tenant":"acme","channel":"web","channelOrder":"1","customer":{"customerId":"c1"},"currency":"EUR","lines":[{"line":1,"sku":"lamp","quantity":2,"unitNet":1000}],"tenders":[],"placedAt":"2026-01-05T10:00:00+01:00"}`

const cancel = `{"requestedBy":"customer","reason":"changed my mind","at":"2026-01-05T09:30:00Z"}`

func TestForwards(t *testing.T) {
	for _, c := range []struct{ name, path, body, to, location string }{
		{"order", "/v1/orders", small, "/orders", "/v1/orders/acme/web-1"},
		{"cancellation", "/v1/orders/acme/web-1/cancellation", cancel, "/orders/acme/web-1/cancellation", "/v1/orders/acme/web-1"},
		{"odd number", "/v1/orders/acme/web-%3F1/cancellation", cancel, "/orders/acme/web-%3F1/cancellation", "/v1/orders/acme/web-%3F1"},
	} {
		var to, key, got string
		w := build(t, func(w *world, _ *Config) {
			w.orderCapture = func(rw http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				to, key, got = r.URL.EscapedPath(), r.Header.Get("Idempotency-Key"), string(b)
				rw.WriteHeader(http.StatusAccepted)
			}
		})
		rec := w.send("POST", c.path, "k", c.body)
		if rec.Code != http.StatusAccepted || rec.Header().Get("Location") != c.location || !strings.Contains(rec.Body.String(), `"status":"`+c.location+`"`) {
			t.Errorf("%s: %d %q %s", c.name, rec.Code, rec.Header().Get("Location"), rec.Body)
		}
		if to != c.to || key != "k" {
			t.Errorf("%s: went to %s under %q", c.name, to, key)
		}
		var sent, arrived map[string]any
		if err := json.Unmarshal([]byte(c.body), &sent); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(got), &arrived); err != nil {
			t.Fatalf("%s: forwarded %q: %v", c.name, got, err)
		}
		for name := range sent {
			if name != "customer" && name != "lines" && fmt.Sprint(sent[name]) != fmt.Sprint(arrived[name]) {
				t.Errorf("%s: %s was %v and arrives as %v", c.name, name, sent[name], arrived[name])
			}
		}
	}
}

func TestShape(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(small, old, new, 1) }
	for _, c := range []struct {
		name, path, key, body string
		status                int
		want                  string
	}{
		{"no key", "/v1/orders", "", small, 400, "Idempotency-Key"},
		{"long key", "/v1/orders", strings.Repeat("k", keyLimit+1), small, 400, "Idempotency-Key"},
		{"no JSON", "/v1/orders", "k", "order", 400, "agreed shape"},
		{"unknown field", "/v1/orders", "k", with(`"tenders"`, `"tendrs"`), 400, "tendrs"},
		{"unknown field of a line", "/v1/orders", "k", with(`"unitNet"`, `"price"`), 400, "price"},
		{"a float", "/v1/orders", "k", with(`1000`, `10.5`), 400, "unitNet"},
		{"more than one", "/v1/orders", "k", small + "{}", 400, "follows"},
		{"too large", "/v1/orders", "k", with("lamp", strings.Repeat("l", DefaultBodyLimit)), 413, "larger"},
		{"no tenant", "/v1/orders", "k", with("acme", ""), 422, "tenant is required"},
		{"no channel", "/v1/orders", "k", with(`"web"`, `""`), 422, "channel is required"},
		{"no number", "/v1/orders", "k", with(`"channelOrder":"1",`, ""), 422, "channelOrder is required"},
		{"no customer", "/v1/orders", "k", with("c1", ""), 422, "customer.customerId is required"},
		{"no currency", "/v1/orders", "k", with("EUR", ""), 422, "currency is required"},
		{"no time", "/v1/orders", "k", with("2026-01-05T10:00:00+01:00", "0001-01-01T00:00:00Z"), 422, "placedAt is required"},
		{"all at once", "/v1/orders", "k", "{}", 422, "tenant is required; channel is required"},
		{"another tenant's order", "/v1/orders", "k", with("acme", "acme/web-2"), 422, "slash"},
		{"no part of an address", "/v1/orders", "k", with("acme", ".."), 422, "address"},
		{"long number", "/v1/orders", "k", with(`"1"`, `"`+strings.Repeat("1", identifierLimit+1)+`"`), 422, "longer"},
		{"nothing to cancel by", "/v1/orders/acme/web-1/cancellation", "k", "{}", 422, "requestedBy is required; reason is required; at is required"},
		{"cancel through a slash", "/v1/orders/acme/web%2F1/cancellation", "k", cancel, 422, "slash"},
		{"cancel without a key", "/v1/orders/acme/web-1/cancellation", "", cancel, 400, "Idempotency-Key"},
	} {
		w := build(t, nil)
		rec := w.send("POST", c.path, c.key, c.body)
		isProblem(t, c.name, rec, c.status, c.want)
		if w.calls.Load() != 0 {
			t.Errorf("%s: was forwarded", c.name)
		}
	}
	w := build(t, nil)
	r := httptest.NewRequest("POST", "/v1/orders", strings.NewReader(small))
	r.Header.Set("Idempotency-Key", "k")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.edge.ServeHTTP(rec, r)
	isProblem(t, "form", rec, 415, "application/json")
}

func isProblem(t *testing.T, name string, rec *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	err := json.Unmarshal(rec.Body.Bytes(), &p)
	if err != nil || rec.Code != status || p.Status != status || p.Type == "" || p.Title == "" || !strings.Contains(p.Detail, want) || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %d %s %s, want a problem %d with %q", name, rec.Code, rec.Header().Get("Content-Type"), rec.Body, status, want)
	}
}

func TestOrderCaptureFails(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour http.HandlerFunc
		status    int
		want      string
		kept      bool
	}{
		{"down", says(500, "stack trace"), 503, "please repeat", false},
		{"unavailable", says(503, ""), 503, "please repeat", false},
		{"busy", says(429, ""), 503, "please repeat", false},
		{"silent", silent, 503, "did not answer within", false},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "cannot be reached", false},
		{"refuses", says(422, `{"detail":"an order needs a soul"}`), 422, "needs a soul", true},
		{"refuses in no words", says(400, `<html>`), 400, "without a reason", true},
		{"not found", says(404, ""), 502, "understand", false},
		{"moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, 502, "understand", false},
	} {
		var well atomic.Bool
		w := build(t, func(w *world, o *Config) {
			if c.name == "silent" {
				o.Timeout = soon
			}
			w.orderCapture = func(rw http.ResponseWriter, r *http.Request) {
				if well.Load() {
					rw.WriteHeader(http.StatusAccepted)
					return
				}
				c.behaviour(rw, r)
			}
		})
		first := w.send("POST", "/v1/orders", "k", small)
		isProblem(t, c.name, first, c.status, c.want)
		if again := first.Header().Get("Retry-After"); (c.status == 503) != (again != "") {
			t.Errorf("%s: Retry-After %q with %d", c.name, again, first.Code)
		}
		well.Store(true)
		second := w.send("POST", "/v1/orders", "k", small)
		if kept := second.Header().Get("Idempotent-Replay") == "true"; kept != c.kept || !c.kept && second.Code != 202 {
			t.Errorf("%s: then %d, replayed %v, want %v", c.name, second.Code, kept, c.kept)
		}
	}
}

func TestProblemsOfTheMux(t *testing.T) {
	w := build(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/v2/orders", 404, ""},
		{"GET", "/v1/orders", 405, "POST"},
		{"DELETE", "/v1/orders/acme/web-1", 405, "GET, HEAD"},
		{"PUT", "/openapi.yaml", 405, "GET, HEAD"},
	} {
		rec := w.send(c.method, c.path, "", "")
		isProblem(t, c.method+" "+c.path, rec, c.status, "/openapi.yaml")
		if got := rec.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{OrderCapture: "http://a", Tracking: "https://b/x", CRM: "http://c", Now: nine}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*Config){
		"OrderCapture": func(c *Config) { c.OrderCapture = "" },
		"Tracking":     func(c *Config) { c.Tracking = "ftp://b" },
		"CRM":          func(c *Config) { c.CRM = "http://%" },
		"no clock":     func(c *Config) { c.Now = nil },
		"below zero":   func(c *Config) { c.Keys = -1 },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
