package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The kinds of lines in a dump.
const (
	kindEvent      = "event"
	kindConflict   = "conflict"
	kindTransition = "transition"
)

// Check judges a run. It is pure: the same input and options give the same
// report. Input is not changed.
func Check(in Input, o Options) Report {
	c := &checker{in: in, opt: o.withDefaults(), entries: map[entryKey]*entry{}}
	c.report.Metrics = in.Metrics
	c.group()
	for _, e := range c.order {
		c.checkAcks(e)
		c.checkAnswers(e)
		c.checkRows(e)
		c.checkEvidence(e)
		c.checkJobs(e)
		c.checkEffects(e)
		c.checkProgress(e)
		c.count(e)
	}
	c.checkOutward()
	c.checkLedger()
	c.checkDatabase()
	c.judge()
	return c.report
}

// entryKey is what an event is unique by.
type entryKey struct{ source, mode, key string }

func (k entryKey) String() string {
	if k.mode == "" {
		return k.source + "/" + k.key
	}
	return k.source + "/" + k.mode + "/" + k.key
}

// entry is everything about one key.
type entry struct {
	key        entryKey
	deliveries []*Delivery
	rows       []*hook.HistoryLine
	conflicts  []*hook.HistoryLine
	jobs       []*jobHistory // by handler, in order of appearance
}

// row is the row that is judged; further ones are only counted as duplicates.
func (e *entry) row() *hook.HistoryLine {
	if len(e.rows) == 0 {
		return nil
	}
	return e.rows[0]
}

func (e *entry) job(handler string) *jobHistory {
	for _, j := range e.jobs {
		if j.handler == handler {
			return j
		}
	}
	j := &jobHistory{handler: handler}
	e.jobs = append(e.jobs, j)
	return j
}

type checker struct {
	in      Input
	opt     Options
	report  Report
	entries map[entryKey]*entry
	order   []*entry  // in order of appearance, so that samples are stable
	last    time.Time // the latest transition: the best "now" that a dump has
}

func (c *checker) entry(source, mode, key string) *entry {
	k := entryKey{source, mode, key}
	e, ok := c.entries[k]
	if !ok {
		e = &entry{key: k}
		c.entries[k] = e
		c.order = append(c.order, e)
	}
	return e
}

func (c *checker) raise(name string, e *entry, format string, args ...any) {
	c.report.raise(name, e.key.String()+": "+fmt.Sprintf(format, args...))
}

func (c *checker) group() {
	for i := range c.in.Deliveries {
		d := &c.in.Deliveries[i]
		e := c.entry(d.Source, d.Mode, d.Key)
		e.deliveries = append(e.deliveries, d)
	}
	for i := range c.in.Dump {
		l := &c.in.Dump[i]
		e := c.entry(l.Source, l.Mode, l.Key)
		switch l.Kind {
		case kindEvent:
			e.rows = append(e.rows, l)
		case kindConflict:
			e.conflicts = append(e.conflicts, l)
		case kindTransition:
			j := e.job(l.Handler)
			j.transitions = append(j.transitions, l)
			if l.At != nil && l.At.After(c.last) {
				c.last = *l.At
			}
		}
	}
	for i := range c.in.Effects {
		f := &c.in.Effects[i]
		c.entry(f.Source, f.Mode, f.Key).job(f.Handler).generation(f.Generation).effects++
	}
}

func acked(d *Delivery) bool { return d.Status >= 200 && d.Status < 300 }

// checkAcks: what was answered 2xx is there (I1).
func (c *checker) checkAcks(e *entry) {
	row := e.row()
	if row == nil {
		for _, d := range e.deliveries {
			if acked(d) {
				c.raise("lost-ack", e, "answered %d at %s and there is no row", d.Status, stamp(d.T1))
				return
			}
		}
		return
	}
	if len(e.conflicts) >= keptConflicts {
		return
	}
	kept := c.keptBytes(e)
	for _, d := range e.deliveries {
		if d.Valid && acked(d) && !kept[canon(d)] {
			c.raise("lost-conflict", e, "bytes %s were answered %d and are neither the row's nor a conflict's",
				short(d.SHA), d.Status)
			return
		}
	}
}

// keptBytes holds the bodies of e that the log shows, volatile fields left out:
// a body that some sender carried counts as every body equal to it in that way.
func (c *checker) keptBytes(e *entry) map[string]bool {
	kept := map[string]bool{}
	for _, l := range e.rows {
		kept[l.SHA256] = true
	}
	for _, l := range e.conflicts {
		kept[l.SHA256] = true
	}
	for _, d := range e.deliveries {
		if kept[d.SHA] {
			kept[canon(d)] = true
		}
	}
	return kept
}

func canon(d *Delivery) string {
	if d.Canon != "" {
		return d.Canon
	}
	return d.SHA
}

// checkAnswers: nothing forged is accepted (I3), nothing authentic is refused
// (I4), every answer comes in time (I12).
func (c *checker) checkAnswers(e *entry) {
	for _, d := range e.deliveries {
		if !d.Valid && acked(d) {
			c.raise("accepted-invalid", e, "a delivery that must not verify was answered %d at %s", d.Status, stamp(d.T1))
		}
		if d.Valid && !c.mayAnswer(d) {
			c.raise("refused-valid", e, "an authentic delivery was answered %d at %s", d.Status, stamp(d.T1))
		}
		if took, bound := c.took(d); took > bound {
			c.raise("late", e, "%s from %s, at most %s are allowed", took, stamp(d.T0), bound)
		}
		if d.ShedDue && d.Status == 0 {
			c.raise("late", e, "closed without an answer at %s where it had to be told to come later", stamp(d.T1))
		}
	}
}

