package bench_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// A chart is XML that a browser reads, with a curve for each line that stays
// within the picture and rises.
func TestChart(t *testing.T) {
	var b bytes.Buffer
	err := bench.Chart(&b, "a <title>", []bench.Line{
		{Name: "short & long", Points: []bench.Point{{0, time.Microsecond}, {0.5, time.Millisecond}, {0.99, time.Second}, {0.9999999, time.Hour}}},
		{Name: "empty"},
	})
	if err != nil {
		t.Fatal(err)
	}
	curves, last := 0, math.Inf(1)
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "polyline" {
			continue
		}
		curves++
		for _, a := range start.Attr {
			if a.Name.Local != "points" {
				continue
			}
			for point := range strings.FieldsSeq(a.Value) {
				var x, y float64
				if _, err := fmt.Sscanf(point, "%f,%f", &x, &y); err != nil || x < 0 || x > 860 || y < 0 || y > 460 || y > last {
					t.Errorf("point %s: %v", point, err)
				}
				last = y
			}
		}
	}
	if curves != 2 {
		t.Errorf("%d curves, want 2", curves)
	}
}

// A seeded file is one that the engine opens: its rows are found, nothing is open,
// and new events go in behind them.
func TestSeedSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hk.db")
	store, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	const n = 10_100 // more than one chunk
	var seen []int
	if err := bench.SeedSQLite(t.Context(), path, n, func(done int) { seen = append(seen, done) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[1] != n {
		t.Errorf("progress %v", seen)
	}
	if store, err = sqlite.Open(path, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	checkSeeded(t, store, n)
}

// checkSeeded also wants the ledger to be right and a new event to be recorded.
func checkSeeded(t *testing.T, store hook.Store, n int) {
	t.Helper()
	var keys, events, bodies, size int
	err := store.View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM event_keys), (SELECT count(*) FROM events),
			(SELECT count(*) FROM bodies), (SELECT sum(length(body)) / count(*) FROM bodies)`).Scan(&keys, &events, &bodies, &size)
	})
	if err != nil || keys != n || events != n || bodies != n || size < 290 || size > 310 {
		t.Fatalf("%d keys, %d events, %d bodies of %d bytes, want %d of 300: %v", keys, events, bodies, size, n, err)
	}
	r, err := store.Record(t.Context(), hook.Delivery{Source: "stripe", Body: []byte(`{}`), ReceivedAt: time.Now()},
		hook.Identity{Key: "evt_new", Type: "t", Mode: "test", Trust: hook.TrustSignature}, nil)
	if err != nil || r.Duplicate {
		t.Fatalf("a new event: %+v, %v", r, err)
	}
	report, err := store.Sweep(t.Context(), hook.SweepRules{Ledger: true})
	if err != nil || report.Imbalance != 0 {
		t.Errorf("sweep: %+v, %v", report, err)
	}
	page, _, err := store.Events(t.Context(), hook.Filter{Limit: 3})
	if err != nil || len(page) != 3 || page[0].Key != "evt_new" || page[1].State != hook.StateNoHandler {
		t.Errorf("newest events: %+v, %v", page, err)
	}
}

// Without the right to make groups everything stays where it is, and the reason
// is given.
func TestGroups(t *testing.T) {
	g, err := bench.NewGroupsAt(filepath.Join(t.TempDir(), "nothing"))
	if err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("no such tree: %v", err)
	}
	if err := errors.Join(g.Put("server", os.Getpid()), g.Close()); err != nil {
		t.Errorf("no groups can be used all the same: %v", err)
	}
	// A tree with the files of version 2, which a kernel would fill in.
	root := t.TempDir()
	for _, name := range []string{"cgroup.procs", "cgroup.subtree_control"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if g, err = bench.NewGroupsAt(root); err != nil {
		t.Fatal(err)
	}
	control, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if err != nil || string(control) != "+cpu" {
		t.Errorf("the CPU is not passed on: %q, %v", control, err)
	}
	if made, err := filepath.Glob(filepath.Join(root, "hookkeeper-bench-*")); err != nil || len(made) != 1 {
		t.Errorf("groups %v, %v", made, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if made, _ := filepath.Glob(filepath.Join(root, "hookkeeper-bench-*")); len(made) != 0 {
		t.Errorf("left behind: %v", made)
	}
}
