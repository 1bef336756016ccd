package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is one of the numbers that are to be reached.
type figure struct {
	key, what string
	must      float64 // 0: nothing is asked of it
	most      bool    // at most, else at least
}

func figures() []figure {
	return []figure{
		{"echo_ratio", "echo / bare client, same bytes, same transaction size; the lowest of the sizes", 0.80, false},
		{"join_vs_streams", "join / Kafka Streams, RocksDB, 256 MB cache, 100 ms; all rows cached", 4.0, false},
		{"join_vs_streams_best", "the same / the best of Streams at 100 ms, 1 s, 10 s, in memory", 3.5, false},
		{"join_random_vs_streams", "invoices in random order, a tenth of the rows in either cache", 3.0, false},
		{"join_vs_no_store", "join / the same with the store swapped for a map", 0.6, false},
		{"hop_p99_ms", "one record through one service, idle system", 0, true},
		{"hop_vs_raw", "the same / the bare client's", 1.5, true},
		{"journey_p99_ms", "OrderPlaced → every shipment planned, 100 orders/s, embedded broker", 100, true},
		{"orders_per_s", "the whole estate, embedded broker, all contexts", 1000, false},
		{"restore_per_s", "changelog of 2 M rows, a tenth cached", 500_000, false},
		{"warm_restart_s", "restart with them checkpointed", 2, true},
		{"idle_cpu", "share of a core, 10 M open flows with timers", 0.01, true},
		{"due_lateness_p99_ms", "100 k of them due in one minute", 1000, true},
		{"rss_10m_mib", "the process manager with those flows", 2048, true},
	}
}

func (f figure) asks() string {
	sign := "≥"
	if f.most {
		sign = "≤"
	}
	if f.must == 0 {
		return ""
	}
	return fmt.Sprintf("%s %g", sign, f.must)
}

func (f figure) reached(v float64) string {
	switch {
	case f.must == 0:
		return ""
	case f.most == (v <= f.must) || v == f.must:
		return "yes"
	}
	return "no"
}

// table prints what was found, for people and for the README, and below it what
// it was found from.
func (s *sitting) table(out io.Writer) error {
	fmt.Fprintf(out, "%s. Rounds: %d; workers: %d; partitions: %d; share of the records: %g.\n\n", machine(), s.rounds, s.workers, s.partitions, s.scale)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| key\t| what\t| must reach\t| found\t| reached\t|\n|---\t|---\t|---\t|---\t|---\t|\n")
	for _, f := range figures() {
		found, reached := "not measured", ""
		if v, ok := s.figures[f.key]; ok {
			found, reached = number(v), f.reached(v)
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %s\t|\n", f.key, f.what, f.asks(), found, reached)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	fmt.Fprintln(out)
	for _, d := range s.details {
		fmt.Fprintln(out, "-", d)
	}
	return nil
}

// machine says in words what this ran on, as far as the system tells.
func machine() string {
	cpu, memory := "cores of a kind that is not told", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			name, _, _ := strings.Cut(rest, "\n")
			cpu = "cores of " + name
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GiB of memory", kib>>20)
		}
	}
	return fmt.Sprintf("%d %s%s, %s, %s; the broker, a real Kafka of one node, and its clients on the same cores", runtime.NumCPU(), cpu, memory, runtime.GOOS, runtime.Version())
}

// json prints one object: what was not measured is not in it.
func (s *sitting) json(out io.Writer) error {
	if err := json.NewEncoder(out).Encode(s.figures); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 10_000:
		return fmt.Sprintf("%.0f k", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// median of an even number is the lower of the middle two.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the value that so large a share of the values does not exceed.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, max(0, int(share*float64(len(sorted))+0.9999)-1))]
}

// spread shows a median between the extremes.
func spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(values)), number(slices.Min(values)), number(slices.Max(values)))
}
