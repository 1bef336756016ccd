package world

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/emersion/go-smtp"
)

// maxBody bounds what is read of a request or an answer, in bytes.
const maxBody = 4 << 20

// A call that is not accepted is repeated this often, this quickly at most.
const (
	callTries    = 30
	callInterval = time.Second
	callTimeout  = 10 * time.Second
)

// Calendar is the time that world and estate share.
type Calendar interface {
	Now() time.Time
	At(t time.Time, id string, do func(context.Context) error)
}

// Config is what a world is made of.
type Config struct {
	Dir    string // of the journal; "" keeps nothing
	Source Source
	Clock  Calendar
	Log    *slog.Logger

	Network Network // nil: ports of this machine
}

// Addresses are where the partners listen: base URLs, and host:port of the mail
// server.
type Addresses struct{ Provider, Scoring, Warehouse, ERP, CRM, Mail string }

// Estate is where Troupe listens: base URLs of its edge and its intakes.
type Estate struct{ Edge, Payment, Fraud, Shipment, Inventory, Invoicing string }

// World is the partners and their calendar.
type World struct {
	Addresses
	config Config
	estate Estate
	client *http.Client
	closes []func() error

	operations map[string]operation
	connected  chan struct{}

	mu        sync.Mutex
	journal   *journal
	past      []entry
	answers   map[string]any // by path and idempotency key
	done      map[string]bool
	placed    int
	mails     map[string]int // Message-ID → how often it came
	orders    map[string]*Order
	parcels   map[string]*parcel  // by shipment
	releases  map[string][]string // shipments by order
	departed  map[string]bool     // by order and node
	tenders   map[string]*held    // by reference
	captures  map[string]string   // capture → reference of its tender
	booked    map[string]*Order   // by ERP number
	customers map[string]Customer // by tenant and ID
}

// Start opens the journal and the ports. Nobody is answered before Connect.
func Start(c Config) (*World, error) {
	j, past, err := openJournal(c.Dir)
	if err != nil {
		return nil, err
	}
	if c.Network == nil {
		c.Network = newPorts()
	}
	w := &World{
		config: c, journal: j, past: past, operations: operations(), connected: make(chan struct{}), client: &http.Client{Timeout: callTimeout, Transport: c.Network},
		answers: map[string]any{}, done: map[string]bool{}, mails: map[string]int{}, orders: map[string]*Order{},
		parcels: map[string]*parcel{}, releases: map[string][]string{}, departed: map[string]bool{}, tenders: map[string]*held{}, captures: map[string]string{},
		booked: map[string]*Order{}, customers: map[string]Customer{},
	}
	w.closes = append(w.closes, j.close)
	for _, s := range []struct {
		name    string
		url     *string
		handler http.Handler
	}{
		{"provider", &w.Provider, w.json("/tenders", "/captures", "/voids", "/refunds")}, {"scoring", &w.Scoring, w.json("/scores")},
		{"warehouse", &w.Warehouse, w.json("/releases", "/cancellations")},
		{"erp", &w.ERP, http.HandlerFunc(w.serveERP)}, {"crm", &w.CRM, http.HandlerFunc(w.serveCRM)},
	} {
		if err := w.listen(s.name, s.url, s.handler); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	if err := w.listenMail(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) listen(name string, url *string, h http.Handler) error {
	at, stop, err := w.config.Network.Serve(name, w.onceConnected(h))
	if err != nil {
		return fmt.Errorf("open the way to the %s: %w", name, err)
	}
	*url = at
	w.closes = append(w.closes, stop)
	return nil
}

// onceConnected lets requests wait until the journal has been read: a partner
// who has forgotten what he was asked would do it a second time.
func (w *World) onceConnected(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-w.connected:
			h.ServeHTTP(rw, r)
		case <-r.Context().Done():
		}
	})
}

