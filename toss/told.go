package toss

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
)

// told is what this process has seen since its start. All its values are words
// of ours, so there are never many.
type told struct {
	calls    tally // of the core API, by call and outcome
	outcomes tally // orders by the state that they came to
	widget   tally // failures of the widget, by code
}

// tally counts, by the values of labels.
type tally struct {
	mu    sync.Mutex
	count map[string]float64 // guarded by mu; the values joined by a zero byte
}

func (t *tally) add(values ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = map[string]float64{}
	}
	t.count[strings.Join(values, "\x00")]++
}

func (t *tally) read(context.Context) ([]hook.Sample, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]hook.Sample, 0, len(t.count))
	for _, key := range slices.Sorted(maps.Keys(t.count)) {
		all = append(all, hook.Sample{Labels: strings.Split(key, "\x00"), Value: t.count[key]})
	}
	return all, nil
}

// metrics are the checkout's own. What is read from the store stands in an index
// of its own, so that a scrape costs no more with a million orders.
func (d *Desk) metrics() []hook.Metric {
	return []hook.Metric{
		{Name: "hookkeeper_checkout_orders", Help: "Orders on their way, by state.", Labels: []string{"state"},
			Read: d.countOf(`SELECT state, count(*) FROM orders WHERE state IN ('issued', 'prepared', 'authorized', 'confirming',
				'awaiting_deposit', 'compensating') GROUP BY state`)},
		{Name: "hookkeeper_checkout_attention", Help: "Orders that need a person, by why.", Labels: []string{"reason"},
			Read: d.countOf(`SELECT attention, count(*) FROM orders WHERE attention <> '' GROUP BY attention`)},
		{Name: "hookkeeper_checkout_outcomes_total", Help: "Orders that came to a state, since the start.",
			Labels: []string{"state"}, Counter: true, Read: d.told.outcomes.read},
		{Name: "hookkeeper_checkout_toss_calls_total", Help: "Calls of Toss's API by how they ended, since the start.",
			Labels: []string{"call", "outcome"}, Counter: true, Read: d.told.calls.read},
		{Name: "hookkeeper_checkout_widget_failures_total", Help: "Failures of the payment widget by code, since the start.",
			Labels: []string{"code"}, Counter: true, Read: d.told.widget.read},
	}
}

// countOf reads pairs of a word and a number.
func (d *Desk) countOf(query string) func(context.Context) ([]hook.Sample, error) {
	return func(ctx context.Context) (all []hook.Sample, err error) {
		err = d.cfg.Viewer.View(ctx, func(ctx context.Context, tx hook.Tx) error {
			all = nil
			rows, err := tx.QueryContext(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var word string
				var n int64
				if err := rows.Scan(&word, &n); err != nil {
					return err
				}
				all = append(all, hook.Sample{Labels: []string{word}, Value: float64(n)})
			}
			return rows.Err()
		})
		return all, err
	}
}
