package stream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"troupe/topology"
)

// Metrics counts what the runtime does. Nothing is labelled by order or flow.
type Metrics struct {
	steps        *prometheus.HistogramVec
	transactions *prometheus.CounterVec
	commit       *prometheus.HistogramVec
	batch        *prometheus.HistogramVec
	duplicates   *prometheus.CounterVec
	deadLetters  *prometheus.CounterVec
	rebuilds     *prometheus.CounterVec
	rebalances   *prometheus.CounterVec
	tasks        *prometheus.GaugeVec
	effects      *prometheus.CounterVec
	lateness     *prometheus.HistogramVec
	restores     *prometheus.HistogramVec
	undecoded    *prometheus.CounterVec
}

// NewMetrics registers the runtime's metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	fast := prometheus.ExponentialBuckets(0.00001, 4, 10)
	slow := prometheus.ExponentialBuckets(0.001, 3, 10)
	m := &Metrics{
		steps:        histogram("step_duration_seconds", "Time in a step.", fast, "service", "event", "outcome"),
		transactions: counter("transactions_total", "Transactions by outcome.", "service", "outcome"),
		commit:       histogram("transaction_duration_seconds", "From begin to the broker's answer.", slow, "service"),
		batch:        histogram("transaction_inputs", "Inputs of a transaction.", prometheus.ExponentialBuckets(1, 4, 8), "service"),
		duplicates:   counter("events_duplicate_total", "Inputs that a row had seen before.", "service"),
		deadLetters:  counter("dead_letters_total", "Inputs that could not be used.", "service", "cause"),
		rebuilds:     counter("session_rebuilds_total", "Sessions that were dropped and built anew.", "service"),
		rebalances:   counter("rebalances_total", "Assignments that changed.", "service"),
		tasks:        gauge("tasks", "Tasks that are assigned and restored.", "service", "worker"),
		effects:      counter("effect_outcomes_total", "Calls to the world by outcome.", "effect", "outcome"),
		lateness:     histogram("timer_lateness_seconds", "Business time from a deadline to its step.", prometheus.ExponentialBuckets(0.01, 4, 10), "service"),
		restores:     histogram("state_restore_seconds", "Time to restore a task.", slow, "set"),
		undecoded:    counter("decode_failures_total", "Records that a view could not read.", "view"),
	}
	for _, c := range []prometheus.Collector{
		m.steps, m.transactions, m.commit, m.batch, m.duplicates, m.deadLetters, m.rebuilds, m.rebalances,
		m.tasks, m.effects, m.lateness, m.restores, m.undecoded,
	} {
		r.MustRegister(c)
	}
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "troupe", Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "troupe", Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "troupe", Name: name, Help: help, Buckets: buckets}, labels)
}

// stepMetrics are a handler's, looked up once: it runs for every record.
type stepMetrics struct{ done, parked, dropped, failed prometheus.Observer }

func (m *Metrics) ofStep(service, event string) stepMetrics {
	of := func(outcome string) prometheus.Observer { return m.steps.WithLabelValues(service, event, outcome) }
	return stepMetrics{of("done"), of("parked"), of("dropped"), of("failed")}
}

func (s stepMetrics) observe(d time.Duration, err error) {
	of := s.done
	if err != nil {
		of = s.failed
		if _, parked := topology.Parked(err); parked {
			of = s.parked
		} else if topology.Dropped(err) {
			of = s.dropped
		}
	}
	of.Observe(d.Seconds())
}

func (m *Metrics) transaction(service string, ok bool, d time.Duration, inputs int) {
	outcome := "committed"
	if !ok {
		outcome = "unknown"
	}
	m.transactions.WithLabelValues(service, outcome).Inc()
	m.commit.WithLabelValues(service).Observe(d.Seconds())
	m.batch.WithLabelValues(service).Observe(float64(inputs))
}

func (m *Metrics) duplicate(service string)   { m.duplicates.WithLabelValues(service).Inc() }
func (m *Metrics) dead(service, cause string) { m.deadLetters.WithLabelValues(service, cause).Inc() }
func (m *Metrics) rebuilt(service string)     { m.rebuilds.WithLabelValues(service).Inc() }
func (m *Metrics) undecodable(view string)    { m.undecoded.WithLabelValues(view).Inc() }

func (m *Metrics) rebalanced(service string) { m.rebalances.WithLabelValues(service).Inc() }

// has says how many tasks are in a worker's hands.
func (m *Metrics) has(service, worker string, tasks int) {
	m.tasks.WithLabelValues(service, worker).Set(float64(tasks))
}

func (m *Metrics) effect(name string, err error) {
	outcome := "answered"
	if err != nil {
		outcome = "failed"
	}
	m.effects.WithLabelValues(name, outcome).Inc()
}

func (m *Metrics) fired(service string, late time.Duration) {
	m.lateness.WithLabelValues(service).Observe(late.Seconds())
}

func (m *Metrics) restored(set string, _ int, d time.Duration) {
	m.restores.WithLabelValues(set).Observe(d.Seconds())
}