func (c *checker) mayAnswer(d *Delivery) bool {
	switch d.Status {
	case 0, 429, 503, c.opt.success(d.Source):
		return true
	case 413, 431:
		return d.OverLimit
	case 408:
		return d.Unfinished
	}
	return false
}

// took is the time that counts against the process, without the times during
// which it was stopped, and the bound for it.
func (c *checker) took(d *Delivery) (took, bound time.Duration) {
	from, bound := d.T0, answerWithin
	switch {
	case d.Unfinished:
		bound = bodyWithin + time.Duration(float64(d.Size)/(1<<20)*float64(time.Second))
	case !d.Sent.IsZero():
		from = d.Sent
	}
	took = d.T1.Sub(from)
	bound += c.opt.ClockSlack
	if took <= bound {
		return took, bound
	}
	for i := range c.in.Faults {
		f := &c.in.Faults[i]
		if f.Kind != FaultStop || f.Node != d.Node {
			continue
		}
		start, end := later(f.At, from), earlier(f.Until, d.T1)
		if end.After(start) {
			took -= end.Sub(start)
		}
	}
	return took, bound
}

// checkRows: at most one row (I5), and bytes that never change (I6).
func (c *checker) checkRows(e *entry) {
	if len(e.rows) > 1 {
		c.raise("duplicate-row", e, "%d rows, numbers %d and %d", len(e.rows), e.rows[0].Seq, e.rows[1].Seq)
	}
	for _, lines := range [][]*hook.HistoryLine{e.rows, e.conflicts} {
		for _, l := range lines {
			if l.Recomputed != "" && l.Recomputed != l.SHA256 {
				c.raise("body-changed", e, "%s stored as %s, its bytes now give %s", l.Kind, short(l.SHA256), short(l.Recomputed))
			}
		}
	}
}

// checkEvidence: every row rests on an authentic delivery of its bytes (I2).
func (c *checker) checkEvidence(e *entry) {
	for _, row := range e.rows {
		switch row.Trust {
		case hook.TrustHint, hook.TrustSenderAPI, hook.TrustInternal:
			continue // a hint is valid by construction, the others need no delivery
		}
		var authentic, same time.Time
		for _, d := range e.deliveries {
			if !d.Valid {
				continue
			}
			authentic = first(authentic, d.T0)
			if d.SHA == row.SHA256 {
				same = first(same, d.T0)
			}
		}
		switch {
		case authentic.IsZero():
			c.raise("phantom-row", e, "row %d and no authentic delivery", row.Seq)
			continue
		case same.IsZero():
			c.raise("phantom-bytes", e, "row %d has bytes %s that no authentic delivery carried", row.Seq, short(row.SHA256))
			same = authentic
		}
		if row.ReceivedAt != nil && row.ReceivedAt.Before(same.Add(-c.opt.ClockSlack)) {
			c.raise("before-sent", e, "row %d received at %s, first sent at %s", row.Seq, stamp(*row.ReceivedAt), stamp(same))
		}
	}
}

// checkOutward: one intent, one idempotency key, accepted once (I7).
func (c *checker) checkOutward() {
	type intent struct {
		entryKey
		name string
	}
	keys, accepted := map[intent]string{}, map[intent]int{}
	for i := range c.in.Outward {
		o := &c.in.Outward[i]
		n := intent{entryKey{o.Source, o.Mode, o.Key}, o.Intent}
		e := c.entry(o.Source, o.Mode, o.Key)
		if was, ok := keys[n]; !ok {
			keys[n] = o.IdempotencyKey
		} else if was != o.IdempotencyKey {
			c.raise("key-changed", e, "intent %s was sent under more than one idempotency key", o.Intent)
		}
		if o.Accepted {
			if accepted[n]++; accepted[n] == 2 {
				c.raise("far-twice", e, "intent %s was accepted more than once", o.Intent)
			}
		}
	}
}

// checkLedger: the state of each event accounts for its jobs, and no scrape
// ever showed an imbalance.
func (c *checker) checkLedger() {
	for _, e := range c.order {
		for _, row := range e.rows {
			if want, ok := worst(row); ok && row.State != want {
				c.raise("imbalance", e, "event is %q, the worst of its jobs %q", row.State, want)
			}
		}
	}
	if n := c.in.Metrics.LedgerImbalance; n != 0 {
		c.report.raise("imbalance", fmt.Sprintf("a scrape showed an imbalance of %d", n))
	}
}

// worst is the state that the jobs of a row call for. ok is false for a row
// that was in quarantine: its own state may outweigh that of its jobs.
func worst(row *hook.HistoryLine) (want hook.State, ok bool) {
	if row.Quarantine != "" {
		return "", false
	}
	if len(row.Jobs) == 0 {
		return hook.StateNoHandler, row.State != hook.StateQuarantined
	}
	for _, s := range hook.Worst {
		if slices.ContainsFunc(row.Jobs, func(j hook.JobInfo) bool { return j.State == s }) {
			return s, true
		}
	}
	return "a state that it knows", true
}

func first(was, t time.Time) time.Time {
	if was.IsZero() || t.Before(was) {
		return t
	}
	return was
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000000") }

func short(sha string) string {
	if len(sha) > 12 {
		return sha[:12]
	}
	return sha
}
