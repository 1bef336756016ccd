package edge

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"

	"troupe/topology/partner"
)

// keyLimit bounds an idempotency key, in bytes.
const keyLimit = 255

// accepting serves a request that order capture is to take, once for each
// idempotency key. The key is the tenant's: two tenants that number their
// requests alike do not meet. A request that is refused for its shape spends no
// key, since the body alone decides that and a caller may mend it.
func (s *server) accepting(read func(*http.Request) (command, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" || len(key) > keyLimit {
			partner.Refuse(w, http.StatusBadRequest, "the header Idempotency-Key is required: a string of up to 255 bytes, the same whenever this request is repeated")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, s.config.BodyLimit)
		c, no := read(r)
		if no != nil {
			partner.Refuse(w, no.status, no.detail)
			return
		}
		switch seen, known := s.keys.begin(c.tenant+"/"+key, c.print()); seen {
		case isAnswered:
			w.Header().Set("Idempotent-Replay", "true")
			known.write(w)
		case isOther:
			partner.Refuse(w, http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request")
		case isInFlight:
			s.retryLater(w.Header())
			partner.Refuse(w, http.StatusConflict, "a request with this Idempotency-Key is being worked on")
		case isFull:
			s.retryLater(w.Header())
			partner.Refuse(w, http.StatusServiceUnavailable, "too many requests are being worked on")
		case isNew:
			a := s.first(r.Context(), c, key)
			if a.status == http.StatusServiceUnavailable {
				s.retryLater(w.Header())
			}
			a.write(w)
		}
	}
}

// print tells requests apart: by where they go and what they say.
func (c command) print() [sha256.Size]byte {
	return sha256.Sum256([]byte(c.path + "\n" + string(c.body)))
}

// first forwards a request and keeps the answer if it is final. A caller that
// hangs up does not stop it: when it repeats, it is to find the answer rather
// than cause a second call.
func (s *server) first(ctx context.Context, c command, key string) (a *answer) {
	var final bool
	defer func() { // even if the transport panics, or the key would be in flight for ever
		if !final {
			s.keys.end(c.tenant+"/"+key, nil)
			return
		}
		s.keys.end(c.tenant+"/"+key, a)
	}()
	status, body, err := s.orderCapture.ask(context.WithoutCancel(ctx), http.MethodPost, c.path, key, c.body)
	a, final = s.translate(c, status, body, err)
	return a
}

// translate turns order capture's answer into the channel's, and says whether
// asking again would bring the same one.
func (s *server) translate(c command, status int, body []byte, err error) (a *answer, final bool) {
	switch {
	case err != nil:
		return problem(http.StatusServiceUnavailable, "not accepted, please repeat: "+err.Error()), false
	case status >= 200 && status < 300:
		return accepted(c), true
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return problem(http.StatusServiceUnavailable, "not accepted, please repeat: ordercapture cannot take it now"), false
	case status == http.StatusBadRequest || status == http.StatusConflict || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		return problem(status, detailOf(body)), true
	}
	// Not found, not allowed, moved: that is about us, not about the order.
	return problem(http.StatusBadGateway, "the edge and ordercapture do not understand each other"), false
}

// accepted names the order by the estate's rule, so that no table is needed.
func accepted(c command) *answer {
	address := "/v1" + pathOf("orders", c.tenant, c.order)
	return encode(http.StatusAccepted, address, map[string]string{"order": c.order, "status": address})
}

func problem(status int, detail string) *answer {
	return encode(status, "", partner.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

func encode(status int, location string, body any) *answer {
	b, err := json.Marshal(body)
	if err != nil {
		return &answer{status: http.StatusInternalServerError} // strings and a number always encode
	}
	return &answer{status, location, append(b, '\n')}
}

func (a *answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if a.status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
