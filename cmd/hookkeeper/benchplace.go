package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/cluster"
)

// benchPlace is where databases for measuring are made: a folder, or a PostgreSQL
// server. What is there already is never touched.
type benchPlace struct {
	server string // empty: files in disk
	disk   string // a folder of our own
}

func newBenchPlace(database string) (*benchPlace, error) {
	p := &benchPlace{}
	parent := strings.TrimPrefix(database, "sqlite:")
	switch {
	case isPostgres(database):
		p.server, parent = database, ""
	case strings.Contains(parent, "://"):
		return nil, badDatabase(database)
	case parent != "":
		if info, err := os.Stat(parent); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--database %s: want a folder on the disk to measure, or postgres://USER@HOST/DATABASE", parent)
		}
	}
	var err error
	p.disk, err = os.MkdirTemp(parent, "hookkeeper-bench-")
	return p, err
}

func (p *benchPlace) close() error { return os.RemoveAll(p.disk) }

func (p *benchPlace) engine() string {
	if p.server != "" {
		return "postgres"
	}
	return "sqlite"
}

func (p *benchPlace) name() string {
	if p.server != "" {
		return maskURL(p.server)
	}
	return "SQLite in " + filepath.Dir(p.disk)
}

// benchDatabase is one database for measuring.
type benchDatabase struct {
	url  string
	drop func() error
}

// fresh makes an empty database with the schema and the table of effects.
func (p *benchPlace) fresh(ctx context.Context) (*benchDatabase, error) {
	d, err := p.empty(ctx)
	if err != nil {
		return nil, err
	}
	err = d.with(ctx, func(store hook.Store) error {
		return store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE TABLE bench_effects (event TEXT, handler TEXT)`)
			return err
		})
	})
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	return d, nil
}

func (p *benchPlace) empty(ctx context.Context) (*benchDatabase, error) {
	if p.server != "" {
		d, err := cluster.Own(ctx, p.server, "bench")
		if err != nil {
			return nil, err
		}
		return &benchDatabase{url: d.URL(), drop: func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // also after an interrupt
			defer cancel()
			return d.Drop(ctx)
		}}, nil
	}
	dir, err := os.MkdirTemp(p.disk, "run-")
	if err != nil {
		return nil, err
	}
	return &benchDatabase{url: "sqlite:" + filepath.Join(dir, "bench.db"), drop: func() error { return os.RemoveAll(dir) }}, nil
}

// seeded makes a database with n events in it.
func (p *benchPlace) seeded(ctx context.Context, n int, progress func(string)) (*benchDatabase, error) {
	d, err := p.fresh(ctx)
	if err != nil {
		return nil, err
	}
	say := func(done int) { progress(fmt.Sprintf("storing %d of %d events", done, n)) }
	say(0)
	if p.server != "" {
		err = bench.SeedPostgres(ctx, d.url, n, say)
	} else {
		err = bench.SeedSQLite(ctx, sqlitePath(d.url), n, say)
	}
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	return d, nil
}

// with opens the database while no server has it.
func (d *benchDatabase) with(ctx context.Context, f func(hook.Store) error) error {
	store, err := engineOf(d.url).open(ctx, storeOptions{wait: lockWait})
	if err != nil {
		return err
	}
	return errors.Join(f(store), store.Close())
}

// newest is the number of the newest event.
func (d *benchDatabase) newest(ctx context.Context) (seq int64, err error) {
	err = d.with(ctx, func(store hook.Store) error {
		return store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM event_keys`).Scan(&seq)
		})
	})
	return seq, err
}

// check reads what is on disk after the servers are dead: every acknowledged
// event recorded after before, every delivery counted, every effect once.
func (d *benchDatabase) check(ctx context.Context, m measurement, r *bench.Result, load *bench.Load, before int64) error {
	keys := map[string]bool{}
	deliveries, effects, different := 0, 0, 0
	err := d.with(ctx, func(store hook.Store) error {
		return store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
			rows, err := tx.QueryContext(ctx, `SELECT key, deliveries FROM event_keys WHERE seq > $1`, before)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var key string
				var n int
				if err := rows.Scan(&key, &n); err != nil {
					return err
				}
				keys[key] = true
				deliveries += n
			}
			if err := rows.Err(); err != nil {
				return err
			}
			return tx.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT event || ' ' || handler) FROM bench_effects`).Scan(&effects, &different)
		})
	})
	if err != nil {
		return fmt.Errorf("look for what was acknowledged: %w", err)
	}
	if _, err := r.Check(func(id string) bool { return keys[id] }, deliveries); err != nil {
		return err
	}
	if want := len(load.Events()) * m.handlers; m.work && (effects != want || different != want) {
		return fmt.Errorf("%d effects of %d different jobs, want %d of each", effects, different, want)
	}
	return nil
}

// fsyncP99 is how long the slowest hundredth of bare 4 KiB writes takes to be on
// disk: what no durable store on this disk can be better than.
func fsyncP99(dir string) (float64, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4<<10)
	took := make([]time.Duration, 300)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return ms(took[len(took)*99/100]), nil
}
