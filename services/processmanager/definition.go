package processmanager

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Definition is a process as data: who owes what, because of what, by when.
type Definition struct {
	Name        string               `yaml:"name"`
	Version     int32                `yaml:"version"`
	Calendars   map[string]*Calendar `yaml:"calendars"`
	Obligations []*Rule              `yaml:"obligations"`
	Phases      map[string][]string  `yaml:"phases"`
	Persons     []Person             `yaml:"persons"`

	rules map[string]*Rule
}

// Rule is a row of the definition. Of response and promise at most one is given.
type Rule struct {
	Name       string        `yaml:"name"`
	Owner      string        `yaml:"owner"`
	Because    Pattern       `yaml:"because"`
	Needs      [][]Pattern   `yaml:"needs"` // of each list one must have come too
	Events     []Pattern     `yaml:"events"`
	Void       []Pattern     `yaml:"void"`
	Subject    string        `yaml:"subject"`
	Response   time.Duration `yaml:"response"`
	Calendar   string        `yaml:"calendar"`
	AtMost     time.Duration `yaml:"atMost"`
	Promise    *Promise      `yaml:"promise"`
	NextAction string        `yaml:"nextAction"`
}

// Promise is a date in the cause, moved by a duration.
type Promise struct {
	Field    string        `yaml:"field"`
	Plus     time.Duration `yaml:"plus"`
	Else     time.Duration `yaml:"else"` // since the cause, where it has no such date
	Calendar string        `yaml:"calendar"`
}

// Pattern is an event with the values that it must have.
type Pattern struct {
	Event string         `yaml:"event"`
	When  map[string]any `yaml:"when"`
	Every bool           `yaml:"every"` // about every subject: the event names none
	Each  string         `yaml:"each"`  // a list in the event whose items name the subjects
}

// Person says after which event somebody must decide.
type Person struct {
	Event    string `yaml:"event"`
	Desk     string `yaml:"desk"`
	Severity string `yaml:"severity"`
	Reason   string `yaml:"reason"`
}

// matches is true for an event that the pattern describes.
func (p Pattern) matches(e Event) bool {
	if p.Event != e.Type {
		return false
	}
	for field, want := range p.When {
		if fmt.Sprint(e.Fields[field]) != fmt.Sprint(want) {
			return false
		}
	}
	return true
}

func (r *Rule) patterns() []Pattern {
	all := append([]Pattern{r.Because}, r.Events...)
	all = append(all, r.Void...)
	for _, n := range r.Needs {
		all = append(all, n...)
	}
	return all
}

