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
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
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

// version is what the build says it is: -ldflags "-X main.version=1.2.3".
var version string

// build is the version: without one, the commit that the program was built of, as far as
// Go knows it.
func build() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, o := newRoot()
	os.Exit(execute(ctx, root, o))
}

// execute runs a command line, and says what is wrong with it by words and exit code.
func execute(ctx context.Context, root *cobra.Command, o *options) int {
	begun := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		begun = true
		return fromEnvironment(cmd)
	}
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDrift):
		return exitDrift
	}
	fmt.Fprintln(root.ErrOrStderr(), "troupe:", o.reach(err))
	// What fails before a command begins is the call: its name, a flag, an argument.
	if !begun || errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitError
}

// usageError is a call that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// group is a command that has others, and does nothing by itself.
func group(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: takes(0, 0), RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
}

// many is any number of arguments, for takes.
const many = math.MaxInt

// takes refuses too few arguments and too many, and says what is wanted.
func takes(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("an argument is missing: say %s", c.UseLine())
		case len(args) > most && c.HasSubCommands():
			var names []string
			for _, sub := range c.Commands() {
				names = append(names, sub.Name())
			}
			return fmt.Errorf("no command %q: %s has %s", args[most], c.CommandPath(), strings.Join(names, ", "))
		case len(args) > most:
			return fmt.Errorf("%q is an argument too many: say %s", args[most], c.UseLine())
		}
		return nil
	}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command", Args: takes(0, many),
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, err := c.Root().Find(args)
			if err == nil {
				err = takes(0, 0)(of, rest)
			}
			if err != nil {
				return usageError{err}
			}
			of.InitDefaultHelpFlag() // help lists it too
			return of.Help()
		},
	}
}

func newRoot() (*cobra.Command, *options) {
	o := &options{}
	root := group("troupe", "Order fulfilment as a choreography on Kafka")
	root.Long = `Order fulfilment as a choreography on Kafka.

Each flag has an environment variable, which counts where the flag is not given:
TROUPE_BROKERS for --brokers, TROUPE_EDGE_LISTEN for --edge-listen. (--limit, which
may be repeated, is taken over those of TROUPE_LIMITS.)

Exit codes: 0 done, 1 it failed, 2 the call cannot be understood, 3 something
differs that the command was asked to compare.`
	root.Version = build()
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	o.bind(root.PersistentFlags())
	root.AddCommand(schemasCommand(o), topologyCommand(o), runCommand(o), demoCommand(o), verifyCommand(o), stateCommand(o), limitsCommand(o), statusCommand(), flowCommand(), reconCommand())
	return root, o
}
