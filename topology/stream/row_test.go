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

// TestRecordKeyOfBefore: a row that names the key of its records although that is
// its own means the same as one that does not; one of other records does not.
func TestRecordKeyOfBefore(t *testing.T) {
	s := rowsOf(t)
	bytesOf := func(recordKey string) []byte {
		r := &row{key: rowKey("acme/web-1")}
		if err := s.decode(r, nil); err != nil {
			t.Fatal(err)
		}
		r.frame.RecordKey = recordKey
		var scratch []byte
		b, err := s.encode(r, &scratch)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if what := s.differ(rowKey("acme/web-1"), bytesOf("acme/web-1"), bytesOf("")); what != "" {
		t.Errorf("a row of before differs from the same of today: %s", what)
	}
	if what := s.differ(rowKey("acme/web-1"), bytesOf("acme/web-2"), bytesOf("")); what == "" {
		t.Error("a row of another's records passes for the same")
	}
}
