package processmanager

import (
	"fmt"
	"slices"
	"time"
)

// Calendar is the hours of a week that count, in UTC, the same on each of its
// days.
type Calendar struct {
	Days     []string `yaml:"days"`
	From     string   `yaml:"from"`
	To       string   `yaml:"to"`
	days     [7]bool
	from, to time.Duration // since midnight
}

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// prepare reads the words; it must be called before Add.
func (c *Calendar) prepare() (err error) {
	for _, d := range c.Days {
		i := slices.Index(weekdays, d)
		if i < 0 {
			return fmt.Errorf("day %q is none of %v", d, weekdays)
		}
		c.days[i] = true
	}
	if c.from, err = hour(c.From); err != nil {
		return err
	}
	if c.to, err = hour(c.To); err != nil {
		return err
	}
	if len(c.Days) == 0 || c.to <= c.from {
		return fmt.Errorf("no hour from %s to %s on %v", c.From, c.To, c.Days)
	}
	return nil
}

func hour(text string) (time.Duration, error) {
	var h, m int
	if _, err := fmt.Sscanf(text, "%d:%d", &h, &m); err != nil || fmt.Sprintf("%02d:%02d", h, m) != text || h < 0 || h > 24 || m < 0 || m > 59 || h == 24 && m > 0 {
		return 0, fmt.Errorf("%q is no time of day such as 08:00", text)
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, nil
}

// Add is the instant at which d of the calendar's hours have passed since t;
// for a negative d, the one from which -d pass until t.
func (c *Calendar) Add(t time.Time, d time.Duration) time.Time {
	for d > 0 {
		open, end := c.window(t)
		switch {
		case !t.Before(end):
			t = midnight(t).AddDate(0, 0, 1)
			continue
		case t.Before(open):
			t = open
		}
		step := min(d, end.Sub(t))
		t, d = t.Add(step), d-step
	}
	for d < 0 {
		open, end := c.window(t.Add(-1)) // at midnight the day that ends counts
		switch {
		case !t.After(open):
			t = midnight(t.Add(-1))
			continue
		case t.After(end):
			t = end
		}
		step := min(-d, t.Sub(open))
		t, d = t.Add(-step), d+step
	}
	return t
}

// window is the hours of t's day; an empty one at its end on a day off.
func (c *Calendar) window(t time.Time) (open, end time.Time) {
	day := midnight(t)
	if !c.days[day.Weekday()] {
		return day, day
	}
	return day.Add(c.from), day.Add(c.to)
}

func midnight(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