// subject is what an event is about, as far as the rule is concerned.
func (r *Rule) subject(e Event) string {
	if r.Subject == "" {
		return ""
	}
	if v, ok := e.Fields[r.Subject]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// subjects are those that an event answers for.
func (r *Rule) subjects(p Pattern, e Event) []string {
	if p.Each == "" {
		s := r.subject(e)
		if p.Every || r.Subject != "" && s == "" {
			s = everySubject
		}
		return []string{s}
	}
	var out []string
	for _, item := range list(e.Fields[p.Each]) {
		out = append(out, fmt.Sprint(item[r.Subject]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// due is the deadline of an obligation that its owner could act on from start.
func (d *Definition) due(r *Rule, cause Event, start time.Time) time.Time {
	switch {
	case r.Response > 0:
		due := d.calendar(r.Calendar).Add(start, r.Response)
		if limit := start.Add(r.AtMost); r.AtMost > 0 && limit.Before(due) {
			return limit
		}
		return due
	case r.Promise != nil:
		if at, ok := dateOf(cause.Fields[r.Promise.Field]); ok {
			return d.calendar(r.Promise.Calendar).Add(at, r.Promise.Plus)
		}
		return cause.At.Add(r.Promise.Else)
	}
	return time.Time{}
}

func dateOf(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v.UTC(), !v.IsZero()
	case *time.Time:
		return dateOf(*cmp.Or(v, &time.Time{}))
	case map[string]any: // a nullable field as a union
		for _, inner := range v {
			return dateOf(inner)
		}
	}
	return time.Time{}, false
}

func (d *Definition) calendar(name string) *Calendar {
	return d.Calendars[cmp.Or(name, "always")]
}

// Reads lists the events that the definition names, with the fields it needs of
// each, sorted.
func (d *Definition) Reads() map[string][]string {
	fields := map[string]map[string]bool{}
	need := func(event string, names ...string) {
		if fields[event] == nil {
			fields[event] = map[string]bool{}
		}
		for _, n := range names {
			if n != "" {
				fields[event][n] = true
			}
		}
	}
	for _, r := range d.Obligations {
		for _, p := range r.patterns() {
			need(p.Event, slices.Collect(maps.Keys(p.When))...)
			if !p.Every {
				need(p.Event, cmp.Or(p.Each, r.Subject))
			}
		}
		if r.Promise != nil {
			need(r.Because.Event, r.Promise.Field)
		}
	}
	for _, p := range d.Persons {
		need(p.Event)
	}
	out := map[string][]string{}
	for event, set := range fields {
		out[event] = slices.Sorted(maps.Keys(set))
	}
	return out
}

// Within says for people by when the rule's event is owed; "" where no deadline
// is kept here.
func (r *Rule) Within() string {
	switch {
	case r.Response > 0:
		return strings.TrimSpace(span(r.Response) + " " + r.Calendar)
	case r.Promise != nil && r.Promise.Plus < 0:
		return r.Promise.Field + " − " + span(-r.Promise.Plus)
	case r.Promise != nil:
		return r.Promise.Field + " + " + span(r.Promise.Plus)
	}
	return ""
}

// span is a duration without its empty parts: 72h, not 72h0m0s.
func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// awaits lists the owners of responses, and the events that must reach them
// before their time runs.
func (d *Definition) awaits() map[string][]string {
	out := map[string][]string{}
	for _, r := range d.Obligations {
		if r.Response == 0 {
			continue
		}
		out[r.Owner] = append(out[r.Owner], r.Because.Event)
		for _, need := range r.Needs {
			for _, p := range need {
				out[r.Owner] = append(out[r.Owner], p.Event)
			}
		}
	}
	for owner, events := range out {
		slices.Sort(events)
		out[owner] = slices.Compact(events)
	}
	return out
}

// prepare checks the definition and makes it ready for use.
func (d *Definition) prepare() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d.Name == "" || d.Version < 1 {
		bad("name and version are needed")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Calendars)) {
		if d.Calendars[name] == nil {
			bad("calendar %s is empty", name)
		} else if err := d.Calendars[name].prepare(); err != nil {
			bad("calendar %s: %w", name, err)
		}
	}
	if d.Calendars["always"] == nil {
		bad("the calendar always is needed")
	}
	d.rules = map[string]*Rule{}
	for _, r := range d.Obligations {
		if r == nil {
			bad("an obligation is empty")
			continue
		}
		if d.rules[r.Name] != nil {
			bad("obligation %s stands twice", r.Name)
		}
		d.rules[r.Name] = r
		for _, err := range d.check(r) {
			bad("obligation %s: %w", r.Name, err)
		}
	}
	for _, phase := range openPhases {
		if len(d.Phases[phase]) == 0 {
			bad("phase %s has no obligation that would end it: a flow could be forgotten there", phase)
		}
	}
	for _, phase := range slices.Sorted(maps.Keys(d.Phases)) {
		if !slices.Contains(openPhases, phase) {
			bad("phase %s is none of %v", phase, openPhases)
		}
		for _, name := range d.Phases[phase] {
			if d.rules[name] == nil {
				bad("phase %s names obligation %s, which does not exist", phase, name)
			}
		}
	}
	return errors.Join(errs...)
}

func (d *Definition) check(r *Rule) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Owner == "" || r.Because.Event == "" || len(r.Events) == 0 || r.NextAction == "" {
		bad("owner, because, events and nextAction are needed")
	}
	if r.Response > 0 && r.Promise != nil {
		bad("a response or a promise, not both")
	}
	if r.Response < 0 || r.AtMost < 0 {
		bad("a negative duration")
	}
	names := []string{r.Calendar}
	if r.Promise != nil {
		names = append(names, r.Promise.Calendar)
	}
	for _, name := range names {
		if d.calendar(name) == nil {
			bad("calendar %s does not exist", name)
		}
	}
	return errs
}
