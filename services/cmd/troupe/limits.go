package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"troupe/services/edge"
	"troupe/topology"
	"troupe/topology/partner"
	"troupe/topology/stream"
)

// limited reads --limit NAME=VALUE, given as often as needed, over TROUPE_LIMITS
// NAME=VALUE,…
func (o *options) limited() (l stream.Limits, err error) {
	under := strings.FieldsFunc(os.Getenv("TROUPE_LIMITS"), func(r rune) bool { return r == ',' })
	for _, set := range append(under, o.limits...) {
		name, value, ok := strings.Cut(set, "=")
		if !ok {
			return l, usageError{fmt.Errorf("limit %q: say NAME=VALUE", set)}
		}
		if err := l.Set(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return l, usageError{err}
		}
	}
	return l, nil
}

func limitsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "limits", Short: "Every limit of the runtime and of services, its value, and what happens at it", Args: takes(0, 0),
		Long: `List the limits of the runtime with the values that --limit and TROUPE_LIMITS give
them. Bytes are numbers, times are durations such as 30s. Limits that contradict
each other, the broker or its topics are refused when services start.

Then come the limits of each service's own, and under "all" what the services share.
The program fixes those: a row that was written under one must be read under it.`,
		Example: `  troupe limits
  troupe run payment --limit parked-per-key=100 --limit effect-timeout=5s
  TROUPE_LIMITS=row-cache-bytes=1073741824 troupe run reconciliation`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := o.limited()
			if err != nil {
				return err
			}
			services, err := o.bounded()
			if err != nil {
				return err
			}
			l = l.Defaults()
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LIMIT\tVALUE\tWHAT HAPPENS AT IT")
			for _, limit := range l.Named() {
				fmt.Fprintf(t, "%s\t%s\t%s\n", limit.Name, limit.Value(), limit.At)
			}
			fmt.Fprintln(t, "\nSERVICE\tLIMIT\tVALUE\tWHAT HAPPENS AT IT") // the empty line ends the columns above
			for _, s := range services {
				for _, b := range s.Bounds {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Name, b.Name, b.Value, b.At)
				}
			}
			return t.Flush()
		},
	}
}

// bounded lists the services, and as if they were some the edge, which is none of
// Kafka's, and what all share.
func (o *options) bounded() ([]topology.Service, error) {
	contexts, err := o.contexts()
	return append(contexts.All,
		topology.Service{Name: "edge", Bounds: edge.Config{}.Bounds()},
		topology.Service{Name: "all", Bounds: append(append(stream.Bounds(), partner.Bounds()...),
			topology.AtMost("remembered-inputs", topology.DefaultRemember, "the oldest that a row remembers is forgotten: a repeat of it runs its step again"),
			topology.AtMost("request-head-timeout", headerTimeout, "the connection is closed"),
			topology.AtMost("request-timeout", requestTimeout, "a body that is not whole is refused with 400, by the ERP's intake with a SOAP fault"),
			topology.AtMost("idle-timeout", idleTimeout, "a connection without a request is closed"),
			topology.AtMost("shutdown-grace", shutdownGrace, "requests that are being answered are cut off"),
		)},
	), err
}
