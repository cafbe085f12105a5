package worker

import (
	"context"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Record records by cfg.Recorder and wakes the lanes that have something to claim.
// Where the store lends, a lane with an idle slot and nothing older to do gets its
// job from the very transaction that records the event. If the process dies after
// that the lease lapses, as after a claim.
func (p *Pool) Record(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string) (hook.Receipt, error) {
	size := int64(len(d.Body))
	var kept []*lane
	if p.lender != nil && id.Quarantine == "" {
		kept = p.keep(handlers, size)
	}
	var receipt hook.Receipt
	var jobs []*hook.Job
	var err error
	if len(kept) == 0 {
		receipt, err = p.cfg.Recorder.Record(ctx, d, id, handlers)
	} else {
		receipt, jobs, err = p.lender.RecordAndLend(ctx, d, id, handlers, p.loan(kept))
	}
	left := handOver(kept, jobs, size, handlers)
	if err == nil && (!receipt.Duplicate || id.Trust == hook.TrustHint) { // the repeat of a hint makes its job due
		p.wake(left)
	}
	return receipt, err
}

func (p *Pool) loan(kept []*lane) hook.Loan {
	loan := hook.Loan{Lease: p.cfg.Lease, Node: p.cfg.Node}
	for _, l := range kept {
		loan.Handlers = append(loan.Handlers, l.route.Name)
	}
	return loan
}

// handOver gives each lane that has kept a slot its job, or the slot back, and
// returns the handlers that got no job.
func handOver(kept []*lane, jobs []*hook.Job, size int64, handlers []string) (left []string) {
	byHandler := make(map[string]*hook.Job, len(jobs))
	for _, job := range jobs {
		byHandler[job.Handler] = job
	}
	for _, l := range kept {
		if job := byHandler[l.route.Name]; job != nil {
			l.hand(job)
		} else {
			l.giveUp(size)
		}
	}
	for _, h := range handlers {
		if byHandler[h] == nil {
			left = append(left, h)
		}
	}
	return left
}

// wake makes these handlers look for work now.
func (p *Pool) wake(handlers []string) {
	for _, l := range p.lanes {
		if slices.Contains(handlers, l.route.Name) {
			l.wake()
		}
	}
}

// keep keeps a slot of each handler that has one for a job that is being recorded.
func (p *Pool) keep(handlers []string, size int64) (kept []*lane) {
	for _, l := range p.lanes {
		if slices.Contains(handlers, l.route.Name) && l.keep(size) {
			kept = append(kept, l)
		}
	}
	return kept
}

// keep keeps a slot, unless the lane has none or older jobs wait for it: what has
// just come in must not overtake them. Of those that were refused while the last claim
// was under way it is known how many they are: each has a slot that nobody else gets.
func (l *lane) keep(size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return false
	}
	if l.behind || l.room() <= l.waiting || l.bytes+size > l.cfg.MaxBytes {
		l.behind = true // this one goes the usual way, and all that come after it
		l.waiting++
		return false
	}
	l.kept++
	l.bytes += size
	l.keeping.Add(1)
	return true
}

// giveUp gives a slot back that was kept for nothing.
func (l *lane) giveUp(size int64) {
	l.mu.Lock()
	l.kept--
	l.bytes -= size
	l.mu.Unlock()
	signal(l.freed)
	l.keeping.Done()
}

// hand gives the lane the job for which it has kept a slot.
func (l *lane) hand(job *hook.Job) {
	l.mu.Lock()
	l.kept--
	l.handed = append(l.handed, job)
	if len(l.handed) == l.enough() {
		signal(l.gathered)
	}
	l.mu.Unlock()
	signal(l.woken)
	l.keeping.Done()
}

// startHanded starts the jobs that were handed over and reports how many.
func (l *lane) startHanded(start func(*hook.Job)) int {
	l.mu.Lock()
	jobs := l.handed
	l.handed = nil
	for _, job := range jobs {
		l.bytes -= int64(len(job.Event.Body)) // counted again by start
	}
	l.mu.Unlock()
	for _, job := range jobs {
		start(job)
	}
	return len(jobs)
}

// close lets no more slots be kept, and waits for the jobs that they were kept for.
func (l *lane) close() {
	l.mu.Lock()
	l.open = false
	l.mu.Unlock()
	l.keeping.Wait()
}
