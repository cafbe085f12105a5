package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/internal/cluster"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver, registered as pgx
	_ "modernc.org/sqlite"             // the driver, registered as sqlite
)

// contender is one way to receive webhooks.
type contender struct {
	name    string
	what    string // for the reader
	command []string
	schema  string // a file of SQL; empty: it makes its own tables
	effects string // the table of effects
	sqlite  bool   // a file instead of the server
}

func contenders() []contender {
	return []contender{
		{name: "usual", what: "usual: Express, `stripe`, `pg`", command: []string{"node", "bench/usual/server.mjs"},
			schema: "bench/usual/schema.sql", effects: "effects"},
		{name: "plain-go", what: "plain Go: net/http, database/sql, stripe-go", command: []string{"bin/bench-plain-go"},
			schema: "bench/plain-go/schema.sql", effects: "effects"},
		{name: "careful", what: "careful: Fastify, one insert, a poller", command: []string{"node", "bench/careful/server.mjs"},
			schema: "bench/careful/schema.sql", effects: "effects"},
		{name: "hookkeeper", what: "**hookkeeper**, PostgreSQL", command: []string{"bin/bench-hookkeeper"}, effects: "hookkeeper.effects"},
		{name: "hookkeeper-sqlite", what: "**hookkeeper**, SQLite", command: []string{"bin/bench-hookkeeper"}, effects: "effects", sqlite: true},
	}
}

// entrant is a contender at work: a database of its own and a server on it that
// comes and goes.
type entrant struct {
	contender
	groups   *bench.Groups
	database string // as the server is told
	db       *sql.DB
	drop     func() error
	port     int
	process  *exec.Cmd
}

// enter makes the database.
func (m *match) enter(ctx context.Context, c contender) (*entrant, error) {
	e := &entrant{contender: c, groups: m.groups}
	var err error
	if e.port, err = freePort(); err != nil {
		return nil, err
	}
	if c.sqlite {
		dir, err := os.MkdirTemp(m.dir, "sqlite-")
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, "hookkeeper.db")
		e.database, e.drop = "sqlite:"+path, func() error { return os.RemoveAll(dir) }
		e.db, err = sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
		return e, err
	}
	own, err := cluster.Own(ctx, m.cluster.URL("postgres"), "bench")
	if err != nil {
		return nil, err
	}
	e.database, e.drop = own.URL(), func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // also after an interrupt
		defer cancel()
		return own.Drop(ctx)
	}
	if e.db, err = sql.Open("pgx", e.database); err != nil {
		return nil, errors.Join(err, e.drop())
	}
	if c.schema == "" {
		return e, nil
	}
	text, err := os.ReadFile(c.schema)
	if err == nil {
		for s := range strings.SplitSeq(string(text), ";\n") {
			if _, bad := e.db.ExecContext(ctx, s); bad != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", c.schema, bad))
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, e.leave())
	}
	return e, nil
}

func (e *entrant) addr() string { return "127.0.0.1:" + strconv.Itoa(e.port) }

// readyWithin is how long a server may take to listen.
const readyWithin = 20 * time.Second

// start begins a life of the server and waits until it listens.
func (e *entrant) start(ctx context.Context, more ...string) error {
	e.process = exec.CommandContext(ctx, e.command[0], e.command[1:]...)
	e.process.Env = append(os.Environ(), "DATABASE_URL="+e.database, "STRIPE_WEBHOOK_SECRET="+secret,
		"PORT="+strconv.Itoa(e.port), "NODE_ENV=production")
	e.process.Env = append(e.process.Env, more...)
	e.process.Stderr = os.Stderr
	e.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := e.process.Start(); err != nil {
		return fmt.Errorf("%s: %w; make bench-compare prepares it", e.name, err)
	}
	if err := e.groups.Put("server", e.process.Process.Pid); err != nil {
		return err
	}
	deadline := time.Now().Add(readyWithin)
	for {
		c, err := net.DialTimeout("tcp", e.addr(), time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) || !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("%s does not listen after %s: %w", e.name, readyWithin, err)
		}
	}
}

// kill ends the server as a crash does. A repeat does nothing.
func (e *entrant) kill() {
	if e.process != nil && e.process.Process != nil {
		_ = e.process.Process.Kill() // it may have ended by itself
		_ = e.process.Wait()         // by a kill
		e.process = nil
	}
}

// leave ends the server and drops the database.
func (e *entrant) leave() error {
	e.kill()
	return errors.Join(e.db.Close(), e.drop())
}

// tally is what the table of effects says.
type tally struct {
	rows   int
	events map[string]bool
}

func (e *entrant) tally(ctx context.Context) (t tally, err error) {
	rows, err := e.db.QueryContext(ctx, `SELECT event_id FROM `+e.effects)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	t.events = map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return t, err
		}
		t.rows++
		t.events[id] = true
	}
	return t, rows.Err()
}

// settledAfter is how long the effects must have been the same: longer than a
// retry takes, or the lease of a killed worker, at those contenders that have such.
const settledAfter = 5 * time.Second

// settle waits until all events have their effect, or nothing happens any more.
func (e *entrant) settle(ctx context.Context, want int) (tally, error) {
	count := func() (n, different int, err error) {
		err = e.db.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT event_id) FROM `+e.effects).Scan(&n, &different)
		return n, different, err
	}
	last, since := -1, time.Now()
	for {
		n, different, err := count()
		if err != nil {
			return tally{}, err
		}
		if n != last {
			last, since = n, time.Now()
		}
		calm := time.Since(since)
		if calm > settledAfter || different >= want && calm > settledAfter/4 {
			return e.tally(ctx)
		}
		if !pause(ctx, 100*time.Millisecond) {
			return tally{}, ctx.Err()
		}
	}
}

// pause reports whether the context still stands after d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
