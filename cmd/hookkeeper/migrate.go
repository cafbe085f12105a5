package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/sqlite"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Create the schema or bring it up to date."`
	Status migrateStatusCmd `cmd:"" help:"Compare the schema with what this binary knows."`
	Copy   migrateCopyCmd   `cmd:"" help:"Move everything from SQLite to PostgreSQL, keys kept."`
}

// databaseFlags name a database without the rest of a configuration.
type databaseFlags struct {
	configFlags
	Database string `help:"The database: sqlite:PATH or postgres://USER@HOST/DATABASE." var:"HOOKKEEPER_DATABASE" standard:"sqlite:hookkeeper.db" placeholder:"URL"`
}

// engine gives the database that flags, environment and file name.
func (f *databaseFlags) engine(a *app) (engine, error) {
	c, p := loadConfig(f.Config, a.env)
	if f.Database != "" {
		c.Database = f.Database
	}
	c.checkDatabase(&p)
	keys := c.Encryption.read(&p)
	return engineOf(c.Database, keys...), errors.Join(p...)
}

type migrateUpCmd struct{ databaseFlags }

// Run brings the schema up to date. Repeating it changes nothing.
func (cmd *migrateUpCmd) Run(ctx context.Context, a *app) error {
	e, err := cmd.engine(a)
	if err != nil {
		return err
	}
	store, err := e.open(ctx, storeOptions{}) // migrates
	if err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}
	s, err := e.schema(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s: schema %d\n", e.name(), s.version)
	return err
}

type migrateStatusCmd struct {
	databaseFlags
	JSON bool `name:"json" help:"One JSON object."`
}

// Run compares the schema and fails if it is not current.
func (cmd *migrateStatusCmd) Run(ctx context.Context, a *app) error {
	e, err := cmd.engine(a)
	if err != nil {
		return err
	}
	s, err := e.schema(ctx)
	if err != nil {
		return err
	}
	current := s.version == s.known
	if cmd.JSON {
		err = printJSON(a.stdout, map[string]any{
			"database": e.name(), "schema": s.version, "known": s.known, "current": current,
		})
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s: schema %d, this binary knows %d: %s\n",
			e.name(), s.version, s.known, s.advice())
	}
	if err == nil && !current {
		err = errSaid
	}
	return err
}

// latestSchema is the newest schema that this binary knows.
func latestSchema() int { return sqlite.KnownSchema() }
