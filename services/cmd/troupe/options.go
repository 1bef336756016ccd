package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

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
	limits   []string
	world    services.Config
}

func (o *options) bind(f *pflag.FlagSet) {
	o.world.Now = time.Now
	f.StringSliceVar(&o.brokers, "brokers", list("TROUPE_BROKERS"), "Kafka bootstrap servers, host:port,…")
	f.StringVar(&o.registry, "registry", os.Getenv("TROUPE_REGISTRY"), "URL of the schema registry")
	f.StringVar(&o.prefix, "prefix", os.Getenv("TROUPE_PREFIX"), "prefix of every name on the broker")
	f.StringVar(&o.state, "state", os.Getenv("TROUPE_STATE"), "directory for state; empty for a temporary one")
	f.StringVar(&o.instance, "instance", or(os.Getenv("TROUPE_INSTANCE"), "0"), "stable name of this process's place among its like")
	f.StringArrayVar(&o.limits, "limit", nil, "NAME=VALUE of a limit, as often as needed, over TROUPE_LIMITS; troupe limits lists them")
	w := &o.world
	f.StringVar(&w.Scoring, "scoring-url", os.Getenv("TROUPE_SCORING_URL"), "URL of the fraud scoring service")
	f.StringVar(&w.Provider, "provider-url", os.Getenv("TROUPE_PROVIDER_URL"), "URL of the payment provider")
	f.StringVar(&w.Warehouse, "warehouse-url", os.Getenv("TROUPE_WAREHOUSE_URL"), "URL of the warehouse management system")
	f.StringVar(&w.ERP, "erp-url", os.Getenv("TROUPE_ERP_URL"), "URL of the ERP's SOAP endpoint")
	f.StringVar(&w.Mail, "mail", or(os.Getenv("TROUPE_MAIL"), "localhost:25"), "mail server, host:port")
	f.StringSliceVar(&w.Unknown, "unknown", list("TROUPE_UNKNOWN"), "ledgers that nobody publishes here, of orders,payments,stock: reconciliation does without their codes")
	f.StringVar(&w.MailFrom, "mail-from", or(os.Getenv("TROUPE_MAIL_FROM"), "orders@localhost"), "sender of mails")
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

// partners refuses services that nobody has told where their partner is: they would
// start, and tell of each order that the partner does not answer.
func (o *options) partners(chosen []topology.Service) error {
	for _, p := range []struct{ service, flag, url string }{
		{"fraud", "scoring-url", o.world.Scoring}, {"payment", "provider-url", o.world.Provider},
		{"shipment", "warehouse-url", o.world.Warehouse}, {"invoicing", "erp-url", o.world.ERP},
	} {
		if p.url == "" && slices.ContainsFunc(chosen, func(s topology.Service) bool { return s.Name == p.service }) {
			variable := "TROUPE_" + strings.ToUpper(strings.ReplaceAll(p.flag, "-", "_"))
			return usageError{fmt.Errorf("%s has a partner: set --%s or %s", p.service, p.flag, variable)}
		}
	}
	return nil
}

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
func (o *options) runtime(business clock.Clock, log *slog.Logger, r prometheus.Registerer) (c stream.Config, closeAll func() error, err error) {
	if c, err = o.admin(); err != nil {
		return c, nil, err
	}
	if c.Wire, err = o.wire(); err != nil {
		return c, nil, err
	}
	if c.Limits, err = o.limited(); err != nil {
		return c, nil, err
	}
	store, err := table.Open(table.Config{Dir: o.state})
	if err != nil {
		return c, nil, err
	}
	c.Clock, c.Store = business, store
	c.Log, c.Metrics, c.Instance = log, stream.NewMetrics(r), o.instance
	return c, store.Close, nil
}
