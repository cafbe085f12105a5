package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func benchStore(b *testing.B, keys ...[]byte) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(filepath.Join(b.TempDir(), "hook.db"), sqlite.Options{RecordTimeout: time.Minute, EncryptionKeys: keys})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

var benchBody = bytes.Repeat([]byte("x"), 3600)

func benchRecord(b *testing.B, s *sqlite.Store, i int64, subject bool) {
	d := hook.Delivery{Source: "stripe", Body: benchBody, ReceivedAt: time.Now(), Header: http.Header{
		"Stripe-Signature": {"t=1772323242,v1=cce60e047a3b79ed4b606780bb4e99040bfe88ea067a547e4d51948e3eb7b46e"},
		"Content-Type":     {"application/json"}, "User-Agent": {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"}}}
	id := hook.Identity{Key: fmt.Sprintf("evt_%d", i), Type: "invoice.paid", Trust: hook.TrustSignature, Mode: "live"}
	if subject {
		id.Subject = fmt.Sprintf("sub_%d", i)
	}
	if _, err := s.Record(context.Background(), d, id, []string{"h"}); err != nil {
		b.Error(err)
	}
}

// BenchmarkRecord records events of 3.6 KB with one job each; 256 callers share
// commits, one caller has every commit alone.
func BenchmarkRecord(b *testing.B) { benchRecords(b) }

// BenchmarkRecordEncrypted is BenchmarkRecord with encryption on.
func BenchmarkRecordEncrypted(b *testing.B) { benchRecords(b, hooktest.EncryptionKey(1)) }

func benchRecords(b *testing.B, keys ...[]byte) {
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := benchStore(b, keys...)
			var n atomic.Int64
			b.SetParallelism((callers + 1) / 2)
			b.ResetTimer()
			if callers == 1 {
				for b.Loop() {
					benchRecord(b, s, n.Add(1), true)
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchRecord(b, s, n.Add(1), true)
					}
				})
			}
			b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkWork claims and finishes recorded jobs through a real pool, with an
// effect of one row, fence and history.
func BenchmarkWork(b *testing.B) {
	for _, shared := range []bool{true, false} {
		b.Run(map[bool]string{true: "shared", false: "single"}[shared], func(b *testing.B) {
			s := benchStore(b)
			if err := s.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
				_, err := tx.ExecContext(ctx, `CREATE TABLE fx (k TEXT)`)
				return err
			}); err != nil {
				b.Fatal(err)
			}
			preload(b, s, b.N)
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
					if ended.Add(1) == int64(b.N) {
						close(done)
					}
				}}})
			ctx, stop := context.WithCancel(b.Context())
			b.ResetTimer()
			go p.Run(ctx)
			<-done
			b.StopTimer()
			stop()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

func preload(b *testing.B, s *sqlite.Store, n int) {
	b.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 256 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				benchRecord(b, s, i, true)
			}
		})
	}
	all.Wait()
}
