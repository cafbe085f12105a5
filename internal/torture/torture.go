// Package torture puts a built hookkeeper under load from outside, hurts it, and
// has the history that is left judged: senders that sign, forge, repeat and keep
// notes; SIGKILL, SIGSTOP and SIGTERM at random moments, connections cut at
// COMMIT, a database server that crashes or freezes; then a drain, an export and
// a verdict.
//
// It promises that one seed gives one load, that a fault counts as landed only
// when it met a delivery in flight, and that a run leaves five files from which
// [Judge] computes the verdict again. It starts and ends only its own child
// processes, stops only a database server that was started for it, works in a
// database of its own, and listens on loopback only. It refuses to share code
// with what it judges: it signs by itself and reads what the product exports.
//
// It is larger than other packages because a load, a siege and a judge belong to
// one run and share its files.
package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// Run makes one run and judges it. An error means that the run itself could not
// be made (no binary, a node that does not start or ends by itself, an export
// that fails); what the product does wrong is in the report. A run that is not
// held is no error. The files stay in Dir, also after an error, but for what
// Discard says.
func Run(ctx context.Context, o Options) (history.Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return history.Report{}, err
	}
	// The kernel ends a child with the thread that started it: all children are
	// started from this one, and it lives as long as the run.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := newRun(ctx, o)
	if err != nil {
		return history.Report{}, err
	}
	err = errors.Join(r.make(ctx), r.close())
	if err != nil {
		return history.Report{}, fmt.Errorf("torture: seed %d: %w", o.Seed, err)
	}
	report, err := Judge(o.Dir)
	if err != nil {
		return history.Report{}, err
	}
	if o.Discard && report.Verdict == history.Held {
		report.Dir = ""
		if err := os.RemoveAll(o.Dir); err != nil {
			return report, err
		}
	}
	if o.Out != nil {
		r.describe(o.Out)
		if _, err := report.WriteTo(o.Out); err != nil {
			return report, err
		}
	}
	return report, nil
}

// run is one run. It is owned by the goroutine that made it; senders touch only
// the flood.
type run struct {
	opt    Options
	place  *place
	nodes  []*node
	flood  *flood
	notes  *notes
	faults *notes
	record record
}

func newRun(ctx context.Context, o Options) (*run, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(inDir(o.Dir, fileRun)); err == nil {
		return nil, fmt.Errorf("torture: %s holds an earlier run: choose another folder", o.Dir)
	}
	r := &run{opt: o, record: newRecord(o)}
	var err error
	if r.notes, err = createNotes(inDir(o.Dir, fileDeliveries)); err != nil {
		return nil, err
	}
	if r.faults, err = createNotes(inDir(o.Dir, fileFaults)); err != nil {
		return nil, err
	}
	if r.place, err = newPlace(ctx, &o); err != nil {
		return nil, err
	}
	if r.nodes, err = newNodes(&o, r.place); err != nil {
		return nil, errors.Join(err, r.place.close())
	}
	r.flood = newFlood(o, r.nodes, r.notes)
	return r, nil
}

// make runs load, faults, drain and export.
func (r *run) make(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.each((*node).kill)
	for _, n := range r.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	for _, n := range r.nodes {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		r.flood.run(ctx)
	}()
	err := r.besiege(ctx, loaded)
	if err != nil {
		cancel()
	}
	<-loaded
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	r.each(func(n *node) { n.scrape(ctx) })
	for _, n := range r.nodes {
		if err := n.stop(ctx); err != nil {
			return err
		}
	}
	return r.export(ctx)
}

func (r *run) each(do func(*node)) {
	for _, n := range r.nodes {
		do(n)
	}
}

// alive says why a node has ended by itself, which it never may.
func (r *run) alive() error {
	for _, n := range r.nodes {
		if err := n.alive(); err != nil {
			return err
		}
	}
	return nil
}

// close writes what is still in memory, the notes and the record of the run,
// and clears the place.
func (r *run) close() error {
	r.record.Ended = time.Now()
	r.record.Metrics = sum(r.record.Metrics, history.Metrics{RefusedConnections: int(r.flood.refused.Load())})
	for _, n := range r.nodes {
		r.record.Metrics = sum(r.record.Metrics, n.metrics())
	}
	deadlocks, uncounted := r.place.deadlocks()
	r.record.Metrics.Deadlocks = deadlocks
	return errors.Join(uncounted, r.notes.close(), r.faults.close(), r.record.write(r.opt.Dir), r.place.close())
}

func (r *run) describe(w io.Writer) {
	build := "as built"
	if r.opt.Mutant != "" {
		build = "mutant " + r.opt.Mutant
	}
	fmt.Fprintf(w, "torture: %s, %d nodes, %d events, %d senders, fault %s, %s, %d attempts; took %s, drain %s\n",
		r.place.kind(), r.opt.Nodes, r.opt.Events, r.opt.Senders, r.opt.Fault, build, r.opt.Attempts,
		r.record.Ended.Sub(r.record.Started).Round(time.Millisecond), r.record.drainText())
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
