package hooktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// bench is a store under test with short words for what the cases do.
type bench struct {
	*testing.T
	store hook.Store
	clock *Clock
}

const lease = 30 * time.Second

// ask claims up to n jobs of the handler.
func (b *bench) claim(handler string, n int) []*hook.Job {
	b.Helper()
	jobs, err := b.store.Claim(b.Context(), hook.Ask{Handlers: []string{handler}, Lease: lease, Max: n, MaxAttempts: 3, Node: "n"})
	if err != nil {
		b.Fatalf("claim: %v", err)
	}
	return jobs
}

// one claims exactly one job, whose event has that key.
func (b *bench) one(handler, key string) *hook.Job {
	b.Helper()
	jobs := b.claim(handler, 10)
	if len(jobs) != 1 {
		b.Fatalf("claimed %d jobs, want the one of %s", len(jobs), key)
	}
	if jobs[0].Event.Key != key {
		b.Fatalf("claimed the job of %s, want %s", jobs[0].Event.Key, key)
	}
	return jobs[0]
}

func (b *bench) none(handler string) {
	b.Helper()
	if jobs := b.claim(handler, 10); len(jobs) != 0 {
		b.Fatalf("claimed %d jobs, first %s, want none", len(jobs), jobs[0].Event.Key)
	}
}

// withRole hands the cases a role that not every store has. A store that lacks it
// passes.
func withRole[T any](lack string, cases map[string]func(*bench, T)) map[string]func(*bench) {
	out := map[string]func(*bench){}
	for name, f := range cases {
		out[name] = func(b *bench) {
			role, ok := b.store.(T)
			if !ok {
				b.Skip(lack)
			}
			f(b, role)
		}
	}
	return out
}

// event is what the cases vary of a delivery.
type event struct {
	source, mode, key, kind, subject, body string

	trust    hook.Trust
	unsigned bool
	handlers []string
	q        hook.Quarantine
	canon    func([]byte) []byte
}

func (b *bench) record(e event) hook.Receipt {
	b.Helper()
	r, err := b.tryRecord(b.Context(), e)
	if err != nil {
		b.Fatalf("record %s: %v", e.key, err)
	}
	return r
}

func (b *bench) tryRecord(ctx context.Context, e event) (hook.Receipt, error) {
	d, id, handlers := e.delivery(b)
	return b.store.Record(ctx, d, id, handlers)
}

// delivery is what Record gets of the event.
func (e event) delivery(b *bench) (hook.Delivery, hook.Identity, []string) {
	if e.source == "" {
		e.source = "shop"
	}
	if e.trust == "" {
		e.trust = hook.TrustSignature
	}
	if e.kind == "" {
		e.kind = "thing.happened"
	}
	if e.body == "" {
		e.body = `{"id":"` + e.key + `"}`
	}
	if e.handlers == nil {
		e.handlers = []string{"h"}
	}
	d := hook.Delivery{Source: e.source, Header: http.Header{"X-Test": {e.key}}, Body: []byte(e.body), ReceivedAt: b.clock.Now()}
	return d, hook.Identity{Key: e.key, Type: e.kind, Subject: e.subject, Mode: e.mode,
		Trust: e.trust, KeyUnsigned: e.unsigned, Quarantine: e.q, Canonical: e.canon}, e.handlers
}

// finish ends a job with a row in the table fx.
func (b *bench) finish(j *hook.Job) {
	b.Helper()
	if err := b.store.Finish(b.Context(), j, row(j.Event.Key)); err != nil {
		b.Fatalf("finish %s: %v", j.Event.Key, err)
	}
}

// row is an effect that writes k.
func row(k string) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ($1)`, k)
		return err
	}
}

// rows counts the rows of fx with that k.
func (b *bench) rows(k string) int {
	b.Helper()
	n := -1
	err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM fx WHERE k = $1`, k).Scan(&n)
	})
	if err != nil {
		b.Fatalf("count rows: %v", err)
	}
	return n
}

