// Package sqlite keeps the event log and the queue in one SQLite file: WAL,
// synchronous=FULL, one writer goroutine with group commit, a pool of readers.
// What it has answered nil to is on disk and survives a power cut. It refuses a
// file that another process works with, a schema newer than it knows, and
// effects that take longer than 250 ms or touch the transaction they run in.
//
// The file has companions: <file>.lock names the process that uses it, and
// <file>.search, where words of bodies are searched, can always be made anew.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	_ "modernc.org/sqlite" // the driver, registered as sqlite
)

// Options of Open; the zero value is ready for use.
type Options struct {
	// Now is the store's clock; nil is the clock of the process.
	Now func() time.Time
	// LockWait is how long Open waits for another process to let go of the
	// file, as at a restart; zero does not wait.
	LockWait time.Duration
	// EffectBudget is the longest that one effect may take; zero means 250 ms.
	EffectBudget time.Duration
	// RecordTimeout is the longest that Record waits for its commit; zero means 4.5 s.
	RecordTimeout time.Duration
	// EncryptionKeys turn encryption at rest on: 32 random bytes each, the first
	// wraps the keys that seal, the others only unwrap, while they are being
	// replaced. A file that is encrypted is not opened without its key.
	EncryptionKeys [][]byte
	// Tables of departments, brought up to date after our own.
	Tables []hook.Tables
	// Search says what of bodies can be searched, by a file of its own, <file>.search,
	// which IndexWords fills. Encrypted bodies give no words.
	Search *hook.Search
}

// DefaultEffectBudget bounds one effect: the file has one writer, and an effect
// runs on it.
const DefaultEffectBudget = 250 * time.Millisecond

// DefaultRecordTimeout leaves the door half a second of the five that a sender
// is promised.
const DefaultRecordTimeout = 4500 * time.Millisecond

var _ hook.Store = (*Store)(nil)

// Store is one open file. It is safe for concurrent use.
type Store struct {
	// fixed after Open
	path    string
	opt     Options
	core    *sqlstore.Core
	db      *sql.DB // of conn alone
	readers *sql.DB
	hot     *hotReads
	unlock  func()

	// owned by the writer goroutine
	conn       *sql.Conn
	statements *statements
	effects    *statements // of effects
	level      syncLevel   // of conn
	owed       []*op       // committed, and answered by the next sync

	records chan *sqlstore.Incoming
	ops     chan *op
	stop    chan struct{}
	stopped chan struct{}

	mu     sync.RWMutex
	closed bool // guarded by mu: nothing is sent to the writer afterwards

	ahead atomic.Pointer[chan struct{}] // closed by the next sync; nil while all is on disk

	side       *side // nil: this process takes no part in the search of bodies
	rejections sqlstore.Rejections
	broken     atomic.Pointer[error] // a failed fsync: see fatal
	ready      readiness
	refused    atomic.Pointer[refusal] // the last one; nil once a delivery was written
}

// Open opens or creates the file at path, brings its schema up to date, and
// starts the writer. Close ends it.
func Open(path string, opt Options) (*Store, error) {
	if opt.Now == nil {
		opt.Now = fault.Now
	}
	if opt.EffectBudget == 0 {
		opt.EffectBudget = DefaultEffectBudget
	}
	if opt.RecordTimeout == 0 {
		opt.RecordTimeout = DefaultRecordTimeout
	}
	if err := create(path); err != nil {
		return nil, err
	}
	unlock, err := lock(path, opt.LockWait)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, opt: opt, unlock: unlock, core: sqlstore.NewCore(opt.Now),
		records: make(chan *sqlstore.Incoming, 4096), ops: make(chan *op, 4096),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	err = s.core.UseKeys(opt.EncryptionKeys)
	if err == nil {
		err = s.start()
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// create makes the file readable by its owner alone; SQLite gives the WAL the
// same mode.
func create(path string) error {
	if dir := filepath.Dir(path); dir != "." {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("open %s: the folder %s does not exist: create it, or name another file", path, dir)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, errors.Unwrap(err))
	}
	return f.Close()
}

func (s *Store) start() (err error) {
	ctx := context.Background()
	s.db, err = sql.Open("sqlite", dsn(s.path, "_txlock=immediate", "_pragma=page_size(8192)",
		"_pragma=secure_delete(1)", // what retention and erasures remove, and what is sealed later, leaves the file
		"_pragma=journal_mode(WAL)", "_pragma=wal_autocheckpoint(8000)", cacheOf(writerCache)))
	if err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	s.readers, err = sql.Open("sqlite", dsn(s.path, "_pragma=query_only(1)", cacheOf(readerCache)))
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	s.readers.SetMaxOpenConns(readers)
	s.readers.SetMaxIdleConns(readers)
	s.hot = &hotReads{db: s.readers, prepared: map[string]*sql.Stmt{}}
	err = checkDurability(ctx, s.db)
	if err == nil {
		err = migrate(ctx, s.db)
	}
	if err == nil {
		err = migrateDepartments(ctx, s.db, s.opt.Tables)
	}
	if err == nil {
		err = s.load(ctx)
	}
	if err == nil {
		err = s.openWords()
	}
	if err == nil {
		err = openAll(ctx, s.readers)
	}
	if err != nil {
		return errors.Join(err, s.db.Close(), s.readers.Close())
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return errors.Join(err, s.db.Close(), s.readers.Close())
	}
	s.level = syncFull
	s.statements, s.effects = newStatements(s.conn, maxStatements), newStatements(s.conn, maxEffects)
	go s.write()
	s.side.begin(ctx)
	return nil
}

// readers is how many reads of others run at once.
const readers = 4

// How many KiB of pages the connections keep, each. Go's collector knows nothing of
// them, and a page of 8 KiB takes 12 of memory: all eight together may take 17 MiB,
// see besideHeap in memory.go. What is not in them the kernel has; twice as large they
// made no delivery faster.
const (
	writerCache = 4096
	readerCache = 1024
	wordsCache  = 2048
)

func cacheOf(kib int) string { return fmt.Sprintf("_pragma=cache_size(-%d)", kib) }

// openAll opens the connections of the readers, which stay open: one that is
// opened when it is needed needs descriptors, and a crowd may have taken them.
func openAll(ctx context.Context, db *sql.DB) error {
	for range readers {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() // at the end, so that the next one is another
		var n int
		if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&n); err != nil {
			return err
		}
	}
	return nil
}

func dsn(path string, options ...string) string {
	q := "_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=foreign_keys(0)" +
		"&_time_integer_format=unix_micro" // how an effect's time.Time is stored
	for _, o := range options {
		q += "&" + o
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q
}

// checkDurability refuses to run on settings under which a power cut loses what
// was acknowledged.
func checkDurability(ctx context.Context, db *sql.DB) error {
	var mode string
	var sync int
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("journal_mode=%s, synchronous=%d: only wal and 2 (FULL) keep what was acknowledged; is the disk a network share", mode, sync)
	}
	return nil
}

// load reads what memory keeps and reserves the first block of numbers.
func (s *Store) load(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := s.core.Load(ctx, tx); err != nil {
		return err
	}
	adopt, err := s.core.ReserveNumbers(ctx, tx)
	if err != nil {
		return err
	}
	adoptKeys, err := s.core.LoadKeys(ctx, tx)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	adopt()
	adoptKeys()
	return nil
}

// Close waits for everything that was handed to the writer, closes the file and
// lets go of it. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.stopped
	err := errors.Join(s.side.close(), s.statements.close(), s.effects.close(), s.conn.Close(), s.hot.close(), s.readers.Close(), s.db.Close())
	s.unlock()
	return err
}
