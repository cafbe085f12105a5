package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/postgres"
)

var zzdir string

func serverCPU() float64 {
	var ticks int64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, _ := os.ReadFile(f)
		if cwd, _ := os.Readlink(filepath.Dir(f) + "/cwd"); cwd != zzdir {
			continue
		}
		w := strings.Fields(string(b[strings.LastIndex(string(b), ")")+1:]))
		if len(w) > 13 {
			u, _ := strconv.ParseInt(w[11], 10, 64)
			k, _ := strconv.ParseInt(w[12], 10, 64)
			ticks += u + k
			if os.Getenv("ZZV") != "" && u+k > 10 {
				c, _ := os.ReadFile(filepath.Dir(f) + "/cmdline")
				fmt.Println(strings.ReplaceAll(string(c), "\x00", " "), "u", u, "k", k)
			}
		}
	}
	return float64(ticks) * 10000
}
func clientCPU() float64 {
	var ru syscall.Rusage
	syscall.Getrusage(0, &ru)
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1000
}

func TestZZ(t *testing.T) {
	for _, shared := range []bool{false} {
		n := 20000
		if !shared {
			n = 1000
		}
		url := pgtest.Database(t)
		cc := dial(t, url)
		var name string
		cc.QueryRow(t.Context(), "select current_database()").Scan(&name)
		execute(t, cc, "ALTER DATABASE "+name+" SET log_min_duration_statement=-1")
		execute(t, cc, "ALTER DATABASE "+name+" SET log_parameter_max_length=0")
		s := open(t, url, postgres.Options{RecordTimeout: time.Minute})
		defer func() { b, _ := os.ReadFile(zzdir + "/../server.log"); os.WriteFile("/tmp/zz.log", b, 0o644) }()
		dial(t, pgtest.Database(t)).QueryRow(t.Context(), "SHOW data_directory").Scan(&zzdir)
		s.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE TABLE fx (k TEXT)`)
			return err
		})
		b := &testing.B{}
		_ = b
		c0, s0 := clientCPU(), serverCPU()
		done0 := make(chan struct{})
		var at atomic.Int64
		for range 256 {
			go func() {
				for i := at.Add(1); i <= int64(n); i = at.Add(1) {
					d := hook.Delivery{Source: "stripe", Body: benchBody, ReceivedAt: time.Now()}
					if _, err := s.Record(context.Background(), d, hook.Identity{Key: fmt.Sprint("e", i), Type: "x", Subject: fmt.Sprint("s", i), Trust: "signature"}, []string{"h"}); err != nil {
						t.Error(err)
					}
					if i == int64(n) {
						close(done0)
					}
				}
			}()
		}
		<-done0
		t.Log("record client", (clientCPU()-c0)/float64(n), "server", (serverCPU()-s0)/float64(n))
		if f := os.Getenv("ZZPROF"); f != "" && shared == (os.Getenv("ZZS") != "") {
			w, _ := os.Create(f)
			pprof.StartCPUProfile(w)
			defer pprof.StopCPUProfile()
		}
		var ended atomic.Int64
		done := make(chan struct{})
		p := worker.New(worker.Config{Queue: s, Logger: slog.New(slog.DiscardHandler), Routes: []hook.Route{{Name: "h", Batch: shared,
			Handler: hook.HandlerFunc(func(_ context.Context, e *hook.Event) (hook.Effect, error) {
				return func(ctx context.Context, tx hook.Tx) error {
					_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ($1)`, e.Key)
					return err
				}, nil
			})}},
			Meter: worker.Meter{Attempt: func(string, string, time.Duration) {
				if ended.Add(1) == int64(n) {
					close(done)
				}
			}}})
		ctx, stop := context.WithCancel(t.Context())
		c0, s0 = clientCPU(), serverCPU()
		began := time.Now()
		fin := make(chan struct{})
		go func() { p.Run(ctx); close(fin) }()
		<-done
		t.Log("shared", shared, "per s", float64(n)/time.Since(began).Seconds(), "client", (clientCPU()-c0)/float64(n), "server", (serverCPU()-s0)/float64(n))
		stop()
		<-fin
	}
}
