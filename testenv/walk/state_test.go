package walk

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology/table"
)

// ofPayment is a task of which the tests change rows, on disk or on its changelog.
const ofPayment = "payment/0"

// TestStateVerify: `troupe state verify` says that a directory is what its changelogs
// are, and exits with 3 and the row's key where it is not.
func TestStateVerify(t *testing.T) {
	e := over(t, folder())
	agrees, words := e.run(0, "state", "verify")
	if !regexp.MustCompile(`^\d+ rows of \d+ tasks agree with their changelogs\n$`).MatchString(words) {
		t.Errorf("of a directory that nobody touched it says %q", words)
	}
	line := regexp.MustCompile(`^[a-z.]+/\d: \d+ rows?(; the changelog goes on for \d+ records?(, which write \d+ of the rows anew at the next start)?)?$`)
	for l := range strings.Lines(agrees) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("of a directory that nobody touched it says %q", l)
		}
	}
	rows, a, b := e.rows()
	if !strings.Contains(agrees, fmt.Sprintf("%s: %d rows", ofPayment, len(rows))) {
		t.Errorf("it says\n%sand %s has %d rows", agrees, ofPayment, len(rows))
	}

	e.put(a, rows[b])
	differs, _ := e.run(3, "state", "verify")
	if want := fmt.Sprintf("  %q is otherwise on disk than on the changelog\n", a); strings.Replace(differs, want, "", 1) != agrees {
		t.Errorf("it says\n%swant as before, and once\n%s", differs, want)
	}
	e.put(a, rows[a])
	e.run(0, "state", "verify")

	if _, words := e.run(2, "state", "verify", "--state", ""); !strings.Contains(words, "set --state or TROUPE_STATE") {
		t.Errorf("without a directory it says %q", words)
	}
	if _, words := e.run(1, "state", "verify", "--prefix", "other."); !strings.Contains(words, "check --brokers and --prefix") {
		t.Errorf("beside changelogs of nobody it says %q", words)
	}
	if _, words := e.run(1, "state", "verify", "--state", t.TempDir()+"/none"); !strings.Contains(words, "no state directory there") {
		t.Errorf("of a directory that is not there it says %q", words)
	}
}

// TestStateRebuild: `troupe state rebuild` names the rows that are not what the inputs
// make them, and exits with 3. It writes them if it is told how many there are, and
// nothing if it is told another number.
func TestStateRebuild(t *testing.T) {
	e := over(t, folder())
	rebuild := func(code int, more ...string) (out, words string) {
		t.Helper()
		return e.run(code, append([]string{"state", "rebuild", "payment", "--time", "event"}, more...)...)
	}
	differ := func(code, n int) {
		t.Helper()
		out, words := rebuild(code)
		if strings.Count(out, "\n") != n || !strings.Contains(words, fmt.Sprintf(" rows, %d differ\n", n)) {
			t.Errorf("want %d rows that differ, it says\n%s%s", n, out, words)
		}
	}
	differ(0, 0)

	rows, a, b := e.rows()
	e.produce(a, rows[b])
	e.produce("Racme/nobody", rows[b])
	differ(3, 2)
	out, _ := rebuild(3)
	for _, want := range []string{
		fmt.Sprintf("%s %q state: ", ofPayment, a[1:]), " on the changelog, ", " rebuilt",
		fmt.Sprintf("%s %q is on the changelog and no input makes it\n", ofPayment, "acme/nobody"),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	if _, words := rebuild(1, "--apply", "1"); !strings.Contains(words, "2 rows differ, not 1: nothing was written; look at them, then say --apply 2") {
		t.Errorf("told a wrong number it says %q", words)
	}
	differ(3, 2)
	if _, words := rebuild(0, "--apply", "2"); !strings.Contains(words, "2 rows written\n") {
		t.Errorf("told the number it says %q", words)
	}
	differ(0, 0)
	// The directory trails the changelog now, by what is written anew at a start.
	if out, _ := e.run(0, "state", "verify"); !regexp.MustCompile(ofPayment + `: \d+ rows; the changelog goes on for [1-9]\d* records?, which write 1 of the rows anew at the next start\n`).MatchString(out) {
		t.Errorf("of a directory that a rebuild was made beside it says\n%s", out)
	}

	if _, words := rebuild(2, "--time", "noon"); !strings.Contains(words, "record or event") {
		t.Errorf("told another time it says %q", words)
	}
}

// store opens the estate's directory, in which no service runs.
func (e *estate) store(use func(*table.Task) error) {
	e.t.Helper()
	store, err := table.Open(table.Config{Dir: e.state})
	if err != nil {
		e.t.Fatal(err)
	}
	task, found, err := store.Task(ofPayment)
	if err == nil && !found {
		err = fmt.Errorf("no task %s lies there", ofPayment)
	}
	if err == nil {
		err = use(task)
	}
	if err := errors.Join(err, store.Close()); err != nil {
		e.t.Fatal(err)
	}
}

// rows reads the task's rows from disk, and names two of them.
func (e *estate) rows() (rows map[string][]byte, a, b string) {
	e.t.Helper()
	rows = map[string][]byte{}
	e.store(func(task *table.Task) error {
		return task.Each(func(key string, value []byte) error {
			rows[key] = slices.Clone(value)
			return nil
		})
	})
	keys := slices.Sorted(maps.Keys(rows))
	keys = slices.DeleteFunc(keys, func(key string) bool { return key[0] != 'R' })
	if len(keys) < 2 {
		e.t.Fatalf("%s has the rows %q: too few to show anything", ofPayment, keys)
	}
	return rows, keys[0], keys[1]
}

// put changes a row on disk, as nothing of ours would.
func (e *estate) put(key string, value []byte) {
	e.t.Helper()
	e.store(func(task *table.Task) error {
		return errors.Join(task.Commit([]table.Change{{Key: key, Value: value}}, task.Marker()), task.Checkpoint())
	})
}

// produce writes a row to the changelog, as a bug or a hand may.
func (e *estate) produce(key string, value []byte) {
	e.t.Helper()
	e.produceTo("payment.state", key, value)
}

func (e *estate) produceTo(topic, key string, value []byte) {
	e.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.broker.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		e.t.Fatal(err)
	}
	defer cl.Close()
	r := &kgo.Record{Topic: topic, Partition: 0, Key: []byte(key), Value: value}
	if err := cl.ProduceSync(e.t.Context(), r).FirstErr(); err != nil {
		e.t.Fatal(err)
	}
}
