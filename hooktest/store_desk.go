package hooktest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// operators is all that a store can do for its operators besides the ledger.
type operators interface {
	hook.Desk
	hook.Pauser
	hook.SessionKeeper
	hook.BulkKeeper
}

// desks: what operators look at and order. A store that has none of it passes.
func desks() map[string]func(*bench) {
	return withRole("this store has no desk", map[string]func(*bench, operators){
		"JobsComeInPages":                      deskJobs,
		"DeadJobsAreGroupedByCause":            deskCauses,
		"TrafficCountsWhatWasRecorded":         deskTraffic,
		"TheAuditTrailIsAChain":                deskAudit,
		"AChangedEntryBreaksTheChain":          deskAuditBroken,
		"AHandlerIsPausedOnce":                 deskPause,
		"ASessionEnds":                         deskSession,
		"ABulkReplayMeetsEachEventOnce":        deskBulk,
		"ABulkReplayKeepsTheOrderOfLines":      deskBulkLines,
		"ABulkReplayLeavesOutTheUnreadable":    deskBulkUnreadable,
		"ABulkReplayKeepsToItsRate":            deskBulkRate,
		"ABulkReplayStopsWhereItIsTold":        deskBulkSteered,
		"ABulkReplayOfDeadJobsTakesTheirCause": deskBulkDead,
		"BadBulkReplaysAreRefused":             deskBulkBad,
	})
}

func deskJobs(b *bench, o operators) {
	for i := range 5 {
		b.record(event{key: fmt.Sprint("open", i)})
	}
	for i := range 3 {
		key := fmt.Sprint("dead", i)
		b.record(event{key: key, handlers: []string{"g"}})
		b.bury(b.one("g", key))
	}
	for _, c := range []struct {
		f    hook.JobFilter
		want []string
	}{
		{hook.JobFilter{}, []string{"open0", "open1", "open2", "open3", "open4"}},
		{hook.JobFilter{State: hook.StateReady, Limit: 2}, []string{"open0", "open1", "open2", "open3", "open4"}},
		{hook.JobFilter{State: hook.StateDead, Limit: 2}, []string{"dead2", "dead1", "dead0"}},
		{hook.JobFilter{State: hook.StateDead, Handler: "h"}, nil},
		{hook.JobFilter{State: hook.StateDiscarded}, nil},
	} {
		var got []string
		for pages := 0; pages < 9; pages++ {
			page, next, err := o.Jobs(b.Context(), c.f)
			if err != nil {
				b.Fatalf("%+v: %v", c.f, err)
			}
			for _, j := range page {
				got = append(got, b.detail(j.Event).Key)
			}
			if c.f.Cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			b.Errorf("%+v (-want +got):\n%s", c.f, diff)
		}
	}
	for _, bad := range []hook.JobFilter{{State: hook.StateDone}, {State: "x"}, {Cursor: "forged"}} {
		if _, _, err := o.Jobs(b.Context(), bad); !errors.Is(err, hook.ErrBadFilter) {
			b.Errorf("%+v: %v, want a bad filter", bad, err)
		}
	}
}

// buryAs makes a dead job with that cause.
func buryAs(b *bench, key, cause string) string {
	b.Helper()
	id := b.record(event{key: key}).EventID
	if err := b.store.Bury(b.Context(), b.one("h", key), hook.Cause{Text: cause}); err != nil {
		b.Fatalf("bury %s: %v", key, err)
	}
	return id
}

func deskCauses(b *bench, o operators) {
	buryAs(b, "a", "dial 10.0.0.1:5432: timeout")
	buryAs(b, "b", "smtp 550 mailbox of order_17a")
	last := buryAs(b, "c", "smtp 550 mailbox of order_99z\nand more")
	got, err := o.Causes(b.Context())
	if err != nil {
		b.Fatalf("causes: %v", err)
	}
	if len(got) != 2 || got[0].Jobs != 2 || got[0].Key != "smtp 550 mailbox of #" || got[0].Sample != last || got[0].Handler != "h" {
		b.Errorf("got %+v, want the two of the mailbox first", got)
	}
}

func deskTraffic(b *bench, o operators) {
	start := b.clock.Now()
	for i := range 4 {
		b.record(event{key: fmt.Sprint(i)})
		b.clock.Advance(30 * time.Second)
	}
	b.finish(b.claim("h", 1)[0])
	t, err := o.Traffic(b.Context(), start.Add(-time.Hour))
	if err != nil {
		b.Fatalf("traffic: %v", err)
	}
	var hours, minutes int64
	for _, h := range t.Hours {
		hours += h.N
	}
	for _, m := range t.Minutes {
		minutes += m.N
	}
	if hours != 4 || minutes != 4 || t.Whole.After(start) {
		b.Errorf("%d by hour, %d by minute, whole from %s; want 4, 4, before %s", hours, minutes, t.Whole, start)
	}
	if len(t.Habits) != 1 || t.Habits[0].Gap != 30*time.Second {
		b.Errorf("habits %+v, want one event every 30 s", t.Habits)
	}
	if len(t.Handlers) != 1 || t.Handlers[0].Attempts != 1 || t.Handlers[0].Failed != 0 {
		b.Errorf("handlers %+v, want one attempt of h", t.Handlers)
	}
}

