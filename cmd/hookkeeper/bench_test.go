package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
)

// TestBench runs the built binary, whose servers are processes of their own.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector; it runs without")
	}
	binary := filepath.Join(t.TempDir(), "hookkeeper")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for name, f := range map[string]func(*testing.T, string){
		"RunsItsPlan": benchRunsItsPlan, "WithEventsStored": benchWithEventsStored, "OnPostgres": benchOnPostgres,
	} {
		t.Run(name, func(t *testing.T) { f(t, binary) })
	}
}

// benchLines runs the built bench, which fails if anything acknowledged is not
// found, and gives what it measured.
func benchLines(t *testing.T, binary string, args ...string) []benchLine {
	t.Helper()
	args = append([]string{"bench", "--json", "--runs", "1", "--events", "1000", "--connections", "8", "--rate", "400", "--seconds", "1"}, args...)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s%s", args, err, out, complaint.String())
	}
	var lines []benchLine
	for text := range strings.Lines(string(out)) {
		var l benchLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if l.Rate <= 0 || l.Limit <= 0 || l.P99 < l.P50 || l.P999 < l.P99 || l.MemoryMiB <= 0 || l.Missing != 0 {
			t.Errorf("line %s", text)
		}
		lines = append(lines, l)
	}
	return lines
}

// The whole plan runs with few deliveries: every line is there, nothing was refused, what was acknowledged was found, and nothing stays.
func benchRunsItsPlan(t *testing.T, binary string) {
	folder := t.TempDir()
	chart := filepath.Join(t.TempDir(), "chart.svg")
	lines := benchLines(t, binary, "--database", folder, "--svg", chart, "--bad-signatures", "5%")
	plan := (&benchCmd{}).plan()
	if len(lines) != len(plan) {
		t.Fatalf("%d lines, want %d", len(lines), len(plan))
	}
	for i, l := range lines {
		if l.Name != plan[i].name || l.Database != "sqlite" || l.Nodes != 1 || (l.FsyncP99 > 0) != plan[i].open {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	f, err := os.Open(chart)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	curves := 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			curves++
		}
	}
	if curves != len(plan)+1 {
		t.Errorf("the chart has %d curves, want %d", curves, len(plan)+1)
	}
}

func benchWithEventsStored(t *testing.T, binary string) {
	lines := benchLines(t, binary, "--stored", "2k", "--duplicates", "30%")
	if len(lines) != 1 || lines[0].Stored != 2000 || lines[0].Empty <= 0 || lines[0].OfEmpty <= 0 {
		t.Errorf("%+v", lines)
	}
}

// Several nodes share a database of the server that is named, and afterwards the
// server has no other databases than before.
func benchOnPostgres(t *testing.T, binary string) {
	url := pgtest.Cluster(t).URL("postgres")
	before := databases(t, url)
	lines := benchLines(t, binary, "--database", url, "--nodes", "2", "--duplicates", "0.3", "--bad-signatures", "1%")
	if len(lines) != 5 {
		t.Errorf("%d lines, want 5: with duplicates everywhere there is none of its own", len(lines))
	}
	for _, l := range lines {
		if l.Database != "postgres" || l.Nodes != 2 {
			t.Errorf("%+v", l)
		}
	}
	if after := databases(t, url); after != before {
		t.Errorf("databases before: %s, after: %s", before, after)
	}
}

func databases(t *testing.T, url string) (names string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRowContext(t.Context(), `SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A server that answers 200 and keeps nothing is found out, and so is a worker that
// leaves its work undone.
func TestBenchFindsWhatAStoreLost(t *testing.T) {
	place, err := newBenchPlace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	database, err := place.fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	liar := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer liar.Close()
	check := func(deliveries int, m measurement) error {
		load, err := bench.Prepare(bench.Mix{Secret: benchSecret, Deliveries: deliveries}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r, err := bench.Closed(t.Context(), []string{strings.TrimPrefix(liar.URL, "http://")}, 2, load)
		if err != nil {
			t.Fatal(err)
		}
		return database.check(t.Context(), m, r, load, 0)
	}
	if err := check(20, measurement{}); err == nil || !strings.Contains(err.Error(), "20 of 20 acknowledged events were not found") {
		t.Errorf("nothing was kept: %v", err)
	}
	if err := check(0, measurement{}); err != nil {
		t.Errorf("nothing was acknowledged: %v", err)
	}
	err = database.with(t.Context(), func(store hook.Store) error {
		return store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO bench_effects (event, handler) VALUES ('a', 'h')`)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := check(0, measurement{work: true, handlers: 1}); err == nil || !strings.Contains(err.Error(), "1 effects of 1 different jobs, want 0") {
		t.Errorf("an effect of nothing: %v", err)
	}
	if err := errors.Join(database.drop(), place.close()); err != nil {
		t.Error(err)
	}
}

func TestBenchRefusesWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--events 10", "--events is at least 1000"},
		{"--nodes 2", "only a PostgreSQL database has several nodes"},
		{"--duplicates 130%", "no share"},
		{"--duplicates half", "no share"},
		{"--duplicates 60% --bad-signatures 40%", "less than 10% of fresh events"},
		{"--stored many", "no number of events"},
		{"--stored 9999999m", "no number of events"},
		{"--database mysql://u:pw@h/d", "want sqlite:PATH or postgres://"},
		{"--database /no/such/folder", "want a folder on the disk to measure"},
	} {
		var stdout, stderr strings.Builder
		none := func(string) (string, bool) { return "", false }
		code := run(t.Context(), append([]string{"bench"}, strings.Fields(c.args)...), none, strings.NewReader(""), &stdout, &stderr)
		if code == exitDone || !strings.Contains(stderr.String(), c.want) || strings.Contains(stderr.String(), "pw") || stdout.Len() > 0 {
			t.Errorf("%s: code %d, %q", c.args, code, stderr.String())
		}
	}
}

func TestAmountsAndSharesAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]amount{"0": 0, "500": 500, "20k": 20_000, "1m": 1_000_000, "10M": 10_000_000} {
		var n amount
		if err := n.UnmarshalText([]byte(text)); err != nil || n != want || n.String() != strings.ToLower(text) {
			t.Errorf("%s: %d, %s, %v", text, n, n, err)
		}
	}
	for text, want := range map[string]percent{"0": 0, "30%": 0.3, "0.3": 0.3, "1%": 0.01} {
		var p percent
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%s: %f, %v", text, p, err)
		}
	}
}
