// Package partner holds what every gateway needs to talk to the outside world
// over HTTP: a client that carries the idempotency key and tells a refusal from
// a failure, and the two answers of an intake.
package partner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"troupe/topology"
)

// MaxBody bounds what is read of a partner's request or answer, in bytes.
const MaxBody = 4 << 20

// keptOpen bounds the idle connections to one host: as many calls as a service has in
// flight come at once, and find one.
const keptOpen = 64

// Bounds are the limits of whoever talks to a partner.
func Bounds() []topology.Bound {
	return []topology.Bound{
		topology.AtMost("request-bytes", MaxBody, "an intake answers 413, the ERP's a SOAP fault"),
		topology.AtMost("answer-bytes", MaxBody, "no more of a partner's answer is read: cut short it is an error, and the call is tried again"),
		topology.AtMost("kept-connections", keptOpen, "one more to the same host is closed when its call has ended"),
	}
}

// Transport is how a process reaches its partners where nothing else is said.
func Transport() http.RoundTripper {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: keptOpen}
}

// Client calls one partner. Deadlines come with the context.
type Client struct {
	URL  string
	HTTP *http.Client // nil: http.DefaultClient
}

// Refusal is an answer that will not get better by asking again (4xx).
type Refusal struct {
	Status int
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused with %d: %s", r.Status, r.Detail) }

// Refused reports whether err is a Refusal with one of the statuses, or any.
func Refused(err error, status ...int) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, s := range status {
		if r.Status == s {
			return true
		}
	}
	return len(status) == 0
}

// Post sends request as JSON under the idempotency key and reads the answer.
func (c Client) Post(ctx context.Context, path, key string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request to %s: %w", path, err)
	}
	return c.do(ctx, http.MethodPost, path, key, body, answer)
}

// Get reads the answer to a look-up; a *Refusal with 404 says that the partner
// has never seen it.
func (c Client) Get(ctx context.Context, path string, answer any) error {
	return c.do(ctx, http.MethodGet, path, "", nil, answer)
}

func (c Client) do(ctx context.Context, method, path, key string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, b)
	case resp.StatusCode >= 400:
		return &Refusal{Status: resp.StatusCode, Detail: fmt.Sprintf("%.200s", b)}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%s %s: the answer is no JSON of the agreed shape: %w", method, path, err)
	}
	return nil
}

// Problem is an RFC 9457 problem.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Refuse answers with a problem.
func Refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The answer is on its way; a client that hangs up is no concern of ours.
	_ = json.NewEncoder(w).Encode(Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

// Read reads a body of JSON, at most MaxBody long, and reports whether it can be
// used: needs says what every body must have, whole whether this one has it. What
// cannot be used is refused in words.
func Read(w http.ResponseWriter, r *http.Request, into any, needs string, whole func() bool) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody)).Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		Refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", large.Limit))
	case err != nil:
		Refuse(w, http.StatusBadRequest, "the body cannot be read: "+err.Error())
	case !whole():
		Refuse(w, http.StatusUnprocessableEntity, "the body needs "+needs)
	default:
		return true
	}
	return false
}

// Accept sends the messages and answers 202, or 503 if the broker does not take
// them: the partner's repeat is then welcome, since the IDs are its own. What no
// repeat will make smaller is 413.
func Accept(w http.ResponseWriter, r *http.Request, send topology.Send, messages ...topology.Request) {
	if Send(w, r, send, messages...) {
		w.WriteHeader(http.StatusAccepted)
	}
}

// Send is Accept for one who answers himself; it reports whether he may.
func Send(w http.ResponseWriter, r *http.Request, send topology.Send, messages ...topology.Request) bool {
	err := send(r.Context(), messages...)
	switch {
	case err == nil:
		return true
	case errors.Is(err, topology.ErrTooLarge):
		Refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		Refuse(w, http.StatusServiceUnavailable, "not accepted, please repeat: "+err.Error())
	}
	return false
}
