package walk

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/testenv/broker"
	"troupe/testenv/tally"
)

// estate is one whose run is over: its state lies on disk, and its broker is open
// again for commands.
type estate struct {
	t         *testing.T
	troupe    string
	state     string
	broker    *broker.Embedded
	workbench string // its URL, once it runs
	report    tally.Report
}

// on is the estate as a subtest has it.
func (e *estate) on(t *testing.T) *estate {
	of := *e
	of.t = t
	return &of
}

// over runs a folder of history to its end.
func over(t *testing.T, orders string) *estate {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: it builds and runs the binary")
	}
	dir := t.TempDir()
	e := &estate{t: t, troupe: binary(t), state: filepath.Join(dir, "estate")}
	e.report = demo(t, e.troupe, "--orders", orders, "--state", dir)
	var err error
	if e.broker, err = broker.StartEmbedded(broker.EmbeddedConfig{Dir: filepath.Join(dir, "broker"), Check: schemas.CompatText}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// command is one on this estate, unless a flag says otherwise.
func (e *estate) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(e.t.Context(), e.troupe, args...)
	c.Env = append(os.Environ(), "TROUPE_BROKERS="+strings.Join(e.broker.Brokers, ","), "TROUPE_REGISTRY="+e.broker.Registry,
		"TROUPE_STATE="+e.state, "TROUPE_WORKBENCH="+e.workbench)
	return c
}

// run runs a command, which must exit with a code.
func (e *estate) run(code int, args ...string) (out, words string) {
	e.t.Helper()
	c := e.command(args...)
	var data, rest strings.Builder
	c.Stdout, c.Stderr = &data, &rest
	if err := c.Run(); c.ProcessState == nil {
		e.t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		e.t.Errorf("troupe %s exits with %d, want %d:\n%s%s", strings.Join(args, " "), got, code, &data, &rest)
	}
	return data.String(), rest.String()
}

// startWorkbench runs one in a process of its own, and waits until it has read
// everything.
func (e *estate) startWorkbench() {
	e.t.Helper()
	const anywhere = "127.0.0.1:0"
	c := e.command("run", "workbench", "--listen", anywhere, "--workbench-listen", anywhere, "--state", e.t.TempDir())
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // the test's end is its own
	said, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for e.workbench == "" && lines.Scan() {
		_, e.workbench, _ = strings.Cut(lines.Text(), "workbench at ")
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, said) // or it waits for a reader
	}()
	e.t.Cleanup(func() { // the test's context is done
		<-read
		if err := c.Wait(); c.ProcessState.ExitCode() != 0 {
			e.t.Errorf("the workbench ends with %v", err)
		}
	})
	e.awaitWorkbench()
}

// awaitWorkbench waits until it answers: before, it has not read everything.
func (e *estate) awaitWorkbench() {
	e.t.Helper()
	late := time.After(time.Minute)
	for {
		answer, err := http.Get(e.workbench)
		if err == nil {
			_ = answer.Body.Close() // the status says it all
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			e.t.Fatalf("no workbench at %q: %v", e.workbench, err)
		}
	}
}
