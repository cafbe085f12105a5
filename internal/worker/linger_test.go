package worker_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// flow is a queue that jobs flow into; it counts the claims that found some.
type flow struct {
	hook.Queue

	mu     sync.Mutex
	due    []time.Time // guarded by mu, as all below: since when each job waits
	claims int
	done   int
	late   time.Duration // the longest that one waited for its claim
}

func (f *flow) add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = append(f.due, time.Now())
}

func (f *flow) Claim(_ context.Context, ask hook.Ask) (jobs []*hook.Job, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(ask.Max, len(f.due))
	for i := range n {
		f.late = max(f.late, time.Since(f.due[i]))
		jobs = append(jobs, &hook.Job{ID: int64(f.done + i), Handler: "h", Event: &hook.Event{}})
	}
	f.due = f.due[n:]
	if n > 0 {
		f.claims++
	}
	return jobs, nil
}

func (f *flow) Finish(context.Context, *hook.Job, hook.Effect) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done++
	return nil
}

func (f *flow) Extend(context.Context, []*hook.Job, time.Duration) ([]*hook.Job, error) {
	return nil, nil
}

// pour lets jobs come in, one every gap, and gives the queue at the end.
func pour(t *testing.T, jobs int, gap time.Duration) *flow {
	t.Helper()
	f := &flow{}
	route := hook.Route{Name: "h", Batch: true, Handler: atOnce}
	p, end := running(t, worker.Config{Queue: f, Routes: []hook.Route{route}, Logger: slog.New(slog.DiscardHandler)})
	tick := time.NewTicker(gap) // of the bubble's clock
	for range jobs {
		<-tick.C
		f.add()
		p.Wake()
	}
	<-time.After(time.Second)
	end()
	if f.done != jobs {
		t.Errorf("%d of %d jobs done", f.done, jobs)
	}
	return f
}

// Under load a Batch route claims many jobs at a time; what comes by itself is claimed
// at once.
func TestABatchRouteLetsJobsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := pour(t, 10_000, time.Second/2000)
		if busy.claims > 100 || busy.late > 110*time.Millisecond {
			t.Errorf("2000 jobs a second: %d claims for 10,000, one waited %s; want at most 100, 110ms", busy.claims, busy.late)
		}
		quiet := pour(t, 200, 50*time.Millisecond)
		if quiet.late > 0 {
			t.Errorf("20 jobs a second: one waited %s, want none", quiet.late)
		}
	})
}
