package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/wire"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// through puts a proxy before a database, and gives the address that leads through it.
// wrap, if it is not nil, has each connection to the server.
func through(t *testing.T, address string, wrap func(net.Conn) net.Conn) (*wire.Proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	host := u.Host
	proxy, err := wire.Listen(func(ctx context.Context) (net.Conn, error) {
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
		if err == nil && wrap != nil {
			server = wrap(server)
		}
		return server, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	u.Host = proxy.Addr()
	return proxy, u.String()
}

// A connection that is cut when COMMIT was sent leaves the outcome open: an error,
// and the next delivery tells what had become of the first.
func TestAnUnknownCommitIsAnError(t *testing.T) {
	for name, cut := range map[string]wire.Cut{"it had committed": wire.After, "it had not": wire.Before} {
		t.Run(name, func(t *testing.T) {
			proxy, address := through(t, pgtest.Database(t), nil)
			s := open(t, address, postgres.Options{MaxConns: 6})
			mustRecord(t, s, "before", "", "h")
			proxy.Arm(cut)
			if r, err := record(t.Context(), s, "a", "", "h"); err == nil {
				t.Fatalf("answered %+v", r)
			}
			if made := <-proxy.Made(); made != cut {
				t.Fatalf("the cut was %v, want %v", made, cut)
			}
			r := mustRecord(t, s, "a", "", "h")
			if r.Duplicate != (cut == wire.After) {
				t.Errorf("the next delivery: %+v", r)
			}
			if jobs := claim(t, s, 10, time.Minute); len(jobs) != 2 {
				t.Errorf("jobs: got %d, want 2", len(jobs))
			}
			hooktest.CheckLedger(t, s)
		})
	}
}

// load records until ctx ends and returns how many were answered and how long the
// slowest took; no goroutine of it outlives the call.
func load(ctx context.Context, t *testing.T, s hook.Recorder, prefix string) (answered []string, slowest time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%s-%d-%d", prefix, i, n)
				began := time.Now()
				_, err := record(context.Background(), s, key, fmt.Sprint("s", i), "h")
				mu.Lock()
				slowest = max(slowest, time.Since(began))
				if err == nil {
					answered = append(answered, key)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answered, slowest
}

// A server that is stopped or frozen under load costs errors in time and nothing
// that was answered; it is taken up again without a restart of ours.
func TestTheServerGoesAway(t *testing.T) {
	server := pgtest.Cluster(t)
	s := open(t, server.URL("postgres"), postgres.Options{MaxConns: 8, RecordTimeout: 2 * time.Second})
	ready := func() bool { return s.Ready(t.Context()) == nil }
	until(t, "the store to be ready", ready)
	before := runtime.NumGoroutine()
	var answered []string
	for name, fault := range map[string]struct{ begin, end func() error }{
		"stopped": {server.StopImmediate, func() error { return server.Start(t.Context()) }},
		"frozen":  {server.Freeze, server.Thaw},
	} {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			keys, slowest := load(ctx, t, s, name)
			answered = append(answered, keys...)
			if slowest > 3*time.Second {
				t.Errorf("%s: a delivery waited %s, want at most the timeout of 2 s", name, slowest)
			}
		}()
		if err := fault.begin(); err != nil {
			t.Fatal(err)
		}
		until(t, name+": Ready to say so", func() bool { return !ready() })
		until(t, name+": a delivery to be refused", func() bool {
			_, err := record(t.Context(), s, "probe", "", "h")
			return err != nil
		})
		if n := runtime.NumGoroutine(); n > before+100 {
			t.Errorf("%s: %d goroutines, %d before", name, n, before)
		}
		if err := fault.end(); err != nil {
			t.Fatal(err)
		}
		until(t, name+": the store to be ready again", ready)
		until(t, name+": a delivery to be recorded", func() bool {
			_, err := record(t.Context(), s, "probe", "", "h")
			return err == nil
		})
		stop()
		<-done
	}
	if len(answered) == 0 {
		t.Fatal("nothing was answered")
	}
	for _, key := range answered {
		if r, err := record(t.Context(), s, key, "", "h"); err != nil || !r.Duplicate {
			t.Fatalf("%s was answered and is not there: %+v, %v", key, r, err)
		}
	}
	hooktest.CheckLedger(t, s)
}

// A key that somebody holds costs its own delivery an error, not its neighbours.
func TestAStuckKeyIsAlone(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6})
	holder := dial(t, url)
	execute(t, holder, `BEGIN`)
	execute(t, holder, `INSERT INTO hookkeeper.event_keys (seq, source, mode, key, received_at, sha256, trust, key_unsigned,
		quarantine, deliveries, jobs_total) VALUES (1, 'shop', '', 'k7', 0, '', 'signature', 0, '', 1, 0)`)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			_, err := record(t.Context(), s, fmt.Sprint("k", i), fmt.Sprint("s", i), "h")
			if stuck := i == 7; (err != nil) != stuck {
				t.Errorf("k%d: %v", i, err)
			}
		})
	}
	all.Wait()
	execute(t, holder, `ROLLBACK`)
	mustRecord(t, s, "k7", "s7", "h")
	noDeadlocks(t)
}

func TestServersThatForgetAreRefused(t *testing.T) {
	server := pgtest.Cluster(t)
	conn := dial(t, server.URL("postgres"))
	execute(t, conn, `ALTER SYSTEM SET fsync = off`)
	execute(t, conn, `SELECT pg_reload_conf()`)
	until(t, "the setting", func() bool {
		var fsync string
		return conn.QueryRow(t.Context(), `SHOW fsync`).Scan(&fsync) == nil && fsync == "off"
	})
	_, err := postgres.Open(t.Context(), server.URL("postgres"), postgres.Options{})
	if err == nil || !strings.Contains(err.Error(), "fsync is off") {
		t.Errorf("got %v", err)
	}
	execute(t, conn, `CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'`)
	execute(t, conn, `ALTER SYSTEM RESET fsync`)
	execute(t, conn, `SELECT pg_reload_conf()`)
	until(t, "the encoding to be refused", func() bool {
		_, err := postgres.Open(t.Context(), server.URL("latin"), postgres.Options{})
		return err != nil && strings.Contains(err.Error(), "LATIN1")
	})
}

// A role or a pooler that turns synchronous_commit off does not decide for us.
func TestCommitsAreDurableWhateverTheRoleSays(t *testing.T) {
	url := pgtest.Database(t)
	conn := dial(t, url)
	var name string
	if err := conn.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
	execute(t, conn, `ALTER DATABASE `+name+` SET default_transaction_isolation = 'serializable'`)
	execute(t, conn, `CREATE TABLE hookkeeper.seen (setting text, isolation text)`)
	execute(t, conn, `CREATE FUNCTION hookkeeper.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO hookkeeper.seen VALUES (current_setting('synchronous_commit'), current_setting('transaction_isolation'));
		RETURN NEW; END $$`)
	execute(t, conn, `CREATE TRIGGER look AFTER INSERT ON hookkeeper.event_keys FOR EACH ROW EXECUTE FUNCTION hookkeeper.look()`)
	s := open(t, url, postgres.Options{MaxConns: 6})
	mustRecord(t, s, "a", "", "h")
	var setting, isolation string
	if err := conn.QueryRow(t.Context(), `SELECT setting, isolation FROM hookkeeper.seen`).Scan(&setting, &isolation); err != nil ||
		setting != "on" || isolation != "read committed" {
		t.Errorf("recorded with synchronous_commit %s, isolation %s, %v", setting, isolation, err)
	}
}
