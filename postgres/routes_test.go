package postgres_test

import (
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// A node that brings a new route waits for the lock of the routes, and meanwhile
// another one records an event that it does not know to be wanted. Either it counts as
// received before the route, or its number is among those that are looked at again.
func TestAnEventBetweenTheBeginAndTheWriteOfARoute(t *testing.T) {
	url := pgtest.Database(t)
	receiver, worker := open(t, url, postgres.Options{}), open(t, url, postgres.Options{})
	conn := dial(t, url)
	execute(t, conn, `SELECT pg_advisory_lock($1)`, sqlstore.LockKeys("routes")[0])
	written := make(chan error, 1)
	go func() { written <- worker.SetRoutes(t.Context(), []hook.Route{{Name: "h"}}) }()
	until(t, "the worker waits for the lock", func() (waits bool) {
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
		return err == nil && waits
	})
	mustRecord(t, receiver, "between", "")
	execute(t, conn, `SELECT pg_advisory_unlock($1)`, sqlstore.LockKeys("routes")[0])
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	var since, filled, received, seq int64
	err := conn.QueryRow(t.Context(), `SELECT r.since, r.filled_seq, k.received_at, k.seq
		FROM hookkeeper.routes r, hookkeeper.event_keys k WHERE r.name = 'h' AND k.key = 'between'`).Scan(&since, &filled, &received, &seq)
	if err != nil {
		t.Fatal(err)
	}
	if received >= since && seq <= filled {
		t.Errorf("the event was received %d µs after the route, has number %d, and only those above %d are looked at", received-since, seq, filled)
	}
}