func (w *World) listenMail() error {
	lis, err := w.config.Network.Listen("mail")
	if err != nil {
		return fmt.Errorf("open the mail server's port: %w", err)
	}
	s := smtp.NewServer(postOffice{w})
	s.Domain, s.MaxMessageBytes = "localhost", maxBody
	s.ErrorLog = slog.NewLogLogger(w.config.Log.Handler(), slog.LevelDebug) // a client that hangs up
	go func() { _ = s.Serve(lis) }()                                        // ends with Close
	w.Mail = lis.Addr().String()
	w.closes = append(w.closes, lis.Close, func() error {
		if err := s.Close(); !errors.Is(err, smtp.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

// Connect says where the estate is, and sets the calendar going: from the
// journal's end where there is one.
func (w *World) Connect(e Estate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.estate = e
	for _, p := range w.past {
		if p.Done != "" {
			w.done[p.Done] = true
		}
		if p.Mail != "" {
			w.mails[p.Mail]++
		}
	}
	w.fill(w.config.Source.Start())
	w.place()
	for _, p := range w.past {
		if p.Path != "" {
			w.answers[p.Path+" "+p.Key] = w.apply(p)
		}
	}
	w.past = nil
	close(w.connected)
}

// apply lets a partner take a request: a function of what it took before.
func (w *World) apply(e entry) any {
	var r request
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return refusal{http.StatusBadRequest, err.Error()}
	}
	do, ok := w.operations[e.Path]
	if !ok {
		return refusal{http.StatusNotFound, "nobody can be asked for " + e.Path}
	}
	return do(w, r, e.At)
}

// Mails counts the distinct Message-IDs in the mailbox.
func (w *World) Mails() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mails)
}

// Mailbox is how often each Message-ID came.
func (w *World) Mailbox() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.mails)
}

// Close closes the ports and the journal.
func (w *World) Close() error {
	var errs []error
	for i := len(w.closes) - 1; i >= 0; i-- {
		if err := w.closes[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// request is what any partner may be asked; each reads its own fields.
type request struct {
	Tenant, Order, Kind, Currency, Reference, ShipmentID, Node, CustomerID, ERPNumber string
	Tender                                                                            int32
	Amount                                                                            int64
	Last                                                                              bool
	Lines                                                                             []requestLine
}

type requestLine struct {
	Line     int32  `json:"line" xml:"line"`
	SKU      string `json:"sku" xml:"sku"`
	Quantity int32  `json:"quantity" xml:"quantity"`
	Net      int64  `json:"net" xml:"net"`
	Freight  int64  `json:"freight" xml:"freight"`
	Tax      int64  `json:"tax" xml:"tax"`
}

// refusal is an answer that says no.
type refusal struct {
	status int
	reason string
}

// operation answers a request and may put calls into the calendar. It runs
// under the world's lock, and must depend on nothing but the request, its time
// and what was asked before.
type operation func(w *World, r request, at time.Time) any

// operations are what the partners can be asked, by path or SOAP operation. The
// carrier is handed a parcel by the warehouse, behind Troupe's back.
func operations() map[string]operation {
	return map[string]operation{
		"/tenders": (*World).openTender, "/captures": (*World).capture, "/voids": (*World).void, "/refunds": (*World).refund,
		"/scores":   (*World).score,
		"/releases": (*World).release, "/cancellations": (*World).cancelRelease,
		"handover":  (*World).carry,
		"BookOrder": (*World).book, "BillShipment": (*World).bill,
	}
}

// take answers a request once for each idempotency key.
func (w *World) take(path, key string, body json.RawMessage) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.answers[path+" "+key]; ok {
		return a, nil
	}
	e := entry{At: minute(w.config.Clock.Now()), Path: path, Key: key, Body: body}
	if err := w.journal.add(e); err != nil {
		return nil, err
	}
	a := w.apply(e)
	w.answers[path+" "+key] = a
	return a, nil
}

// json serves some of the paths as HTTP and JSON, with a look-up by key.
func (w *World) json(paths ...string) http.Handler {
	mux := http.NewServeMux()
	for _, path := range paths {
		mux.HandleFunc("POST "+path, func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
			key := r.Header.Get("Idempotency-Key")
			if err != nil || key == "" || !json.Valid(body) {
				answer(rw, refusal{http.StatusBadRequest, "a JSON body and the header Idempotency-Key are needed"})
				return
			}
			a, err := w.take(path, key, body)
			if err != nil {
				a = refusal{http.StatusServiceUnavailable, err.Error()}
			}
			answer(rw, a)
		})
		mux.HandleFunc("GET "+path+"/{key}", func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			a, ok := w.answers[path+" "+r.PathValue("key")]
			w.mu.Unlock()
			if !ok {
				a = refusal{http.StatusNotFound, "never seen"}
			}
			answer(rw, a)
		})
	}
	return mux
}

