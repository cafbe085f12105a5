// Package torture puts a built hookkeeper under load from outside, hurts it, and
// has the history that is left judged: senders that sign, forge, repeat and keep
// notes; SIGKILL, SIGSTOP and SIGTERM at random moments; then a drain, an export
// and a verdict.
//
// It promises that one seed gives one load, that a fault counts as landed only
// when it met a delivery in flight, and that a run leaves five files from which
// [Judge] computes the verdict again. It starts and ends only its own child
// process, listens nowhere and talks to loopback only. It refuses to share code
// with what it judges: it signs by itself and never opens the database.
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

// Options describe one run. The zero values of all but Binary and Dir are the
// standard load without a fault.
type Options struct {
	// Binary is a hookkeeper built with the tag hktest. Required.
	Binary string
	// Dir takes the files of the run, its database and the log of the server;
	// it is made if it does not exist and must hold no earlier run. Required.
	Dir string
	// Events is the number of events; 0 means 5000.
	Events int
	// Seed decides the load and the moments of the faults; 0 means 1.
	Seed uint64
	// Senders work at the same time; 0 means 16.
	Senders int
	// NeedsPercent of the events of the ordered source wait for a later event
	// of their subject. The standard load has none.
	NeedsPercent int
	// SlowPercent of the handlers take between SlowMin and SlowMax; 0 means 4 %
	// and 5 to 14 ms.
	SlowPercent      int
	SlowMin, SlowMax time.Duration

	// Fault is what is done while the load runs; empty means FaultNone.
	Fault history.FaultKind
	// Faults is how many of them must land.
	Faults int
	// Mutant is the known-bad variant to run, and Failpoint the failpoint to
	// arm, as HK_MUTANT and HK_FAILPOINT; empty means none.
	Mutant, Failpoint string
	// Env is added to the environment of the child.
	Env []string

	// Lease, Limit, Slots and Waiting configure the workers; 0 means 600 ms,
	// 2 s, 8 and 30 s.
	Lease, Limit, Waiting time.Duration
	Slots                 int
	// Attempts is the most that a job may have. It must be above the faults
	// that one job can meet, for lost attempts count; 0 means the faults and
	// ten more. (At most twice as many faults are made as must land, and a
	// lease outlasts a round: a lost job meets at most every second of them.)
	Attempts int
	// Drain is the time that work has to end after the last fault; 0 means two
	// minutes. What is not final after it never will be.
	Drain time.Duration

	// Out takes the summary; nil means that nothing is printed.
	Out io.Writer
}

// senderTimeout is how long a sender waits for an answer. GitHub and Toss wait
// 10 s; with less than 5 s a late answer could not be seen.
const senderTimeout = 10 * time.Second

func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{
		{&o.SlowMin, 5 * time.Millisecond}, {&o.SlowMax, 14 * time.Millisecond},
		{&o.Lease, 600 * time.Millisecond}, {&o.Limit, 2 * time.Second},
		{&o.Waiting, 30 * time.Second}, {&o.Drain, 2 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	for _, d := range []struct {
		value *int
		zero  int
	}{
		{&o.Events, 5000}, {&o.Senders, 16}, {&o.SlowPercent, 4}, {&o.Slots, 8}, {&o.Attempts, o.Faults + 10},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Fault == "" {
		o.Fault = history.FaultNone
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Binary == "":
		return errors.New("torture: no binary: name a hookkeeper built with -tags hktest")
	case o.Dir == "":
		return errors.New("torture: no folder for the files of the run")
	case o.Events < 1 || o.Senders < 1 || o.Faults < 0:
		return errors.New("torture: events and senders must be positive, faults not negative")
	case o.SlowMax < o.SlowMin:
		return errors.New("torture: the slowest handler is faster than the fastest")
	}
	switch o.Fault {
	case history.FaultNone:
		if o.Faults > 0 {
			return errors.New("torture: a number of faults, but no kind of fault")
		}
	case history.FaultKill, history.FaultStop, history.FaultTerm:
		if o.Faults == 0 {
			return fmt.Errorf("torture: fault %s without a number of faults", o.Fault)
		}
	default:
		return fmt.Errorf("torture: unknown fault %q: use kill, stop, term or none", o.Fault)
	}
	return nil
}

// Run makes one run and judges it. An error means that the run itself could not
// be made (no binary, a server that does not start or ends by itself, an export
// that fails); what the product does wrong is in the report. A run that is not
// held is no error. The files stay in Dir, also after an error.
func Run(ctx context.Context, o Options) (history.Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return history.Report{}, err
	}
	r, err := newRun(o)
	if err != nil {
		return history.Report{}, err
	}
	// The kernel ends a child with the thread that started it: all children are
	// started from this one, and it lives as long as the run.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = errors.Join(r.make(ctx), r.close())
	if err != nil {
		return history.Report{}, fmt.Errorf("torture: seed %d: %w", o.Seed, err)
	}
	report, err := Judge(o.Dir)
	if err != nil {
		return history.Report{}, err
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
	server *server
	flood  *flood
	notes  *notes
	faults *notes
	record record
}

func newRun(o Options) (*run, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(inDir(o.Dir, fileRun)); err == nil {
		return nil, fmt.Errorf("torture: %s holds an earlier run: choose another folder", o.Dir)
	}
	s, err := newServer(o)
	if err != nil {
		return nil, err
	}
	r := &run{opt: o, server: s, record: newRecord(o)}
	if r.notes, err = createNotes(inDir(o.Dir, fileDeliveries)); err != nil {
		return nil, err
	}
	if r.faults, err = createNotes(inDir(o.Dir, fileFaults)); err != nil {
		return nil, err
	}
	r.flood = newFlood(o, "http://"+s.public, r.notes)
	return r, nil
}

// make runs load, faults, drain and export.
func (r *run) make(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.server.kill()
	if err := r.server.start(ctx); err != nil {
		return err
	}
	if err := r.server.ready(ctx); err != nil {
		return err
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
	r.server.scrape(ctx)
	if err := r.server.stop(ctx); err != nil {
		return err
	}
	return r.export(ctx)
}

// close writes what is still in memory: the notes and the record of the run.
func (r *run) close() error {
	r.record.Ended = time.Now()
	r.record.Metrics = r.server.metrics()
	r.record.Metrics.RefusedConnections = int(r.flood.refused.Load())
	return errors.Join(r.notes.close(), r.faults.close(), r.record.write(r.opt.Dir))
}

func (r *run) describe(w io.Writer) {
	build := "as built"
	if r.opt.Mutant != "" {
		build = "mutant " + r.opt.Mutant
	}
	fmt.Fprintf(w, "torture: %d events, %d senders, fault %s, %s, %d attempts; took %s, drain %s\n",
		r.opt.Events, r.opt.Senders, r.opt.Fault, build, r.opt.Attempts,
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
