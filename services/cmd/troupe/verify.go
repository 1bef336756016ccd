package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"troupe/schemas"
	"troupe/testenv/check"
)

func verifyCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Check the invariants over live topics", Args: takes(0, 0),
		Long: `Read every public topic and every inbox from the beginning to where it ends now,
and check the invariants of the estate. What is younger than 25 hours by the
log's own time may still be under way, and is not judged where an answer is owed.
Exits with 1 if one does not hold.`,
		Example: "  troupe verify --brokers localhost:9092 --registry http://localhost:8081",
	}
	format := output(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.admin()
		if err != nil {
			return err
		}
		if c.Wire, err = o.wire(); err != nil {
			return err
		}
		found, err := judge(cmd.Context(), c, func(context.Context, check.Record) error { return nil })
		if err != nil {
			return err
		}
		if *format == "json" {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			if err := out.Encode(found); err != nil {
				return err
			}
		} else {
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "INVARIANT\tVIOLATIONS")
			for _, name := range slices.Sorted(maps.Keys(found.Violations)) {
				fmt.Fprintf(t, "%s\t%d\n", name, found.Violations[name])
			}
			if err := t.Flush(); err != nil {
				return err
			}
			explain(cmd.OutOrStdout(), found)
		}
		if n := found.Total(); n > 0 {
			return fmt.Errorf("%s of invariants in %s", count(n, "violations"), count(found.Records, "records"))
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "all %d invariants hold over %s\n", len(found.Violations), count(found.Records, "records"))
		return nil
	}
	return cmd
}

// wire reads and writes records by the registry that was given.
func (o *options) wire() (*schemas.Wire, error) {
	if o.registry == "" {
		return nil, usageError{errNoRegistry}
	}
	catalogue, err := schemas.Load()
	if err != nil {
		return nil, err
	}
	registry, err := schemas.NewRegistry(o.registry)
	if err != nil {
		return nil, err
	}
	return schemas.NewWire(catalogue, registry), nil
}
