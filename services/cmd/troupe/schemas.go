package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"troupe/schemas"
	"troupe/topology"
)

var (
	errNoBrokers  = errors.New("no brokers: give --brokers host:port or set TROUPE_BROKERS")
	errNoRegistry = errors.New("no schema registry: give --registry URL or set TROUPE_REGISTRY")
)

func schemasCommand(o *options) *cobra.Command {
	c := group("schemas", "The published language")
	c.AddCommand(
		&cobra.Command{
			Use: "lint", Short: "Check that every field says its meaning, unit and owner", Args: takes(0, 0),
			Example: "  troupe schemas lint",
			RunE:    func(cmd *cobra.Command, _ []string) error { return report(cmd, schemas.Lint, "lint") },
		},
		&cobra.Command{
			Use: "compat", Short: "Check every version against every other, both ways", Args: takes(0, 0),
			Example: "  troupe schemas compat",
			RunE:    func(cmd *cobra.Command, _ []string) error { return report(cmd, schemas.Compat, "compatibility") },
		},
		&cobra.Command{
			Use: "register", Short: "Register every published version under its topic", Args: takes(0, 0),
			Example: "  troupe schemas register --registry http://localhost:8081",
			RunE:    func(cmd *cobra.Command, _ []string) error { return register(cmd, o) },
		},
		&cobra.Command{
			Use: "decode", Short: "Turn a framed record on standard input into JSON", Args: takes(0, 0),
			Example: "  kcat -C -b localhost:9092 -t orders -c 1 -e -D '' | troupe schemas decode --registry http://localhost:8081",
			RunE:    func(cmd *cobra.Command, _ []string) error { return decode(cmd, o) },
		},
	)
	return c
}

func report(cmd *cobra.Command, check func(*schemas.Catalogue) []schemas.Problem, what string) error {
	catalogue, err := schemas.Load()
	if err != nil {
		return err
	}
	problems := check(catalogue)
	for _, p := range problems {
		fmt.Fprintln(cmd.OutOrStdout(), p)
	}
	versions := 0
	for _, t := range catalogue.Types() {
		versions += len(t.Versions)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d types in %d versions, %d problems\n", what, len(catalogue.Types()), versions, len(problems))
	if len(problems) > 0 {
		return errDrift
	}
	return nil
}

func register(cmd *cobra.Command, o *options) error {
	if o.registry == "" {
		return usageError{errNoRegistry}
	}
	catalogue, err := schemas.Load()
	if err != nil {
		return err
	}
	registry, err := schemas.NewRegistry(o.registry)
	if err != nil {
		return err
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		return err
	}
	for _, t := range catalogue.Types() {
		home, ok := estate.TopicOf(t.Name)
		if !ok {
			continue // an inbox message: its service registers it when it starts
		}
		for _, v := range t.Versions {
			id, err := registry.Register(cmd.Context(), schemas.Subject(home.Name, t), v.Text)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s version %d: id %d\n", schemas.Subject(home.Name, t), v.Number, id)
		}
	}
	return nil
}

// maxRecord bounds what is read of standard input, in bytes.
const maxRecord = 16 << 20

func decode(cmd *cobra.Command, o *options) error {
	if o.registry == "" {
		return usageError{errNoRegistry}
	}
	value, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxRecord))
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	catalogue, err := schemas.Load()
	if err != nil {
		return err
	}
	registry, err := schemas.NewRegistry(o.registry)
	if err != nil {
		return err
	}
	name, text, err := schemas.NewWire(catalogue, registry).JSON(cmd.Context(), value)
	if err != nil {
		return fmt.Errorf("%w: first bytes %x", err, value[:min(len(value), 16)])
	}
	out := json.NewEncoder(cmd.OutOrStdout())
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{"type": name, "record": json.RawMessage(text)})
}
