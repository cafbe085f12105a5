package hookkeeper

import (
	"context"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/prometheus/client_golang/prometheus"
)

// How often the index of words is looked after.
const (
	indexLook = time.Second            // with nothing left to do
	indexRest = 10 * time.Second       // after a failure
	indexMost = 250 * time.Millisecond // the longest pause between two steps of many
)

// indexes fills the index of words until ctx ends, at no more than half of what one
// core can do: what has just been recorded is worked first. A failure is logged
// once, until a step succeeds.
func (k *Keeper) indexes(ctx context.Context) {
	searcher, ok := k.cfg.Store.(hook.Searcher)
	if !ok {
		return
	}
	look := time.NewTimer(0)
	defer look.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		begin := time.Now()
		busy, err := searcher.IndexWords(ctx)
		next := indexLook
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				k.cfg.Logger.Error("words of new events cannot be searched yet, tried again", "error", err.Error())
			}
			next = indexRest
		case busy:
			next = min(time.Since(begin), indexMost)
		}
		failing = err != nil
		look.Reset(next)
	}
}

// searchCollector reads how far the index of words is at each scrape.
type searchCollector struct{ searcher hook.Searcher }

// Describe sends nothing: without search there is no such number.
func (searchCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the number; what cannot be read is left out.
func (c searchCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	desc := describe("hookkeeper_search_lag_events", "Events whose bodies cannot be searched yet, at most 100000.")
	n, err := c.searcher.Indexed(ctx)
	switch {
	case err != nil:
		out <- prometheus.NewInvalidMetric(desc, err)
	case n.Words || len(n.Paths) > 0:
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n.Behind))
	}
}
