package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
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

// options are the flags that every subcommand shares.
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
	f.StringSliceVar(&o.brokers, "brokers", nil, "Kafka bootstrap servers, host:port,…")
	f.StringVar(&o.registry, "registry", "", "URL of the schema registry")
	f.StringVar(&o.prefix, "prefix", "", "prefix of every name on the broker")
	f.StringVar(&o.state, "state", "", "directory for state; empty for a temporary one")
	f.StringVar(&o.instance, "instance", "0", "stable name of this process's place among its like")
	f.StringArrayVar(&o.limits, "limit", nil, "NAME=VALUE of a limit of the runtime, as often as needed, over TROUPE_LIMITS; troupe limits lists them")
	w := &o.world
	f.StringVar(&w.Scoring, "scoring-url", "", "URL of the fraud scoring service")
	f.StringVar(&w.Provider, "provider-url", "", "URL of the payment provider")
	f.StringVar(&w.Warehouse, "warehouse-url", "", "URL of the warehouse management system")
	f.StringVar(&w.ERP, "erp-url", "", "URL of the ERP's SOAP endpoint")
	f.StringVar(&w.Mail, "mail", "localhost:25", "mail server, host:port")
	f.StringSliceVar(&w.Unknown, "unknown", nil, "ledgers that nobody publishes here, of orders,payments,stock: reconciliation does without their codes")
	f.StringVar(&w.MailFrom, "mail-from", "orders@localhost", "sender of mails")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// partners refuses services that nobody has told where their partner is, and
// addresses that are none: they would start, and tell of each order that the partner
// does not answer.
func (o *options) partners(chosen []topology.Service) error {
	var errs []error
	for _, p := range []struct{ service, flag, url string }{
		{"fraud", "scoring-url", o.world.Scoring}, {"payment", "provider-url", o.world.Provider},
		{"shipment", "warehouse-url", o.world.Warehouse}, {"invoicing", "erp-url", o.world.ERP},
	} {
		switch {
		case p.url != "":
			errs = append(errs, absolute(p.flag, p.url))
		case slices.ContainsFunc(chosen, func(s topology.Service) bool { return s.Name == p.service }):
			errs = append(errs, fmt.Errorf("%s has a partner: set --%s or %s", p.service, p.flag, variable(p.flag)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// absolute refuses what is not the whole address of a server.
func absolute(flag, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--%s %q: say a whole URL, such as https://host:port", flag, text)
	}
	return nil
}

// directory refuses a state directory that is something else.
func (o *options) directory() error {
	if at, err := os.Stat(o.state); err == nil && !at.IsDir() {
		return usageError{fmt.Errorf("--state %s: a file lies there; name a directory", o.state)}
	}
	return nil
}

// reach says which flag names what could not be reached.
func (o *options) reach(err error) error {
	var call *url.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &call):
		if o.registry != "" && strings.HasPrefix(call.URL, strings.TrimSuffix(o.registry, "/")+"/") {
			return fmt.Errorf("%w; does a schema registry run there, and is --registry %s right?", err, o.registry)
		}
	case errors.As(err, &dial) && dial.Op == "dial" && len(o.brokers) > 0:
		return fmt.Errorf("%w; does Kafka run there, and is --brokers %s right?", err, strings.Join(o.brokers, ","))
	}
	return err
}

// contexts are all services, in the world that the flags tell of.
func (o *options) contexts() (services.Contexts, error) {
	contexts, err := services.New(o.world)
	if err != nil {
		return contexts, usageError{err} // nothing else is a matter of the call
	}
	return contexts, nil
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
	return stream.Config{Brokers: o.brokers, Prefix: o.prefix, Estate: estate, Build: build()}, nil
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
	if err := o.directory(); err != nil {
		return c, nil, err
	}
	store, err := table.Open(table.Config{Dir: o.state, BlockCache: c.Limits.BlockCacheBytes})
	if err != nil {
		return c, nil, err
	}
	c.Clock, c.Store = business, store
	c.Log, c.Metrics, c.Instance = log, stream.NewMetrics(r), o.instance
	return c, store.Close, nil
}
