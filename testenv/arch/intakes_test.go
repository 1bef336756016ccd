package arch

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"troupe/schemas"
	"troupe/topology"
)

// What partners say, with everything that an intake may want of it.
const (
	saidInJSON = `{"id": "7", "tenant": "acme", "order": "web-1", "at": "2026-01-05T09:00:00Z", "kind": "PICKED", "status": "SETTLED",
"channel": "web", "channelOrder": "1", "currency": "EUR", "customer": {"customerId": "c", "name": "Ann"}, "placedAt": "2026-01-05T09:00:00Z",
"promisedBy": "2026-01-08T00:00:00Z", "lines": [{"line": 1, "sku": "s", "quantity": 1, "unitNet": 100}],
"tenders": [{"sequence": 1, "kind": "card", "amount": 100}], "tender": 1, "amount": 100, "expiresAt": 1767603600000,
"requestedBy": "Ann", "reason": "late", "trackingNumber": "T1", "decision": "CLEAR", "score": 7,
"mode": "COUNT", "levels": [{"sku": "s", "node": "n", "quantity": 5}]}`
	saidInSOAP = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><DeliverDocument xmlns="urn:troupe:erp:v1">
<tenant>acme</tenant><document>D1</document><kind>INVOICE</kind><issuedAt>2026-01-05T09:00:00Z</issuedAt>
<lines><line><line>1</line><erpNumber>7</erpNumber><net>5</net></line></lines></DeliverDocument></s:Body></s:Envelope>`
)

// door is an intake at a path that it answers to.
type door struct {
	path   string
	intake topology.Intake
}

// doorsOf are the intakes of all services; w can write what they may send.
func doorsOf(t testing.TB, w *schemas.Wire) (all []door) {
	t.Helper()
	for _, s := range allServices(t) {
		for _, in := range s.Intakes {
			for _, o := range in.Writes {
				if err := w.Prepare(t.Context(), "any", o.Type); err != nil {
					t.Fatal(err)
				}
			}
			_, path, _ := strings.Cut(in.Pattern, " ")
			all = append(all, door{strings.NewReplacer("{", "", "}", "").Replace(path), in})
		}
	}
	return all
}

// post has a body taken or refused, and returns how many messages it made.
func (d door) post(t testing.TB, w *schemas.Wire, body []byte) (sent int) {
	t.Helper()
	send := func(_ context.Context, requests ...topology.Request) error {
		sent += len(requests)
		for _, q := range requests {
			e := q.Message.Head()
			e.Type = topology.NameOf(q.Message)
			if _, err := w.Encode("any", q.Message); err != nil || e.ID == "" || e.OccurredAt.IsZero() || q.Key == "" {
				t.Errorf("%s takes what cannot be written: %v, under the key %q: %+v", d.path, err, q.Key, q.Message)
			}
		}
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc(d.intake.Pattern, func(w http.ResponseWriter, r *http.Request) { d.intake.Handle(w, r, send) })
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, d.path, bytes.NewReader(body)))
	if taken := answer.Code < 300; taken != (sent > 0) {
		t.Errorf("%s answers %d and sends %d messages", d.path, answer.Code, sent)
	}
	return sent
}

// FuzzIntakes: whatever a partner sends is refused or taken, and what is taken can be
// written. What cannot would be answered with "please repeat", and come for ever.
func FuzzIntakes(f *testing.F) {
	w, _, _ := newWire(f)
	doors := doorsOf(f, w)
	for i, d := range doors {
		if d.post(f, w, []byte(saidInJSON))+d.post(f, w, []byte(saidInSOAP)) == 0 {
			f.Fatalf("%s takes neither of the two: it needs what they do not say", d.path)
		}
		f.Add(uint8(i), []byte(saidInJSON))
		f.Add(uint8(i), []byte(saidInSOAP))
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) { doors[int(n)%len(doors)].post(t, w, body) })
}
