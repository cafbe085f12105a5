package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// transaction says how a transaction begins.
type transaction struct {
	snapshot bool          // reads only, all of it from one snapshot
	readOnly bool          // reads only
	lockWait time.Duration // zero: 1 s
	limit    time.Duration // of one statement; zero: 5 s
	script   bool          // statements without arguments may be several
	bare     bool          // the schema may be missing, or older than this build
	first    string        // a query that goes out with the begin; see unit.answer
	late     bool          // it begins with what unit.First is given, which comes before all else
}

// Bounds that hold for every transaction, so that none of a stuck node keeps
// others waiting for longer.
const (
	lockWait       = time.Second
	statementLimit = 5 * time.Second
	idleLimit      = 10 * time.Second // the server ends a transaction whose node has fallen silent
)

// begin is the text that begins a transaction: one round trip, everything local
// to it, and the database's clock in the answer. synchronous_commit is on whatever
// a role or a pooler says; compiling plans costs more than these statements. The
// function begin_work does the same as the text, and costs a quarter.
func (t transaction) begin() string {
	settings := "SELECT hookkeeper.begin_work('%d', '%d', '%d')"
	if t.bare {
		settings = `SELECT set_config('search_path', 'hookkeeper, public', true), set_config('jit', 'off', true),
			set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
				ELSE current_setting('synchronous_commit') END, true),
			set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true),
			set_config('idle_in_transaction_session_timeout', '%d', true),
			(extract(epoch FROM clock_timestamp()) * 1000000)::bigint || ' ' || pg_backend_pid() %% 64`
	}
	wait, limit := t.limits()
	text := t.mode() + "; " + fmt.Sprintf(settings, wait, limit, max(idleLimit.Milliseconds(), limit))
	if t.first != "" {
		text += "; " + t.first
	}
	return text
}

// queueBegin is begin for a batch of statements.
func (t transaction) queueBegin(batch *pgx.Batch, clock func(text string) error) {
	wait, limit := t.limits()
	batch.Queue(t.mode())
	batch.Queue(`SELECT hookkeeper.begin_work($1, $2, $3)`, strconv.FormatInt(wait, 10), strconv.FormatInt(limit, 10),
		strconv.FormatInt(max(idleLimit.Milliseconds(), limit), 10)).QueryRow(func(row pgx.Row) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		return clock(text)
	})
}

func (t transaction) mode() string {
	switch {
	case t.snapshot:
		return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	case t.readOnly:
		return "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
	}
	return "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" // whatever the role's default is
}

// limits are those of a lock and of a statement, in milliseconds.
func (t transaction) limits() (wait, limit int64) {
	return cmp.Or(t.lockWait, lockWait).Milliseconds(), cmp.Or(t.limit, statementLimit).Milliseconds()
}

// begin takes a connection and begins on it, or leaves that to First.
func (s *Store) begin(ctx context.Context, db *sql.DB, t transaction) (*unit, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	u := &unit{store: s, conn: conn, script: t.script}
	if t.late {
		u.late = &t
		u.settle(0, 0)
		return u, nil
	}
	if err := u.begin(ctx, t.begin()); err != nil {
		_ = conn.Close() // begin has marked it if it is not worth keeping
		return nil, fmt.Errorf("begin: %w", unbegun{err})
	}
	return u, nil
}

// unbegun is inside the error of a transaction that has not begun.
type unbegun struct{ error }

func (e unbegun) Unwrap() error { return e.error }

func (u *unit) begin(ctx context.Context, text string) error {
	results, err := u.raw(ctx, text)
	if err != nil {
		return err
	}
	row := results[1].Rows[0]
	if len(results) > 2 {
		u.answer = results[2].Rows
	}
	return u.clock(string(row[len(row)-1]))
}

// clock takes the answer to the begin.
func (u *unit) clock(text string) error {
	var now, slot int64
	if _, err := fmt.Sscan(text, &now, &slot); err != nil {
		return fmt.Errorf("read the database's clock: %w", err)
	}
	u.late = nil
	u.settle(now, slot)
	return nil
}

func (u *unit) settle(now, slot int64) {
	u.now, u.slot = now, slot
	if clock := u.store.opt.Now; clock != nil {
		u.now = clock().UnixMicro()
	}
}

// First implements sqlstore.Many.
func (u *unit) First(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) error {
	batch := &pgx.Batch{}
	if u.late != nil {
		u.late.queueBegin(batch, u.clock)
	} else if err := u.flush(ctx); err != nil {
		return err
	}
	batch.Queue(u.store.texts.get(query), ours(args)[1:]...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				return err
			}
		}
		return nil
	})
	err := flush(ctx, u.conn, batch)
	if err != nil && u.late != nil {
		return unbegun{err}
	}
	return err
}
