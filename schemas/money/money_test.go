package money

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSharesAddUp: however a line is cut into parts, they add up to the whole,
// and none is more than a minor unit off its fair part.
func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.Int64Range(-1_000_000_000_000, 1_000_000_000_000).Draw(rt, "total")
		n := rapid.Int32Range(1, 1000).Draw(rt, "units")
		var sum int64
		for at := int32(0); at < n; {
			to := rapid.Int32Range(at+1, n).Draw(rt, "to")
			share := Share(total, at, to, n)
			if off := share*int64(n) - total*int64(to-at); off > int64(n) || off < -int64(n) {
				rt.Fatalf("units %d…%d of %d get %d of %d", at+1, to, n, share, total)
			}
			sum, at = sum+share, to
		}
		if sum != total {
			rt.Fatalf("shares add up to %d, want %d", sum, total)
		}
	})
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		text, currency, shown string
		minor                 int64
	}{
		{"267.21", "BRL", "267.21 BRL", 26721}, {"99", "BRL", "99.00 BRL", 9900}, {"0.5", "EUR", "0.50 EUR", 50},
		{"-0.05", "EUR", "-0.05 EUR", -5}, {"1200", "JPY", "1200 JPY", 1200}, {"1.234", "KWD", "1.234 KWD", 1234},
	} {
		minor, err := Parse(c.text, c.currency)
		if err != nil || minor != c.minor {
			t.Errorf("Parse(%q) = %d, %v", c.text, minor, err)
		}
		if got := Format(c.minor, c.currency); got != c.shown {
			t.Errorf("Format(%d) = %q, want %q", c.minor, got, c.shown)
		}
	}
	for _, bad := range []string{"", "1.234", "x", "1.-2", ".5", "1,5"} {
		if n, err := Parse(bad, "EUR"); err == nil {
			t.Errorf("Parse(%q) = %d", bad, n)
		}
	}
}
