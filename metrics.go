package hookkeeper

import (
	"context"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/ingest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is the only part that knows the metrics library; the rooms report
// through functions. Label values never come from strangers.
type metrics struct {
	registry   *prometheus.Registry
	deliveries *prometheus.CounterVec
	acks       *prometheus.HistogramVec
	rejections *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	handlers   *prometheus.HistogramVec
	hanging    *prometheus.GaugeVec
	breakers   *prometheus.GaugeVec
	imbalance  prometheus.Gauge
	balanced   prometheus.Gauge
}

func newMetrics(ledger hook.Ledger) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hookkeeper_deliveries_total",
			Help: "Deliveries by how they were answered."}, []string{"source", "outcome"}),
		acks: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hookkeeper_ack_seconds",
			Help:    "Time from the request to its answer, for deliveries answered with success.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}}, []string{"source"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hookkeeper_rejections_total",
			Help: "Refused deliveries by reason."}, []string{"source", "reason"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hookkeeper_attempts_total",
			Help: "Attempts by how they ended."}, []string{"handler", "outcome"}),
		handlers: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hookkeeper_handler_seconds",
			Help:    "Duration of attempts, effect included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60}}, []string{"handler"}),
		hanging: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hookkeeper_abandoned_handlers",
			Help: "Handlers that ignored the end of their context and still run."}, []string{"handler"}),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hookkeeper_breaker_open",
			Help: "1 while what a handler needs does not answer, and its circuit breaker is open."}, []string{"handler"}),
		imbalance: prometheus.NewGauge(prometheus.GaugeOpts{Name: "hookkeeper_ledger_imbalance",
			Help: "Events recorded minus events accounted for, over the last 48 hours. Must be 0."}),
	}
	m.balanced = prometheus.NewGauge(prometheus.GaugeOpts{Name: "hookkeeper_ledger_checked_timestamp_seconds",
		Help: "When the ledger was last recomputed."})
	m.registry.MustRegister(m.balanced, m.deliveries, m.acks, m.rejections, m.attempts, m.handlers, m.hanging, m.breakers, m.imbalance,
		ledgerCollector{ledger}, collectors.NewGoCollector())
	if searcher, ok := ledger.(hook.Searcher); ok {
		m.registry.MustRegister(searchCollector{searcher})
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func (m *metrics) delivery(source string, o ingest.Outcome, reason hook.Reason, took time.Duration) {
	m.deliveries.WithLabelValues(source, string(o)).Inc()
	switch o {
	case ingest.Rejected:
		if reason != "" {
			m.rejections.WithLabelValues(source, string(reason)).Inc()
		}
	case ingest.Recorded, ingest.Duplicate, ingest.Conflict, ingest.Quarantined:
		m.acks.WithLabelValues(source).Observe(took.Seconds())
	}
}

func (m *metrics) attempt(handler, outcome string, took time.Duration) {
	m.attempts.WithLabelValues(handler, outcome).Inc()
	m.handlers.WithLabelValues(handler).Observe(took.Seconds())
}

func (m *metrics) abandoned(handler string, now int) {
	m.hanging.WithLabelValues(handler).Set(float64(now))
}

func (m *metrics) breaker(handler string, open bool) {
	value := 0.0
	if open {
		value = 1
	}
	m.breakers.WithLabelValues(handler).Set(value)
}

func (m *metrics) balance(off int) {
	m.imbalance.Set(float64(off))
	m.balanced.SetToCurrentTime()
}

// scrapeWithin bounds what a scrape reads from the store.
const scrapeWithin = 3 * time.Second

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// ledgerCollector reads the totals from the store at each scrape.
type ledgerCollector struct{ ledger hook.Ledger }

// Describe sends nothing: the collector is unchecked, its series depend on what
// the store holds.
func (ledgerCollector) Describe(chan<- *prometheus.Desc) {}

func (c ledgerCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	n, err := c.ledger.Counts(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(describe("hookkeeper_jobs", "Jobs by state."), err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	jobs := describe("hookkeeper_jobs", "Open and dead jobs by state.", "handler", "state")
	for handler, states := range n.Jobs {
		for state, count := range states {
			gauge(jobs, float64(count), handler, string(state))
		}
	}
	oldest := describe("hookkeeper_oldest_job_seconds", "Age of the oldest open job.", "handler")
	for handler, at := range n.OldestJob {
		gauge(oldest, n.StoreTime.Sub(at).Seconds(), handler)
	}
	last := describe("hookkeeper_source_last_event_timestamp_seconds", "When the newest event of a source was received.", "source")
	for source, at := range n.LastEvent {
		gauge(last, float64(at.UnixMicro())/1e6, source)
	}
	taken := describe("hookkeeper_leases_taken_over_total", "Lapsed leases claimed again, since the start.", "handler")
	for handler, count := range n.TakenOver {
		counter(taken, float64(count), handler)
	}
	stale := describe("hookkeeper_stale_finishes_total", "Ends refused because another attempt owns the job, since the start.", "handler")
	for handler, count := range n.Stale {
		counter(stale, float64(count), handler)
	}
}

// takeIn adds what departments count. Their names have been checked.
func (m *metrics) takeIn(all []hook.Department) {
	for _, d := range all {
		for _, family := range d.Metrics {
			m.registry.MustRegister(departmentCollector{family})
		}
	}
}

// departmentCollector reads one family of a department at each scrape.
type departmentCollector struct{ family hook.Metric }

// Describe sends nothing: which series there are shows when they are read.
func (departmentCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the family. What cannot be read, or is not as it was announced,
// is left out and keeps nothing else from the scrape.
func (c departmentCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	desc := describe(c.family.Name, c.family.Help, c.family.Labels...)
	kind := prometheus.GaugeValue
	if c.family.Counter {
		kind = prometheus.CounterValue
	}
	samples, err := c.family.Read(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc, err)
		return
	}
	for _, s := range samples {
		one, err := prometheus.NewConstMetric(desc, kind, s.Value, s.Labels...)
		if err != nil {
			one = prometheus.NewInvalidMetric(desc, err)
		}
		out <- one
	}
}
