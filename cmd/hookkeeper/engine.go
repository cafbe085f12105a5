package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// engine is the database that a URL names, before it is opened.
type engine interface {
	// open makes the store ready for work, with the schema up to date. An error
	// that is busy may be gone a moment later.
	open(ctx context.Context, o storeOptions) (hook.Store, error)
	busy(err error) bool
	// reader opens for looking, also beside a running server.
	reader(ctx context.Context) (viewer, error)
	schema(ctx context.Context) (schemaState, error)
	// shared reports whether many processes may work the database at a time.
	shared() bool
	// name is the database as it may be shown: no password.
	name() string
}

// storeOptions are how a store is opened; zero is for commands that only touch
// what is there.
type storeOptions struct {
	tables []hook.Tables
	search *hook.Search  // what of bodies can be searched; nil leaves the index alone
	wait   time.Duration // for another process to let go of the database
	log    *slog.Logger  // what the store mends by itself; nil is silent
}

// viewer is what commands look at.
type viewer interface {
	hook.Ledger
	hook.Planner
	Tokens(ctx context.Context) ([]hook.TokenInfo, error)
	Close() error
}

// schemaState is the version of a database's schema, 0 for a new one, and the
// newest that this binary knows.
type schemaState struct{ version, known int }

// engineOf gives the engine of a database URL that checkDatabase let pass, with
// the keys of encryption at rest, if any.
func engineOf(database string, keys ...[]byte) engine {
	if isPostgres(database) {
		return postgresEngine{database, keys}
	}
	return sqliteEngine{sqlitePath(database), keys}
}

func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// sqliteEngine is one file, worked by one process.
type sqliteEngine struct {
	path string
	keys [][]byte
}

func (e sqliteEngine) open(_ context.Context, o storeOptions) (hook.Store, error) {
	s, err := sqlite.Open(e.path, sqlite.Options{Tables: o.tables, Search: o.search, LockWait: o.wait, EncryptionKeys: e.keys})
	if err != nil {
		return nil, err // not a nil *Store inside an interface
	}
	return s, nil
}

func (e sqliteEngine) busy(err error) bool { return errors.Is(err, sqlite.ErrInUse) }

func (e sqliteEngine) reader(context.Context) (viewer, error) {
	r, err := sqlite.OpenReadOnly(e.path, e.keys...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e sqliteEngine) schema(ctx context.Context) (schemaState, error) {
	s, err := sqlite.SchemaOf(ctx, e.path)
	return schemaState{s.Version, s.Known}, err
}

func (e sqliteEngine) shared() bool { return false }

func (e sqliteEngine) name() string { return e.path }

// advice says what to do about a schema.
func (s schemaState) advice() string {
	switch {
	case s.version < s.known:
		return "run hookkeeper migrate up"
	case s.version > s.known:
		return "use a newer hookkeeper"
	}
	return "up to date"
}

// databaseHelp is what a wrong database URL is answered.
func badDatabase(database string) error {
	return fmt.Errorf("database %q: want sqlite:PATH or postgres://USER@HOST/DATABASE", maskURL(database))
}
