// Package postgres keeps the event log and the queue in a PostgreSQL database,
// shared by any number of nodes: everything in the schema hookkeeper, recording by
// group commit, jobs lent and ended beside each other, leases and due times by the
// database's clock. What it has answered nil to is committed with
// synchronous_commit on. It needs nothing of a session and so works through a
// pooler in transaction mode. It refuses a server with fsync off, a database whose
// encoding is not UTF8, a schema newer than it knows, and effects that take longer
// than 5 s or touch the transaction they run in.
//
// DESIGN.md tells the order of locks and why no line can get stuck.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/fault"
	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Options of Open; the zero value is ready for use.
type Options struct {
	// Now is the store's clock; nil is the clock of the database, which all nodes
	// share. A clock of the process is for tests.
	Now func() time.Time
	// EffectBudget is the longest that one effect may take; zero means 5 s.
	EffectBudget time.Duration
	// RecordTimeout is the longest that Record waits for its commit; zero means 4.5 s.
	RecordTimeout time.Duration
	// MaxConns bounds the connections; zero means 16, the least is 6. Two record,
	// a quarter of the rest read, the others work jobs.
	MaxConns int
	// EncryptionKeys turn encryption at rest on: 32 random bytes each, the first
	// wraps the keys that seal, the others only unwrap, while they are being
	// replaced. All nodes need the same; a database that is encrypted is not opened
	// without its key.
	EncryptionKeys [][]byte
	// Tables of departments, brought up to date after our own.
	Tables []hook.Tables
	// Search says what of bodies can be searched, once IndexWords has been called for
	// it; nil leaves the index to other nodes, which should all have the same one.
	// Encrypted bodies give no words.
	Search *hook.Search
	// Logger hears what was mended and what has to be tried again; nil is silent.
	Logger *slog.Logger
}

// Defaults of Options.
const (
	DefaultEffectBudget  = 5 * time.Second
	DefaultRecordTimeout = 4500 * time.Millisecond
	DefaultMaxConns      = 16
)

// The writers of deliveries of one node: while one batch is being committed the next
// one gathers; see sqlstore.Crowd.
const writers = 2

var _ hook.Store = (*Store)(nil)

// Store is one database. It is safe for concurrent use.
type Store struct {
	// fixed after Open
	opt   Options
	place string // names the database without what is secret of its address
	core  *sqlstore.Core
	texts *texts
	write *sql.DB // deliveries only: work never takes their connections
	work  *sql.DB
	read  *sql.DB

	records  chan *sqlstore.Incoming
	crowd    sqlstore.Crowd // gathers them
	finishes chan *finishing
	stop     chan struct{}
	stopped  sync.WaitGroup

	mu     sync.RWMutex
	closed bool // guarded by mu: nothing is handed over afterwards

	sweeping   sync.Mutex // one sweep at a time
	indexing   indexing
	rejections sqlstore.Rejections
	ready      readiness
	refused    atomic.Pointer[refusal] // the last one; nil once a delivery was written
}

// Open connects to the database at url, brings its schema up to date, and starts
// the writers. It may run on several nodes at once. Close ends it.
func Open(ctx context.Context, url string, opt Options) (*Store, error) {
	s, err := connect(url, opt)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.place, err), s.disconnect())
	}
	return s, nil
}

// connect makes a Store that has its connections and does nothing yet.
func connect(url string, opt Options) (*Store, error) {
	opt = opt.withDefaults()
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: opt, place: place(config), core: sqlstore.NewCore(opt.Now), texts: &texts{},
		records: make(chan *sqlstore.Incoming, 4096), finishes: make(chan *finishing, 4096), stop: make(chan struct{}),
	}
	s.core.Many = true
	if err := s.core.UseKeys(opt.EncryptionKeys); err != nil {
		return nil, err
	}
	readers := max((opt.MaxConns-writers)/4, 2)
	s.write, s.read, s.work = pool(config, writers), pool(config, readers), pool(config, opt.MaxConns-writers-readers)
	return s, nil
}

func (s *Store) disconnect() error {
	return errors.Join(s.write.Close(), s.work.Close(), s.read.Close())
}

func (o Options) withDefaults() Options {
	if o.Now == nil && fault.Enabled {
		o.Now = skewed()
	}
	if o.EffectBudget == 0 {
		o.EffectBudget = DefaultEffectBudget
	}
	if o.RecordTimeout == 0 {
		o.RecordTimeout = DefaultRecordTimeout
	}
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	o.MaxConns = max(o.MaxConns, writers+4)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// skewed is the known mistake of a node that trusts its own clock; nil otherwise.
func skewed() func() time.Time {
	if fault.Mutant("node_clock") {
		return fault.Now
	}
	return nil
}

// dialTimeout is shorter than what a sender is promised: a delivery must not wait
// for a server that is gone.
const dialTimeout = 3 * time.Second

func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the address of the database cannot be read: it must look like postgres://user@host:5432/name")
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > dialTimeout {
		config.ConnectTimeout = dialTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "hookkeeper"
	}
	// Nothing is prepared in a session, which a pooler may take away after each
	// transaction. Effects ask for the types of their parameters, so that a string
	// goes into a column of any type; the answer is kept.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 256
	return config, nil
}

// place names the database without what is secret of its address.
func place(c *pgx.ConnConfig) string {
	return fmt.Sprintf("postgres database %s on %s:%d", c.Database, c.Host, c.Port)
}

// pool opens connections that are not asked whether they live before they are used,
// which would be a round trip: transact finds it out by the begin, and takes another.
func pool(config *pgx.ConnConfig, most int) *sql.DB {
	db := stdlib.OpenDB(*config, stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false }))
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

func (s *Store) start(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.transact(ctx, s.work, transaction{}, func(ctx context.Context, tx *unit) error {
		return s.core.Load(ctx, tx)
	}); err != nil {
		return err
	}
	if err := s.loadKeys(ctx); err != nil {
		return err
	}
	if err := s.openWords(); err != nil {
		return err
	}
	if err := s.preparePartitions(ctx); err != nil {
		s.opt.Logger.Warn("partitions not ready, the default ones are used until the next sweep", "error", err)
	}
	for i := range writers {
		s.stopped.Go(func() { s.writeLoop(i == 0) })
	}
	if s.core.Encrypts() {
		s.stopped.Go(s.keyLoop)
	}
	for range finishers {
		s.stopped.Go(s.finishLoop)
	}
	return nil
}

// checkServer refuses settings under which what was acknowledged can be lost, or
// texts come back changed.
func (s *Store) checkServer(ctx context.Context) error {
	var fsync, encoding string
	var version int
	row := s.read.QueryRowContext(ctx, `SELECT current_setting('fsync'), current_setting('server_encoding'),
		current_setting('server_version_num')::int`)
	if err := row.Scan(&fsync, &encoding, &version); err != nil {
		return err
	}
	switch {
	case fsync != "on":
		return errors.New("fsync is off on this server: a power cut would lose what was acknowledged; turn it on")
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s: create it with encoding UTF8", encoding)
	case version < 140000:
		return fmt.Errorf("the server is version %d: hookkeeper needs PostgreSQL 14 or newer", version/10000)
	}
	return nil
}

// Close waits for what was handed over, and closes the connections. A second
// Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.stopped.Wait()
	s.lastWords()
	return s.disconnect()
}
