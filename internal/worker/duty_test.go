package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// turns gives out turns as a store does, by the clock of the test's bubble.
type turns struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (t *turns) Turn(_ context.Context, name string, every time.Duration) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[name]; ok && time.Since(last) < every {
		return false, nil
	}
	t.last[name] = time.Now()
	return true, nil
}

func TestADutyIsDoneByOneNodeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := 0
		duty := hook.Duty{Name: "sweep", Every: time.Minute, Run: func(context.Context) error { done++; return nil }}
		shared := &turns{last: map[string]time.Time{}}
		ctx, cancel := context.WithCancel(t.Context())
		var nodes sync.WaitGroup
		for range 3 {
			d := worker.Duties{All: []hook.Duty{duty}, Turns: shared, Logger: slog.New(slog.DiscardHandler), Grace: time.Second}
			nodes.Go(func() { d.Run(ctx) })
			<-time.After(7 * time.Second) // of the bubble's clock: nodes start one after the other
		}
		<-time.After(10 * time.Minute)
		cancel()
		nodes.Wait()
		if done < 9 || done > 11 {
			t.Errorf("done %d times in ten minutes by three nodes, want about ten", done)
		}
	})
}

func TestAFailingDutyIsLoggedOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		tries := 0
		duty := hook.Duty{Name: "sweep", Every: time.Minute, Run: func(context.Context) error {
			tries++
			switch {
			case tries == 2:
				panic("out of cheese")
			case tries <= 4:
				return errors.New("the sender is away")
			}
			return nil
		}}
		d := worker.Duties{All: []hook.Duty{duty}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Grace: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
		defer cancel()
		d.Run(ctx)
		if tries != 6 || strings.Count(log.String(), "level=ERROR") != 1 || strings.Count(log.String(), "works again") != 1 {
			t.Errorf("tried %d times, want 6, with one error and one word of recovery:\n%s", tries, &log)
		}
	})
}

func TestADutyThatHeedsNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		duty := hook.Duty{Name: "stuck", Every: time.Minute, Run: func(context.Context) error { <-forever; return nil }}
		d := worker.Duties{All: []hook.Duty{duty}, Logger: slog.New(slog.DiscardHandler), Grace: 3 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		d.Run(ctx)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("ended after %s, want the second and the grace", took)
		}
		close(forever)
	})
}
