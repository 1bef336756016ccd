// Command realbroker runs a real Kafka and a real registry until it is
// interrupted, for a terminal beside the one in which something uses them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"troupe/testenv/broker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "realbroker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("realbroker", flag.ContinueOnError)
	flags.SetOutput(progress)
	nodes := flags.Int("nodes", 1, "Kafka nodes, 1 or 3")
	data := flags.String("data", "", "folder that keeps records and schemas; without it they go with the process")
	if err := flags.Parse(args); err != nil {
		return err
	}
	both, err := broker.StartReal(ctx, broker.RealConfig{Nodes: *nodes, DataDir: *data, Log: progress})
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while it started: nothing went wrong
		}
		return err
	}
	defer func() { err = errors.Join(err, both.Close()) }()
	fmt.Fprintf(out, "export TROUPE_BROKERS=%s TROUPE_REGISTRY=%s\n", strings.Join(both.Kafka.Brokers, ","), both.Apicurio.URL)
	fmt.Fprintln(progress, "Ctrl-C stops both")
	<-ctx.Done()
	fmt.Fprintln(progress, "stopping")
	return nil
}
