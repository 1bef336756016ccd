package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"troupe/topology/partner"
)

// answerLimit bounds what is read of a partner's answer, in bytes.
const answerLimit = 4 << 20

// upstream is a partner that the edge asks.
type upstream struct {
	name    string
	url     string
	client  *http.Client
	timeout time.Duration
}

// unanswered says why a partner gave no answer, in words that may be told to a
// channel: they hold no address of ours.
type unanswered struct {
	reason string
	cause  error
}

func (u *unanswered) Error() string { return u.reason }
func (u *unanswered) Unwrap() error { return u.cause }

// ask sends a request and reads the answer, whatever its status. body may be nil.
func (u upstream) ask(ctx context.Context, method, path, key string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(u.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, &unanswered{u.name + " cannot be asked for this", err}
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return 0, nil, u.silence(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return 0, nil, u.silence(err)
	}
	return resp.StatusCode, answer, nil
}

func (u upstream) silence(err error) *unanswered {
	if errors.Is(err, context.DeadlineExceeded) {
		return &unanswered{fmt.Sprintf("%s did not answer within %v", u.name, u.timeout), err}
	}
	return &unanswered{u.name + " cannot be reached", err}
}

// errUnknown says that a partner has never heard of what it was asked for.
var errUnknown = errors.New("unknown")

// look reads a partner's answer to a GET; errUnknown for a 404.
func (u upstream) look(ctx context.Context, path string, into any) error {
	status, answer, err := u.ask(ctx, http.MethodGet, path, "", nil)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return errUnknown
	case status != http.StatusOK:
		return &unanswered{fmt.Sprintf("%s answered %d", u.name, status), nil}
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return &unanswered{u.name + " answered in a shape that is not agreed", err}
	}
	return nil
}

// pathOf puts segments into a path, each escaped.
func pathOf(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// detailOf is what a partner's refusal says.
func detailOf(answer []byte) string {
	var p partner.Problem
	if json.Unmarshal(answer, &p) == nil && p.Detail != "" {
		return p.Detail
	}
	return "refused without a reason"
}
