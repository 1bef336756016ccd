package stream

import (
	"encoding/hex"
	"testing"
)

// TestFrameOfBefore: what the runtime keeps of each key, and of each input that
// waits, leads with the mark of its schema. Another schema makes every row of
// before unreadable.
func TestFrameOfBefore(t *testing.T) {
	s := rowsOf(t)
	framed, err := s.frame.Append(nil, &frame{})
	if err != nil {
		t.Fatal(err)
	}
	parked, err := s.parked.Append(nil, &parkedInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of, want string
		got      []byte
	}{{"frame", "0173ddcb96ee3bfe1a", framed}, {"parked input", "01cebb540f6f0294ff", parked}} {
		if got := hex.EncodeToString(c.got[:9]); got != c.want {
			t.Errorf("a %s is written with schema %s, and what lies on changelogs with %s: let the State know the former by Older, or every service stops at its first row", c.of, got, c.want)
		}
	}
}
