// Package pgtest gives tests databases on a PostgreSQL server that is thrown away:
// one server for the tests of a package, one database for each test. It promises
// that nothing of it is left when the tests have ended, however they end, and it
// refuses to be part of a program: only tests import it.
//
// With TEST_POSTGRES_URL set it uses that server instead and starts none. Without
// the server's programs tests are skipped; in CI that is a failure.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/jackc/pgx/v5"
)

// TB is the part of a test that is needed here.
type TB interface {
	Helper()
	Cleanup(f func())
	Skip(args ...any)
	Fatal(args ...any)
}

// M is what TestMain is given.
type M interface{ Run() int }

// server is where databases are made: a cluster of our own, or one that is given.
type server struct {
	own   *cluster.Cluster // nil: it is not ours
	given string
}

// shared is the server of this process, started by the first test that asks.
var shared = sync.OnceValues(func() (*server, error) {
	if given := os.Getenv("TEST_POSTGRES_URL"); given != "" {
		return &server{given: given}, nil
	}
	own, err := cluster.Start(context.Background())
	return &server{own: own}, err
})

var (
	asked    atomic.Bool  // somebody has called shared
	numbered atomic.Int64 // databases
)

// Main runs the tests of a package and removes the server afterwards. Call it in
// TestMain; its result is the exit code.
func Main(m M) int {
	code := m.Run()
	if !asked.Load() {
		return code
	}
	if s, err := shared(); err == nil && s.own != nil {
		if err := s.own.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			return 1
		}
	}
	return code
}

// Cluster starts a server for one test, which may stop and freeze it, and removes
// it afterwards.
func Cluster(t TB) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(context.Background())
	need(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Fatal("stop PostgreSQL: ", err)
		}
	})
	return c
}

// need ends the test if err is not nil: skipped if the server's programs are
// missing on a developer's machine.
func need(t TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, cluster.ErrMissing) && os.Getenv("CI") == "":
		t.Skip("PostgreSQL is not installed: apt-get install postgresql, or set TEST_POSTGRES_URL")
	default:
		t.Fatal("start PostgreSQL: ", err)
	}
}

func start(t TB) *server {
	t.Helper()
	asked.Store(true)
	s, err := shared()
	need(t, err)
	return s
}

// Deadlocks is how often the server of this process had to break one up; for a
// server that was given it is 0.
func Deadlocks(t TB) int {
	t.Helper()
	s := start(t)
	if s.own == nil {
		return 0
	}
	n, err := s.own.Deadlocks()
	if err != nil {
		t.Fatal("count deadlocks: ", err)
	}
	return n
}

// template is the database with our schema that others are copied from.
var template = sync.OnceValues(func() (string, error) {
	s, err := shared()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("hk_template_%d", os.Getpid())
	if err := s.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return "", err
	}
	return name, postgres.Migrate(context.Background(), s.url(name), nil)
})

// Database returns the address of a database of the test's own that has our
// schema, and drops it afterwards.
func Database(t TB) string {
	t.Helper()
	s := start(t)
	from, err := template()
	if err != nil {
		t.Fatal("prepare a database: ", err)
	}
	return s.database(t, " TEMPLATE "+from)
}

// Empty returns the address of an empty database of the test's own.
func Empty(t TB) string {
	t.Helper()
	return start(t).database(t, " TEMPLATE template0 ENCODING 'UTF8'")
}

func (s *server) database(t TB, like string) string {
	t.Helper()
	name := fmt.Sprintf("hk_%d_%d", os.Getpid(), numbered.Add(1))
	if err := s.exec("CREATE DATABASE " + name + like); err != nil {
		t.Fatal("create a database: ", err)
	}
	if s.own != nil {
		return s.url(name) // it goes with its server: to drop it would cost a checkpoint
	}
	t.Cleanup(func() {
		if err := s.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Fatal("drop a database: ", err)
		}
	})
	return s.url(name)
}

// url is the address of a database on the server.
func (s *server) url(database string) string {
	if s.own != nil {
		return s.own.URL(database)
	}
	u, err := url.Parse(s.given)
	if err != nil {
		return s.given
	}
	u.Path = "/" + database
	return u.String()
}

// exec runs one statement in the server's own database.
func (s *server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
