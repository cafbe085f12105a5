package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/jackc/pgx/v5"
)

// bouncer starts PgBouncer in transaction mode before the server of direct and
// returns the address of the same database through it.
func bouncer(t *testing.T, direct string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path = "/usr/sbin/pgbouncer"; !exists(path) {
			if os.Getenv("CI") != "" {
				t.Fatal("pgbouncer is not installed: apt-get install pgbouncer")
			}
			t.Skip("pgbouncer is not installed: apt-get install pgbouncer")
		}
	}
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hookkeeper-bouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	users := write("users.txt", "\"postgres\" \"\"\n")
	// As few connections to the server as possible: whatever stayed in a session
	// would show at once.
	ini := write("pgbouncer.ini", fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"+
		"listen_port = %d\nauth_type = trust\nauth_file = %s\npool_mode = transaction\ndefault_pool_size = 4\n"+
		"max_client_conn = 200\nunix_socket_dir =\n", u.Hostname(), u.Port(), port, users))
	cmd := exec.Command(path, ini)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = postgresUser(t)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	until(t, "PgBouncer to answer", func() bool {
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	})
	return u.String()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	if errU != nil || errG != nil {
		t.Fatal(errU, errG)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// Everything works behind a pooler in transaction mode, from two nodes that share
// four connections to the server.
func TestBehindAPoolerInTransactionMode(t *testing.T) {
	through := bouncer(t, pgtest.Empty(t))
	var all []*postgres.Store
	for range 2 {
		all = append(all, open(t, through, postgres.Options{MaxConns: 8, Tables: tables()}))
	}
	err := all[0].Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE fx (k TEXT UNIQUE, at timestamptz, doc jsonb, id uuid)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const events = 300
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := i; n < events; n += 8 {
				if _, err := record(t.Context(), all[i%2], fmt.Sprint(n), fmt.Sprint("s", n%50), "h"); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
		wait.Go(func() {
			for t.Context().Err() == nil {
				jobs, err := all[i%2].Claim(t.Context(), hook.Ask{Handlers: []string{"h"}, Lease: time.Minute, Max: 8, MaxAttempts: 9, Node: "n"})
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				for _, j := range jobs {
					j.Batch = j.Event.Key[0]%2 == 0
					if err := all[i%2].Finish(t.Context(), j, oddRow(j.Event.Key)); err != nil {
						t.Errorf("finish %s: %v", j.Event.Key, err)
					}
				}
				if n, err := all[i%2].Counts(t.Context()); err != nil || n.Events == events && len(n.Jobs["h"]) == 0 {
					return
				}
			}
		})
	}
	wait.Wait()
	rows := 0
	err = all[1].View(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM fx WHERE doc ->> 'k' = k`).Scan(&rows)
	})
	if err != nil || rows != events {
		t.Errorf("effects: got %d, %v; want %d", rows, err, events)
	}
	hooktest.CheckLedger(t, all[0])
	noDeadlocks(t)
}

// oddRow writes strings into columns of other types, as an effect may.
func oddRow(k string) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO fx (k, at, doc, id) VALUES ($1, $2, $3, $4)`, k, time.Now(),
			`{"k":"`+k+`"}`, "7b0f2b0e-0000-4000-8000-000000000000")
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%d rows, %v", n, err)
		}
		return nil
	}
}
