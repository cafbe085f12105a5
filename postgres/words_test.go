package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/internal/words"
	"github.com/hookkeeper/hookkeeper/postgres"
)

func recordText(t *testing.T, s *postgres.Store, key, text string) {
	t.Helper()
	d := hook.Delivery{Source: "shop", Header: http.Header{}, Body: []byte(`{"text":"` + text + `"}`), ReceivedAt: time.Now()}
	if _, err := s.Record(t.Context(), d, hook.Identity{Key: key, Type: "a", Trust: hook.TrustSignature}, nil); err != nil {
		t.Fatal(err)
	}
}

func index(t *testing.T, s *postgres.Store) {
	t.Helper()
	for busy := true; busy; {
		var err error
		if busy, err = s.IndexWords(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func find(t *testing.T, l hook.Ledger, text string) string {
	t.Helper()
	page, _, err := l.Events(t.Context(), hook.Filter{Words: text})
	if err != nil {
		t.Fatalf("search %s: %v", text, err)
	}
	keys := make([]string, len(page))
	for i, e := range page {
		keys[i] = e.Key
	}
	return strings.Join(keys, " ")
}

// A search of bodies reads no more than it needs, whether its words are rare or in
// every body, with statistics and without.
func TestSearchesOfBodiesReadOnlyWhatTheyShow(t *testing.T) {
	const events = 60_000 // fewer, and without statistics all of them are soonest read
	url := pgtest.Database(t)
	open(t, url, postgres.Options{MaxConns: 6}).Close()
	conn := dial(t, url)
	lexicon, err := words.New(true, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	from := fmt.Sprintf(`FROM generate_series(1, %d) i`, events)
	first := sqlstore.SeqAt(today.UnixMicro())
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
		SELECT %d + i, CASE WHEN i %% 20 = 7 THEN 'rare' ELSE 'shop' END, 'live', 'key' || i, %d + i::bigint, '', 'signature', 0, '', 1, 0 `+from, first, today.UnixMicro()))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.events (seq, type, subject, size, headers) SELECT %d + i, 'type', '', 1, '\x00' `+from, first))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.bodies (seq, body)
		SELECT %d + i, convert_to(format('{"a":"common w%%s","b":"%%s"}', i %% 6000, CASE WHEN i < 2000 THEN 'early' ELSE 'late' END), 'UTF8') `+from, first))
	execute(t, conn, fmt.Sprintf(`INSERT INTO hookkeeper.event_words (seq, terms)
		SELECT %d + i, array_to_tsvector(ARRAY['common', 'w' || i %% 6000, CASE WHEN i < 2000 THEN 'early' ELSE 'late' END,
			CASE WHEN i %% 20 = 7 THEN '%s' ELSE '%s' END]) `+from, first, lexicon.Tag("source", "rare").Text, lexicon.Tag("source", "shop").Text))
	for i, when := range []string{"with plans of empty tables", "with plans of full ones"} {
		if i == 1 {
			execute(t, conn, `ANALYZE`)
		}
		for name, c := range map[string]struct {
			f    hook.Filter
			want int
			most int64
		}{
			"rare":          {hook.Filter{Words: "w77"}, 10, 8_000},
			"of all":        {hook.Filter{Words: "common"}, 50, 8_000},
			"of the oldest": {hook.Filter{Words: "early"}, 50, 12_000},
			"rare source":   {hook.Filter{Words: "common", Source: "rare"}, 50, 16_000},
			"none of both":  {hook.Filter{Words: "w8 common", Source: "rare"}, 0, 8_000},
		} {
			if i == 0 && name != "rare" && name != "of all" {
				continue // the same two ways
			}
			before := rowsRead(t, conn)
			store := open(t, url, postgres.Options{MaxConns: 6, Search: &hook.Search{Words: true}})
			c.f.Limit = 50
			page, _, err := store.Events(t.Context(), c.f)
			if err != nil || len(page) != c.want {
				t.Errorf("%s %s: %d events, %v, want %d", name, when, len(page), err, c.want)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if n := rowsRead(t, conn) - before; n > c.most {
				t.Errorf("%s %s: %d rows were read", name, when, n)
			}
		}
	}
}

// What commits late, under a number that the index has passed, is indexed all the
// same; and no step waits for it.
func TestTheIndexMissesNothingThatCommitsLate(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6, Search: hooktest.Search()})
	late, err := dial(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned, quarantine, deliveries, jobs_total)
			VALUES (1, 'shop', '', 'late', 1, '', 'signature', 0, '', 1, 0)`,
		`INSERT INTO hookkeeper.events (seq, type, subject, size, headers) VALUES (1, 'a', '', 1, '\x00')`,
		`INSERT INTO hookkeeper.bodies (seq, body) VALUES (1, '"word"')`,
	} {
		if _, err := late.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	recordText(t, s, "early", "word")
	index(t, s)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	index(t, s)
	if got := find(t, s, "word"); got != "early late" {
		t.Errorf("found %q, want early late", got)
	}
}

// Bodies are removed while they are being indexed: no row of a body that is gone
// stays, whoever came first.
func TestAnErasureBesideTheIndexWins(t *testing.T) {
	url := pgtest.Database(t)
	clock := hooktest.NewClock()
	s := open(t, url, postgres.Options{MaxConns: 12, Now: clock.Now, Search: hooktest.Search()})
	conn := dial(t, url)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.IndexWords(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for round := range 6 {
		for i := range 20 {
			recordText(t, s, fmt.Sprint(round, "-", i), "word")
		}
		clock.Advance(2 * time.Hour) // short of the end of a partition, with which they would go at once
		if _, err := s.Sweep(t.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: time.Hour}}}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	index(t, s)
	var bodies, left int
	err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM hookkeeper.bodies),
		(SELECT count(*) FROM hookkeeper.event_words w WHERE NOT EXISTS (SELECT 1 FROM hookkeeper.bodies b WHERE b.seq = w.seq))`).Scan(&bodies, &left)
	if err != nil || left != 0 {
		t.Errorf("%d rows of bodies that are gone, %v", left, err)
	}
	if bodies > 100 {
		t.Errorf("%d bodies are left: hardly any was erased, so this test shows nothing", bodies)
	}
}

// Who removes a body that is just being indexed waits for its row, and removes it.
func TestAnErasureWaitsForAStep(t *testing.T) {
	url := pgtest.Database(t)
	clock := hooktest.NewClock()
	s := open(t, url, postgres.Options{MaxConns: 6, Now: clock.Now, Search: hooktest.Search()})
	recordText(t, s, "a", "word")
	clock.Advance(2 * time.Hour)
	conn := dial(t, url)
	step, err := dial(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, sqlstore.LockKeys("words")[0]),
		`INSERT INTO hookkeeper.event_words (seq, terms) SELECT seq, 'word' FROM hookkeeper.bodies`,
	} {
		if _, err := step.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	swept := make(chan error, 1)
	go func() {
		_, err := s.Sweep(t.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: time.Hour}}})
		swept <- err
	}()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for waits := false; !waits; {
		select {
		case err := <-swept:
			t.Fatalf("the erasure did not wait: %v", err)
		case <-look.C:
			if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := step.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM hookkeeper.event_words`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left of a body that is gone, %v", rows, err)
	}
}

