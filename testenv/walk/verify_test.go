package walk

import (
	"regexp"
	"strings"
	"testing"
)

// TestVerify: `troupe verify` finds nothing wrong with what the estate has written, and
// of a record that nobody can read it says where that lies, and judges the rest.
func TestVerify(t *testing.T) {
	e := over(t, folder())
	out, words := e.run(0, "verify")
	if !regexp.MustCompile(`^INVARIANT +VIOLATIONS\n`).MatchString(out) || !strings.Contains(out, "event_once") ||
		!regexp.MustCompile(`^all \d+ invariants hold over \d+ records\n$`).MatchString(words) {
		t.Errorf("of a sound estate it says\n%s%s", out, words)
	}
	e.produceTo("orders", "acme/web-1", []byte("garbage"))
	judged, words := e.run(1, "verify")
	if !strings.Contains(judged, "readable: orders/0@") || !strings.Contains(judged, "not a framed record") || !strings.Contains(words, "1 violation of invariants") {
		t.Errorf("of a record that nobody can read it says\n%s%s", judged, words)
	}
}
