package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// errUnknown is inside the error of a transaction whose COMMIT was sent and never
// answered: it may stand.
var errUnknown = errors.New("the outcome of the commit is unknown")

// errRolledBack is inside the error of a transaction that the server ended with a
// rollback although it was told to commit: an error in it was kept quiet.
var errRolledBack = errors.New("the transaction was rolled back: a statement in it had failed")

// transact runs f in one transaction. After an error nothing of it exists, except
// that errUnknown leaves it open. ctx bounds all of it. Connections that have died in
// the pool, as after a restart of the server, are thrown away until one answers to the
// begin; if that comes late f runs once for each, and never again once it has begun.
func (s *Store) transact(ctx context.Context, db *sql.DB, t transaction, f func(ctx context.Context, tx *unit) error) error {
	for tries := 0; ; tries++ {
		err := s.transactOnce(ctx, db, t, f)
		if _, dead := errors.AsType[unbegun](err); !dead || !stale(err) || tries > db.Stats().MaxOpenConnections || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) transactOnce(ctx context.Context, db *sql.DB, t transaction, f func(ctx context.Context, tx *unit) error) error {
	tx, err := s.begin(ctx, db, t)
	if err != nil {
		return err
	}
	if err := f(ctx, tx); err != nil {
		tx.rollback(ctx)
		return err
	}
	return tx.commit(ctx)
}

// unit is one transaction. Its own methods run our statements, whose types follow
// from their arguments; effects go through a guard.
type unit struct {
	store  *Store
	conn   *sql.Conn
	script bool
	late   *transaction // what First begins; nil once it has begun
	last   pgx.Batch    // goes out with the COMMIT, or before the next statement
	now    int64
	slot   int64
	answer [][][]byte // to transaction.first: rows of columns, as text
}

var (
	_ sqlstore.Tx   = (*unit)(nil)
	_ sqlstore.Many = (*unit)(nil)
)

// raw runs text, which may be several statements, by the simple protocol.
func (u *unit) raw(ctx context.Context, text string) (results []*pgconn.Result, err error) {
	errRaw := u.conn.Raw(func(dc any) error {
		pc := dc.(*stdlib.Conn).Conn().PgConn()
		results, err = pc.Exec(ctx, text).ReadAll()
		if err != nil && pc.IsClosed() {
			return driver.ErrBadConn // the pool throws it away
		}
		return nil
	})
	if err == nil && errRaw != nil {
		err = errRaw
	}
	return results, err
}

// commit ends the transaction. If the process dies in here, either all of it
// stands or nothing, and nobody has been told.
func (u *unit) commit(ctx context.Context) error {
	tag, err := u.sendCommit(ctx)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		u.rollback(ctx) // what went out with the COMMIT failed, and the server passed it by
		return fmt.Errorf("commit: %w", err)
	}
	_ = u.conn.Close()
	if err != nil {
		return fmt.Errorf("commit: %w: %w", errUnknown, err)
	}
	if tag.String() != "COMMIT" {
		return errRolledBack
	}
	return nil
}

// sendCommit sends what waits and COMMIT in one round trip. If a statement that
// waited fails, the server skips the COMMIT.
func (u *unit) sendCommit(ctx context.Context) (tag pgconn.CommandTag, err error) {
	if u.last.Len() == 0 {
		results, err := u.raw(ctx, "COMMIT")
		if err != nil {
			return tag, err
		}
		return results[0].CommandTag, nil
	}
	u.last.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error {
		tag = t
		return nil
	})
	return tag, u.flush(ctx)
}

// flush sends what waits.
func (u *unit) flush(ctx context.Context) error { return flush(ctx, u.conn, &u.last) }

// Last implements sqlstore.Many.
func (u *unit) Last(_ context.Context, answer func(bool), query string, args ...any) error {
	queued := u.last.Queue(u.store.texts.get(query), ours(args)[1:]...)
	if answer == nil {
		return nil
	}
	queued.QueryRow(func(row pgx.Row) error {
		var yes bool
		err := row.Scan(&yes)
		if err == nil {
			answer(yes)
		}
		return err
	})
	return nil
}

// open says that the connection has a transaction, be it one that has failed.
func (u *unit) open() (yes bool) {
	_ = u.conn.Raw(func(dc any) error {
		yes = dc.(*stdlib.Conn).Conn().PgConn().TxStatus() != 'I'
		return nil
	})
	return yes
}

// rollback may fail with the connection; then the server rolls back by itself.
func (u *unit) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if u.open() {
		_, _ = u.raw(ctx, "ROLLBACK")
	}
	_ = u.conn.Close() // with a transaction still open the pool throws it away
}

