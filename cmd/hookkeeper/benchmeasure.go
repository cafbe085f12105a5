package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
)

// benchLine is the result of one measurement.
type benchLine struct {
	Name       string  `json:"name"`
	Database   string  `json:"database"` // sqlite or postgres
	Nodes      int     `json:"nodes"`
	Stored     int     `json:"stored"` // events before
	Rate       float64 `json:"per_second"`
	Limit      float64 `json:"limit_per_second"` // the same server without a store, in the same run
	Ratio      float64 `json:"ratio"`
	Empty      float64 `json:"empty_per_second,omitempty"` // the same without the events before
	OfEmpty    float64 `json:"of_empty,omitempty"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	P999       float64 `json:"p999_ms"`
	LimitP99   float64 `json:"limit_p99_ms"`
	FsyncP99   float64 `json:"fsync_p99_ms,omitempty"` // of bare 4 KiB writes on this machine
	MemoryMiB  float64 `json:"memory_mib"`             // largest of the measured servers
	Noisy      bool    `json:"noisy"`                  // the limit's own p99 is over 10 ms: judge nothing
	Runs       int     `json:"runs"`
	Deliveries int     `json:"deliveries"` // a run
	Missing    int     `json:"missing"`    // acknowledged events not found afterwards; more than none is an error
}

func (l *benchLine) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(l)
	}
	more := ""
	if l.OfEmpty > 0 {
		more += fmt.Sprintf("  empty %.0f/s, of that %.2f", l.Empty, l.OfEmpty)
	}
	if l.FsyncP99 > 0 {
		more += fmt.Sprintf("  fsync p99 %.1f ms", l.FsyncP99)
	}
	if l.Noisy {
		more += "  noisy"
	}
	_, err := fmt.Fprintf(w, "%-34s %7.0f/s  limit %7.0f/s  ratio %.2f  p50 %6.1f ms  p99 %6.1f ms  limit p99 %6.1f ms  %4.0f MiB%s\n",
		l.Name, l.Rate, l.Limit, l.Ratio, l.P50, l.P99, l.LimitP99, l.MemoryMiB, more)
	return err
}

// The kinds of server that are measured in turn.
const (
	benchLimit = "none"  // answers at once
	benchStore = "store" // keeps events
	benchEmpty = "empty" // keeps events, where the other one has some before
)

// benching is one bench under way.
type benching struct {
	cmd      *benchCmd
	place    *benchPlace
	progress func(string)
	results  map[string][]*bench.Result // of the last measurement, by kind
}

type benchRun struct{ rate, p50, p99, p999, memory float64 }

// measure runs limit and store in turn and takes medians.
func (b *benching) measure(ctx context.Context, m measurement) (*benchLine, error) {
	kinds := []string{benchLimit, benchStore}
	var stored *benchDatabase
	if m.stored > 0 {
		kinds = []string{benchLimit, benchEmpty, benchStore}
		var err error
		if stored, err = b.place.seeded(ctx, m.stored, b.progress); err != nil {
			return nil, err
		}
		defer stored.drop()
	}
	runs := map[string][]benchRun{}
	b.results = map[string][]*bench.Result{}
	for i := range b.cmd.Runs {
		for _, kind := range kinds {
			b.progress(fmt.Sprintf("%s, run %d of %d, %s", m.name, i+1, b.cmd.Runs, kind))
			r, err := b.once(ctx, m, kind, fmt.Sprint(i), stored)
			if err != nil {
				return nil, err
			}
			runs[kind] = append(runs[kind], r)
		}
	}
	l := b.line(m, runs)
	if m.open {
		var err error
		if l.FsyncP99, err = fsyncP99(b.place.disk); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (b *benching) line(m measurement, runs map[string][]benchRun) *benchLine {
	of := func(kind string, f func(benchRun) float64) float64 { return median(runs[kind], f) }
	rate := func(r benchRun) float64 { return r.rate }
	p99 := func(r benchRun) float64 { return r.p99 }
	l := &benchLine{Name: m.name, Database: b.place.engine(), Nodes: b.cmd.Nodes, Stored: m.stored, Runs: b.cmd.Runs,
		Deliveries: b.deliveries(m), Rate: of(benchStore, rate), Limit: of(benchLimit, rate),
		P50: of(benchStore, func(r benchRun) float64 { return r.p50 }), P99: of(benchStore, p99),
		P999: of(benchStore, func(r benchRun) float64 { return r.p999 }), LimitP99: of(benchLimit, p99)}
	for _, r := range runs[benchStore] {
		l.MemoryMiB = max(l.MemoryMiB, r.memory)
	}
	l.Ratio = l.Rate / l.Limit
	if m.stored > 0 {
		l.Empty = of(benchEmpty, rate)
		l.OfEmpty = l.Rate / l.Empty
	}
	l.Noisy = m.open && l.LimitP99 > 10
	return l
}

func median(runs []benchRun, f func(benchRun) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = f(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b *benching) deliveries(m measurement) int {
	if m.open {
		return b.cmd.Rate * b.cmd.Seconds
	}
	return b.cmd.Events
}

// once starts fresh servers, loads them, kills them, and checks that nothing was
// lost.
func (b *benching) once(ctx context.Context, m measurement, kind, series string, stored *benchDatabase) (out benchRun, err error) {
	database, before := stored, int64(0)
	switch {
	case kind == benchLimit:
		database = &benchDatabase{} // it keeps nothing
	case kind == benchEmpty || stored == nil:
		if database, err = b.place.fresh(ctx); err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, database.drop()) }()
	default:
		if before, err = database.newest(ctx); err != nil {
			return out, err
		}
	}
	nodes, err := b.start(ctx, m, kind, database)
	defer nodes.kill()
	if err != nil {
		return out, err
	}
	load, err := bench.Prepare(bench.Mix{Secret: benchSecret, Series: series + "b", Deliveries: b.deliveries(m),
		Duplicates: m.duplicates, BadSignatures: float64(b.cmd.BadSignatures), Seed: uint64(len(series))}, time.Now())
	if err != nil {
		return out, err
	}
	began := time.Now()
	r, err := b.drive(ctx, m, nodes.addresses(), load)
	if err != nil {
		return out, err
	}
	if r.Refused > 0 || r.Believed > 0 {
		return out, fmt.Errorf("%d honest deliveries were not answered 200, %d forgeries were not answered 4xx", r.Refused, r.Believed)
	}
	out = benchRun{rate: r.Rate(), p50: ms(r.Quantile(0.5)), p99: ms(r.Quantile(0.99)), p999: ms(r.Quantile(0.999))}
	b.results[kind] = append(b.results[kind], r)
	if m.work && kind != benchLimit {
		if err := nodes.drain(); err != nil {
			return out, err
		}
		out.rate = float64(load.Len()) / time.Since(began).Seconds()
	}
	out.memory = nodes.peakMiB()
	nodes.kill() // what was acknowledged is there without a farewell
	if kind != benchLimit {
		err = database.check(ctx, m, r, load, before)
	}
	return out, err
}

func (b *benching) drive(ctx context.Context, m measurement, addrs []string, load *bench.Load) (*bench.Result, error) {
	if m.open {
		return bench.Open(ctx, addrs, openConnections, float64(b.cmd.Rate), load)
	}
	return bench.Closed(ctx, addrs, b.cmd.Connections, load)
}

// curves are the lines of the last measurement in the chart; that of the server
// without a store only where latency is the question.
func (b *benching) curves(m measurement) []bench.Line {
	lines := []bench.Line{{Name: m.name, Points: bench.Latencies(b.results[benchStore]...)}}
	if m.stored > 0 {
		lines = append(lines, bench.Line{Name: "receive, none stored", Points: bench.Latencies(b.results[benchEmpty]...)})
	}
	if m.open || m.stored > 0 {
		lines = append(lines, bench.Line{Name: "without a store", Points: bench.Latencies(b.results[benchLimit]...)})
	}
	return lines
}
