package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/prometheus/client_golang/prometheus"

	"troupe/testenv/check"
	"troupe/testenv/scan"
	"troupe/testenv/tally"
	"troupe/topology/stream"
)

// audit reads every topic once: it says what became of the orders, and what of
// the invariants.
func audit(ctx context.Context, c stream.Config) (tally.Report, check.Report, error) {
	counted, err := tally.New(c.Wire)
	if err != nil {
		return tally.Report{}, check.Report{}, err
	}
	found, err := judge(ctx, c, func(ctx context.Context, r check.Record) error {
		if strings.HasSuffix(r.Topic, ".inbox") || len(r.Value) == 0 {
			return nil
		}
		return counted.Add(ctx, r.Value)
	})
	report := counted.Report()
	report.Invariants = found.Violations
	return report, found, err
}

// judge reads every topic once and says what became of the invariants. also is
// handed each record too.
func judge(ctx context.Context, c stream.Config, also func(context.Context, check.Record) error) (check.Report, error) {
	s, err := scan.New(ctx, scan.Config{Brokers: c.Brokers, Options: c.Options, Prefix: c.Prefix, Topics: check.Topics(c.Estate)})
	if err != nil {
		return check.Report{}, err
	}
	checked, err := check.New(c.Wire, c.Estate, s.Partitions)
	if err != nil {
		return check.Report{}, err
	}
	err = s.Each(ctx, func(r check.Record) error {
		if err := checked.Add(ctx, r); err != nil {
			return err
		}
		return also(ctx, r)
	})
	return checked.Report(), err
}

// transactions counts those that this process committed.
func transactions(metrics *prometheus.Registry) int {
	families, err := metrics.Gather()
	if err != nil {
		return 0 // the figure is a courtesy
	}
	n := 0.0
	for _, f := range families {
		if f.GetName() != "troupe_transactions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && l.GetValue() == "committed" {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return int(n)
}

// show prints a report.
func show(w io.Writer, r tally.Report, format string) error {
	if format == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("orders", fmt.Sprintf("%d placed, %d rejected", r.Placed, r.Rejected))
	row("dispatched", fmt.Sprintf("%d orders in %d shipments, %d split; %d delivered", r.OrdersDispatched, r.ShipmentsDispatched, r.OrdersSplit, r.OrdersDelivered))
	row("cancelled", fmt.Sprintf("%d, of which %d voided and %d refunded; %d refused", r.OrdersCancelled, r.OrdersVoided, r.OrdersRefunded, r.CancellationsRefused))
	row("invoices, mails", fmt.Sprintf("%d, %d; of %d mails nobody knows whether they arrived", r.Invoices, r.Mails, r.MailsUnknown))
	row("tenders", fmt.Sprintf("%s; %d orders mix kinds", counts(r.Tenders), r.OrdersMixedTenders))
	row("money (minor units)", fmt.Sprintf("tenders %d, dispatched %d, refunded %d", r.Money.Tenders, r.Money.Dispatched, r.Money.Refunded))
	row("flows", counts(r.Flows))
	row("overdue (orders)", counts(r.Overdue))
	row("mismatches (orders)", counts(r.Mismatches))
	row("  open, at risk", fmt.Sprintf("%s; %s", counts(r.MismatchesOpen), counts(r.MoneyAtRisk)))
	row("exceptions", r.Exceptions)
	row("invariants", fmt.Sprintf("%d checked, %d violations", len(r.Invariants), r.Violations()))
	row("run", fmt.Sprintf("%d events, %d transactions, %.1f s", r.Events, r.Transactions, r.WallSeconds))
	return t.Flush()
}

func counts[N int | int64](m map[string]N) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(out, ", ")
}

// explain shows where invariants do not hold.
func explain(w io.Writer, r check.Report) {
	for _, v := range r.Examples {
		fmt.Fprintf(w, "%s: %s/%d@%d %s: %s\n", v.Invariant, v.Topic, v.Partition, v.Offset, v.Order, v.Detail)
	}
}
