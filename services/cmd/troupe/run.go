package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"troupe/services"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
)

func runCommand(o *options) *cobra.Command {
	l := &laptop{options: o}
	c := &cobra.Command{
		Use: "run all | SERVICE…", Short: "Run services, or the whole estate", Args: takes(1, many),
		Long: `Run one or more services in this process, each as its own consumer group, against
a Kafka and a registry. The topics must be there: see troupe topology apply. Queues,
batches, caches and retries are bounded: see troupe limits. The heap grows to three
times of what lives in it, short of a limit that follows from the caches', before garbage
is collected: GOGC and GOMEMLIMIT, if set, count instead.

"all" is every service. Without --brokers it brings all that it needs: an embedded
broker and registry, and a simulated world with invented orders in quickened time.`,
		Example: `  troupe run all
  troupe run inventory payment --brokers localhost:9092 --registry http://localhost:8081 \
    --provider-url https://psp --state /var/lib/troupe`,
	}
	f := c.Flags()
	f.StringVar(&l.listen.services, "listen", "127.0.0.1:8080", "address for intakes (/<service>/…), /tracking/…, /metrics, /livez and /readyz")
	f.StringVar(&l.listen.edge, "edge-listen", "127.0.0.1:8081", "address of the edge (run all, embedded)")
	f.StringVar(&l.listen.workbench, "workbench-listen", "127.0.0.1:8082", "address of the workbench (run all, embedded; run workbench)")
	f.Float64Var(&l.speed, "speed", 1200, "business seconds a second (run all, embedded)")
	f.Float64Var(&l.rate, "rate", 20, "invented orders a business hour (run all, embedded)")
	f.Uint64Var(&l.seed, "seed", 1, "of the invented orders (run all, embedded)")
	f.IntVar(&l.workers, "workers", min(runtime.NumCPU(), 4), "workers of each service: clients that commit beside each other, at most one a partition is of use; with run all, embedded: 1")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if slices.Equal(args, []string{"all"}) && len(o.brokers) == 0 {
			return l.run(cmd)
		}
		return serve(cmd, o, args, l.workers, l.listen)
	}
	return c
}

// simulated are the flags of what a simulated world stands in for.
var simulated = []string{"scoring-url", "provider-url", "warehouse-url", "erp-url", "mail", "mail-from", "unknown"}

func serve(cmd *cobra.Command, o *options, names []string, workers int, at addresses) (err error) {
	contexts, err := o.contexts()
	if err != nil {
		return err
	}
	if contexts.All, err = choose(contexts.All, names); err != nil {
		return err
	}
	if workers < 1 {
		return usageError{fmt.Errorf("--workers %d: at least one works", workers)}
	}
	shown := slices.ContainsFunc(contexts.All, func(s topology.Service) bool { return s.Name == "workbench" })
	err = idle(cmd, "it is for run all without --brokers, on invented orders", "edge-listen", "speed", "rate", "seed")
	if err == nil && !shown {
		err = idle(cmd, "the workbench is not among the services", "workbench-listen")
	}
	if err != nil {
		return err
	}
	if err := o.partners(contexts.All); err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	config, closeAll, err := o.runtime(clock.Wall(), slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil)), metrics)
	if err != nil {
		return err
	}
	config.Workers = workers
	services.TuneCollector(len(contexts.All), config.Limits)
	defer func() {
		if cerr := closeAll(); err == nil {
			err = cerr
		}
	}()
	runner, err := stream.New(cmd.Context(), config, contexts.All)
	if err != nil {
		return err
	}
	d, err := open("services", at.services, door(runner, contexts, metrics))
	if err != nil {
		return err
	}
	doors := []*listener{d}
	fmt.Fprintf(cmd.ErrOrStderr(), "running %v; metrics at %s/metrics\n", names, d.url())
	if shown {
		w, err := open("workbench", at.workbench, whenReady(runner, contexts.Workbench.Handler()))
		if err != nil {
			return err
		}
		doors = append(doors, w)
		fmt.Fprintf(cmd.ErrOrStderr(), "workbench at %s\n", w.url())
	}
	return runAll(cmd.Context(), runner, doors...)
}

// choose finds services by name.
func choose(all []topology.Service, names []string) ([]topology.Service, error) {
	if slices.Equal(names, []string{"all"}) {
		return all, nil
	}
	var picked []topology.Service
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
		if slices.Contains(names, s.Name) {
			picked = append(picked, s)
		}
	}
	for i, n := range names {
		switch {
		case n == "all":
			return nil, usageError{errors.New("all is every service: it stands alone")}
		case !slices.Contains(known, n):
			return nil, usageError{fmt.Errorf("no service %q: there are %s", n, strings.Join(known, ", "))}
		case slices.Contains(names[:i], n):
			return nil, usageError{fmt.Errorf("%s is named twice: to run more of it, start another process with an --instance of its own, or raise --workers", n)}
		}
	}
	return picked, nil
}
