// Package walk runs the troupe binary over a folder of history: what comes out
// must follow from the files, on any broker, killed or not.
package walk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/testenv/broker"
	"troupe/testenv/tally"
	"troupe/testenv/world/history"
)

// built is where troupe lies once it is built, for all tests.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // what is left is in the system's temporary folder
	}
	os.Exit(code)
}

// binary builds troupe once.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "troupe-walk-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, "troupe/services/cmd/troupe").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "troupe")
}

// folder is the history to run: a small generated one, or TROUPE_HISTORY.
func folder() string {
	if dir := os.Getenv("TROUPE_HISTORY"); dir != "" {
		return dir
	}
	return filepath.Join("..", "world", "history", "testdata", "small")
}

func report(t *testing.T, out []byte) tally.Report {
	t.Helper()
	var r tally.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("read report: %v\n%s", err, out)
	}
	// These are of the run, not of what it came to.
	r.Events, r.Transactions, r.WallSeconds = 0, 0, 0
	return r
}

// demo runs to the end.
func demo(t *testing.T, troupe string, more ...string) tally.Report {
	t.Helper()
	c := exec.CommandContext(t.Context(), troupe, append([]string{"demo", "--orders", folder(), "-o", "json"}, more...)...)
	var progress bytes.Buffer
	c.Stderr = &progress
	out, err := c.Output()
	if err != nil {
		t.Fatalf("demo %v: %v\n%s\n%s", more, err, progress.String(), out)
	}
	for line := range strings.Lines(progress.String()) {
		if strings.HasPrefix(line, "exception:") {
			t.Error(line)
		}
	}
	return report(t, out)
}

// kill starts a run and kills it once a third of the orders are placed.
func kill(t *testing.T, troupe string, more ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), troupe, append([]string{"demo", "--orders", folder(), "--progress", "100ms"}, more...)...)
	progress, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed := ""
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		var date, hour string
		var placed, all int
		if _, err := fmt.Sscanf(lines.Text(), "%s %s %d of %d", &date, &hour, &placed, &all); err == nil && killed == "" && 3*placed > all {
			killed = lines.Text()
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err == nil || killed == "" {
		t.Fatalf("the run was to be killed in the middle; it ended with %v", err)
	}
	t.Logf("killed at: %s", killed)
}

// expect compares a report with what the files alone say.
func expect(t *testing.T, r tally.Report) {
	t.Helper()
	orders, err := history.Read(folder())
	if err != nil {
		t.Fatal(err)
	}
	c := history.Count(orders)
	type figures struct {
		Orders, Rejected, Placed, OrdersDispatched, ShipmentsDispatched, OrdersSplit, OrdersDelivered int
		Invoices, Mails, DeliveryLate, VerdictLate, AnswerLate                                        int
		NotReleased, Money11, Not11                                                                   int
		Cancelled, Voided, Refunded, Refused, Mixed, Exceptions, Violations                           int
		Tenders                                                                                       map[string]int
		Flows                                                                                         map[string]int
		Money                                                                                         tally.Money
	}
	want := figures{
		c.Orders, c.Rejected, c.Placed, c.OrdersDispatched, c.ShipmentsDispatched, c.OrdersSplit, c.OrdersDelivered,
		c.ShipmentsDispatched, c.Placed + c.ShipmentsDispatched + c.Cancelled, c.DeliveryLate, c.VerdictLate, 0,
		c.ShippedNotReleased, c.PaidOtherwise, 0,
		c.Cancelled, c.Voided, c.Refunded, c.CancellationsRefused, c.OrdersMixedTenders, 0, 0,
		c.Tenders, flows(c), tally.Money{Tenders: c.TendersMoney, Dispatched: c.DispatchedMoney, Refunded: c.RefundedMoney},
	}
	money11 := r.Mismatches["DISPATCHED_NOT_CAPTURED"] + r.Mismatches["CAPTURED_NOT_DISPATCHED"]
	others := -money11 - r.Mismatches["SHIPPED_NOT_RELEASED"]
	for _, n := range r.Mismatches {
		others += n
	}
	got := figures{
		r.Orders, r.Rejected, r.Placed, r.OrdersDispatched, r.ShipmentsDispatched, r.OrdersSplit, r.OrdersDelivered,
		r.Invoices, r.Mails, r.Overdue["ShipmentDelivered"], r.Overdue["PaymentAuthorized"], r.Overdue["PaymentPending"],
		r.Mismatches["SHIPPED_NOT_RELEASED"], money11, others,
		r.OrdersCancelled, r.OrdersVoided, r.OrdersRefunded, r.CancellationsRefused, r.OrdersMixedTenders, r.Exceptions, r.Violations(),
		r.Tenders, r.Flows, r.Money,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the files say (-) and what came out (+):\n%s", diff)
	}
	if len(r.Invariants) == 0 {
		t.Error("no invariant was checked")
	}
}

// flows is where every order that was placed must end.
func flows(c history.Counts) map[string]int {
	out := map[string]int{}
	for phase, n := range map[string]int{
		"CLOSED": c.OrdersDelivered, "IN_TRANSIT": c.OrdersDispatched - c.OrdersDelivered, "CANCELLED": c.Cancelled,
		"RELEASED": c.Placed - c.OrdersDispatched - c.Cancelled,
	} {
		if n > 0 {
			out[phase] = n
		}
	}
	return out
}

// TestHistoryWalks runs the folder twice on the embedded broker.
func TestHistoryWalks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it builds and runs the binary")
	}
	troupe := binary(t)
	first := demo(t, troupe)
	expect(t, first)
	if diff := cmp.Diff(first, demo(t, troupe)); diff != "" {
		t.Errorf("a second run reports otherwise:\n%s", diff)
	}
}

// TestHistoryWalksOnKafka runs it on a real Kafka and registry: once to the end,
// once killed in the middle and started again.
func TestHistoryWalksOnKafka(t *testing.T) {
	if os.Getenv("TROUPE_REAL") == "" {
		t.Skip("TROUPE_REAL is not set: no real Kafka is started")
	}
	both, err := broker.StartReal(t.Context(), broker.RealConfig{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = both.Close() })
	on := []string{"--brokers", strings.Join(both.Kafka.Brokers, ","), "--registry", both.Apicurio.URL}
	troupe := binary(t)
	whole := demo(t, troupe, on...)
	expect(t, whole)
	cut := append(on, "--state", t.TempDir())
	kill(t, troupe, cut...)
	again := demo(t, troupe, cut...)
	if lost := whole.Mails - again.Mails; 0 <= lost && lost <= again.MailsUnknown { // on their way at the kill, and not sent twice
		again.Mails, again.MailsUnknown = whole.Mails, 0
	}
	if diff := cmp.Diff(whole, again); diff != "" {
		t.Errorf("a run that was killed and started again reports otherwise:\n%s", diff)
	}
}
