package virtual

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// books are what the provider has captured, as he would see it: a shipment's share
// of a tender is captured under one key.
type books struct {
	site *site
	next http.RoundTripper
}

func (s *site) provider() http.RoundTripper { return books{s, s.hosts} }

func (b books) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/captures" || r.Method != http.MethodPost {
		return b.next.RoundTrip(r)
	}
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(asked))
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	var what struct{ Reference, ShipmentID, Status string }
	if json.Unmarshal(asked, &what) == nil && json.Unmarshal(answer, &what) == nil && what.Status == "CAPTURED" {
		b.site.book(what.Reference+" for "+what.ShipmentID, r.Header.Get("Idempotency-Key"))
	}
	return resp, nil
}

func (s *site) book(what, key string) {
	s.mu.Lock()
	before, twice := s.captured[what]
	s.captured[what] = key
	s.mu.Unlock()
	if twice && before != key {
		s.fail("tender %s is captured twice at the provider, as %s and as %s", what, before, key)
	}
}
