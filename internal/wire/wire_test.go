package wire_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hookkeeper/hookkeeper/internal/cluster"
	"github.com/hookkeeper/hookkeeper/internal/wire"
)

// through gives a proxy before a database of its own, and the database's URL
// behind and before it.
func through(t *testing.T) (p *wire.Proxy, direct, proxied string) {
	t.Helper()
	c, err := cluster.Start(t.Context())
	if errors.Is(err, cluster.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	d, err := cluster.Own(t.Context(), c.URL("postgres"), "wire")
	if err != nil {
		t.Fatal(err)
	}
	p, err = wire.Listen(d.Dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	proxied, err = d.Through(p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return p, d.URL(), proxied
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// commit inserts a number in a transaction and gives what COMMIT was answered,
// which goes out with the statement before it if it is pipelined.
func commit(t *testing.T, conn *pgx.Conn, n int, pipelined bool) error {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pipelined {
		var both pgx.Batch
		both.Queue(`INSERT INTO numbers VALUES ($1)`, n)
		both.Queue(`COMMIT`)
		return conn.SendBatch(t.Context(), &both).Close()
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO numbers VALUES ($1)`, n); err != nil {
		t.Fatal(err)
	}
	return tx.Commit(t.Context())
}

func TestACutAtCommit(t *testing.T) {
	p, direct, proxied := through(t)
	look := connect(t, direct)
	if _, err := look.Exec(t.Context(), `CREATE TABLE numbers (n int)`); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range []struct {
		name string
		arm  wire.Cut
		kept bool
	}{{"none", 0, true}, {"before", wire.Before, false}, {"after", wire.After, true}, {"none again", 0, true}} {
		for _, pipelined := range []bool{false, true} {
			n++
			t.Run(fmt.Sprintf("%s, pipelined %t", c.name, pipelined), func(t *testing.T) { one(t, p, look, connect(t, proxied), n, c.arm, c.kept, pipelined) })
		}
	}
}

func one(t *testing.T, p *wire.Proxy, look, conn *pgx.Conn, n int, arm wire.Cut, kept, pipelined bool) {
	p.Arm(arm)
	err := commit(t, conn, n, pipelined)
	if (err != nil) != (arm != 0) {
		t.Errorf("COMMIT: %v", err)
	}
	if arm != 0 {
		select {
		case made := <-p.Made():
			if made != arm {
				t.Errorf("cut %d was made, want %d", made, arm)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no cut was made")
		}
	}
	var found bool
	if err := look.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM numbers WHERE n = $1)`, n).Scan(&found); err != nil {
		t.Fatal(err)
	}
	if found != kept {
		t.Errorf("committed: %t, want %t", found, kept)
	}
}

// What is no COMMIT passes an armed cut, whole: much data, in both directions.
func TestEverythingElsePasses(t *testing.T) {
	p, _, proxied := through(t)
	conn := connect(t, proxied)
	p.Arm(wire.Before)
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i)
	}
	var back []byte
	err := conn.QueryRow(t.Context(), `SELECT $1::bytea || convert_to('; commit', 'UTF8')`, big).Scan(&back)
	if err != nil || string(back) != string(big)+"; commit" {
		t.Errorf("%d bytes came back of %d: %v", len(back), len(big), err)
	}
	p.Arm(wire.After)
	if _, err := conn.Exec(t.Context(), `BEGIN; SELECT 1; COMMIT`); err == nil {
		t.Error("a COMMIT behind other statements was answered")
	}
}
