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
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

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
	e := &estate{}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.start(ctx, *nodes, *data, progress); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while it started: nothing went wrong
		}
		return err
	}
	fmt.Fprintf(out, "export TROUPE_BROKERS=%s TROUPE_REGISTRY=%s\n", strings.Join(e.kafka.Brokers, ","), e.registry.URL)
	fmt.Fprintln(progress, "Ctrl-C stops both")
	<-ctx.Done()
	fmt.Fprintln(progress, "stopping")
	return nil
}

// estate is what runs; either part may be missing after a start that failed.
type estate struct {
	kafka    *broker.Kafka
	registry *broker.Apicurio
}

func (e *estate) start(ctx context.Context, nodes int, data string, progress io.Writer) error {
	kafka := broker.KafkaConfig{Nodes: nodes, Log: progress}
	registry := broker.ApicurioConfig{Log: progress}
	if data != "" {
		kafka.DataDir, registry.DataDir = filepath.Join(data, "kafka"), filepath.Join(data, "registry")
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { e.kafka, err = broker.StartKafka(ctx, kafka); return err })
	g.Go(func() (err error) { e.registry, err = broker.StartApicurio(ctx, registry); return err })
	return g.Wait()
}

func (e *estate) close() error {
	var g errgroup.Group
	if e.kafka != nil {
		g.Go(e.kafka.Close)
	}
	if e.registry != nil {
		g.Go(e.registry.Close)
	}
	return g.Wait()
}
