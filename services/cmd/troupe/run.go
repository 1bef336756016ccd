package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"troupe/topology"
	"troupe/topology/stream"
)

func runCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use: "run SERVICE…", Short: "Run services against a Kafka and a registry", Args: cobra.MinimumNArgs(1),
		Long: `Run one or more services in this process, each as its own consumer group.
The topics must be there: see troupe topology apply.`,
		Example: "  troupe run fraud --brokers localhost:9092 --registry http://localhost:8081 --state /var/lib/troupe",
	}
	listen := c.Flags().String("listen", "127.0.0.1:8080", "address for intakes (/<service>/…), /metrics, /livez and /readyz")
	c.RunE = func(cmd *cobra.Command, args []string) error { return serve(cmd, o, args, *listen) }
	return c
}

// shutdownGrace is what a request in flight is given when the process stops.
const shutdownGrace = 3 * time.Second

func serve(cmd *cobra.Command, o *options, names []string, listen string) (err error) {
	chosen, err := choose(o.services(), names)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	config, closeAll, err := o.runtime(slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil)), metrics)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := closeAll(); err == nil {
			err = cerr
		}
	}()
	runner, err := stream.New(cmd.Context(), config, chosen)
	if err != nil {
		return err
	}
	lis, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: door(runner, chosen, metrics), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintf(cmd.ErrOrStderr(), "running %v; metrics at http://%s/metrics\n", names, lis.Addr())
	return runAll(cmd, runner, server, lis)
}

// runAll runs the runner and the server until the command is told to stop or
// one of them fails.
func runAll(cmd *cobra.Command, runner *stream.Runner, server *http.Server, lis net.Listener) error {
	ctx, stop := context.WithCancel(cmd.Context())
	var g run.Group
	g.Add(func() error { return runner.Run(ctx) }, func(error) { stop() })
	g.Add(func() error {
		if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	}, func(error) {
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		_ = server.Shutdown(grace) // what has not ended by then is cut off
	})
	return g.Run()
}

// choose finds services by name.
func choose(all []topology.Service, names []string) ([]topology.Service, error) {
	var chosen []topology.Service
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
		if slices.Contains(names, s.Name) {
			chosen = append(chosen, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, usageError{fmt.Errorf("no service %q: there are %v", n, known)}
		}
	}
	return chosen, nil
}

// door serves what a process shows over HTTP.
func door(runner *stream.Runner, chosen []topology.Service, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := runner.Check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	for _, s := range chosen {
		if intakes := runner.Intakes(s.Name); intakes != nil {
			mux.Handle("/"+s.Name+"/", http.StripPrefix("/"+s.Name, intakes))
		}
	}
	return mux
}
