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
}

// databaseFlags name a database without the rest of a configuration.
type databaseFlags struct {
	configFlags
	Database string `help:"The database: sqlite:PATH." var:"HOOKKEEPER_DATABASE" standard:"sqlite:hookkeeper.db" placeholder:"URL"`
}

func (f *databaseFlags) path(a *app) (string, error) {
	c, p := loadConfig(f.Config, a.env)
	if f.Database != "" {
		c.Database = f.Database
	}
	c.checkDatabase(&p)
	return sqlitePath(c.Database), errors.Join(p...)
}

type migrateUpCmd struct{ databaseFlags }

// Run brings the schema up to date. Repeating it changes nothing.
func (cmd *migrateUpCmd) Run(ctx context.Context, a *app) error {
	path, err := cmd.path(a)
	if err != nil {
		return err
	}
	store, err := sqlite.Open(path, sqlite.Options{}) // migrates
	if err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}
	s, err := sqlite.SchemaOf(ctx, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s: schema %d\n", path, s.Version)
	return err
}

type migrateStatusCmd struct {
	databaseFlags
	JSON bool `name:"json" help:"One JSON object."`
}

// Run compares the schema and fails if it is not current.
func (cmd *migrateStatusCmd) Run(ctx context.Context, a *app) error {
	path, err := cmd.path(a)
	if err != nil {
		return err
	}
	s, err := sqlite.SchemaOf(ctx, path)
	if err != nil {
		return err
	}
	current := s.Version == s.Known
	if cmd.JSON {
		err = printJSON(a.stdout, map[string]any{
			"database": path, "schema": s.Version, "known": s.Known, "current": current,
		})
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s: schema %d, this binary knows %d: %s\n",
			path, s.Version, s.Known, advice(s))
	}
	if err == nil && !current {
		err = errSaid
	}
	return err
}

func advice(s sqlite.Schema) string {
	switch {
	case s.Version < s.Known:
		return "run hookkeeper migrate up"
	case s.Version > s.Known:
		return "use a newer hookkeeper"
	}
	return "up to date"
}

// latestSchema is the newest schema that this binary knows.
func latestSchema() int { return sqlite.KnownSchema() }
