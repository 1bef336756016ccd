package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"troupe/services"
	"troupe/topology/stream"
)

// shutdownGrace is what a request in flight is given when the process stops.
const shutdownGrace = 3 * time.Second

// listener is an open port and what answers there.
type listener struct {
	name   string
	server *http.Server
	lis    net.Listener
}

func open(name, addr string, h http.Handler) (*listener, error) {
	lis, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen for %s: %s is in use: end what runs there, or choose another address (--help names the flag)", name, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	return &listener{name, &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout}, lis}, nil
}

// How long a caller may take to send a request's head, and all of it, and may keep a
// connection without one.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
)

func (l *listener) url() string { return "http://" + l.lis.Addr().String() }

func (l *listener) serve() error {
	if err := l.server.Serve(l.lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.name, err)
	}
	return nil
}

func (l *listener) stop() {
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	_ = l.server.Shutdown(grace) // what has not ended by then is cut off
}

// runAll runs the runner and the listeners until ctx is done or one of them
// fails.
func runAll(ctx context.Context, runner *stream.Runner, listeners ...*listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g run.Group
	g.Add(func() error { return runner.Run(ctx) }, func(error) { stop() })
	for _, l := range listeners {
		g.Add(l.serve, func(error) { l.stop() })
	}
	return g.Run()
}

// door serves what a process shows over HTTP.
func door(runner *stream.Runner, contexts services.Contexts, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := runner.Check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	for _, s := range contexts.All {
		if intakes := runner.Intakes(s.Name); intakes != nil {
			mux.Handle("/"+s.Name+"/", http.StripPrefix("/"+s.Name, intakes))
		}
		if s.Name == "tracking" {
			mux.Handle("/tracking/", http.StripPrefix("/tracking", whenReady(runner, contexts.Tracking.Handler())))
		}
	}
	return mux
}

// whenReady shows a view only once it has caught up: before, what is missing
// would look as if it did not exist.
func whenReady(runner *stream.Runner, view http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-runner.Ready():
			view.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the view is still being filled", http.StatusServiceUnavailable)
		}
	})
}
