// Package conformance runs the runtime against a broker: what holds on the
// embedded one must hold, unchanged, on a real one.
package conformance

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"troupe/services/fraud"
	"troupe/topology/partner"
)

func TestOneOrderThroughOneContext(t *testing.T) {
	scoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"decision": "CLEAR", "score": 7})
	}))
	defer scoring.Close()
	b := newBench(t)
	b.start("a", fraud.Service(fraud.Gateway{Partner: partner.Client{URL: scoring.URL}}))
	b.publish("web-1")
	b.publish("web-1")
	b.settle()
	if got := b.scores()["web-1"]; len(got) != 1 || got[0] != 7 {
		t.Errorf("scores %v, want one of 7: the order was published twice under one ID", got)
	}
}
