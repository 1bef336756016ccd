package processmanager

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// start is a Monday.
var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func shipped(t rapid.TB) *Definition {
	d, err := DefaultDefinition()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAddCountsOpenHoursOnly(t *testing.T) {
	d := shipped(t)
	for _, c := range []struct {
		name, calendar, from string
		add                  time.Duration
		want                 string
	}{
		{"to the very end of a day", "desk", "2026-01-05 14:00", 4 * time.Hour, "2026-01-05 18:00"},
		{"over a weekend", "desk", "2026-01-09 16:00", 4 * time.Hour, "2026-01-12 10:00"},
		{"from before the doors open", "desk", "2026-01-05 03:00", time.Hour, "2026-01-05 09:00"},
		{"over two weeks", "desk", "2026-01-05 08:00", 100 * time.Hour, "2026-01-16 18:00"},
		{"to the midnight that ends a week", "node", "2026-01-09 20:00", 4 * time.Hour, "2026-01-10 00:00"},
		{"to the next collection and an hour more", "collection", "2026-01-05 17:30", time.Hour, "2026-01-06 17:30"},
		{"back over a weekend", "desk", "2026-01-12 10:00", -4 * time.Hour, "2026-01-09 16:00"},
		{"back from a midnight", "node", "2026-01-12 00:00", -4 * time.Hour, "2026-01-09 20:00"},
		{"nothing", "desk", "2026-01-10 12:00", 0, "2026-01-10 12:00"},
	} {
		from, err := time.Parse("2006-01-02 15:04", c.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.calendar(c.calendar).Add(from, c.add).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("%s: %s %v in %s's hours is %s, not %s", c.name, c.from, c.add, c.calendar, got, c.want)
		}
	}
}

func clockFace(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// TestAdd draws any hours on any days, and instants of any zone.
func TestAdd(t *testing.T) {
	always := shipped(t).calendar("")
	rapid.Check(t, func(t *rapid.T) {
		c := &Calendar{Days: rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 1, 7, rapid.ID).Draw(t, "days")}
		opens := rapid.IntRange(0, 24*60-1).Draw(t, "from")
		c.From, c.To = clockFace(opens), clockFace(rapid.IntRange(opens+1, 24*60).Draw(t, "to"))
		if err := c.prepare(); err != nil {
			t.Fatalf("prepare %+v: %v", c, err)
		}
		zone := time.FixedZone("", rapid.IntRange(-12, 12).Draw(t, "zone")*3600)
		from := start.Add(time.Duration(rapid.Int64Range(0, int64(21*24*time.Hour)).Draw(t, "instant"))).In(zone)
		a := time.Duration(rapid.Int64Range(1, int64(200*time.Hour)).Draw(t, "a"))
		b := time.Duration(rapid.Int64Range(1, int64(200*time.Hour)).Draw(t, "b"))

		forth, back := c.Add(from, a), c.Add(from, -a)
		if at := c.Add(from, a+b); !at.Equal(c.Add(forth, b)) {
			t.Fatalf("%v leads to %s at once, to %s in two steps", a+b, at, c.Add(forth, b))
		}
		if at := c.Add(from, -a-b); !at.Equal(c.Add(back, -b)) {
			t.Fatalf("%v back leads to %s at once, to %s in two steps", a+b, at, c.Add(back, -b))
		}
		open, end := c.window(forth.Add(-1)) // an end belongs to its day, even at midnight
		if !forth.After(open) || forth.After(end) || !forth.After(from) {
			t.Fatalf("%v from %s leads to %s, outside %s to %s", a, from, forth, open, end)
		}
		if open, end = c.window(back); back.Before(open) || !back.Before(end) || !back.Before(from) {
			t.Fatalf("%v back from %s leads to %s, outside %s to %s", a, from, back, open, end)
		}
		if open, end = c.window(from); !from.Before(open) && from.Before(end) && !c.Add(forth, -a).Equal(from) {
			t.Fatalf("%v there and back leads from %s to %s", a, from, c.Add(forth, -a))
		}
		if open, end = c.window(from.Add(-1)); from.After(open) && !from.After(end) && !c.Add(back, a).Equal(from) {
			t.Fatalf("%v back and there leads from %s to %s", a, from, c.Add(back, a))
		}
		if !always.Add(from, a).Equal(from.Add(a)) || !always.Add(from, -a).Equal(from.Add(-a)) {
			t.Fatalf("always is not the clock: %v from %s", a, from)
		}
	})
}
