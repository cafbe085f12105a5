package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// snapshot runs f in one reading transaction, and returns when all that it may have
// seen is on disk.
func (s *Store) snapshot(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	if err := snapshot(ctx, s.readers, f); err != nil {
		return err
	}
	return s.onDisk(ctx)
}

func snapshot(ctx context.Context, db *sql.DB, f func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback()
	return f(ctx, tx)
}

// Counts implements hook.Ledger.
func (s *Store) Counts(ctx context.Context) (n hook.Counts, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err = s.core.Counts(ctx, tx)
		return err
	})
	return n, err
}

// Events implements hook.Ledger.
func (s *Store) Events(ctx context.Context, f hook.Filter) (page []*hook.EventInfo, next string, err error) {
	if page, next, err = events(ctx, s.readers, s.core, f); err != nil {
		return nil, "", err
	}
	return page, next, s.onDisk(ctx)
}

// Event implements hook.Ledger.
func (s *Store) Event(ctx context.Context, id string) (d *hook.EventDetail, err error) {
	if d, err = event(ctx, s.readers, s.core, id); err != nil {
		return nil, err
	}
	return d, s.onDisk(ctx)
}

// History implements hook.Ledger.
func (s *Store) History(ctx context.Context, write func(hook.HistoryLine) error) error {
	return s.snapshot(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.core.History(ctx, tx, write) })
}

// Rejections implements hook.Ledger: those not yet on disk first.
func (s *Store) Rejections(ctx context.Context, source string, limit int) ([]*hook.Rejection, error) {
	notes := s.rejections.Waiting(source)
	if len(notes) >= limit {
		return notes[:limit], nil
	}
	kept, err := s.core.Rejections(ctx, s.readers, source, limit-len(notes))
	return append(notes, kept...), err
}

// Replay implements hook.Ledger.
func (s *Store) Replay(ctx context.Context, id string, r hook.Replay) (jobs int, err error) {
	err = s.submit(ctx, false, func(ctx context.Context, tx *unit) (err error) {
		jobs, err = s.core.Replay(ctx, tx, id, r)
		return err
	})
	return jobs, err
}

// Discard implements hook.Ledger.
func (s *Store) Discard(ctx context.Context, id, handler, actor, reason string) error {
	return s.submit(ctx, false, func(ctx context.Context, tx *unit) error {
		return s.core.Discard(ctx, tx, id, handler, actor, reason)
	})
}

func events(ctx context.Context, db *sql.DB, core *sqlstore.Core, f hook.Filter) (page []*hook.EventInfo, next string, err error) {
	err = snapshot(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		page, next, err = core.Events(ctx, tx, f)
		return err
	})
	return page, next, err
}

func event(ctx context.Context, db *sql.DB, core *sqlstore.Core, id string) (d *hook.EventDetail, err error) {
	err = snapshot(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		d, err = core.Event(ctx, tx, id)
		return err
	})
	return d, err
}

// refusedFor is how long a delivery that the disk refused keeps the store from
// being ready: a probe's small write may still fit where a delivery does not.
const refusedFor = 10 * time.Second

// refusal is a delivery that could not be written for a reason that concerns
// the whole file.
type refusal struct {
	at  time.Time
	err error
}

// readiness remembers the last proof that the file can be written, so that
// probes cost at most one small commit a second.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// Ready implements hook.Store: it commits a small write, at most once a second.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.Broken(); err != nil {
		return err
	}
	if r := s.refused.Load(); r != nil && time.Since(r.at) < refusedFor {
		return fmt.Errorf("deliveries are refused: %w", r.err)
	}
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if time.Since(s.ready.at) < time.Second {
		return s.ready.err
	}
	result := make(chan error, 1)
	go func() {
		result <- s.submit(context.WithoutCancel(ctx), true, func(ctx context.Context, tx *unit) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('ready', $1)
				ON CONFLICT (name) DO UPDATE SET value = excluded.value`, s.opt.Now().UnixMicro())
			return err
		})
	}()
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	select {
	case s.ready.err = <-result:
	case <-limit.C:
		s.ready.err = errors.New("the database took no write within 2 s")
	}
	s.ready.at = time.Now()
	return s.ready.err
}

// Reader is a file opened for reading, also beside a server that runs on it.
type Reader struct {
	db   *sql.DB
	core *sqlstore.Core
	path string
	side *sideFile // nil: there is no index of words
}

var _ hook.Ledger = (*Reader)(nil)

// OpenReadOnly opens the file at path without changing it. Replay and Discard
// are refused: they need the server, or Open. Bodies and headers of an encrypted
// file can be read only with its keys.
func OpenReadOnly(path string, keys ...[]byte) (*Reader, error) {
	db, err := openReaders(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{db: db, core: sqlstore.NewCore(time.Now), path: path}
	err = r.core.UseKeys(keys)
	if err == nil {
		err = r.check(context.Background())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	r.openSide(context.Background())
	return r, nil
}

func openReaders(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Unwrap(err))
	}
	db, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(2)
	return db, nil
}

func (r *Reader) check(ctx context.Context) error {
	version, err := schemaVersion(ctx, r.db)
	if err != nil {
		return err
	}
	missing, err := sqlstore.Pending("sqlite", version)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("schema %d lacks %d steps: run hookkeeper migrate up", version, len(missing))
	}
	if err := r.core.Load(ctx, r.db); err != nil || !r.core.Encrypts() {
		return err // without a key all but bodies and headers can be read
	}
	return r.core.CheckKeys(ctx, r.db)
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.side == nil {
		return r.db.Close()
	}
	return errors.Join(r.side.close(), r.db.Close())
}

// View implements hook.Viewer, also beside a running server.
func (r *Reader) View(ctx context.Context, read func(ctx context.Context, tx hook.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return read(hook.WithSealer(ctx, r.core.Sealer()), tx)
}

// Counts implements hook.Ledger.
func (r *Reader) Counts(ctx context.Context) (n hook.Counts, err error) {
	err = snapshot(ctx, r.db, func(ctx context.Context, tx *sql.Tx) error {
		n, err = r.core.Counts(ctx, tx)
		return err
	})
	return n, err
}

// Events implements hook.Ledger.
func (r *Reader) Events(ctx context.Context, f hook.Filter) ([]*hook.EventInfo, string, error) {
	return events(ctx, r.db, r.core, f)
}

// Event implements hook.Ledger.
func (r *Reader) Event(ctx context.Context, id string) (*hook.EventDetail, error) {
	return event(ctx, r.db, r.core, id)
}

// History implements hook.Ledger.
func (r *Reader) History(ctx context.Context, write func(hook.HistoryLine) error) error {
	return snapshot(ctx, r.db, func(ctx context.Context, tx *sql.Tx) error { return r.core.History(ctx, tx, write) })
}

// Rejections implements hook.Ledger.
func (r *Reader) Rejections(ctx context.Context, source string, limit int) ([]*hook.Rejection, error) {
	return r.core.Rejections(ctx, r.db, source, limit)
}

// Replay refuses: the file is open for reading.
func (r *Reader) Replay(context.Context, string, hook.Replay) (int, error) { return 0, r.refuse() }

// Discard refuses: the file is open for reading.
func (r *Reader) Discard(context.Context, string, string, string, string) error { return r.refuse() }

func (r *Reader) refuse() error {
	return fmt.Errorf("%s is open for reading: %w", r.path, hook.ErrRefused)
}
