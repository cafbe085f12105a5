package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// Rules that are shorter than the longest remove bodies one by one, the longest drops
// whole partitions, and a hold keeps its event through both.
func TestPartitionsGoWhenTheLongestRuleHasPassed(t *testing.T) {
	const day = 24 * time.Hour
	clock, url := hooktest.NewClock(), pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6, Now: clock.Now})
	partitions := func() (n int) {
		t.Helper()
		if err := dial(t, url).QueryRow(t.Context(), `SELECT count(*) FROM pg_inherits WHERE inhparent = 'hookkeeper.bodies'::regclass`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := s.Sweep(t.Context(), hook.SweepRules{}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	ids := map[string]string{}
	for _, source := range []string{"shop", "hub", "held"} {
		r, err := s.Record(t.Context(), hook.Delivery{Source: source, Body: []byte(source), ReceivedAt: clock.Now()},
			hook.Identity{Key: source, Trust: hook.TrustSignature}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[source] = r.EventID
	}
	if _, err := s.AddHold(t.Context(), hook.HoldOrder{Event: ids["held"], Reason: "a dispute", Actor: "t"}); err != nil {
		t.Fatal(err)
	}
	rules := hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: 20 * day}, Sources: map[string]hook.Keep{"hub": {Bodies: 5 * day}}}}
	before := 0
	for _, step := range []struct {
		after time.Duration
		gone  map[string]bool
	}{
		{6 * day, map[string]bool{"hub": true}},
		{30 * day, map[string]bool{"hub": true, "shop": true}},
	} {
		clock.Advance(step.after)
		before = partitions()
		if _, err := s.Sweep(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
		for source, id := range ids {
			if d, err := s.Event(t.Context(), id); err != nil || d.BodyGone != step.gone[source] {
				t.Errorf("%v later, %s: gone %v, %v", step.after, source, d.BodyGone, err)
			}
		}
	}
	if after := partitions(); after >= before+2 { // two are made ready at each sweep
		t.Errorf("%d partitions, there were %d: none was dropped", after, before)
	}
	var n int
	if err := dial(t, url).QueryRow(t.Context(), `SELECT count(*) FROM hookkeeper.bodies_default`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d bodies have outlived their partition, want the held one, %v", n, err)
	}
	if err := s.ReleaseHold(t.Context(), 1, "t", "settled"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sweep(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Event(t.Context(), ids["held"]); err != nil || !d.BodyGone {
		t.Errorf("after its hold was released its body is still there, %v", err)
	}
}

// Retention and erasures go by indexes, whatever statistics the server has.
func TestRetentionReadsOnlyWhatItRemoves(t *testing.T) {
	const events, old = 40_000, 300
	url := pgtest.Database(t)
	open(t, url, postgres.Options{MaxConns: 6}).Close()
	conn := dial(t, url)
	now := time.Now().UTC()
	first := sqlstore.SeqAt(now.UnixMicro())
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
		SELECT %d + i, 'shop', 'live', 'key' || i, CASE WHEN i <= %d THEN 0 ELSE %d END, '', 'signature', 0, '', 1, 1 FROM generate_series(1, %d) i`,
		first, old, now.UnixMicro(), events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.events (seq, type, subject, size, headers)
		SELECT %d + i, 't', 's' || i, 1, '' FROM generate_series(1, %d) i`, first, events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.bodies (seq, body) SELECT %d + i, '{}' FROM generate_series(1, %d) i`, first, events))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.attempts (seq, handler, generation, attempt, claim_no, started_at, lease_until, node, made_no, made_at, outcome)
		SELECT %d + i, 'h', 1, 1, i, 1, 1, 'n', i, 1, 'done' FROM generate_series(1, %d) i`, first, events))
	look := func(name string, most int64, do func(ctx context.Context, s *postgres.Store) error) {
		t.Helper()
		before := rowsRead(t, conn)
		store := open(t, url, postgres.Options{MaxConns: 6})
		if err := errors.Join(do(t.Context(), store), store.Close()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := rowsRead(t, conn) - before; n > most {
			t.Errorf("%s: %d rows were read, want at most %d", name, n, most)
		}
	}
	day := 24 * time.Hour
	keep := hook.Keep{Bodies: 10 * day, Hints: day, Attempts: 10 * day, Rejections: day}
	sweep := func(k hook.Keep) func(ctx context.Context, s *postgres.Store) error {
		return func(ctx context.Context, s *postgres.Store) error {
			_, err := s.Sweep(ctx, hook.SweepRules{Keep: hook.Retention{Keep: k}})
			return err
		}
	}
	look("rules of which nothing has passed", 4_000, sweep(hook.Keep{Bodies: 100_000 * day, Hints: 100_000 * day, Rejections: day}))
	look("rules", old*60, sweep(keep))
	execute(t, conn, `ANALYZE`)
	look("rules, again", 4_000, sweep(keep))
	look("an erasure", 12_000, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.AddErasure(ctx, hook.ErasureOrder{Source: "shop", Customer: "cus_Canary1", Reason: "r", Actor: "t"})
		return err
	})
	execute(t, conn, `UPDATE hookkeeper.erasures SET next_at = 0`)
	look("a step of an erasure", 6_000, func(ctx context.Context, s *postgres.Store) error {
		busy, err := s.StepErasure(ctx, func(context.Context, hook.Tx, string, string) (int, error) { return 0, nil })
		if err == nil && !busy {
			err = errors.New("nothing was looked at")
		}
		return err
	})
	var bodies, attempts, ends int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM hookkeeper.bodies), (SELECT count(*) FROM hookkeeper.attempts),
		(SELECT count(*) FROM hookkeeper.ended_jobs)`).Scan(&bodies, &attempts, &ends); err != nil || bodies != events-old || attempts != events-old || ends != old {
		t.Errorf("%d bodies, %d attempts and %d ends are left, %v", bodies, attempts, ends, err)
	}
}
