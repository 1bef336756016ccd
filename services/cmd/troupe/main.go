// Command troupe runs a retailer's order fulfilment as a choreography on Kafka:
// one binary, a file a subcommand.
//
//	troupe schemas    the published language: lint, compat, register, decode
//	troupe topology   the map: validate, apply, graph
//	troupe run        services, each as its own consumer group
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every subcommand.
const (
	exitError = 1
	exitUsage = 2
	exitDrift = 3
)

// errDrift ends a command that found something to change, or something wrong
// that it was asked to look for.
var errDrift = errors.New("drift")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errDrift):
		os.Exit(exitDrift)
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "troupe:", err)
		os.Exit(exitUsage)
	default:
		fmt.Fprintln(os.Stderr, "troupe:", err)
		os.Exit(exitError)
	}
}

// usageError is a call that cannot be understood.
type usageError struct{ error }

// group is a command that has others, and does nothing by itself.
func group(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
}

func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use: "troupe", Short: "Order fulfilment as a choreography on Kafka", SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	o.bind(root.PersistentFlags())
	root.AddCommand(schemasCommand(o), topologyCommand(o), runCommand(o), demoCommand(o), verifyCommand(o), stateCommand(o), limitsCommand(o), statusCommand(), flowCommand(), reconCommand())
	return root
}
