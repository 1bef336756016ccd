package payment

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

// Policy is payment's rules that people change.
type Policy struct {
	Version       int             `yaml:"version"`
	Kinds         map[string]Kind `yaml:"kinds"`
	GiveBackWaits time.Duration   `yaml:"giveBackWaits"`
}

// Kind says how a kind of tender brings in money.
type Kind struct {
	Mode  string `yaml:"mode"`
	First bool   `yaml:"first"`
}

// The modes.
const (
	authorise = "AUTHORISE"
	prepaid   = "PREPAID"
)

//go:embed policy.v1.yaml
var defaultPolicy []byte

// DefaultPolicy is the policy that comes with the program.
func DefaultPolicy() (Policy, error) { return ReadPolicy(defaultPolicy) }

// ReadPolicy reads a policy; what it does not know, it refuses.
func ReadPolicy(text []byte) (Policy, error) {
	var p Policy
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.Strict()); err != nil {
		return Policy{}, fmt.Errorf("read payment policy: %w", err)
	}
	if err := p.validate(); err != nil {
		return Policy{}, fmt.Errorf("read payment policy: %w", err)
	}
	return p, nil
}

func (p Policy) validate() error {
	var errs []error
	if p.Version != 1 {
		errs = append(errs, fmt.Errorf("version %d is not 1", p.Version))
	}
	if p.GiveBackWaits <= 0 {
		errs = append(errs, errors.New("giveBackWaits must be more than nothing"))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Kinds)) {
		if mode := p.Kinds[name].Mode; mode != authorise && mode != prepaid {
			errs = append(errs, fmt.Errorf("kind %s: mode %q is neither AUTHORISE nor PREPAID", name, mode))
		}
	}
	return errors.Join(errs...)
}
