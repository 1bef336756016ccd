package broker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// RealConfig says what a real Kafka and its registry consist of.
type RealConfig struct {
	Nodes   int       // of Kafka, 1 or 3; 0 means 1
	DataDir string    // "": records and schemas go with the process
	Extra   []string  // lines of every node's server.properties, over those of ours
	Log     io.Writer // what is being done, in words; nil: nothing is said
}

// Real is a real Kafka with a real registry beside it.
type Real struct {
	Kafka    *Kafka
	Apicurio *Apicurio
}

// StartReal starts both side by side; ctx bounds the start, not their life.
func StartReal(ctx context.Context, c RealConfig) (*Real, error) {
	kafka := KafkaConfig{Nodes: c.Nodes, Extra: c.Extra, Log: c.Log}
	registry := ApicurioConfig{Log: c.Log}
	if c.DataDir != "" {
		kafka.DataDir, registry.DataDir = filepath.Join(c.DataDir, "kafka"), filepath.Join(c.DataDir, "registry")
	}
	r := &Real{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { r.Kafka, err = StartKafka(ctx, kafka); return err })
	g.Go(func() (err error) { r.Apicurio, err = StartApicurio(ctx, registry); return err })
	if err := g.Wait(); err != nil {
		_ = r.Close() // the reason is that it did not start
		return nil, err
	}
	return r, nil
}

// Close stops what runs; either part may be missing after a start that failed.
func (r *Real) Close() error {
	var g errgroup.Group
	if r.Kafka != nil {
		g.Go(r.Kafka.Close)
	}
	if r.Apicurio != nil {
		g.Go(r.Apicurio.Close)
	}
	return g.Wait()
}

// Shared is one Real for all tests of a package, started by the first that
// asks: a start takes longer than most tests. TestMain closes it.
type Shared struct {
	once sync.Once
	real *Real
	err  error
}

// Get starts it, or hands out what runs.
func (s *Shared) Get() (*Real, error) {
	s.once.Do(func() { s.real, s.err = startShared() })
	return s.real, s.err
}

func startShared() (*Real, error) {
	nodes, err := Nodes()
	if err != nil {
		return nil, err
	}
	// The background context: it outlives the test that asks first.
	return StartReal(context.Background(), RealConfig{Nodes: nodes, Log: os.Stderr})
}

// Nodes is how many nodes of Kafka TROUPE_NODES asks for, 1 if it says nothing.
func Nodes() (int, error) {
	switch text := os.Getenv("TROUPE_NODES"); text {
	case "", "1":
		return 1, nil
	case "3":
		return 3, nil
	default:
		return 0, fmt.Errorf("TROUPE_NODES is %q: set 1 or 3", text)
	}
}

// Run runs a package's tests and then closes; it returns the exit code of both.
func (s *Shared) Run(tests interface{ Run() int }) int {
	code := tests.Run()
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Close stops what Get has started.
func (s *Shared) Close() error {
	if s.real == nil {
		return nil
	}
	return s.real.Close()
}
