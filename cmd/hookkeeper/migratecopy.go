package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

type migrateCopyCmd struct {
	configFlags
	From string `help:"The database to read: sqlite:PATH. No server may work it meanwhile." required:"" placeholder:"URL"`
	To   string `help:"The database to fill, which has recorded nothing yet: postgres://USER@HOST/DATABASE." required:"" placeholder:"URL"`
	JSON bool   `name:"json" help:"One JSON object."`
}

// Run moves everything: events under their keys and ids, jobs, history, tokens,
// cursors, the tables of departments. What is not copied when it ends, or dies, is
// as empty as before.
func (cmd *migrateCopyCmd) Run(ctx context.Context, a *app) (err error) {
	c, p := loadConfig(cmd.Config, a.env)
	plans := c.departments(&p)
	keys := c.Encryption.read(&p)
	switch {
	case len(p) > 0:
		return errors.Join(p...)
	case !strings.HasPrefix(cmd.From, "sqlite:") || cmd.From == "sqlite:":
		return usage("--from %q: want sqlite:PATH", maskURL(cmd.From))
	case !isPostgres(cmd.To):
		return usage("--to %q: want postgres://USER@HOST/DATABASE", maskURL(cmd.To))
	}
	from, err := sqlite.OpenDump(ctx, sqlitePath(cmd.From))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := postgres.Open(ctx, cmd.To, postgres.Options{Tables: tablesOf(plans), EncryptionKeys: keys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	done, err := to.CopyFrom(ctx, from, func(table string) {
		if terminal(a.stderr) {
			fmt.Fprintf(a.stderr, "copying %s\n", table)
		}
	})
	if err != nil {
		return err
	}
	return cmd.report(a, done)
}

func (cmd *migrateCopyCmd) report(a *app, done postgres.Copied) error {
	if cmd.JSON {
		return printJSON(a.stdout, map[string]any{"rows": done.Rows, "left": append([]string{}, done.Foreign...)})
	}
	for _, table := range slices.Sorted(maps.Keys(done.Rows)) {
		if n := done.Rows[table]; n > 0 {
			fmt.Fprintf(a.stdout, "%-14s %10d rows\n", table, n)
		}
	}
	if len(done.Foreign) > 0 {
		fmt.Fprintf(a.stdout, "not copied, because they are not hookkeeper's: %s\n", strings.Join(done.Foreign, ", "))
	}
	_, err := fmt.Fprintf(a.stdout, "%d events moved to %s; start hookkeeper there with --database\n",
		done.Rows["event_keys"], maskURL(cmd.To))
	return err
}
