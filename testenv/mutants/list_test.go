package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsFollowTheCode: what they replace is there, what they make of it is Go, and
// the tests that they name exist. Whether it compiles and fails takes `make mutants`.
func TestMutantsFollowTheCode(t *testing.T) {
	tests := source(t, filepath.Join("../..", testsAt))
	proven := map[int]bool{}
	for _, m := range mutants() {
		files, err := m.apply(filepath.Join("../..", runtimeAt))
		if err != nil {
			t.Errorf("guard %d without %s: %v", m.guard, m.lacks, err)
		}
		for name, text := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
				t.Errorf("guard %d without %s: %v", m.guard, m.lacks, err)
			}
		}
		top, _, _ := strings.Cut(m.tests, "/")
		for name := range strings.SplitSeq(top, "|") {
			if !strings.Contains(tests, "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("guard %d without %s: there is no %s", m.guard, m.lacks, name)
			}
		}
		proven[m.guard] = proven[m.guard] || m.caught == ""
	}
	for guard := 1; guard <= 8; guard++ {
		if !proven[guard] {
			t.Errorf("nothing fails without guard %d", guard)
		}
	}
}

func source(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
