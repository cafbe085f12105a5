package bench

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver, registered as pgx
	_ "modernc.org/sqlite"             // the driver, registered as sqlite
)

// seedChunk is how many rows one transaction of a seeding holds.
const seedChunk = 10_000

//go:embed seed_sqlite.sql
var seedSQLite string

//go:embed seed_postgres.sql
var seedPostgres string

// SeedSQLite puts n events with bodies of 300 bytes into the file at path, as a
// past month would have left them. The file has its schema and nobody uses it.
func SeedSQLite(ctx context.Context, path string, n int, progress func(done int)) error {
	return seed(ctx, "sqlite", "file:"+path, seedSQLite, []string{
		"PRAGMA synchronous=OFF", "PRAGMA cache_size=-262144",
	}, []string{"PRAGMA synchronous=FULL", "PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE"}, n, progress)
}

// SeedPostgres does the same in the database at url.
func SeedPostgres(ctx context.Context, url string, n int, progress func(done int)) error {
	return seed(ctx, "pgx", url, seedPostgres, []string{
		"SET search_path TO hookkeeper", "SET synchronous_commit TO off",
	}, []string{"SELECT setval('event_seq', (SELECT max(seq) FROM event_keys) % 100000000000)",
		"VACUUM (ANALYZE) event_keys", "VACUUM (ANALYZE) events", "VACUUM (ANALYZE) bodies", "CHECKPOINT"}, n, progress)
}

// seed runs the statements of text for one chunk of row numbers after another.
func seed(ctx context.Context, driver, place, text string, before, after []string, n int, progress func(int)) (err error) {
	db, err := sql.Open(driver, place)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx) // one, for what is set on it
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer conn.Close()
	if err := inTurn(ctx, conn, before); err != nil {
		return err
	}
	var statements []string
	for s := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(s) != "" {
			statements = append(statements, s)
		}
	}
	for done := 0; done < n; {
		next := min(done+seedChunk, n)
		if err := chunk(ctx, conn, statements, done+1, next); err != nil {
			return fmt.Errorf("seed rows %d to %d: %w", done+1, next, err)
		}
		done = next
		progress(done)
	}
	return inTurn(ctx, conn, after)
}

func chunk(ctx context.Context, conn *sql.Conn, statements []string, from, to int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s, from, to); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func inTurn(ctx context.Context, conn *sql.Conn, statements []string) error {
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("seed: %s: %w", s, err)
		}
	}
	return nil
}
