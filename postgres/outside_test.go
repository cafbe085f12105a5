package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dial opens a connection beside the stores, as a person or another program has.
func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// holdCounters keeps transactions that have written their events from committing,
// for a moment, again and again.
func holdCounters(ctx context.Context, t *testing.T, url string) {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		_, err := conn.Exec(context.Background(), `BEGIN; LOCK TABLE hookkeeper.counters IN SHARE MODE`)
		if err != nil {
			t.Error(err)
			return
		}
		<-tick.C
		if _, err := conn.Exec(context.Background(), `COMMIT`); err != nil {
			t.Error(err)
			return
		}
		<-tick.C
	}
}
