package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// call runs a command line in this process.
func call(t *testing.T, args ...string) (code int, out, words string) {
	t.Helper()
	root, o := newRoot()
	var data, rest bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&data)
	root.SetErr(&rest)
	code = execute(t.Context(), root, o)
	return code, data.String(), rest.String()
}

// TestCalls: a call that cannot be understood exits with 2, what fails with 1, and
// both say what to do.
func TestCalls(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = "127.0.0.1:1"
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"foo", 2, `no command "foo": troupe has `},
		{"help foo", 2, `no command "foo": troupe has `},
		{"help limits foo", 2, `"foo" is an argument too many`},
		{"flow foo", 2, `no command "foo": troupe flow has ls, show`},
		{"completion bash foo", 2, "foo"},
		{"limits foo", 2, `"foo" is an argument too many`},
		{"limits --foo", 2, "unknown flag: --foo"},
		{"limits --limit foo", 2, "say NAME=VALUE"},
		{"flow show", 2, "an argument is missing: say troupe flow show ORDER"},
		{"flow ls --page x", 2, `--page "x": say a whole number`},
		{"flow ls -o yaml", 2, `--output "yaml": say text or json`},
		{"flow ls --workbench foo", 2, `--workbench "foo": say a whole URL`},
		{"flow ls --workbench http://" + nobody, 1, "is it running"},
		{"state rebuild", 2, "an argument is missing: say troupe state rebuild SERVICE"},
		{"state rebuild fraud --time noon", 2, `--time "noon": say record or event`},
		{"state verify", 2, "set --state or TROUPE_STATE"},
		{"state verify --brokers " + nobody + " --state " + file, 2, "a file lies there"},
		{"state verify --brokers " + nobody + " --state " + t.TempDir(), 1, "no task lies in "},
		{"demo", 2, "give --orders DIR or set TROUPE_ORDERS"},
		{"demo --orders . --progress 5", 2, `--progress "5": say a duration`},
		{"demo --orders . --state " + file, 2, "a file lies there"},
		{"demo --orders . --registry http://r", 2, "--registry changes nothing here"},
		{"demo --orders . --mail m:25", 2, "--mail changes nothing here"},
		{"run", 2, "an argument is missing: say troupe run all | SERVICE…"},
		{"run foo", 2, `no service "foo": there are ordercapture, fraud, `},
		{"run all payment", 2, "it stands alone"},
		{"run fraud fraud", 2, "fraud is named twice"},
		{"run fraud", 2, "set --scoring-url or TROUPE_SCORING_URL"},
		{"run fraud --scoring-url foo", 2, `--scoring-url "foo": say a whole URL`},
		{"run fraud --scoring-url ftp://foo", 2, `--scoring-url "ftp://foo": say a whole URL`},
		{"run fraud --workers 0", 2, "--workers 0"},
		{"run fraud --speed 5", 2, "--speed changes nothing here"},
		{"run fraud --workbench-listen :1", 2, "the workbench is not among the services"},
		{"run inventory", 2, "give --brokers"},
		{"run inventory --unknown foo", 2, `"foo" cannot be unknown`},
		{"run inventory --brokers " + nobody + " --registry http://" + nobody, 1, "is --registry http://" + nobody + " right?"},
		{"run all --state " + t.TempDir(), 2, "--state changes nothing here: without --brokers, run all keeps nothing"},
		{"run all --registry http://r", 2, "--registry changes nothing here"},
		{"run all --workers 2", 2, "--workers changes nothing here"},
		{"run all --speed NaN", 2, "must be above zero"},
		{"run all --rate 0", 2, "invent traffic"},
		{"schemas register --registry http://" + nobody, 1, "is --registry http://" + nobody + " right?"},
		{"topology apply --brokers " + nobody, 1, "is --brokers " + nobody + " right?"},
		{"topology graph -o dot", 2, `--format "dot": say mermaid`},
	} {
		t.Run(c.line, func(t *testing.T) {
			code, out, words := call(t, strings.Fields(c.line)...)
			if code != c.code || !strings.HasPrefix(words, "troupe: ") || !strings.Contains(words, c.want) {
				t.Errorf("exits with %d, want %d and %q:\n%s%s", code, c.code, c.want, out, words)
			}
			if strings.Contains(words, "strconv") {
				t.Errorf("it speaks Go: %s", words)
			}
		})
	}
}

// TestHelp: a group without a command, and help of one, are no mistakes.
func TestHelp(t *testing.T) {
	for line, want := range map[string]string{"": "Exit codes", "help": "Exit codes", "flow": "troupe flow [command]", "help flow ls": "--overdue", "flow show --help": "show ORDER"} {
		if code, out, words := call(t, strings.Fields(line)...); code != 0 || words != "" || !strings.Contains(out, want) {
			t.Errorf("troupe %s exits with %d and does not say %q:\n%s%s", line, code, want, out, words)
		}
	}
}

