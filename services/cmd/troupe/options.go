package main

import (
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"troupe/schemas"
	"troupe/services"
	"troupe/topology"
	"troupe/topology/clock"
	"troupe/topology/stream"
	"troupe/topology/table"
)

// options are the flags that every subcommand shares. A flag is taken over its
// environment variable (TROUPE_BROKERS for --brokers), that over the default.
type options struct {
	brokers  []string
	registry string
	prefix   string
	state    string
	instance string
	fraud    string
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&o.brokers, "brokers", list("TROUPE_BROKERS"), "Kafka bootstrap servers, host:port,…")
	f.StringVar(&o.registry, "registry", os.Getenv("TROUPE_REGISTRY"), "URL of the schema registry")
	f.StringVar(&o.prefix, "prefix", os.Getenv("TROUPE_PREFIX"), "prefix of every name on the broker")
	f.StringVar(&o.state, "state", os.Getenv("TROUPE_STATE"), "directory for state; empty for a temporary one")
	f.StringVar(&o.instance, "instance", or(os.Getenv("TROUPE_INSTANCE"), "0"), "stable name of this process's place among its like")
	f.StringVar(&o.fraud, "fraud-url", os.Getenv("TROUPE_FRAUD_URL"), "URL of the fraud scoring service")
}

func list(name string) []string {
	if v := os.Getenv(name); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (o *options) services() []topology.Service { return services.All(services.Config{Fraud: o.fraud}) }

// admin is a configuration that talks to the broker but runs nothing.
func (o *options) admin() (stream.Config, error) {
	estate, err := topology.DefaultEstate()
	if err != nil {
		return stream.Config{}, err
	}
	if len(o.brokers) == 0 {
		return stream.Config{}, usageError{errNoBrokers}
	}
	return stream.Config{Brokers: o.brokers, Prefix: o.prefix, Estate: estate}, nil
}

// runtime is a whole configuration. close releases what it opened.
func (o *options) runtime(log *slog.Logger, r prometheus.Registerer) (c stream.Config, closeAll func() error, err error) {
	if c, err = o.admin(); err != nil {
		return c, nil, err
	}
	if o.registry == "" {
		return c, nil, usageError{errNoRegistry}
	}
	catalogue, err := schemas.Load()
	if err != nil {
		return c, nil, err
	}
	registry, err := schemas.NewRegistry(o.registry)
	if err != nil {
		return c, nil, err
	}
	store, err := table.Open(table.Config{Dir: o.state})
	if err != nil {
		return c, nil, err
	}
	c.Wire, c.Clock, c.Store = schemas.NewWire(catalogue, registry), clock.Wall(), store
	c.Log, c.Metrics, c.Instance = log, stream.NewMetrics(r), o.instance
	return c, store.Close, nil
}
