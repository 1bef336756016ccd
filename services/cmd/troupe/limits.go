package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

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
		Use: "limits", Short: "Every limit of the runtime, its value, and what happens at it", Args: takes(0, 0),
		Long: `List the limits of the runtime with the values that --limit and TROUPE_LIMITS give
them. Bytes are numbers, times are durations such as 30s. Limits that contradict
each other, the broker or its topics are refused when services start.`,
		Example: `  troupe limits
  troupe run payment --limit parked-per-key=100 --limit effect-timeout=5s
  TROUPE_LIMITS=row-cache-bytes=1073741824 troupe run reconciliation`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := o.limited()
			if err != nil {
				return err
			}
			l = l.Defaults()
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LIMIT\tVALUE\tWHAT HAPPENS AT IT")
			for _, limit := range l.Named() {
				fmt.Fprintf(t, "%s\t%s\t%s\n", limit.Name, limit.Value(), limit.At)
			}
			return t.Flush()
		},
	}
}
