package schemas

import (
	"fmt"

	"github.com/twmb/avro"
)

// Problem is something wrong with a published file.
type Problem struct {
	Path string // of the file
	What string
}

func (p Problem) String() string { return p.Path + ": " + p.What }

// Compat checks every version of every type against every other, both ways:
// FULL_TRANSITIVE. Old readers must read new records and new readers old ones,
// since both run while a deployment rolls and a replay reads years back.
func Compat(c *Catalogue) []Problem {
	var problems []Problem
	for _, t := range c.Types() {
		for i, v := range t.Versions {
			for _, old := range t.Versions[:i] {
				if err := bothWays(old.Schema, v.Schema); err != nil {
					problems = append(problems, Problem{v.Path, fmt.Sprintf("against version %d: %v", old.Number, err)})
				}
			}
		}
	}
	return problems
}

// CompatText checks a new schema against all that a subject has, as a registry
// set to FULL_TRANSITIVE does.
func CompatText(old []string, text string) error {
	added, err := avro.Parse(text)
	if err != nil {
		return fmt.Errorf("the new schema does not parse: %w", err)
	}
	for i, o := range old {
		had, err := avro.Parse(o)
		if err != nil {
			return fmt.Errorf("version %d does not parse: %w", i+1, err)
		}
		if err := bothWays(had, added); err != nil {
			return fmt.Errorf("against version %d: %w", i+1, err)
		}
	}
	return nil
}

func bothWays(old, added *avro.Schema) error {
	if err := avro.CheckCompatibility(old, added); err != nil {
		return fmt.Errorf("a new reader cannot read old records: %w", err)
	}
	if err := avro.CheckCompatibility(added, old); err != nil {
		return fmt.Errorf("an old reader cannot read new records: %w", err)
	}
	return nil
}
