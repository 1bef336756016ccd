package tracking

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// Milestones translates events into the customer's words.
type Milestones struct {
	Version int          `yaml:"version"`
	Rows    []*Milestone `yaml:"milestones"`

	byCase map[caseOf]*Milestone
}

// Milestone is what an event, or one case of it, means to a customer.
type Milestone struct {
	Event   string `yaml:"event"`
	When    string `yaml:"when"` // the case, "" for an event that has none
	Section string `yaml:"section"`
	Source  string `yaml:"source"`
	Code    string `yaml:"code"`
	Says    string `yaml:"says"`

	turn, rank int // of the source within the section, and of the row
}

type caseOf struct{ event, when string }

// The sections.
const (
	sectionOrder        = "order"
	sectionPayment      = "payment"
	sectionShipments    = "shipments"
	sectionInvoices     = "invoices"
	sectionCancellation = "cancellation"
)

//go:embed milestones.v1.yaml
var defaultMilestones []byte

// ReadMilestones reads a table that must have a row for every case of the
// events, and none besides: a row for an event that nobody reads is most
// likely the misspelt row of one that somebody does.
func ReadMilestones(text []byte, events map[string][]string) (*Milestones, error) {
	m := &Milestones{byCase: map[caseOf]*Milestone{}}
	if err := yaml.UnmarshalWithOptions(text, m, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read milestones: %w", err)
	}
	if err := errors.Join(m.index(), m.covers(events)); err != nil {
		return nil, fmt.Errorf("read milestones: %w", err)
	}
	return m, nil
}

func (m *Milestones) index() error {
	var errs []error
	if m.Version != 1 {
		errs = append(errs, fmt.Errorf("version %d is not 1", m.Version))
	}
	sections := []string{sectionOrder, sectionPayment, sectionShipments, sectionInvoices, sectionCancellation}
	sources := map[string][]string{}
	for i, r := range m.Rows {
		if r == nil || r.Event == "" || r.Source == "" || r.Code == "" || r.Says == "" {
			errs = append(errs, fmt.Errorf("row %d lacks event, source, code or says", i+1))
			continue
		}
		if !slices.Contains(sections, r.Section) {
			errs = append(errs, fmt.Errorf("%s: %q is no section: there are %v", r.Event, r.Section, sections))
		}
		c := caseOf{r.Event, r.When}
		if m.byCase[c] != nil {
			errs = append(errs, fmt.Errorf("%s stands there twice", c))
		}
		if !slices.Contains(sources[r.Section], r.Source) {
			sources[r.Section] = append(sources[r.Section], r.Source)
		}
		r.turn, r.rank = slices.Index(sources[r.Section], r.Source), i
		m.byCase[c] = r
	}
	return errors.Join(errs...)
}

func (m *Milestones) covers(events map[string][]string) error {
	var errs []error
	wanted := map[caseOf]bool{}
	for _, event := range slices.Sorted(maps.Keys(events)) {
		for _, when := range events[event] {
			c := caseOf{event, when}
			wanted[c] = true
			if m.byCase[c] == nil {
				errs = append(errs, fmt.Errorf("no row knows %s: what it means to a customer is not to be guessed", c))
			}
		}
	}
	for _, r := range m.Rows {
		if r != nil && r.Event != "" && !wanted[caseOf{r.Event, r.When}] {
			errs = append(errs, fmt.Errorf("%s is nothing that the view reads", caseOf{r.Event, r.When}))
		}
	}
	return errors.Join(errs...)
}

func (m *Milestones) of(event, when string) *Milestone { return m.byCase[caseOf{event, when}] }

func (c caseOf) String() string {
	if c.when == "" {
		return c.event
	}
	return c.event + " when " + c.when
}
