package alarm

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Names of rules. They are stored, and labels of the metric.
const (
	ruleOldest    = "oldest_job"
	ruleDead      = "dead_letters"
	ruleSignature = "bad_signatures"
	ruleSilent    = "source_silent"
	ruleLedger    = "ledger_imbalance"
	ruleDisk      = "disk_space"
	ruleRolling   = "unknown_secret"
	ruleOld       = "old_secret"
)

// rule is what is known of a rule besides how it is looked at.
type rule struct {
	name  string
	grave bool
	page  string        // of the dashboard; an object is added to one that ends in =
	after time.Duration // it must have been bad for so long before it is raised
	quiet time.Duration // what only grows is news for so long, and then no more
	cond  *hook.Condition
}

const (
	// rest is how long an alarm must have been clearly well before it is resolved.
	rest = 2 * time.Minute
	// quietTime: a dead letter is news for an hour; whoever comes later is told anew.
	quietTime = time.Hour
	// oldSecretTime is how long both sides may take to change over to a new secret.
	oldSecretTime = 24 * time.Hour
	// burstTime is the time within which refused signatures count as one burst.
	burstTime = 10 * time.Minute
)

func builtIn() []rule {
	return []rule{
		{name: ruleOldest, page: "jobs?handler="},
		{name: ruleDead, grave: true, page: "dead", quiet: quietTime},
		{name: ruleSignature, grave: true, page: "rejected?source="},
		{name: ruleSilent, grave: true, page: "sources"},
		{name: ruleLedger, grave: true, page: "metrics"},
		{name: ruleDisk, grave: true, page: "settings"},
		{name: ruleRolling, grave: true, page: "sources"},
		{name: ruleOld, page: "sources", after: oldSecretTime},
	}
}

func ofCondition(c hook.Condition) rule {
	return rule{name: c.Rule, grave: c.Grave, page: c.Page, cond: &c}
}

func (r *rule) link(object string) string {
	if object != "" && len(r.page) > 0 && r.page[len(r.page)-1] == '=' {
		return r.page + url.QueryEscape(object)
	}
	return r.page
}

// level is how a rule finds one object.
type level int

const (
	calm    level = iota // clearly as it should be
	unclear              // neither raises nor resolves
	bad
)

// about names one thing that a rule looks at.
type about struct{ rule, object string }

// finding is what a rule says of one object now.
type finding struct {
	level level
	value int64
	mark  int64     // rises with each new case; 0: nothing to tell apart
	since time.Time // when it began; zero: now
	seen  time.Time // when it was looked at; zero: now
}

type findings map[about]finding

// judge is bad beyond one bound, calm before the other, and between them neither.
func judge(value, badFrom, calmBelow int64) level {
	switch {
	case value >= badFrom:
		return bad
	case value < calmBelow:
		return calm
	}
	return unclear
}

// look asks every rule of ours. now is the store's clock.
func (w *Watch) look(ctx context.Context) (found findings, now time.Time, err error) {
	mine := w.cfg.Now()
	signs, err := w.cfg.Store.Signs(ctx, w.past.from(mine), mine.Add(-burstTime))
	if err != nil {
		return nil, now, err
	}
	w.past.add(signs.Hours, mine)
	now, found = signs.Now, findings{}
	for handler, at := range signs.Oldest {
		age, most := now.Sub(at), w.cfg.OldestJob
		found[about{ruleOldest, handler}] = finding{level: judge(int64(age), int64(most), int64(most/2)), since: at}
	}
	for handler, dead := range signs.Dead {
		found[about{ruleDead, handler}] = finding{level: bad, value: dead.Jobs, mark: dead.Newest}
	}
	for source, n := range signs.Refused {
		most := int64(w.cfg.BadSignatures)
		found[about{ruleSignature, source}] = finding{level: judge(n, most, max(most/4, 1)), value: n}
	}
	for _, s := range w.cfg.Sources {
		if f, ok := w.silence(s.Name(), now, mine); ok {
			found[about{ruleSilent, s.Name()}] = f
		}
	}
	w.lookAtBalance(found)
	w.lookAtDisk(found)
	w.lookAtSecrets(ctx, found, mine)
	return found, now, nil
}

func (w *Watch) lookAtBalance(found findings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.balance == nil {
		// Another node may have found something: a node that knows nothing ends nothing.
		found[about{ruleLedger, ""}] = finding{level: unclear}
		return
	}
	f := finding{value: max(w.balance.off, -w.balance.off), seen: w.balance.at, since: w.balance.at}
	if f.value != 0 {
		f.level = bad
	}
	found[about{ruleLedger, ""}] = f
}

func (w *Watch) lookAtDisk(found findings) {
	spacer, ok := w.cfg.Store.(hook.Spacer)
	if !ok {
		return
	}
	free, total, err := spacer.Space()
	if err != nil {
		w.cfg.Logger.Warn("alarms: the free space is not known", "error", err)
		found[about{ruleDisk, ""}] = finding{level: unclear}
		return
	}
	least := min(w.cfg.Free, total/10)
	found[about{ruleDisk, ""}] = finding{level: judge(-free, -least, -(least + least/4)), value: free >> 20}
}

// lookAtConditions asks the departments' queries. One that fails raises and
// resolves nothing.
func (w *Watch) lookAtConditions(ctx context.Context, found findings, now time.Time) error {
	var errs []error
	for _, r := range w.rules {
		if r.cond == nil {
			continue
		}
		f := finding{}
		err := w.cfg.Store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
			var err error
			f, err = ask(ctx, tx, r.cond, now)
			return err
		})
		if err != nil {
			f = finding{level: unclear}
			errs = append(errs, fmt.Errorf("alarms: condition %s: %w", r.name, err))
		}
		found[about{r.name, ""}] = f
	}
	return errors.Join(errs...)
}

func ask(ctx context.Context, tx hook.Tx, c *hook.Condition, now time.Time) (finding, error) {
	f := finding{}
	rows, err := tx.QueryContext(ctx, c.Query)
	if err != nil {
		return f, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var since hook.Timestamp
		if err := rows.Scan(&name, &since); err != nil {
			return f, err
		}
		if now.Sub(since.Time) < c.Lasting {
			continue
		}
		f.level = bad
		f.value++
		if f.since.IsZero() || since.Time.Before(f.since) {
			f.since = since.Time
		}
	}
	return f, rows.Err()
}
