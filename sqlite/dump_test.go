package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func TestADumpGivesEveryRowAndKeepsServersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMicro(1_700_000_000_123_456)
	err = s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE "my rows" (n INTEGER, t TEXT, b BLOB, r REAL, at TIMESTAMP, none TEXT)`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO "my rows" VALUES ($1, $2, $3, $4, $5, NULL)`, 7, "text", []byte{0, 255}, 1.5, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.OpenDump(t.Context(), path); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("a dump beside a server: %v, want in use", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := sqlite.OpenDump(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(path, sqlite.Options{}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("a server beside a dump: %v, want in use", err)
	}
	tables, err := d.Tables(t.Context())
	if err != nil || !slices.Contains(tables, "event_keys") || !slices.Contains(tables, "my rows") ||
		slices.ContainsFunc(tables, func(name string) bool { return strings.HasPrefix(name, "sqlite_") }) {
		t.Errorf("tables %v, %v", tables, err)
	}
	var got [][]any
	for row, err := range d.Rows(t.Context(), "my rows") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, slices.Clone(row))
	}
	want := [][]any{{int64(7), "text", []byte{0, 255}, 1.5, at.UnixMicro(), nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for _, err := range d.Rows(t.Context(), "no such table") {
		if err == nil {
			t.Error("a table that is not there was read")
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if s, err = sqlite.Open(path, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
