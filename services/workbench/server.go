package workbench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"troupe/topology/partner"
)

// refreshSeconds is how often a status page renews itself that was asked to.
const refreshSeconds = 30

// policy lets a page load its own style and send its own search, and no more.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Handler shows the workbench. It has no login: bind it to a loopback address.
func (b *Bench) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", b.serveStatus)
	mux.HandleFunc("/flows", b.serveFlows)
	mux.HandleFunc("/flows/{tenant}/{order}", b.serveFlow)
	mux.HandleFunc("/mismatches", b.serveMismatches)
	mux.HandleFunc("/exceptions", b.serveExceptions)
	mux.HandleFunc("/style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style) // a browser that hangs up is no concern of ours
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b.refuse(w, r, http.StatusNotFound, "There is nothing at this address.")
	})
	return b.guarded(mux)
}

// guarded refuses what only reads cannot be, and requests that did not come by
// a loopback name: a web site could have its own name resolve to this machine.
func (b *Bench) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store") // a page is as of now
		h.Set("Vary", "Accept")
		switch {
		case b.err != nil:
			partner.Refuse(w, http.StatusInternalServerError, b.err.Error())
		case !loopback(r.Host):
			b.refuse(w, r, http.StatusMisdirectedRequest, "The workbench answers on a loopback address only.")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			b.refuse(w, r, http.StatusMethodNotAllowed, "The workbench is read only.")
		case r.URL.Query().Has("page") && pageOf(r.URL.Query()) < 1:
			b.refuse(w, r, http.StatusBadRequest, fmt.Sprintf("no page %q: pages count from 1", r.URL.Query().Get("page")))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (b *Bench) serveStatus(w http.ResponseWriter, r *http.Request) {
	s := b.status()
	p := page{Title: s.Headline, At: "status", Body: s}
	if r.URL.Query().Has("refresh") {
		p.Refresh = refreshSeconds
	}
	b.show(w, r, "status", p)
}

func (b *Bench) serveFlows(w http.ResponseWriter, r *http.Request) {
	l, err := b.list(r.URL.Query())
	if err != nil {
		b.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	p := page{Title: "Flows", At: "flows", Body: l}
	p.turn(r.URL, l.Part)
	b.show(w, r, "flows", p)
}

func (b *Bench) serveFlow(w http.ResponseWriter, r *http.Request) {
	n := number{r.PathValue("tenant"), r.PathValue("order")}
	a, known := b.detail(n, r.URL.Query())
	if !known {
		b.refuse(w, r, http.StatusNotFound, "Nothing has been heard of an order "+n.order+" of "+n.tenant+".")
		return
	}
	p := page{Title: n.tenant + "/" + n.order, At: "flows", Body: a, Chart: b.chart(a)}
	p.turn(r.URL, a.Part)
	b.show(w, r, "flow", p)
}

func (b *Bench) serveMismatches(w http.ResponseWriter, r *http.Request) {
	l, err := b.mismatches(r.URL.Query())
	if err != nil {
		b.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	p := page{Title: "Mismatches", At: "mismatches", Body: l}
	p.turn(r.URL, l.Part)
	b.show(w, r, "mismatches", p)
}

func (b *Bench) serveExceptions(w http.ResponseWriter, r *http.Request) {
	l := b.unusable(r.URL.Query())
	p := page{Title: "Exceptions", At: "exceptions", Body: l}
	p.turn(r.URL, l.Part)
	b.show(w, r, "exceptions", p)
}

// turn sets the addresses of the pages before and after.
func (p *page) turn(u *url.URL, part Part) {
	to := func(n int) string {
		q := u.Query()
		q.Set("page", strconv.Itoa(n))
		return "?" + q.Encode()
	}
	if part.Page > 1 {
		p.Earlier = to(part.Page - 1)
	}
	if part.Page < part.Pages {
		p.Later = to(part.Page + 1)
	}
}

// show writes a page, or the same as JSON.
func (b *Bench) show(w http.ResponseWriter, r *http.Request, name string, p page) {
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Body) // see above
		return
	}
	b.write(w, http.StatusOK, name, p)
}

// write renders first, so that a page that fails is not half shown.
func (b *Bench) write(w http.ResponseWriter, status int, name string, p page) {
	p.Now, p.AsOf = b.config.Now().UTC(), b.asOf()
	var out bytes.Buffer
	if err := b.pages[name].Execute(&out, p); err != nil {
		partner.Refuse(w, http.StatusInternalServerError, "show "+name+": "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // see above
}

func (b *Bench) refuse(w http.ResponseWriter, r *http.Request, status int, says string) {
	if wantsJSON(r) {
		partner.Refuse(w, status, says)
		return
	}
	b.write(w, status, "refusal", page{Title: http.StatusText(status), Body: says})
}

func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}
