package cluster_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
)

func started(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context())
	if errors.Is(err, cluster.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// answers asks the server for the count of a table of one row.
func answers(ctx context.Context, url string) (n int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background()) // nothing hangs on how it ends
	err = conn.QueryRow(ctx, `SELECT count(*) FROM kept`).Scan(&n)
	return n, err
}

func TestStoppedAndFrozen(t *testing.T) {
	c := started(t)
	d, err := cluster.Own(t.Context(), c.URL("postgres"), "test")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 1`); err != nil {
		t.Fatal(err)
	}
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(short, `SELECT 1`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an open connection to a frozen server: %v", err)
	}
	if _, err := answers(short, d.URL()); err == nil {
		t.Error("a frozen server takes a new connection")
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	if n, err := answers(t.Context(), d.URL()); n != 1 || err != nil {
		t.Errorf("after the thaw: %d, %v", n, err)
	}
	if err := c.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	if _, err := answers(t.Context(), d.URL()); err == nil {
		t.Error("a stopped server answers")
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := answers(t.Context(), d.URL()); n != 1 || err != nil {
		t.Errorf("after the restart: %d, %v", n, err)
	}
	if n, err := c.Deadlocks(); n != 0 || err != nil {
		t.Errorf("%d deadlocks, %v", n, err)
	}
	if err := d.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := answers(t.Context(), d.URL()); err == nil {
		t.Error("a dropped database answers")
	}
}
