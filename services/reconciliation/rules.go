package reconciliation

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

// The codes of the table of mismatches that are judged here.
const (
	unknownReference      = "UNKNOWN_REFERENCE"
	duplicateInvoice      = "DUPLICATE_INVOICE"
	shippedNotReleased    = "SHIPPED_NOT_RELEASED"
	shippedNotOrdered     = "SHIPPED_NOT_ORDERED"
	shippedNotInvoiced    = "SHIPPED_NOT_INVOICED"
	invoicedNotShipped    = "INVOICED_NOT_SHIPPED"
	priceVariance         = "PRICE_VARIANCE"
	capturedNotDispatched = "CAPTURED_NOT_DISPATCHED"
	dispatchedNotCaptured = "DISPATCHED_NOT_CAPTURED"
)

// number is a code's place in the table; 0 for a code that is none.
func number(code string) int32 {
	switch code {
	case unknownReference:
		return 1
	case duplicateInvoice:
		return 3
	case shippedNotReleased:
		return 5
	case shippedNotOrdered:
		return 6
	case shippedNotInvoiced:
		return 7
	case invoicedNotShipped:
		return 8
	case priceVariance:
		return 9
	case capturedNotDispatched, dispatchedNotCaptured:
		return 11
	}
	return 0
}

// The ledgers that may be unknown where reconciliation runs: nobody publishes
// them there.
const (
	ordersLedger   = "orders"
	paymentsLedger = "payments"
	stockLedger    = "stock"
)

// Rules is what people change of how differences are judged.
type Rules struct {
	Version int32           `yaml:"version"`
	Unknown []string        `yaml:"unknown"` // ledgers that are not known here; codes that need them are off
	Codes   map[string]Rule `yaml:"codes"`
}

func (r Rules) knows(ledger string) bool { return !slices.Contains(r.Unknown, ledger) }

// knowsReleases: whether a dispatch was allowed takes all ledgers to tell.
func (r Rules) knowsReleases() bool { return len(r.Unknown) == 0 }

// Without are the rules where some ledgers are not known.
func (r Rules) Without(ledgers ...string) (Rules, error) {
	r.Unknown = slices.Concat(r.Unknown, ledgers)
	return r, r.validate()
}

// Rule judges the differences of one code.
type Rule struct {
	Stages    []Stage   `yaml:"stages"`
	Grave     string    `yaml:"grave"` // severity of what the classifier finds grave; "": the stage's
	Tolerance Tolerance `yaml:"tolerance"`
	Repair    string    `yaml:"repair"`
}

// Stage is how grave a difference is once it is so old.
type Stage struct {
	After    time.Duration `yaml:"after"`
	Severity string        `yaml:"severity"`
}

// Tolerance is what is accepted. All amounts are minor units.
type Tolerance struct {
	Minor       int64 `yaml:"minor"`       // up to this, in total
	BelowMinor  int64 `yaml:"belowMinor"`  // less than this, in total
	BasisPoints int64 `yaml:"basisPoints"` // up to this share of the price, in ten-thousandths, and
	UnitMinor   int64 `yaml:"unitMinor"`   // up to this a unit
}

//go:embed rules.v1.yaml
var defaultRules []byte

// DefaultRules are the rules that come with the program.
func DefaultRules() (Rules, error) { return ReadRules(defaultRules) }

// ReadRules reads rules; what they do not know, they refuse.
func ReadRules(text []byte) (Rules, error) {
	var r Rules
	if err := yaml.UnmarshalWithOptions(text, &r, yaml.Strict()); err != nil {
		return Rules{}, fmt.Errorf("read reconciliation rules: %w", err)
	}
	if err := r.validate(); err != nil {
		return Rules{}, fmt.Errorf("read reconciliation rules: %w", err)
	}
	return r, nil
}

func (r Rules) validate() error {
	var errs []error
	if r.Version < 1 {
		errs = append(errs, fmt.Errorf("version %d is not 1 or more", r.Version))
	}
	for _, l := range r.Unknown {
		if l != ordersLedger && l != paymentsLedger && l != stockLedger {
			errs = append(errs, fmt.Errorf("a ledger %q cannot be unknown: it is %s, %s or %s", l, ordersLedger, paymentsLedger, stockLedger))
		}
	}
	for _, code := range []string{
		unknownReference, duplicateInvoice, shippedNotReleased, shippedNotOrdered, shippedNotInvoiced,
		invoicedNotShipped, priceVariance, capturedNotDispatched, dispatchedNotCaptured,
	} {
		if _, ok := r.Codes[code]; !ok {
			errs = append(errs, fmt.Errorf("no rule judges %s", code))
		}
	}
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		if number(code) == 0 {
			errs = append(errs, fmt.Errorf("no difference is called %s", code))
		}
		for _, err := range r.Codes[code].validate() {
			errs = append(errs, fmt.Errorf("%s: %w", code, err))
		}
	}
	return errors.Join(errs...)
}

func (r Rule) validate() (errs []error) {
	severities := []string{"low", "medium", "high", "critical"}
	if len(r.Stages) == 0 {
		errs = append(errs, errors.New("without a stage it would never open"))
	}
	for i, s := range r.Stages {
		if s.After < 0 || i > 0 && s.After <= r.Stages[i-1].After {
			errs = append(errs, fmt.Errorf("stage %d is not after the one before it", i+1))
		}
		if !slices.Contains(severities, s.Severity) {
			errs = append(errs, fmt.Errorf("severity %q is none of %v", s.Severity, severities))
		}
	}
	if r.Grave != "" && !slices.Contains(severities, r.Grave) {
		errs = append(errs, fmt.Errorf("severity %q is none of %v", r.Grave, severities))
	}
	if t := r.Tolerance; min(t.Minor, t.BelowMinor, t.BasisPoints, t.UnitMinor) < 0 {
		errs = append(errs, errors.New("a tolerance is below nothing"))
	}
	if r.Repair == "" {
		errs = append(errs, errors.New("it names no repair"))
	}
	return errs
}
