package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"troupe/topology/stream"
	"troupe/topology/table"
)

func stateCommand(o *options) *cobra.Command {
	c := group("state", "What services know, on disk and on their changelogs")
	c.AddCommand(&cobra.Command{
		Use: "verify", Short: "Compare a state directory with the changelogs it trails", Args: cobra.NoArgs,
		Long: `Compare every row in a state directory with its changelog, up to where the
directory says it has come. Stop the services that use it first.

It exits with 0 if they agree, with 3 if a row differs. A task that trails another
changelog than there is (made anew, or cut) is named; a start restores it whole.`,
		Example: `  troupe state verify --state /var/lib/troupe --brokers localhost:9092`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.state == "" {
				return usageError{errors.New("no state directory: set --state or TROUPE_STATE")}
			}
			if _, err := os.Stat(o.state); err != nil {
				return fmt.Errorf("no state directory there: %w", err)
			}
			config, err := o.admin()
			if err != nil {
				return err
			}
			if config.Store, err = table.Open(table.Config{Dir: o.state}); err != nil {
				return err
			}
			verified, err := stream.Verify(cmd.Context(), config)
			if err = errors.Join(err, config.Store.Close()); err != nil {
				return err
			}
			return tell(cmd.OutOrStdout(), verified)
		},
	}, rebuildCommand(o))
	return c
}

// tell prints what was found; a row that differs is drift.
func tell(w io.Writer, verified []stream.Verified) error {
	if len(verified) == 0 {
		fmt.Fprintln(w, "no task lies there")
	}
	var drift error
	for _, v := range verified {
		switch {
		case v.Stale:
			fmt.Fprintf(w, "%s: of another changelog, restored whole at the next start\n", v.Task)
		default:
			fmt.Fprintf(w, "%s: %d rows, %d records behind, which write %d of them anew\n", v.Task, v.Rows, v.Behind, v.Again)
		}
		for _, d := range v.Differs {
			fmt.Fprintf(w, "  %s\n", d)
			drift = errDrift
		}
	}
	return drift
}
