package workbench

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"troupe/schemas/money"
)

// Words tell facts on a line.
type Words struct {
	Version int      `yaml:"version"`
	Lanes   []string `yaml:"lanes"`
	Units   []string `yaml:"units"` // mismatches whose figures are no money
	Rows    []*Word  `yaml:"facts"`
}

// Word is how one event is told.
type Word struct {
	Event string   `yaml:"event"`
	Says  string   `yaml:"says"`
	About []string `yaml:"about"`

	parts []part
}

// part is a piece of a sentence: a text, or a field and how to write it.
type part struct {
	text, field string
	money       bool
	noun        string // what a list has, one of them
}

//go:embed facts.v1.yaml
var defaultWords []byte

// ReadWords reads a table.
func ReadWords(text []byte) (*Words, error) {
	w := &Words{}
	if err := yaml.UnmarshalWithOptions(text, w, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	var errs []error
	if w.Version != 1 {
		errs = append(errs, fmt.Errorf("read facts: version %d is not 1", w.Version))
	}
	seen := map[string]bool{}
	for i, r := range w.Rows {
		if r == nil || r.Event == "" || r.Says == "" {
			errs = append(errs, fmt.Errorf("read facts: row %d lacks event or says", i+1))
			continue
		}
		if seen[r.Event] {
			errs = append(errs, fmt.Errorf("read facts: %s stands there twice", r.Event))
		}
		seen[r.Event] = true
		var err error
		if r.parts, err = parse(r.Says); err != nil {
			errs = append(errs, fmt.Errorf("read facts: %s: %w", r.Event, err))
		}
	}
	return w, errors.Join(errs...)
}

func parse(says string) (parts []part, err error) {
	for rest := says; rest != ""; {
		text, after, field := strings.Cut(rest, "{")
		if text != "" {
			parts = append(parts, part{text: text})
		}
		if !field {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		p := part{}
		p.field, p.money = strings.CutSuffix(name, "$")
		p.field, p.noun, _ = strings.Cut(p.field, "#")
		if !closed || p.field == "" || strings.ContainsAny(p.field+p.noun, "{$#") || strings.Contains(name, "#") && p.noun == "" {
			return nil, fmt.Errorf("%q has a field that is none", says)
		}
		parts, rest = append(parts, p), after
	}
	return parts, nil
}

// lane is a context's place from the top; those that are not listed follow.
func (w *Words) lane(source string) int {
	if i := slices.Index(w.Lanes, source); i >= 0 {
		return i
	}
	return len(w.Lanes)
}

// counted says whether the figures of a mismatch are units, not money.
func (w *Words) counted(code string) bool { return slices.Contains(w.Units, code) }

// amount writes a figure of a mismatch.
func amount(n int64, currency string, counted bool) string {
	if counted {
		return count(int(n), "unit")
	}
	return money.Format(n, currency)
}

// count writes a number of things.
func count(n int, noun string) string {
	if n == 1 || n == -1 {
		return fmt.Sprint(n, " ", noun)
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// fields are what the row needs of its event.
func (r *Word) fields() []string {
	var names []string
	for _, p := range r.parts {
		if p.field != "" {
			names = append(names, p.field)
		}
		if p.money {
			names = append(names, "currency")
		}
	}
	for _, a := range r.About {
		top, _, _ := strings.Cut(a, ".")
		names = append(names, top)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tell is the line about a fact.
func (r *Word) tell(values map[string]any) string {
	var b strings.Builder
	for _, p := range r.parts {
		b.WriteString(p.write(values))
	}
	return b.String()
}

func (p part) write(values map[string]any) string {
	switch v := values[p.field]; {
	case p.field == "":
		return p.text
	case p.noun != "":
		return count(len(list(v)), p.noun)
	case p.money:
		n, _ := v.(int64)
		currency, _ := values["currency"].(string)
		return money.Format(n, currency)
	default:
		return value(v)
	}
}

// value writes a field as Avro hands it over.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "unknown"
	case time.Time:
		return clock(v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case map[string]any: // a nullable field as a union
		for _, inner := range v {
			return value(inner)
		}
	}
	return fmt.Sprint(v)
}

func list(v any) []any {
	items, _ := v.([]any)
	return items
}

// about are the things that a fact names.
func (r *Word) about(values map[string]any) (refs []ref) {
	add := func(field string, v any) {
		if s := value(v); v != nil && s != "" && !slices.Contains(refs, ref{field, s}) {
			refs = append(refs, ref{field, s})
		}
	}
	for _, path := range r.About {
		top, inner, nested := strings.Cut(path, ".")
		if !nested {
			add(top, values[top])
			continue
		}
		for _, item := range list(values[top]) {
			if m, ok := item.(map[string]any); ok {
				add(inner, m[inner])
			}
		}
	}
	return refs
}
