package arch

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/services"
	"troupe/topology"
)

var rewrite = flag.Bool("rewrite", false, "note the schemas of rows that are written now; never takes one away")

// rowMark is how many bytes at the front of a row say which schema it has.
const rowMark = 9

// TestRowsOfBefore: rows outlive the binary that wrote them. Every schema that a
// service has ever written its rows with is noted, and must be read.
func TestRowsOfBefore(t *testing.T) {
	path := filepath.Join("testdata", "rows.txt")
	noted, err := os.ReadFile(path)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(noted)), "\n")
	for name, row := range allRows(t) {
		codec, err := row.Bind(row.Older...)
		if err != nil {
			t.Fatal(err)
		}
		b, err := codec.Append(nil, codec.New())
		if err != nil {
			t.Fatal(err)
		}
		now := name + " " + hex.EncodeToString(b[:rowMark])
		if !slices.Contains(lines, now) {
			lines = append(lines, now)
			if !*rewrite {
				t.Errorf("the row %s has a schema that is not noted: run go test ./testenv/arch -rewrite", name)
			}
		}
		for _, line := range lines {
			mark, is := strings.CutPrefix(line, name+" ")
			if !is {
				continue
			}
			head, err := hex.DecodeString(mark)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := codec.Decode(head); errors.Is(err, schemas.ErrNewerState) {
				t.Errorf("rows of %s with schema %s can no longer be read, and a service that meets one stops: keep its text beside the service and give it to Row.After; new fields need a default", name, mark)
			}
		}
	}
	if *rewrite {
		slices.Sort(lines)
		text := strings.TrimSpace(strings.Join(lines, "\n")) + "\n"
		if err := errors.Join(os.MkdirAll("testdata", 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// allRows are the rows of all services by the name of their set.
func allRows(t *testing.T) map[string]topology.Row {
	t.Helper()
	rows := map[string]topology.Row{}
	for _, s := range allServices(t) {
		for _, set := range s.Sets {
			if set.Row.Bind != nil {
				rows[s.Full(set)] = set.Row
			}
			if set.Beside != nil {
				rows[s.Full(set)+"/beside"] = *set.Beside
			}
		}
	}
	return rows
}

func allServices(t testing.TB) []topology.Service {
	t.Helper()
	contexts, err := services.New(services.Config{Mail: "localhost:25", MailFrom: "orders@localhost", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return contexts.All
}
