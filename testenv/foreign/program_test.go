package foreign

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	installLimit = 5 * time.Minute // two wheels over a poor line
	stopLimit    = 20 * time.Second
	libraries    = "import confluent_kafka, fastavro"
)

func needForeign(t *testing.T) {
	t.Helper()
	if os.Getenv("TROUPE_FOREIGN") != "1" && os.Getenv("TROUPE_REAL") != "1" {
		t.Skip("needs Python and kcat: set TROUPE_FOREIGN=1, or TROUPE_REAL=1 for a real Kafka too; plain tests need Go alone")
	}
}

// program is an interpreter or a tool on this machine.
type program struct{ path string }

// python is an interpreter with the libraries of requirements.txt, in a folder
// that later runs find again. Another list is another folder.
func python(t *testing.T) program {
	t.Helper()
	base, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3 on PATH: ", err)
	}
	wanted, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache(t), "python")
	dir := filepath.Join(root, fmt.Sprintf("%.4x", sha256.Sum256(wanted)))
	p := program{filepath.Join(dir, "bin", "python")}
	if exec.Command(p.path, "-c", libraries).Run() == nil {
		return p
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := os.MkdirTemp(root, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(made) }() // once moved there is nothing left
	install(t, base, made)
	// Moved into place whole, so that neither an interrupted install nor two
	// tests at a time leave half of one; what no longer works goes.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(made, dir); err != nil {
		t.Fatal(err)
	}
	return p
}

func install(t *testing.T, base, dir string) {
	t.Helper()
	ctx, cancel := timeout(t, installLimit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, base, "-m", "venv", dir).CombinedOutput(); err != nil {
		t.Skipf("needs Python's venv: %v: %s", err, tail(out))
	}
	pip := exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-input",
		"--disable-pip-version-check", "--only-binary", ":all:", "-r", "requirements.txt")
	if out, err := pip.CombinedOutput(); err != nil {
		t.Skipf("needs confluent-kafka and fastavro, which pip could not install: %v: %s", err, tail(out))
	}
}

// cache is the folder in which testenv keeps what it fetched.
func cache(t *testing.T) string {
	t.Helper()
	if root := os.Getenv("TROUPE_CACHE"); root != "" {
		return root
	}
	root, err := os.UserCacheDir()
	if err != nil {
		t.Skip("needs a cache folder: set TROUPE_CACHE: ", err)
	}
	return filepath.Join(root, "troupe")
}

func kcat(t *testing.T) program {
	t.Helper()
	for _, name := range []string{"kcat", "kafkacat"} {
		if path, err := exec.LookPath(name); err == nil {
			return program{path}
		}
	}
	t.Skip("needs kcat on PATH; Debian has it as the package kcat")
	return program{}
}

// run waits for the program's end and returns what it printed.
func (p program) run(t *testing.T, input string, args ...string) []byte {
	t.Helper()
	ctx, cancel := timeout(t, time.Minute)
	defer cancel()
	var said bytes.Buffer
	c := exec.CommandContext(ctx, p.path, args...)
	c.Stdin, c.Stderr, c.Env = strings.NewReader(input), &said, environment()
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", filepath.Base(p.path), args[0], err, tail(said.Bytes()))
	}
	return out
}

// running is a program that was started and not yet ended.
type running struct {
	cmd  *exec.Cmd
	said *bytes.Buffer
	done bool
}

func (p program) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(p.path, args...), said: &bytes.Buffer{}}
	r.cmd.Stderr, r.cmd.Env = r.said, environment()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.interrupt(t) })
	return r
}

// interrupt ends the program as Ctrl-C does, once, and reports what it died of.
func (r *running) interrupt(t *testing.T) {
	if r.done {
		return
	}
	r.done = true
	kill := time.AfterFunc(stopLimit, func() { _ = r.cmd.Process.Kill() }) // it may have just ended
	defer kill.Stop()
	_ = r.cmd.Process.Signal(os.Interrupt) // likewise: Wait says how
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s: %v: %s", r.cmd.Args[1], err, tail(r.said.Bytes()))
	}
}

// environment keeps Python's own cache out of this folder, and loopback
// addresses away from a proxy.
func environment() []string {
	return append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
}

// tailBytes is as much of a program's words as a failure shows.
const tailBytes = 2 << 10

func tail(b []byte) []byte { return b[max(0, len(b)-tailBytes):] }