// While somebody removes bodies, no step begins to read any.
func TestAStepWaitsForNobody(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6, Search: hooktest.Search()})
	index(t, s)
	recordText(t, s, "a", "word")
	tx, err := dial(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf(`SELECT pg_advisory_xact_lock_shared(%d)`, sqlstore.LockKeys("words")[0]),
		`DELETE FROM hookkeeper.bodies`, `DELETE FROM hookkeeper.event_words`,
	} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if busy, err := s.IndexWords(ctx); err != nil || busy {
		t.Errorf("beside an erasure: busy %t, %v", busy, err)
	}
	if n, err := s.Indexed(t.Context()); err != nil || n.Behind != 1 {
		t.Errorf("%+v, %v; want one event behind", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	index(t, s)
	if got := find(t, s, "word"); got != "" {
		t.Errorf("found %q, which is erased", got)
	}
}

// The index is filled by the configuration of the node that started last; another
// one is told, and readers take it from the database.
func TestNodesShareOneIndex(t *testing.T) {
	url := pgtest.Database(t)
	old := open(t, url, postgres.Options{MaxConns: 6, Search: &hook.Search{Words: true}})
	recordText(t, old, "a", "Word one")
	index(t, old)
	node := open(t, url, postgres.Options{MaxConns: 6, Search: &hook.Search{Words: true, Paths: []string{"text"}}})
	index(t, node)
	if _, err := old.IndexWords(t.Context()); !errors.Is(err, sqlstore.ErrOtherLexicon) {
		t.Errorf("a node of another configuration: %v", err)
	}
	r, err := postgres.OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	page, _, err := r.Events(t.Context(), hook.Filter{Path: "text", Value: "Word one"})
	if err != nil || len(page) != 1 || find(t, r, "word") != "a" {
		t.Errorf("a reader found %d events, %v", len(page), err)
	}
	off := open(t, url, postgres.Options{MaxConns: 6, Search: &hook.Search{}})
	index(t, off)
	var rows int
	if err := dial(t, url).QueryRow(t.Context(), `SELECT count(*) FROM hookkeeper.event_words`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("switched off, %d rows are left, %v", rows, err)
	}
	if _, _, err := off.Events(t.Context(), hook.Filter{Words: "word"}); !errors.Is(err, hook.ErrBadFilter) {
		t.Errorf("a search without an index: %v", err)
	}
}
