package processmanager

import (
	_ "embed"
	"fmt"

	"github.com/goccy/go-yaml"
)

//go:embed fulfilment.v1.yaml
var fulfilment []byte

// DefaultDefinition is the process that comes with the program.
func DefaultDefinition() (*Definition, error) { return ReadDefinition(fulfilment) }

// ReadDefinition reads a process; what it does not know, it refuses.
func ReadDefinition(text []byte) (*Definition, error) {
	var d Definition
	if err := yaml.UnmarshalWithOptions(text, &d, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read process definition: %w", err)
	}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("process definition %s v%d: %w", d.Name, d.Version, err)
	}
	return &d, nil
}

// UnmarshalYAML reads an event's bare name as a pattern without conditions.
func (p *Pattern) UnmarshalYAML(text []byte) error {
	var name string
	if yaml.Unmarshal(text, &name) == nil {
		p.Event = name
		return nil
	}
	type plain Pattern
	return yaml.UnmarshalWithOptions(text, (*plain)(p), yaml.Strict())
}
