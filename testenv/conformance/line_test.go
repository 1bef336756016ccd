package conformance

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"troupe/services/fraud"
	"troupe/services/ordercapture"
	"troupe/topology/partner"
)

const channelOrder = `{"tenant":"acme","channel":"web","channelOrder":"1","customer":{"customerId":"c","name":"Ann"},
"currency":"EUR","lines":[{"line":1,"sku":"s","quantity":1,"unitNet":100}],"tenders":[{"sequence":1,"kind":"card","amount":100}],
"promisedBy":"2026-01-08T00:00:00Z","placedAt":"2026-01-05T09:00:00Z"}`

// TestOneOrderThroughTwoContexts sends an order through its intake, order capture and fraud, over
// real HTTP and a real protocol.
func TestOneOrderThroughTwoContexts(t *testing.T) {
	scoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"decision": "CLEAR", "score": 7})
	}))
	defer scoring.Close()
	b := newBench(t)
	i := b.start("a", ordercapture.Service(), fraud.Service(fraud.Gateway{Partner: partner.Client{URL: scoring.URL}}))
	for range 2 {
		rec := httptest.NewRecorder()
		i.runner.Intakes("ordercapture").ServeHTTP(rec, httptest.NewRequest("POST", "/orders", strings.NewReader(channelOrder)))
		if rec.Code != http.StatusAccepted {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	b.settle()
	if got := b.scores()["web-1"]; len(got) != 1 || got[0] != 7 {
		t.Errorf("scores %v, want one of 7: the order was sent twice", got)
	}
}

// TestIntakeRefusesWhatNoRecordHolds: a repeat would not make it smaller.
func TestIntakeRefusesWhatNoRecordHolds(t *testing.T) {
	b := newBench(t)
	i := b.start("a", ordercapture.Service())
	for _, c := range []struct{ old, with string }{{`"currency":"EUR"`, `"currency":"` + strings.Repeat("E", 2<<20) + `"`}, {`"channelOrder":"1"`, `"channelOrder":"` + strings.Repeat("1", 2<<10) + `"`}} {
		body := strings.Replace(channelOrder, c.old, c.with, 1)
		rec := httptest.NewRecorder()
		i.runner.Intakes("ordercapture").ServeHTTP(rec, httptest.NewRequest("POST", "/orders", strings.NewReader(body)))
		if rec.Code != http.StatusRequestEntityTooLarge || !strings.Contains(rec.Body.String(), "too large") {
			t.Errorf("a body of %d bytes: %d %.200s", len(body), rec.Code, rec.Body)
		}
	}
}