func (b *bench) wantRows(k string, want int) {
	b.Helper()
	if got := b.rows(k); got != want {
		b.Errorf("effects of %s: got %d, want %d", k, got, want)
	}
}

func (b *bench) retry(j *hook.Job, after time.Duration, wait bool) {
	b.Helper()
	if err := b.store.Retry(b.Context(), j, after, hook.Cause{Text: "because", Wait: wait}); err != nil {
		b.Fatalf("retry %s: %v", j.Event.Key, err)
	}
}

func (b *bench) bury(j *hook.Job) {
	b.Helper()
	if err := b.store.Bury(b.Context(), j, hook.Cause{Text: "hopeless"}); err != nil {
		b.Fatalf("bury %s: %v", j.Event.Key, err)
	}
}

func (b *bench) replay(id string, handlers ...string) int {
	b.Helper()
	n, err := b.store.Replay(b.Context(), id, hook.Replay{Handlers: handlers, Reason: "test", Actor: "tester"})
	if err != nil {
		b.Fatalf("replay %s: %v", id, err)
	}
	return n
}

func (b *bench) wantErr(err, want error, what string) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func (b *bench) detail(id string) *hook.EventDetail {
	b.Helper()
	d, err := b.store.Event(b.Context(), id)
	if err != nil {
		b.Fatalf("event %s: %v", id, err)
	}
	return d
}

func (b *bench) wantState(id string, want hook.State) {
	b.Helper()
	if got := b.detail(id).State; got != want {
		b.Errorf("state of %s: got %s, want %s", id, got, want)
	}
}

func (b *bench) list(f hook.Filter) []*hook.EventInfo {
	b.Helper()
	page, _, err := b.store.Events(b.Context(), f)
	if err != nil {
		b.Fatalf("events: %v", err)
	}
	return page
}

// CheckLedger fails t unless every event that the store holds is accounted for
// and every transition of its history is one of the picture in package hook, in
// order, with attempts that only grow and ends only under the current attempt.
func CheckLedger(t *testing.T, store hook.Store) {
	t.Helper()
	ctx := context.Background() // also in a cleanup, where t.Context has ended
	r, err := store.Sweep(ctx, hook.SweepRules{Ledger: true})
	if err != nil || !r.Checked || r.Imbalance != 0 {
		t.Errorf("ledger: checked %v, off by %d, error %v", r.Checked, r.Imbalance, err)
	}
	type job struct {
		seq        int64
		handler    string
		generation int
	}
	type at struct {
		state   hook.State
		attempt int
	}
	jobs := map[job]at{}
	var order int64
	err = store.History(ctx, func(l hook.HistoryLine) error {
		if l.Recomputed != "" && l.Recomputed != l.SHA256 {
			t.Errorf("%s: stored bytes hash to %s, recorded %s", l.Key, l.Recomputed, l.SHA256)
		}
		if l.Kind != "transition" {
			return nil
		}
		k := job{l.Seq, l.Handler, l.Generation}
		was := jobs[k]
		switch {
		case l.Order <= order:
			t.Errorf("%v: order %d after %d", k, l.Order, order)
		case l.From != was.state:
			t.Errorf("%v: from %q, but it was %q", k, l.From, was.state)
		case !hook.Next(l.From, l.To):
			t.Errorf("%v: no arrow from %q to %q", k, l.From, l.To)
		case l.To == hook.StateRunning && l.Attempt != was.attempt+1:
			t.Errorf("%v: attempt %d after %d", k, l.Attempt, was.attempt)
		case l.From == hook.StateRunning && l.To != hook.StateRunning && l.Attempt != was.attempt:
			t.Errorf("%v: ended by attempt %d, current was %d", k, l.Attempt, was.attempt)
		}
		order = l.Order
		jobs[k] = at{l.To, max(l.Attempt, was.attempt)}
		return nil
	})
	if err != nil {
		t.Errorf("history: %v", err)
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func key(i int) string { return fmt.Sprintf("k%03d", i) }
