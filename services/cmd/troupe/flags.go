package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "TROUPE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment gives a command's flags that were not given what their variables
// say. They do not count as given: an environment is shared by commands that have
// no use for all of it.
func fromEnvironment(cmd *cobra.Command) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		text := os.Getenv(variable(f.Name))
		// A limit that is given hides no other: limited reads the variable.
		if f.Changed || text == "" || f.Name == "help" || f.Name == "limit" {
			return
		}
		if bad := f.Value.Set(text); bad != nil {
			err = errors.Join(err, badValue(variable(f.Name), text, f, bad))
		}
	})
	if err != nil {
		return usageError{err}
	}
	return nil
}

// flagError says in words what is wrong with a flag that was given.
func flagError(_ *cobra.Command, err error) error {
	if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
		return badValue("--"+bad.GetFlag().Name, bad.GetValue(), bad.GetFlag(), bad.Unwrap())
	}
	return err
}

func badValue(where, text string, f *pflag.Flag, err error) error {
	wants := map[string]string{"int": "a whole number", "uint64": "a whole number, not below zero", "float64": "a number", "duration": "a duration such as 30s"}
	if want, known := wants[f.Value.Type()]; known {
		err = errors.New("say " + want)
	}
	return fmt.Errorf("%s %q: %w", where, text, err)
}

// choice is a flag that has one of some words.
type choice struct {
	text *string
	of   []string
}

func (c choice) String() string {
	if c.text == nil { // pflag asks an empty one for its default
		return ""
	}
	return *c.text
}

// Type is how help calls the value.
func (c choice) Type() string { return "word" }

// Set refuses other words.
func (c choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return errors.New("say " + strings.Join(c.of, " or "))
	}
	*c.text = text
	return nil
}

// chosen makes a flag of some words, the first being its default.
func chosen(f *pflag.FlagSet, name, short, what string, words ...string) *string {
	text := words[0]
	f.VarP(choice{&text, words}, name, short, what+strings.Join(words, " or "))
	return &text
}

// output is the flag of commands that write for people or for programs.
func output(f *pflag.FlagSet) *string { return chosen(f, "output", "o", "", "text", "json") }

// idle refuses flags that change nothing where they were given: whoever gave them
// believes otherwise.
func idle(cmd *cobra.Command, why string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s changes nothing here: %s", name, why)}
		}
	}
	return nil
}
