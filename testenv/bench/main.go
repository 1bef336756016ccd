// Command bench measures the runtime beside what it stands on, a bare client,
// and beside what a user would pick instead, Kafka Streams, on a real Kafka.
//
// A measurement is a file. Whatever is measured runs in a process of its own (a
// trial: this program again), so that none inherits the heap of another, and
// ours is what `troupe run` runs: services through stream.New. What is compared
// takes turns, round by round, in one sitting; figures are medians.
//
//	go run ./testenv/bench -only join,echo -rounds 3 -scale 0.05
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// measurement finds some of the figures.
type measurement struct {
	name string
	take func(context.Context, *sitting) error
}

// measurements are all, in the order in which they are taken.
func measurements() []measurement {
	return []measurement{
		{"echo", echo}, {"hop", hop}, {"join", join}, {"random", joinRandom}, {"restore", restore},
		{"journey", journey}, {"orders", orders}, {"flows", flows},
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, log io.Writer) error {
	s := &sitting{log: log, figures: map[string]float64{}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(log)
	only := f.String("only", "", "measurements to take, comma-separated; all by default")
	format := f.String("out", "text", "text or json")
	trial := f.String("trial", "", "run one trial, as this program does with itself")
	f.IntVar(&s.rounds, "rounds", 5, "rounds of what is compared")
	f.Float64Var(&s.scale, "scale", 1, "share of the records; below 1 for a quick look")
	f.StringVar(&s.profile, "profile", "", "folder for profiles of CPU and heap of each trial, numbered in their order")
	f.IntVar(&s.workers, "workers", 2, "workers of a service, threads of the peer, sessions of the bare client")
	f.BoolVar(&s.peers, "peers", true, "run the peers; without, what is ours alone")
	partitions := f.Int("partitions", 4, "of every topic")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *trial != "" {
		return runTrial(ctx, *trial, s.profile, in, out)
	}
	s.partitions = int32(*partitions)
	if s.rounds < 1 || s.scale <= 0 || s.workers < 1 || s.partitions < 1 || *format != "text" && *format != "json" {
		return errors.New("rounds, scale, workers and partitions must be above zero, and the output text or json")
	}
	if err := s.take(ctx, *only); err != nil {
		return err
	}
	if *format == "json" {
		return s.json(out)
	}
	return s.table(out)
}

// take takes the measurements that were asked for.
func (s *sitting) take(ctx context.Context, only string) (err error) {
	all := measurements()
	chosen := all
	if only != "" {
		chosen = nil
		for name := range strings.SplitSeq(only, ",") {
			m, err := find(all, name)
			if err != nil {
				return err
			}
			chosen = append(chosen, m)
		}
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, m := range chosen {
		s.say("== %s", m.name)
		if err := m.take(ctx, s); err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
	}
	return nil
}

func find(all []measurement, name string) (measurement, error) {
	var known []string
	for _, m := range all {
		if m.name == name {
			return m, nil
		}
		known = append(known, m.name)
	}
	return measurement{}, fmt.Errorf("no measurement %q: there are %s", name, strings.Join(known, ", "))
}