// TestPartnersAtOnce: every partner that is missing or misspelt is told of in one go.
func TestPartnersAtOnce(t *testing.T) {
	code, _, words := call(t, "run", "all", "--brokers", "127.0.0.1:1", "--erp-url", "erp")
	for _, want := range []string{"--scoring-url", "--provider-url", "--warehouse-url", `--erp-url "erp"`} {
		if code != 2 || !strings.Contains(words, want) {
			t.Errorf("exits with %d and does not say %s: %s", code, want, words)
		}
	}
}

// TestEnvironment: a flag's variable counts where the flag is not given, be it one of
// all commands or of one, and help shows the true default.
func TestEnvironment(t *testing.T) {
	t.Setenv("TROUPE_LISTEN", "127.0.0.1:8099")
	t.Setenv("TROUPE_BROKERS", "a:1,b:2")
	t.Setenv("TROUPE_MAIL", "mail:25")
	t.Setenv("TROUPE_WORKERS", "3")
	t.Setenv("TROUPE_STATE", "")
	root, o := newRoot()
	cmd := flagsOf(t, root, "run", "fraud", "--mail", "given:25", "--state", "here")
	if err := fromEnvironment(cmd); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"listen": "127.0.0.1:8099", "brokers": "[a:1,b:2]", "mail": "given:25", "workers": "3", "state": "here", "registry": "", "speed": "1200",
	} {
		if got := cmd.Flag(flag).Value.String(); got != want {
			t.Errorf("--%s is %q, want %q", flag, got, want)
		}
	}
	if cmd.Flag("listen").DefValue != "127.0.0.1:8080" || cmd.Flag("brokers").DefValue != "[]" {
		t.Errorf("help shows %q and %q", cmd.Flag("listen").DefValue, cmd.Flag("brokers").DefValue)
	}
	if len(o.brokers) != 2 {
		t.Errorf("brokers are %v", o.brokers)
	}
	if err := idle(cmd, "", "listen"); err != nil {
		t.Errorf("an environment that is of no use is refused: %v", err)
	}
	for name, want := range map[string]string{
		"TROUPE_PAGE": `TROUPE_PAGE "x": say a whole number`, "TROUPE_OUTPUT": `TROUPE_OUTPUT "x": say text or json`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "x")
			if code, _, words := call(t, "flow", "ls"); code != 2 || !strings.Contains(words, want) {
				t.Errorf("exits with %d: %s", code, words)
			}
		})
	}
}

// TestLimitsOfBoth: a limit that is given is taken over the variable's, which keeps
// its others.
func TestLimitsOfBoth(t *testing.T) {
	t.Setenv("TROUPE_LIMITS", "parked-per-key=7,effect-timeout=5s")
	code, out, words := call(t, "limits", "--limit", "parked-per-key=9")
	if code != 0 || !strings.HasPrefix(out, "LIMIT ") {
		t.Fatalf("exits with %d:\n%s%s", code, out, words)
	}
	said := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 {
			said[f[0]] = f[1]
		}
	}
	if said["parked-per-key"] != "9" || said["effect-timeout"] != "5s" {
		t.Errorf("limits are %v", said)
	}
}

func flagsOf(t *testing.T, root *cobra.Command, line ...string) *cobra.Command {
	t.Helper()
	cmd, rest, err := root.Find(line)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestNoWorkbench: what answers there and is no workbench is not taken for one.
func TestNoWorkbench(t *testing.T) {
	for _, c := range []struct {
		answer http.HandlerFunc
		code   int
		want   string
	}{
		{http.NotFound, 1, "404 Not Found): check --workbench"},
		{func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 1, "200 OK): check --workbench"},
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "being filled", http.StatusServiceUnavailable)
		}, 1, "not ready: being filled"},
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"detail": "no phase"}`, http.StatusBadRequest)
		}, 2, "no phase"},
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"detail": "see /openapi.yaml"}`, http.StatusNotFound)
		}, 1, "404 Not Found): check --workbench"},
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"detail": "loopback only"}`, http.StatusMisdirectedRequest)
		}, 1, "says 421 Misdirected Request: loopback only"},
	} {
		s := httptest.NewServer(c.answer)
		for _, output := range []string{"text", "json"} {
			code, out, words := call(t, "status", "--workbench", s.URL, "-o", output)
			if code != c.code || out != "" || !strings.Contains(words, c.want) {
				t.Errorf("as %s exits with %d, want %d and %q:\n%s%s", output, code, c.code, c.want, out, words)
			}
		}
		s.Close()
	}
}

// TestStatus: what is one is told as one.
func TestStatus(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"headline": "Flows are late", "causes": [{"kind": "overdue", "says": "payment owes PaymentPending on 1 order", "count": 1, "of": "orders"}],
			"phases": [{"phase": "HELD", "flows": 1}, {"phase": "PLACED", "flows": 2}]}`))
	}))
	defer s.Close()
	code, out, _ := call(t, "status", "--workbench", s.URL)
	want := "Flows are late\npayment owes PaymentPending on 1 order  overdue  since –\nHELD                                    1 flow\nPLACED                                  2 flows\n"
	if code != 0 || out != want {
		t.Errorf("exits with %d and says\n%swant\n%s", code, out, want)
	}
}
