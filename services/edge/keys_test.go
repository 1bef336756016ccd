package edge

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestReplay(t *testing.T) {
	w := build(t, nil)
	other := strings.Replace(small, `"quantity":2`, `"quantity":3`, 1)
	spaced := strings.ReplaceAll(small, ",", ", ")
	tenant := strings.Replace(other, "acme", "other", 1)
	first := w.send("POST", "/v1/orders", "k", small)
	for _, c := range []struct {
		name, path, key, body string
		status                int
		replay                string
		calls                 int32
	}{
		{"again", "/v1/orders", "k", small, 202, "true", 1},
		{"the same written otherwise", "/v1/orders", "k", spaced, 202, "true", 1},
		{"other body", "/v1/orders", "k", other, 422, "", 1},
		{"other address", "/v1/orders/acme/web-1/cancellation", "k", cancel, 422, "", 1},
		{"other tenant", "/v1/orders", "k", tenant, 202, "", 2},
		{"other key", "/v1/orders", "l", small, 202, "", 3},
		{"shape refused", "/v1/orders", "m", "{}", 422, "", 3},
		{"and mended", "/v1/orders", "m", small, 202, "", 4},
	} {
		rec := w.send("POST", c.path, c.key, c.body)
		if rec.Code != c.status || rec.Header().Get("Idempotent-Replay") != c.replay || w.calls.Load() != c.calls {
			t.Errorf("%s: %d, replay %q, %d calls: %s", c.name, rec.Code, rec.Header().Get("Idempotent-Replay"), w.calls.Load(), rec.Body)
		}
		if c.replay != "" && (rec.Body.String() != first.Body.String() || rec.Header().Get("Location") != first.Header().Get("Location")) {
			t.Errorf("%s: another answer: %s", c.name, rec.Body)
		}
	}
}

func TestConcurrentKey(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	w := build(t, func(w *world, c *Config) {
		c.Keys = 1
		w.orderCapture = func(rw http.ResponseWriter, _ *http.Request) {
			arrived <- true
			<-release
			rw.WriteHeader(http.StatusAccepted)
		}
	})
	done := make(chan int)
	go func() { done <- w.send("POST", "/v1/orders", "k", small).Code }()
	<-arrived
	isProblem(t, "same key", w.send("POST", "/v1/orders", "k", small), 409, "being worked on")
	isProblem(t, "same key, other body", w.send("POST", "/v1/orders", "k", strings.Replace(small, "lamp", "bulb", 1)), 422, "another request")
	isProblem(t, "no room", w.send("POST", "/v1/orders", "l", small), 503, "too many")
	release <- true
	if code := <-done; code != 202 {
		t.Errorf("the first: %d", code)
	}
	if rec := w.send("POST", "/v1/orders", "k", small); rec.Header().Get("Idempotent-Replay") != "true" {
		t.Errorf("after it: %d %s", rec.Code, rec.Body)
	}
}

func TestKeysAreBounded(t *testing.T) {
	var minutes atomic.Int32
	w := build(t, func(_ *world, c *Config) {
		c.Keys, c.KeyTTL = 2, time.Hour
		c.Now = func() time.Time { return nine().Add(time.Duration(minutes.Load()) * time.Minute) }
	})
	for _, c := range []struct {
		name, key string
		minute    int32
		replay    bool
	}{
		{"a", "a", 0, false},
		{"b", "b", 1, false},
		{"a is known", "a", 2, true},
		{"c drives a out, the oldest answer", "c", 3, false},
		{"b is known", "b", 4, true},
		{"a drives b out", "a", 5, false},
		{"c in time", "c", 62, true},
		{"c is too old", "c", 63, false},
		{"c anew", "c", 64, true},
	} {
		minutes.Store(c.minute)
		if got := w.send("POST", "/v1/orders", c.key, small).Header().Get("Idempotent-Replay") == "true"; got != c.replay {
			t.Errorf("%s: replayed %v", c.name, got)
		}
	}
}

// TestPanicFreesTheKey: a key that stays in flight would be refused for ever.
func TestPanicFreesTheKey(t *testing.T) {
	broken := true
	w := build(t, func(_ *world, c *Config) {
		c.Transport = transport(func(r *http.Request) (*http.Response, error) {
			if broken {
				panic("transport")
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	func() {
		defer func() { _ = recover() }()
		w.send("POST", "/v1/orders", "k", small)
	}()
	broken = false
	if rec := w.send("POST", "/v1/orders", "k", small); rec.Code != 202 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
