package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/cluster"
)

// match is one comparison under way.
type match struct {
	settings
	groups     *bench.Groups
	cluster    *cluster.Cluster
	dir        string
	contenders []contender
}

// The connections of the speed runs.
const (
	manyConnections = 64
	oneConnection   = 1
)

// speed is what one contender reached, the median of several runs.
type speed struct {
	rate, worked float64 // deliveries answered, and effects done, a second
	p50, p99     time.Duration
}

// results are the two tables.
type results struct {
	settings
	contenders []contender
	version    string // of PostgreSQL
	grouped    bool

	speeds  map[string]map[int]speed // contender, connections
	losses  map[string][]loss        // contender, one for each trial
	answers map[string][]int         // contender, one for each shape
}

func (m *match) play(ctx context.Context) (r *results, err error) {
	version, err := versionOf(ctx, m.cluster)
	if err != nil {
		return nil, err
	}
	r = &results{settings: m.settings, contenders: m.contenders, version: version,
		speeds: map[string]map[int]speed{}, losses: map[string][]loss{}, answers: map[string][]int{}}
	runs := map[string]map[int][]speed{}
	for i := range m.runs {
		for _, conns := range []int{manyConnections, oneConnection} {
			for _, c := range m.contenders {
				s, err := m.race(ctx, c, conns, i)
				if err != nil {
					return nil, fmt.Errorf("%s over %d connections: %w", c.name, conns, err)
				}
				say("run %d  %-18s %2d connections  %6.0f/s  p50 %s  p99 %s  effects %6.0f/s", i+1, c.name, conns,
					s.rate, short(s.p50), short(s.p99), s.worked)
				if runs[c.name] == nil {
					runs[c.name], r.speeds[c.name] = map[int][]speed{}, map[int]speed{}
				}
				runs[c.name][conns] = append(runs[c.name][conns], s)
				r.speeds[c.name][conns] = medianSpeed(runs[c.name][conns])
			}
		}
	}
	for _, c := range m.contenders {
		for _, t := range trials() {
			l, err := m.try(ctx, c, t)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.name, t.name, err)
			}
			say("%-18s %-32s %s", c.name, t.name, l)
			r.losses[c.name] = append(r.losses[c.name], l)
		}
		if r.answers[c.name], err = m.shapes(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return r, nil
}

// medianSpeed takes the median of each figure.
func medianSpeed(runs []speed) speed {
	return speed{
		rate:   middle(runs, func(s speed) float64 { return s.rate }),
		worked: middle(runs, func(s speed) float64 { return s.worked }),
		p50:    time.Duration(middle(runs, func(s speed) float64 { return float64(s.p50) })),
		p99:    time.Duration(middle(runs, func(s speed) float64 { return float64(s.p99) })),
	}
}

func middle(runs []speed, f func(speed) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = f(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// race measures one contender once: a warm-up, then the load as fast as it is
// answered, then the rest of its work.
func (m *match) race(ctx context.Context, c contender, conns, run int) (s speed, err error) {
	e, err := m.enter(ctx, c)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, e.leave()) }()
	if err := e.start(ctx); err != nil {
		return s, err
	}
	n := m.deliveries
	if conns == oneConnection {
		n /= 8
	}
	addrs := []string{e.addr()}
	warm, err := prepare(bench.Mix{Series: fmt.Sprintf("w%d", run), Deliveries: min(n/4, 1000)})
	if err != nil {
		return s, err
	}
	if _, err := bench.Closed(ctx, addrs, conns, warm); err != nil {
		return s, err
	}
	load, err := prepare(bench.Mix{Series: fmt.Sprintf("r%d", run), Deliveries: n})
	if err != nil {
		return s, err
	}
	began := time.Now()
	r, err := bench.Closed(ctx, addrs, conns, load)
	if err != nil {
		return s, err
	}
	if r.Refused > 0 {
		return s, fmt.Errorf("%d of %d deliveries were not answered 200: %v", r.Refused, n, r.Statuses())
	}
	took, err := e.worked(ctx, warm.Len()+n, began)
	if err != nil {
		return s, err
	}
	return speed{rate: r.Rate(), worked: float64(n) / took.Seconds(), p50: r.Quantile(0.5), p99: r.Quantile(0.99)}, nil
}

// worked waits for the last effect and says how long after began it came.
func (e *entrant) worked(ctx context.Context, want int, began time.Time) (time.Duration, error) {
	const longest = 2 * time.Minute
	for {
		var n int
		if err := e.db.QueryRowContext(ctx, `SELECT count(*) FROM `+e.effects).Scan(&n); err != nil {
			return 0, err
		}
		took := time.Since(began)
		if n >= want {
			return took, nil
		}
		if took > longest || !pause(ctx, 20*time.Millisecond) {
			return 0, fmt.Errorf("%d of %d effects after %s", n, want, took.Round(time.Second))
		}
	}
}

func prepare(m bench.Mix) (*bench.Load, error) {
	m.Secret = secret
	return bench.Prepare(m, time.Now())
}

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}
