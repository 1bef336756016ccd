package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestBounds: every service that has limits of its own lists them, each once, with a
// value and what happens at it.
func TestBounds(t *testing.T) {
	code, out, words := call(t, "limits")
	_, table, _ := strings.Cut(out, "\nSERVICE ")
	_, table, found := strings.Cut(table, "\n")
	if code != 0 || !found {
		t.Fatalf("exits with %d:\n%s%s", code, out, words)
	}
	row := regexp.MustCompile(`^([a-z]+) +([a-z-]+) +([0-9]\S*) +(\S.+)\n$`)
	listed := map[string][]string{}
	for line := range strings.Lines(table) {
		m := row.FindStringSubmatch(line)
		if m == nil || slices.Contains(listed[m[1]], m[2]) {
			t.Errorf("it is no limit, or there twice: %s", line)
			continue
		}
		listed[m[1]] = append(listed[m[1]], m[2])
	}
	// The rows of fraud and triage hold no list, and nothing waits in them.
	for _, service := range []string{
		"ordercapture", "payment", "inventory", "shipment", "invoicing", "notification", "tracking",
		"processmanager", "reconciliation", "workbench", "edge", "all",
	} {
		if len(listed[service]) == 0 {
			t.Errorf("nothing is listed of %s", service)
		}
	}
}