// Now implements sqlstore.Many.
func (u *unit) Now() int64 { return u.now }

// Slot implements sqlstore.Many: a backend has one transaction at a time.
func (u *unit) Slot() int64 { return u.slot }

// Draw implements sqlstore.Many.
func (u *unit) Draw(ctx context.Context, sequence string, n int) ([]int64, error) {
	list := make([]int64, 0, n)
	if n == 0 {
		return list, nil
	}
	rows, err := u.QueryContext(ctx, `SELECT nextval('`+sequence+`') FROM generate_series(1, $1)`, int64(n))
	if err != nil {
		return nil, fmt.Errorf("draw numbers: %w", err)
	}
	defer rows.Close()
	base := int64(0)
	if sequence == sqlstore.SequenceEvents {
		base = sqlstore.SeqAt(u.now)
	}
	for rows.Next() {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return nil, fmt.Errorf("draw numbers: %w", err)
		}
		list = append(list, base+number)
	}
	return list, rows.Err()
}

// Lock implements sqlstore.Many, in an order that is the same everywhere.
func (u *unit) Lock(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	if _, err := u.ExecContext(ctx, `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k`, sqlstore.LockKeys(names...)); err != nil {
		return fmt.Errorf("lock lines: %w", err)
	}
	return nil
}

// TryLock implements sqlstore.Many.
func (u *unit) TryLock(ctx context.Context, name string) (mine bool, err error) {
	err = u.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sqlstore.LockKeys(name)[0]).Scan(&mine)
	return mine, err
}

func (u *unit) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if u.script && len(args) == 0 {
		return u.conn.ExecContext(ctx, query, pgx.QueryExecModeSimpleProtocol)
	}
	if err := u.flush(ctx); err != nil {
		return nil, err
	}
	return u.conn.ExecContext(ctx, u.store.texts.get(query), ours(args)...)
}

func (u *unit) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := u.flush(ctx); err != nil {
		return nil, err
	}
	return u.conn.QueryContext(ctx, u.store.texts.get(query), ours(args)...)
}

func (u *unit) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := u.flush(ctx); err != nil {
		return u.conn.QueryRowContext(sqlstore.Refusal(ctx, err), `SELECT 1`)
	}
	return u.conn.QueryRowContext(ctx, u.store.texts.get(query), ours(args)...)
}

// ours puts the way to run a statement before its arguments: in one round trip,
// nothing prepared. Only those with lists ask for the types once and keep the
// answer: otherwise lists would go as text, bytes in hexadecimal, which costs more
// than all the rest. Texts of others, such as an error of a handler, may hold what
// this database's text cannot.
func ours(args []any) []any {
	out := make([]any, 0, len(args)+1)
	out = append(out, pgx.QueryExecModeExec)
	for _, a := range args {
		switch v := a.(type) {
		case string:
			a = clean(v)
		case []int64, []string, [][]byte, []*int64:
			out[0] = pgx.QueryExecModeCacheDescribe
		case []*string:
			out[0] = pgx.QueryExecModeCacheDescribe
			for _, text := range v {
				if text != nil {
					*text = clean(*text)
				}
			}
		}
		out = append(out, a)
	}
	return out
}

func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\u2400")
}

// texts keeps our statements in this database's spelling.
type texts struct{ known sync.Map }

func (t *texts) get(query string) string {
	if text, ok := t.known.Load(query); ok {
		return text.(string)
	}
	text := spell(query)
	t.known.Store(query, text)
	return text
}

// spell numbers placeholders that have no number, and leaves out the names of
// indexes, which this database finds by itself.
func spell(query string) string {
	var b strings.Builder
	n := 0
	for query != "" {
		i := strings.IndexAny(query, "?' ")
		if i < 0 {
			break
		}
		b.WriteString(query[:i])
		query = query[i:]
		switch {
		case query[0] == '?':
			n++
			b.WriteString("$" + strconv.Itoa(n))
			query = query[1:]
		case query[0] == '\'':
			end := strings.IndexByte(query[1:], '\'') + 2
			b.WriteString(query[:end])
			query = query[end:]
		case strings.HasPrefix(query, " INDEXED BY "):
			query = query[len(" INDEXED BY "):]
			query = strings.TrimLeft(query, "abcdefghijklmnopqrstuvwxyz_")
		default:
			b.WriteByte(' ')
			query = query[1:]
		}
	}
	b.WriteString(query)
	return b.String()
}
