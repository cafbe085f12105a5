package postgres_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/jackc/pgx/v5"
)

func TestVault(t *testing.T) {
	hooktest.ExerciseVault(t, func(t *testing.T, clock *hooktest.Clock) hooktest.Reopen {
		url := pgtest.Database(t)
		return func(keys ...[]byte) (hook.Store, error) {
			return postgres.Open(context.Background(), url, postgres.Options{Now: clock.Now, EncryptionKeys: keys})
		}
	})
}

func reopen(url string) hooktest.Reopen {
	return func(keys ...[]byte) (hook.Store, error) {
		return postgres.Open(context.Background(), url, postgres.Options{EncryptionKeys: keys})
	}
}

// dumped gives the canaries in all rows of all tables of the database, as text.
func dumped(t *testing.T, url string) (found []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'hookkeeper' AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var text string
		if err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT coalesce(string_agg(r::text, ' '), '') FROM hookkeeper.%q r`, table)).Scan(&text); err != nil {
			t.Fatal(err)
		}
		for _, canary := range hooktest.ShownCanaries([]byte(text)) {
			found = append(found, table+": "+canary)
		}
	}
	return found
}

// No table of an encrypted database shows what it keeps; the same database without
// encryption shows it.
func TestNoTableShowsWhatIsSealed(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		var keys [][]byte
		if encrypted {
			keys = [][]byte{hooktest.EncryptionKey(1)}
		}
		url := pgtest.Database(t)
		s, err := reopen(url)(keys...)
		if err != nil {
			t.Fatal(err)
		}
		hooktest.FillCanaries(t, s, "e-")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if found := dumped(t, url); (len(found) > 0) == encrypted {
			t.Errorf("encrypted %t: the tables show %v", encrypted, found)
		}
	}
}

// A copy carries what is sealed over as it is, with its keys.
func TestCopyOfAnEncryptedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hook.db")
	from, err := sqlite.Open(path, sqlite.Options{EncryptionKeys: [][]byte{hooktest.EncryptionKey(1)}})
	if err != nil {
		t.Fatal(err)
	}
	n := hooktest.FillCanaries(t, from, "odd\xff\x00-") // keys that this database keeps otherwise
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	dump, err := sqlite.OpenDump(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	for name, keys := range map[string][][]byte{"no key": nil, "another key": {hooktest.EncryptionKey(2)}} {
		s, err := reopen(pgtest.Database(t))(keys...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.(*postgres.Store).CopyFrom(t.Context(), dump, nil); err == nil {
			t.Errorf("%s copies an encrypted file", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	url := pgtest.Database(t)
	s, err := reopen(url)(hooktest.EncryptionKey(1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.(*postgres.Store).CopyFrom(t.Context(), dump, nil); err != nil {
		t.Fatal(err)
	}
	page, _, err := s.Events(t.Context(), hook.Filter{})
	if err != nil || len(page) != n {
		t.Fatalf("%d events in the copy, %v; want %d", len(page), err, n)
	}
	for _, e := range page {
		if d, err := s.Event(t.Context(), e.ID); err != nil || len(hooktest.ShownCanaries(d.Body)) != len(hooktest.Canaries()) {
			t.Errorf("show %q in the copy: %v", e.Key, err)
		}
	}
	if found := dumped(t, url); len(found) > 0 {
		t.Errorf("the copy shows %v", found)
	}
}

// A data key that another node has begun is read before it seals.
func TestNodesShareDataKeys(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var nodes [2]*postgres.Store
	for i := range nodes {
		s, err := postgres.Open(t.Context(), url, postgres.Options{EncryptionKeys: [][]byte{hooktest.EncryptionKey(1)}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		nodes[i] = s
	}
	if _, err := nodes[0].RotateKeys(t.Context(), "me"); err != nil {
		t.Fatal(err)
	}
	hooktest.FillCanaries(t, nodes[0], "e-")
	page, _, err := nodes[1].Events(t.Context(), hook.Filter{})
	if err != nil || len(page) == 0 {
		t.Fatalf("%d events, %v", len(page), err)
	}
	for _, e := range page {
		if _, err := nodes[1].Event(t.Context(), e.ID); err != nil {
			t.Errorf("the other node: %v", err)
		}
	}
	keys, err := nodes[1].DataKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].Sealing || !keys[1].Sealing {
		t.Errorf("data keys: %+v, %v; want two, of which the first still seals", keys, err)
	}
}