// sealed sweeps once, and gives what a walk along the chain says.
func sealed(b *bench, o operators) hook.AuditReport {
	b.Helper()
	if _, err := b.store.Sweep(b.Context(), hook.SweepRules{}); err != nil {
		b.Fatalf("sweep: %v", err)
	}
	report, err := o.VerifyAudit(b.Context())
	if err != nil {
		b.Fatalf("verify the audit trail: %v", err)
	}
	return report
}

func deskAudit(b *bench, o operators) {
	id := buryAs(b, "k", "x")
	if _, err := b.store.Replay(b.Context(), id, hook.Replay{Reason: "mended", Actor: "me"}); err != nil {
		b.Fatalf("replay: %v", err)
	}
	first := sealed(b, o)
	if err := o.Note(b.Context(), hook.AuditNote{Actor: "you", Action: "reveal", Event: id, Reason: "support"}); err != nil {
		b.Fatalf("note: %v", err)
	}
	if report, err := o.VerifyAudit(b.Context()); err != nil || report.Unsealed != 1 || report.Head != first.Head {
		b.Errorf("before the seal: %+v, %v, want one unsealed", report, err)
	}
	second := sealed(b, o)
	if first.Entries != 1 || second.Entries != 2 || second.Broken != 0 || second.Head == first.Head || len(second.Head) != 64 {
		b.Errorf("got %+v, then %+v", first, second)
	}
	page, next, err := o.Audit(b.Context(), "", 1)
	if err != nil || len(page) != 1 || next == "" || page[0].Action != "reveal" || page[0].Event != id || page[0].Actor != "you" {
		b.Fatalf("newest entry %+v, next %q, %v", page, next, err)
	}
	page, next, err = o.Audit(b.Context(), next, 1)
	if err != nil || len(page) != 1 || next != "" || page[0].Reason != "mended" || page[0].Position != 1 {
		b.Errorf("oldest entry %+v, next %q, %v", page, next, err)
	}
	if _, _, err := o.Audit(b.Context(), "forged", 1); !errors.Is(err, hook.ErrBadFilter) {
		b.Errorf("a forged cursor: %v", err)
	}
}

func deskAuditBroken(b *bench, o operators) {
	for i := range 5 {
		if err := o.Note(b.Context(), hook.AuditNote{Actor: "me", Action: "reveal", Reason: fmt.Sprint(i)}); err != nil {
			b.Fatalf("note: %v", err)
		}
	}
	if report := sealed(b, o); report.Entries != 5 || report.Broken != 0 {
		b.Fatalf("before: %+v", report)
	}
	for _, act := range []struct {
		query  string
		broken int64
	}{
		{`UPDATE audit SET actor = 'nobody' WHERE pos = 4`, 4},
		{`DELETE FROM audit WHERE pos = 2`, 2},
	} {
		err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, act.query)
			return err
		})
		if err != nil {
			b.Fatalf("%s: %v", act.query, err)
		}
		if report := sealed(b, o); report.Broken != act.broken {
			b.Errorf("%s: %+v, want it broken at %d", act.query, report, act.broken)
		}
	}
}

func deskPause(b *bench, o operators) {
	for range 2 { // a repeat changes nothing
		if err := o.SetPaused(b.Context(), "h", true, "me", "smtp down"); err != nil {
			b.Fatalf("pause: %v", err)
		}
	}
	got, err := o.Paused(b.Context())
	if err != nil || len(got) != 1 || got[0].Handler != "h" || got[0].Actor != "me" || got[0].Reason != "smtp down" {
		b.Errorf("paused: %+v, %v", got, err)
	}
	for range 2 {
		if err := o.SetPaused(b.Context(), "h", false, "you", ""); err != nil {
			b.Fatalf("resume: %v", err)
		}
	}
	if got, err := o.Paused(b.Context()); err != nil || len(got) != 0 {
		b.Errorf("after resuming: %+v, %v", got, err)
	}
	if page, _, err := o.Audit(b.Context(), "", 9); err != nil || len(page) != 2 || page[0].Action != "resume" || page[1].Object != "h" {
		b.Errorf("audited: %+v, %v, want two entries", page, err)
	}
	if err := o.SetPaused(b.Context(), "not a name", true, "me", "x"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("a bad name: %v", err)
	}
}

func deskSession(b *bench, o operators) {
	hash := func(s string) hook.TokenHash { return sha256.Sum256([]byte(s)) }
	for _, s := range []string{"one", "two"} {
		if err := o.AddSession(b.Context(), hash(s), hash("token"), b.clock.Now().Add(time.Hour)); err != nil {
			b.Fatalf("add a session: %v", err)
		}
	}
	if token, err := o.SessionToken(b.Context(), hash("one")); err != nil || token != hash("token") {
		b.Errorf("got %x, %v", token, err)
	}
	for range 2 {
		if err := o.EndSession(b.Context(), hash("one")); err != nil {
			b.Fatalf("end: %v", err)
		}
	}
	if _, err := o.SessionToken(b.Context(), hash("one")); !errors.Is(err, hook.ErrNotFound) {
		b.Errorf("an ended session: %v", err)
	}
	b.clock.Advance(time.Hour)
	if _, err := o.SessionToken(b.Context(), hash("two")); !errors.Is(err, hook.ErrNotFound) {
		b.Errorf("a session that is over: %v", err)
	}
}
