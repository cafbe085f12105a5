// Package sqlstore is the SQL of the event log, the queue and their history,
// written once for every engine. It promises what the roles in package hook
// promise, given an engine that runs its functions one transaction at a time
// and commits durably; it opens no connection, starts no goroutine and
// looks into bodies only where they are searched. Where the engine gave it keys, bodies and headers are sealed
// before they are stored and opened when they are read, in here and nowhere else.
//
// An engine holds a [Core], begins a transaction, calls one of the functions
// that take a [Tx], and commits. What is true if the process dies stands at
// each durable step. DESIGN.md tells how lines of a subject work.
package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// Tx is a transaction or a connection of the engine.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// MaxConflicts is how many deliveries with other bytes are kept for one key;
// beyond it they are only counted.
const MaxConflicts = 8

// MaxErrorBytes is the limit to which the cause of an attempt is cut.
const MaxErrorBytes = 4 << 10

// SameBodyWindow is how long an equal body under another unsigned key counts as
// a copy.
const SameBodyWindow = 90 * 24 * time.Hour

// HoldTime is how long a job that is retried may hold its line back.
const HoldTime = time.Minute

// BacklogAge is the age from which an open job counts as backlog: live work is
// claimed first.
const BacklogAge = time.Minute

// Core holds what the statements need besides a transaction.
type Core struct {
	// fixed after Open
	Clock func() time.Time
	Many  bool // every Tx is a Many, and the database PostgreSQL
	// SearchTime is how long a search of bodies goes on for one page; default 150 ms.
	SearchTime time.Duration

	dbID [5]byte
	ring *seal.Ring // seals what is recorded; nil: encryption is off

	// owned by the engine's writer
	numbers    sequence // claim, end and making of jobs, in commit order
	lastSeq    int64
	lastHour   int64
	markedHour int64 // by the transaction that is open; 0: none
	aged       int64 // jobs up to this id count as backlog already
	again      struct {
		class string
		seq   int64
	} // the event kept back that retention has looked at last

	mu        sync.Mutex
	stale     map[string]int64     // guarded by mu
	takenOver map[string]int64     // guarded by mu
	lastEvent map[string]time.Time // guarded by mu

	words  atomic.Pointer[WordIndex] // nil: bodies are not searched
	routes atomic.Pointer[[]hook.Route]
	claims atomic.Int64 // counted to give the backlog its turn
}

// NewCore returns a Core that reads the time from clock.
func NewCore(clock func() time.Time) *Core {
	c := &Core{
		Clock: clock, SearchTime: searchTime,
		stale:     map[string]int64{},
		takenOver: map[string]int64{},
		lastEvent: map[string]time.Time{},
	}
	c.routes.Store(&[]hook.Route{})
	return c
}

// Load reads what Core keeps in memory. The engine calls it once, inside the
// first writing transaction after the migrations.
func (c *Core) Load(ctx context.Context, tx Tx) error {
	if err := c.loadID(ctx, tx); err != nil {
		return err
	}
	if !c.Many {
		if err := c.loadLast(ctx, tx); err != nil {
			return err
		}
	}
	if err := c.loadRoutes(ctx, tx); err != nil {
		return err
	}
	return c.loadLastEvents(ctx, tx)
}

// loadLast reads what a single writer counts on from.
func (c *Core) loadLast(ctx context.Context, tx Tx) error {
	row := tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM event_keys`)
	if err := row.Scan(&c.lastSeq); err != nil {
		return fmt.Errorf("read last event: %w", err)
	}
	row = tx.QueryRowContext(ctx, `SELECT coalesce(max(hour), 0) FROM hours`)
	if err := row.Scan(&c.lastHour); err != nil {
		return fmt.Errorf("read last hour: %w", err)
	}
	return nil
}

func (c *Core) loadID(ctx context.Context, tx Tx) error {
	var id []byte
	row := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'database'`)
	if err := row.Scan(&id); err != nil || len(id) != len(c.dbID) {
		return fmt.Errorf("read the database's id: %v (%d bytes)", err, len(id))
	}
	copy(c.dbID[:], id)
	return nil
}

// loadLastEvents looks at the newest events only: a source that has been silent
// for longer than a thousand events shows no time until it speaks again.
func (c *Core) loadLastEvents(ctx context.Context, tx Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT source, max(received_at)
		FROM (SELECT source, received_at FROM event_keys ORDER BY seq DESC LIMIT 1000) AS newest GROUP BY source`)
	if err != nil {
		return fmt.Errorf("read last events: %w", err)
	}
	defer rows.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for rows.Next() {
		var source string
		var at int64
		if err := rows.Scan(&source, &at); err != nil {
			return err
		}
		if t := fromMicros(at); t.After(c.lastEvent[source]) {
			c.lastEvent[source] = t
		}
	}
	return rows.Err()
}

// now is the store's clock in microseconds.
func (c *Core) now(tx Tx) int64 {
	if m, ok := tx.(Many); ok {
		return m.Now()
	}
	return c.Clock().UnixMicro()
}

func (c *Core) count(m map[string]int64, handler string) {
	c.mu.Lock()
	m[handler]++
	c.mu.Unlock()
}

// sequence hands out numbers in commit order. Blocks of them are reserved on
// disk before the first one is used, so that no number is given twice after a
// crash; a crash leaves a gap.
type sequence struct{ next, end int64 }

const sequenceBlock = 1 << 20

// NumbersLow reports whether the engine should reserve numbers before the next
// transaction.
func (c *Core) NumbersLow() bool { return c.numbers.end-c.numbers.next < sequenceBlock/2 }

// ReserveNumbers writes the reservation of another block. The engine runs it in
// a transaction of its own and calls adopt after the commit: were numbers used
// whose reservation was rolled back, a crash would let them be given again.
func (c *Core) ReserveNumbers(ctx context.Context, tx Tx) (adopt func(), err error) {
	row := tx.QueryRowContext(ctx, `INSERT INTO meta (name, value) VALUES ('numbers', $1)
		ON CONFLICT (name) DO UPDATE SET value = value + $1 RETURNING value`, sequenceBlock)
	var end int64
	if err := row.Scan(&end); err != nil {
		return nil, fmt.Errorf("reserve numbers: %w", err)
	}
	return func() { c.numbers = sequence{next: end - sequenceBlock + 1, end: end} }, nil
}

// draw returns the first of n consecutive numbers.
func (s *sequence) draw(n int) (int64, error) {
	if s.next+int64(n) > s.end {
		return 0, fmt.Errorf("draw %d numbers: none reserved", n)
	}
	first := s.next
	s.next += int64(n)
	return first, nil
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func timePtr(us sql.NullInt64) *time.Time {
	if !us.Valid || us.Int64 == 0 {
		return nil
	}
	t := fromMicros(us.Int64)
	return &t
}

// values writes "(?,?),(?,?)" for rows rows of cols columns. Statements either
// number their placeholders or, where they are long, leave them all unnumbered:
// SQLite looks up numbered ones by name, one after the other.
func values(rows, cols int) string {
	row := "(" + strings.Repeat("?,", max(cols-1, 0)) + "?)"
	return strings.Repeat(row+",", rows-1) + row
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
