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
		Use: "verify", Short: "Compare a state directory with the changelogs it trails", Args: takes(0, 0),
		Long: `Compare every row in a state directory with its changelog, up to where the
directory says it has come. Stop the services that use it first.

It exits with 0 if they agree, with 3 if a row differs, with 1 if there is nothing
to compare. A task that trails another changelog than there is (made anew, or cut)
is named; a start restores it whole.`,
		Example: `  troupe state verify --state /var/lib/troupe --brokers localhost:9092`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.state == "" {
				return usageError{errors.New("no state directory: set --state or TROUPE_STATE")}
			}
			if _, err := os.Stat(o.state); err != nil {
				return fmt.Errorf("no state directory there: %w", err)
			}
			if err := o.directory(); err != nil {
				return err
			}
			config, err := o.admin()
			if err != nil {
				return err
			}
			if config.Store, err = table.Open(table.Config{Dir: o.state, Stands: true}); errors.Is(err, table.ErrNone) {
				return nothingIn(o.state)
			} else if err != nil {
				return err
			}
			verified, err := stream.Verify(cmd.Context(), config)
			if err = errors.Join(err, config.Store.Close()); err != nil {
				return err
			}
			if len(verified) == 0 {
				return nothingIn(o.state)
			}
			return tell(cmd.OutOrStdout(), cmd.ErrOrStderr(), verified)
		},
	}, rebuildCommand(o))
	return c
}

func nothingIn(dir string) error {
	return fmt.Errorf("no task lies in %s: name the directory that troupe run had as --state (of a demo, its folder estate)", dir)
}

// tell prints what was found; a row that differs is drift.
func tell(w, say io.Writer, verified []stream.Verified) error {
	rows, stale, differ := 0, 0, 0
	for _, v := range verified {
		rows, differ = rows+v.Rows-v.Again, differ+len(v.Differs)
		fmt.Fprintf(w, "%s: %s\n", v.Task, standing(v))
		if v.Stale {
			stale++
		}
		for _, d := range v.Differs {
			fmt.Fprintf(w, "  %s\n", d)
		}
	}
	compared := len(verified) - stale
	switch {
	case differ > 0:
		return errDrift
	case compared == 0:
		return errors.New("nothing could be compared: every task is of another changelog; check --brokers and --prefix")
	}
	fmt.Fprintf(say, "%s of %s agree with their changelogs\n", count(rows, "rows"), count(compared, "tasks"))
	return nil
}

// standing says how a task stands to its changelog.
func standing(v stream.Verified) string {
	if v.Stale {
		return "of another changelog, restored whole at the next start"
	}
	says := count(v.Rows, "rows")
	if v.Behind > 0 {
		says += "; the changelog goes on for " + count(int(v.Behind), "records")
	}
	if v.Again > 0 {
		says += fmt.Sprintf(", which write %d of the rows anew at the next start", v.Again)
	}
	return says
}
