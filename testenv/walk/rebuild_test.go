package walk

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"troupe/schemas"
	"troupe/services"
	"troupe/testenv/broker"
)

// TestHistoryIsRebuilt: after a run, the state of every service follows from what
// it has read, to the last row.
func TestHistoryIsRebuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it builds and runs the binary")
	}
	troupe, dir := binary(t), t.TempDir()
	demo(t, troupe, "--state", dir)
	b, err := broker.StartEmbedded(broker.EmbeddedConfig{Dir: filepath.Join(dir, "broker"), Check: schemas.CompatText})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	contexts, err := services.New(services.Config{Mail: "localhost:25", MailFrom: "orders@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range contexts.All {
		if len(s.Sets) == 0 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), troupe, "state", "rebuild", s.Name, "--time", "event",
				"--brokers", strings.Join(b.Brokers, ","), "--registry", b.Registry).CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if err != nil {
				t.Errorf("exit %d\n%s", exit.ExitCode(), out)
			}
			t.Logf("%s", out[max(0, len(out)-200):])
		})
	}
}
