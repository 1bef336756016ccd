package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"troupe/topology/stream"
)

// notGiven is an --apply that was not set: zero rows may be meant.
const notGiven = -1

func rebuildCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use: "rebuild SERVICE", Short: "Make a service's state anew from its inputs, and compare", Args: takes(1, 1),
		Long: `Run everything that a service has read, from the first record to its committed
offsets, through its steps again, and compare what comes out with its changelog,
row by row. Nothing is published, no effect is run. The service must be stopped,
and stay so; all of its inputs must still be there.

Inputs are run in the order in which their records were written, and timers fire
between them. --time says what time an input stands for: of its record, or of the
event it tells of; the latter for a run in quickened time.

It exits with 0 if all rows agree, with 3 if some differ. --apply N writes the N
rows that differ to the changelog; the number is what a run without it has told,
and if it is another by now nothing is written. The next start reads the rows
like any others: a state directory needs no care.`,
		Example: `  troupe state rebuild payment --brokers localhost:9092 --registry http://localhost:8081
  troupe state rebuild payment --apply 1 --brokers localhost:9092 --registry http://localhost:8081`,
	}
	by := chosen(c.Flags(), "time", "", "what time an input stands for: of its ", "record", "event")
	apply := c.Flags().Int("apply", notGiven, "write the rows that differ, if there are so many")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		times := map[string]stream.RebuildTime{"record": stream.ByRecord, "event": stream.ByEvent}
		contexts, err := o.contexts()
		if err != nil {
			return err
		}
		picked, err := choose(contexts.All, args)
		if err != nil {
			return err
		}
		if len(picked) != 1 {
			return usageError{errors.New("name one service: each is stopped, compared and mended by itself")}
		}
		config, err := o.admin()
		if err != nil {
			return err
		}
		if config.Wire, err = o.wire(); err != nil {
			return err
		}
		r, err := stream.NewRebuild(cmd.Context(), config, picked[0], times[*by])
		if err != nil {
			return err
		}
		err = rebuild(cmd.Context(), r, *apply, cmd.OutOrStdout(), cmd.ErrOrStderr())
		return errors.Join(err, r.Close())
	}
	return c
}

func rebuild(ctx context.Context, r *stream.Rebuild, apply int, out, say io.Writer) error {
	all := int64(0)
	for _, t := range r.Tasks {
		for _, in := range t.Inputs {
			fmt.Fprintf(say, "%s reads %s up to %d\n", t.Name, in.Topic, in.To)
		}
		all += t.Records
	}
	began, last := time.Now(), time.Now()
	err := r.Compare(ctx, func(done int64) {
		if time.Since(last) < time.Second || done == 0 {
			return
		}
		last = time.Now()
		left := time.Duration(float64(time.Since(began)) * float64(all-done) / float64(done))
		fmt.Fprintf(say, "%d of %d offsets, %v to go\n", done, all, left.Round(time.Second))
	})
	if err != nil {
		return err
	}
	rows, differ := 0, 0
	for _, t := range r.Tasks {
		rows += t.Rows
		differ += len(t.Differs)
		for _, d := range t.Differs {
			fmt.Fprintf(out, "%s %q %s\n", t.Name, d.Key, d.What)
		}
	}
	fmt.Fprintf(say, "%d rows, %d differ\n", rows, differ)
	switch {
	case apply == notGiven && differ > 0:
		return errDrift
	case apply == notGiven:
		return nil
	case apply != differ:
		return fmt.Errorf("%d rows differ, not %d: nothing was written; look at them, then say --apply %d", differ, apply, differ)
	}
	if err := r.Apply(ctx); err != nil {
		return err
	}
	fmt.Fprintf(say, "%d rows written\n", differ)
	return nil
}