func answer(rw http.ResponseWriter, a any) {
	rw.Header().Set("Content-Type", "application/json")
	if r, no := a.(refusal); no {
		rw.WriteHeader(r.status)
		a = map[string]string{"detail": r.reason}
	}
	_ = json.NewEncoder(rw).Encode(a) // who hangs up asks again
}

// later puts something into the calendar, once for each id. It is remembered
// when it was done, and then never done again.
func (w *World) later(at time.Time, id string, do func(context.Context) error) {
	if w.done[id] {
		return
	}
	w.config.Clock.At(at, id, func(ctx context.Context) error {
		if err := do(ctx); err != nil {
			w.config.Log.Error("a call to the estate failed", "call", id, "err", err)
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done[id] = true
		return w.journal.add(entry{Done: id})
	})
}

// call puts a partner's call to the estate into the calendar, with what goes
// wrong with it. unless may be nil; it is asked under the lock, at the time.
func (w *World) call(at time.Time, id, path string, body map[string]any, unless func() bool) {
	body["id"], body["at"] = id, at
	m := w.config.Source.Mishap(id)
	w.later(at.Add(m.Late), id, func(ctx context.Context) error {
		w.mu.Lock()
		off := unless != nil && unless()
		w.mu.Unlock()
		if off || m.Lost {
			return nil
		}
		err := w.post(ctx, w.url(path), id, body)
		if err == nil && m.Repeated {
			err = w.post(ctx, w.url(path), id, body)
		}
		return err
	})
}

// url is where a context's intake is.
func (w *World) url(path string) string {
	context, rest, _ := strings.Cut(path, "/")
	return map[string]string{
		"payment": w.estate.Payment, "fraud": w.estate.Fraud, "shipment": w.estate.Shipment, "inventory": w.estate.Inventory,
	}[context] + "/" + rest
}

// post calls the estate until it accepts or refuses.
func (w *World) post(ctx context.Context, url, key string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode call: %w", err)
	}
	return w.send(ctx, url, key, "application/json", b)
}

func (w *World) send(ctx context.Context, url, key, contentType string, body []byte) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Idempotency-Key", key)
		resp, err := w.client.Do(req)
		if err != nil {
			return struct{}{}, err
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		switch {
		case err != nil:
			return struct{}{}, err
		case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
			return struct{}{}, fmt.Errorf("POST %s: %s: %.300s", url, resp.Status, said)
		case resp.StatusCode >= 400:
			return struct{}{}, backoff.Permanent(fmt.Errorf("POST %s: %s: %.300s", url, resp.Status, said))
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: callInterval,
	}), backoff.WithMaxTries(callTries))
	return err
}

// order is what will happen to an order; one that came by another way than
// through this world's shops has a fate too.
func (w *World) order(tenant, order string, at time.Time) *Order {
	key := tenant + "/" + order
	o, ok := w.orders[key]
	if !ok {
		o = w.config.Source.Fate(tenant, order, at)
		w.orders[key] = o
	}
	return o
}

func minute(t time.Time) time.Time { return t.UTC().Truncate(time.Minute) }

// number derives a partner's own number from what it is about.
func number(prefix string, about ...string) string {
	return fmt.Sprintf("%s%012d", prefix, draw(about...)%1e12)
}

// draw is a number that depends on what it is about alone.
func draw(about ...string) uint64 {
	h := sha256.Sum256([]byte(strings.Join(about, "\x00")))
	return binary.BigEndian.Uint64(h[:])
}

func cut(order string) (channel, number string, found bool) { return strings.Cut(order, "-") }

// Placed counts the orders that this world's shops have placed.
func (w *World) Placed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.placed
}
