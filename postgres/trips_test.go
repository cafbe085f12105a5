package postgres_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// turns counts how often a server has answered.
type turns struct {
	net.Conn
	asked atomic.Bool
	n     *atomic.Int64 // of all connections
}

func (c *turns) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *turns) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.asked.Swap(false) {
		c.n.Add(1)
	}
	return n, err
}

// table makes the table fx.
func table(t *testing.T, s *postgres.Store, columns string) {
	t.Helper()
	err := s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE fx (`+columns+`)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A database may be far away: the begin goes out with the first statement, and the
// commit with the last one.
func TestTwoRoundTrips(t *testing.T) {
	var trips atomic.Int64
	_, address := through(t, pgtest.Database(t), func(server net.Conn) net.Conn { return &turns{Conn: server, n: &trips} })
	s := open(t, address, postgres.Options{MaxConns: 4})
	table(t, s, "event TEXT")
	work := func(round int) (recorded, ended int64) {
		n := trips.Load()
		mustRecord(t, s, fmt.Sprint("k", round), "", "h")
		recorded = trips.Load() - n
		jobs := claim(t, s, 10, time.Minute)
		if len(jobs) != 1 {
			t.Fatalf("claimed %d jobs, want 1", len(jobs))
		}
		jobs[0].Batch = true
		n = trips.Load()
		err := s.Finish(t.Context(), jobs[0], func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO fx (event) VALUES ($1)`, strings.ToUpper(jobs[0].Event.Key))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return recorded, trips.Load() - n
	}
	// Each connection asks once for the types of a statement's parameters; then the
	// fewest trips are what it takes.
	recorded, ended := work(0)
	for round := 1; round < 16; round++ {
		r, e := work(round)
		recorded, ended = min(recorded, r), min(ended, e)
	}
	if recorded != 2 || ended != 2 {
		t.Errorf("a delivery was recorded in %d round trips, a job of a Batch route ended in %d; want 2 each", recorded, ended)
	}
}

// Connections that have died in the pool without a word, as behind a pooler or a
// firewall, cost no delivery: nothing had begun on them.
func TestDeadConnectionsCostNothing(t *testing.T) {
	proxy, address := through(t, pgtest.Database(t), nil)
	s := open(t, address, postgres.Options{MaxConns: 6})
	mustRecord(t, s, "before", "", "h")
	claim(t, s, 10, time.Minute)
	proxy.Break()
	if r := mustRecord(t, s, "after", "", "h"); r.Duplicate {
		t.Errorf("recorded twice: %+v", r)
	}
	proxy.Break()
	if jobs := claim(t, s, 10, time.Minute); len(jobs) != 1 || jobs[0].Event.Key != "after" {
		t.Errorf("claimed %d jobs, want that of the delivery after", len(jobs))
	}
}

// An effect that asks what a statement did has those before it sent, and hears of its
// own. One that fails, be it by a value that does not fit, keeps nobody else's.
func TestEffectsHearOfTheirOwn(t *testing.T) {
	address := pgtest.Database(t)
	s := open(t, address, postgres.Options{MaxConns: 4})
	table(t, s, "event TEXT, n INTEGER UNIQUE")
	var changed [4]int64
	effect := func(i int, n any, ask bool) hook.Effect {
		return func(ctx context.Context, tx hook.Tx) error {
			result, err := tx.ExecContext(ctx, `INSERT INTO fx (event, n) SELECT 'e', $1 WHERE $1 < 9`, n)
			if err == nil && ask {
				changed[i], err = result.RowsAffected()
			}
			return err
		}
	}
	for i := range changed {
		mustRecord(t, s, fmt.Sprint("k", i), "", "h")
	}
	jobs := claim(t, s, len(changed), time.Minute)
	ask := []hook.Effect{effect(0, 1, true), effect(1, 10, true), effect(2, 2, false), effect(3, 3, true)}
	if _, err := s.FinishTogether(t.Context(), jobs, ask); err != nil || changed != [4]int64{1, 0, 0, 1} {
		t.Errorf("heard of %v rows, want 1, 0, not asked, 1 (%v)", changed, err)
	}
	for name, bad := range map[string]any{"refused by the server": 1, "refused by the driver": "one"} {
		ends := make(chan error, 2)
		mustRecord(t, s, name+" a", "", "h")
		mustRecord(t, s, name+" b", "", "h")
		jobs := claim(t, s, 2, time.Minute)
		for i, n := range []any{bad, nil} {
			jobs[i].Batch = true
			go func() { ends <- s.Finish(t.Context(), jobs[i], effect(0, n, false)) }()
		}
		if one, other := <-ends, <-ends; (one == nil) == (other == nil) {
			t.Errorf("%s: the ends are %v and %v, want one error", name, one, other)
		}
	}
}
