package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// longest is for one mutant's tests: one that hangs has failed by then.
const longest = "90s"

const (
	runtimeAt = "topology/stream"     // what is changed
	testsAt   = "testenv/conformance" // what has to notice
)

type colour string

const (
	red   colour = "red"
	green colour = "green"
)

type verdict struct {
	colour colour
	why    string // the first complaint
}

// lab builds and runs mutants in a folder of its own.
type lab struct {
	root, dir string
	passed    map[string]bool // tests that were seen to pass with all guards in place
	whole     string          // the tests of the runtime as it is, once they are built
}

func newLab() (*lab, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	return &lab{root: filepath.Dir(strings.TrimSpace(string(mod))), dir: dir, passed: map[string]bool{}}, nil
}

func (l *lab) close() error { return os.RemoveAll(l.dir) }

// judge runs a mutant's tests: first on the runtime as it is, where a failure would
// be none of the mutant's.
func (l *lab) judge(ctx context.Context, m mutant) (v verdict, err error) {
	if l.whole == "" {
		if l.whole, err = l.build(ctx, "whole", nil); err != nil {
			return v, err
		}
	}
	if !l.passed[m.tests] {
		if v, err = l.try(ctx, l.whole, m.tests); err != nil {
			return v, err
		}
		if v.colour != green {
			return v, fmt.Errorf("%s fails with all guards in place: %s", m.tests, v.why)
		}
		l.passed[m.tests] = true
	}
	files, err := m.apply(filepath.Join(l.root, runtimeAt))
	if err != nil {
		return v, err
	}
	binary, err := l.build(ctx, "mutant", files)
	if err != nil {
		return v, err
	}
	return l.try(ctx, binary, m.tests)
}

// build compiles the tests with some of the runtime's files replaced.
func (l *lab) build(ctx context.Context, name string, files map[string]string) (binary string, err error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range files {
		changed := filepath.Join(l.dir, name+"-"+filepath.Base(file))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(l.root, runtimeAt, file)] = changed
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	at := filepath.Join(l.dir, name+".json")
	if err := os.WriteFile(at, list, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(l.dir, name+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", at, "-o", binary, "./"+testsAt)
	cmd.Dir = l.root
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile: %w\n%s", err, said)
	}
	return binary, nil
}

// try runs tests on the embedded broker, and each in full: a hanging one says in its
// output what it was waiting for before it is stopped.
func (l *lab) try(ctx context.Context, binary, tests string) (verdict, error) {
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.count=1", "-test.timeout="+longest, "-test.run="+pattern(tests))
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join(l.root, testsAt), &out, &log
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TROUPE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	err := cmd.Run()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return verdict{}, ctx.Err()
	case err == nil:
		return verdict{green, ""}, ran(out.String(), tests)
	case !errors.As(err, &failed):
		return verdict{}, fmt.Errorf("run %s: %w", tests, err)
	}
	why := complaint.FindStringSubmatch(out.String())
	if why == nil {
		why = crash.FindStringSubmatch(log.String())
	}
	if why == nil {
		return verdict{}, fmt.Errorf("%s ends with %w and no failure:\n%s", tests, err, log.String())
	}
	return verdict{red, shortened(why[1])}, nil
}

var (
	complaint = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: (.*)$`)
	crash     = regexp.MustCompile(`(?m)^((?:panic|fatal error): .*)$`)
)

// ran says that each of the tests was run: a name that nobody has passes too.
func ran(out, tests string) error {
	top, _, _ := strings.Cut(tests, "/")
	for name := range strings.SplitSeq(top, "|") {
		if !strings.Contains(out, "--- PASS: "+name+" ") {
			return fmt.Errorf("no test %s was run", name)
		}
	}
	return nil
}

// pattern matches these tests and no others.
func pattern(tests string) string {
	var levels []string
	for level := range strings.SplitSeq(tests, "/") {
		levels = append(levels, "^("+strings.ReplaceAll(level, " ", "_")+")$")
	}
	return strings.Join(levels, "/")
}

// widest is what the table has room for.
const widest = 100

func shortened(s string) string {
	if r := []rune(s); len(r) > widest {
		return string(r[:widest]) + "…"
	}
	return s
}
