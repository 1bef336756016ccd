// Command mutants takes the guards of exactly once away, one at a time, and runs the
// tests of testenv/conformance that are there for them: without its guard the runtime
// has to fail, or the test shows nothing. Where something else catches what a guard
// would, the list says what, and the tests have to pass.
//
// A mutant is the runtime with a few lines replaced. The compiler is given them as an
// overlay, so the tree is never touched. Every replaced text must stand there exactly
// once, which `make test` checks of all: a mutant that rots would be a guard unproven.
//
//	go run ./testenv/mutants -guard 5
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "mutants:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	f := flag.NewFlagSet("mutants", flag.ContinueOnError)
	f.SetOutput(log)
	guard := f.Int("guard", 0, "the mutants of this guard; 0 for all")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := newLab()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GUARD\tTAKEN AWAY\tTESTS\tRESULT\tBECAUSE")
	wrong := 0
	for _, m := range mutants() {
		if *guard != 0 && m.guard != *guard {
			continue
		}
		v, err := l.judge(ctx, m)
		if err != nil {
			return fmt.Errorf("guard %d without %s: %w", m.guard, m.lacks, err)
		}
		fmt.Fprintf(log, "guard %d without %s: %s\n", m.guard, m.lacks, v.colour)
		why := v.why
		switch {
		case m.caught != "" && v.colour == green:
			why = m.caught
		case m.caught != "" || v.colour == green:
			wrong++
			why = "NOT AS EXPECTED: " + why
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", m.guard, m.lacks, m.tests, v.colour, why)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d mutants are not as they should be", wrong)
	}
	return nil
}
