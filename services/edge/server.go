package edge

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"troupe/topology"
	"troupe/topology/partner"
)

// The limits where Config sets none.
const (
	DefaultTimeout    = 2 * time.Second
	DefaultBodyLimit  = 1 << 20 // bytes; an order of some thousand lines
	DefaultKeys       = 100_000
	DefaultKeyTTL     = 24 * time.Hour
	DefaultRetryAfter = time.Second
)

// Config is where the edge's partners are and what it allows.
type Config struct {
	OrderCapture string // base URL of order capture's intakes
	Tracking     string // base URL of the tracking view
	CRM          string // base URL of the customer system

	Timeout    time.Duration     // of one call to a partner; 0: DefaultTimeout
	BodyLimit  int64             // bytes of a request's body; 0: DefaultBodyLimit
	Keys       int               // idempotency keys that are remembered; 0: DefaultKeys
	KeyTTL     time.Duration     // how long a key is remembered; 0: DefaultKeyTTL
	RetryAfter time.Duration     // what callers are asked to wait; 0: DefaultRetryAfter
	Transport  http.RoundTripper // nil: the network
	Now        func() time.Time
}

// Validate reports everything that is wrong with a configuration.
func (c Config) Validate() error {
	var errs []error
	for _, p := range []struct{ name, url string }{{"OrderCapture", c.OrderCapture}, {"Tracking", c.Tracking}, {"CRM", c.CRM}} {
		if u, err := url.Parse(p.url); err != nil {
			errs = append(errs, fmt.Errorf("parse %s: %w", p.name, err))
		} else if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("%s: %q is no http address", p.name, p.url))
		}
	}
	if c.Timeout < 0 || c.BodyLimit < 0 || c.Keys < 0 || c.KeyTTL < 0 || c.RetryAfter < 0 {
		errs = append(errs, errors.New("a limit is below zero"))
	}
	if c.Now == nil {
		errs = append(errs, errors.New("no clock: set Now"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.BodyLimit == 0 {
		c.BodyLimit = DefaultBodyLimit
	}
	if c.Keys == 0 {
		c.Keys = DefaultKeys
	}
	if c.KeyTTL == 0 {
		c.KeyTTL = DefaultKeyTTL
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = DefaultRetryAfter
	}
	if c.Transport == nil {
		c.Transport = partner.Transport()
	}
	return c
}

// Bounds are the limits that hold under c.
func (c Config) Bounds() []topology.Bound {
	c = c.withDefaults()
	return []topology.Bound{
		topology.AtMost("body-bytes", c.BodyLimit, "a request is refused with 413"),
		topology.AtMost("name-bytes", identifierLimit, "a request is refused with 422, a look-up with 404"),
		topology.AtMost("key-bytes", keyLimit, "of an Idempotency-Key: the request is refused with 400"),
		topology.AtMost("keys", c.Keys, "the oldest answer is forgotten: a repeat goes to ordercapture again; while all await theirs, a request is refused with 503"),
		topology.AtMost("key-ttl", c.KeyTTL, "the answer is forgotten likewise"),
		topology.AtMost("partner-timeout", c.Timeout, "a request is refused with 503; of a look-up, the section is unavailable"),
		topology.AtMost("partner-answer-bytes", answerLimit, "no more is read: of a look-up, the section is unavailable; of a refusal, the reason is lost"),
	}
}

//go:embed openapi.yaml
var document []byte

type server struct {
	config                      Config
	orderCapture, tracking, crm upstream
	keys                        *keys
}

// route is an operation; openapi.yaml has the same ones.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

func (s *server) routes() []route {
	return []route{
		{http.MethodPost, "/v1/orders", s.accepting(readOrder)},
		{http.MethodPost, "/v1/orders/{tenant}/{order}/cancellation", s.accepting(readCancellation)},
		{http.MethodGet, "/v1/orders/{tenant}/{order}", s.serveStatus},
		{http.MethodGet, "/openapi.yaml", serveDocument},
	}
}

// New makes the façade.
func New(c Config) (http.Handler, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.serve)
	}
	return problems(mux), nil
}

func newServer(c Config) (*server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure edge: %w", err)
	}
	c = c.withDefaults()
	client := &http.Client{
		Transport: c.Transport,
		// A partner that sends us elsewhere is misconfigured: following it
		// would turn a POST into a GET whose answer looks like success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	to := func(name, url string) upstream { return upstream{name, url, client, c.Timeout} }
	return &server{
		config: c, keys: newKeys(c.Keys, c.KeyTTL, c.Now),
		orderCapture: to("ordercapture", c.OrderCapture), tracking: to("tracking", c.Tracking), crm: to("crm", c.CRM),
	}, nil
}

// problems answers as a problem where the mux itself would answer in plain text.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r) // not h: the mux sets the path values
			return
		}
		refused := &statusOnly{header: http.Header{}}
		h.ServeHTTP(refused, r)
		if allow := refused.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			partner.Refuse(w, http.StatusMethodNotAllowed, r.Method+" is not possible here; see /openapi.yaml")
			return
		}
		partner.Refuse(w, http.StatusNotFound, "there is nothing at this address; see /openapi.yaml")
	})
}

// statusOnly takes the headers of an answer and drops the rest.
type statusOnly struct{ header http.Header }

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(int)             {}

func serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(document)
}

// retryLater asks the caller to come back.
func (s *server) retryLater(h http.Header) {
	seconds := int64((s.config.RetryAfter + time.Second - 1) / time.Second) // the header knows whole seconds
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
}
