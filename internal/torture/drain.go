package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// drain waits until no job is open, at most for the time that work has. Running
// out of it is no error of the run: the judge will find what is not final.
func (r *run) drain(ctx context.Context) error {
	begin := time.Now()
	answered := false
	for {
		open, err := r.open(ctx)
		answered = answered || err == nil
		passed := time.Since(begin)
		r.record.Drained = answered
		r.record.DrainMS = passed.Milliseconds()
		switch {
		case err == nil && open == 0:
			return nil
		case passed >= r.opt.Drain && !answered:
			return fmt.Errorf("drain: the operator listener never told its counts: %w", err)
		case passed >= r.opt.Drain:
			r.record.LeftOpen = open
			return nil
		}
		if err := r.alive(); err != nil {
			return err
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// open is the number of jobs that are not final.
func (r *run) open(ctx context.Context) (int64, error) {
	status, text := r.nodes[0].ask(ctx, "http://"+r.nodes[0].operator+"/api/v1/counts")
	if status != 200 {
		return 0, fmt.Errorf("counts: answered %d", status)
	}
	var counts hook.Counts
	if err := json.Unmarshal(text, &counts); err != nil {
		return 0, fmt.Errorf("counts: %w", err)
	}
	var open int64
	for _, states := range counts.Jobs {
		for state, n := range states {
			if !state.Final() {
				open += n
			}
		}
	}
	return open, nil
}

// scrape reads the metrics that only the living process can tell. A node that
// does not answer in time keeps its last values.
func (n *node) scrape(ctx context.Context) {
	if n.child == nil {
		return
	}
	if status, text := n.ask(ctx, "http://"+n.operator+"/metrics"); status == 200 {
		n.child.scraped = history.Metrics{
			StaleFinishes:   samples(text, "hookkeeper_stale_finishes_total"),
			LeasesTakenOver: samples(text, "hookkeeper_leases_taken_over_total"),
			LedgerImbalance: max(n.child.scraped.LedgerImbalance, samples(text, "hookkeeper_ledger_imbalance")),
		}
	}
}

// samples adds up all samples of a metric in Prometheus' text format.
func samples(text []byte, name string) int {
	total := 0.0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
			total += v
		}
	}
	return int(total)
}
