package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/testenv/world"
	"troupe/testenv/world/history"
	"troupe/topology/clock"
)

func demoCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use: "demo --orders DIR", Short: "Run a folder of history through the whole estate, in business time", Args: takes(0, 0),
		Long: `Run history through every service and a simulated world around them, and report.

One clock for all jumps to the next thing due once everyone has caught up, so
years take minutes. Without --brokers the broker and the registry are embedded.
With --state a run that was killed goes on where it was. The command ends by
itself when nothing is due any more, checks the invariants over all topics, and
exits with 0 only if they hold.`,
		Example: `  troupe demo --orders ./history
  troupe demo --orders ./history --state ./demo -o json > report.json
  troupe demo --orders ./history --brokers localhost:9092 --registry http://localhost:8081`,
	}
	d := &demo{options: o}
	c.Flags().StringVar(&d.orders, "orders", "", "folder of history")
	format := output(c.Flags())
	c.Flags().DurationVar(&d.every, "progress", time.Second, "how often to say how far it is")
	c.Flags().DurationVar(&d.patience, "patience", 2*time.Minute, "fail if nothing moves for so long")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if d.orders == "" {
			return usageError{errors.New("no history: give --orders DIR or set TROUPE_ORDERS")}
		}
		if d.every <= 0 || d.patience <= 0 {
			return usageError{errors.New("progress and patience must be above zero")}
		}
		err := idle(cmd, "a simulated world is every partner of a demo", simulated...)
		if err == nil && len(d.brokers) == 0 {
			err = idle(cmd, "without --brokers the registry is embedded, as the broker is", "registry")
		}
		if err = errors.Join(err, d.directory()); err != nil {
			return err
		}
		d.output, d.progress, d.out = *format, cmd.ErrOrStderr(), cmd.OutOrStdout()
		return d.run(cmd.Context())
	}
	return c
}

// demo is a run of history.
type demo struct {
	*options
	orders, output string
	every          time.Duration
	patience       time.Duration
	progress, out  io.Writer
	closes         []func() error
	embedded       *broker.Embedded // nil: another broker was named
}

// maxExamples is how many exceptions are shown after the report; all are counted.
const maxExamples = 20

func (d *demo) run(ctx context.Context) error {
	past, err := history.Read(d.orders)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.progress, "%d orders of %s\n", len(past), d.orders)
	return d.play(ctx, world.Replay(past), len(past))
}

// play runs so many orders of a source to their end, and reports.
func (d *demo) play(ctx context.Context, source world.Source, orders int) (err error) {
	began := time.Now()
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.broker(); err != nil {
		return err
	}
	business, err := d.clock(source.Start())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(d.progress, &slog.HandlerOptions{Level: slog.LevelError}))
	w, err := world.Start(world.Config{Dir: d.dir("world"), Source: source, Clock: business, Log: log})
	if err != nil {
		return err
	}
	d.closes = append(d.closes, w.Close)
	metrics := prometheus.NewRegistry()
	local := *d.options
	local.state = d.dir("estate")
	config, closeStore, err := local.runtime(business, log, metrics)
	if err != nil {
		return err
	}
	d.closes = append(d.closes, closeStore)
	if d.embedded != nil {
		config.Options = append(config.Options, d.embedded.Options...)
	}
	config.Estate.Partitions = fewPartitions
	e, err := newEstate(ctx, config, w, metrics, anywhere)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.progress, "edge at %s, workbench at %s\n", e.edge.url(), e.workbench.url())
	err = e.run(ctx, func(ctx context.Context) error {
		return d.watch(ctx, business, w, orders)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.progress, "history has ended after %v and %d jumps\n", time.Since(began).Round(time.Millisecond), business.Jumps())
	report, found, err := audit(ctx, config)
	if err != nil {
		return err
	}
	report.Mails, report.Transactions, report.WallSeconds = w.Mails(), transactions(metrics), time.Since(began).Seconds()
	if err := show(d.out, report, d.output); err != nil {
		return err
	}
	for _, words := range report.Raised[:min(len(report.Raised), maxExamples)] {
		fmt.Fprintln(d.progress, "exception:", words)
	}
	if n := report.Violations(); n > 0 {
		explain(d.progress, found)
		return fmt.Errorf("%d violations of invariants: %s", n, counts(report.Invariants))
	}
	return nil
}

// dir is a part of the state directory; "" where none is kept.
func (d *demo) dir(part string) string {
	if d.state == "" {
		return ""
	}
	return filepath.Join(d.state, part)
}

// broker starts what was not given. On a broker that was given, every run has
// names of its own, which its state remembers.
func (d *demo) broker() error {
	if len(d.brokers) == 0 {
		b, err := broker.StartEmbedded(broker.EmbeddedConfig{Dir: d.dir("broker"), Check: schemas.CompatText})
		if err != nil {
			return err
		}
		d.closes = append(d.closes, b.Close)
		d.brokers, d.registry, d.embedded = b.Brokers, b.Registry, b
		return nil
	}
	if d.prefix != "" {
		return nil
	}
	d.prefix = fmt.Sprintf("demo-%x.", time.Now().UnixNano())
	if d.state == "" {
		return nil
	}
	kept, err := keep(d.dir("prefix"), d.prefix)
	d.prefix = kept
	return err
}

// keep reads a file, or makes it with the given content.
func keep(path, content string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("write state: %w", err)
	}
	return content, nil
}

// clock stands at start, or where a run that was killed left it.
func (d *demo) clock(start time.Time) (*clock.Jump, error) {
	if d.state == "" {
		return clock.NewJump(start), nil
	}
	path := d.dir("clock")
	kept, err := keep(path, start.Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, kept)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	d.closes = append(d.closes, f.Close)
	j := clock.NewJump(at)
	j.Moved = func(t time.Time) {
		// All instants have the same length: one write replaces the last whole.
		if _, err := f.WriteAt([]byte(t.Format(time.RFC3339)), 0); err != nil {
			slog.Error("keep the clock's place", "err", err)
		}
	}
	return j, nil
}

// watch lets the clock run to its end, says how far it is, and fails in words
// if it stands still.
func (d *demo) watch(ctx context.Context, business *clock.Jump, w *world.World, orders int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- business.Run(ctx) }()
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	moved, jumps := time.Now(), business.Jumps()
	for {
		select {
		case err := <-done:
			return err
		case now := <-tick.C:
			if n := business.Jumps(); n != jumps {
				moved, jumps = now, n
			}
			if now.Sub(moved) > d.patience {
				stop()
				return errors.Join(fmt.Errorf("nothing has moved for %v at %s: %s", d.patience, business.Now().Format(time.DateTime), business.Stuck()), <-done)
			}
			fmt.Fprintf(d.progress, "%s  %d of %d orders placed, %d jumps\n", business.Now().Format("2006-01-02 15:04"), w.Placed(), orders, jumps)
		}
	}
}

func (d *demo) close() error {
	var errs []error
	for i := len(d.closes) - 1; i >= 0; i-- {
		errs = append(errs, d.closes[i]())
	}
	return errors.Join(errs...)
}
