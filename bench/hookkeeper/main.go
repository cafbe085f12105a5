// Command hookkeeper is hookkeeper in the comparison: a program of one handler on
// the public library, as a user would write it. It takes its settings from the
// environment, as the baselines do, and promises what hookkeeper promises.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	hookkeeper.BoundHeap(hookkeeper.MemoryLimit())
	store, err := open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS effects (event_id text NOT NULL)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("table effects: %w", err)
	}
	w := &work{fixed: os.Getenv("FIXED") != "", failed: map[string]bool{}}
	keeper, err := hookkeeper.New(hookkeeper.Config{
		Store:    store,
		Sources:  []hook.Source{source.Stripe("stripe", os.Getenv("STRIPE_WEBHOOK_SECRET"))},
		Handlers: []hook.Route{{Name: "work", Batch: true, Handler: w}},
		// Short, so that the comparison need not wait for what comes again by itself.
		Lease: 2 * time.Second, BackoffBase: time.Second, BackoffMax: time.Second, Attempts: 1000,
		OpenMetrics: true,
	})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: keeper}
	go func() {
		<-ctx.Done()
		_ = server.Close() // what was not answered, its sender sends again
	}()
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func open(ctx context.Context, url string) (hook.Store, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Open(path, sqlite.Options{LockWait: 5 * time.Second})
	}
	return postgres.Open(ctx, url, postgres.Options{})
}

// work is what an event causes, the same for every contender: one row.
type work struct {
	fixed bool

	mu     sync.Mutex
	failed map[string]bool // guarded by mu: events whose mail failed once
}

var errMail = errors.New("the mail service is away")

// Handle thinks first and writes afterwards.
func (w *work) Handle(_ context.Context, e *hook.Event) (hook.Effect, error) {
	var event struct {
		ID   string `json:"id"`
		Data struct {
			Object subscription `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(e.Body, &event); err != nil {
		return nil, err
	}
	if event.Data.Object.Metadata["fail_first"] == "yes" && w.firstTry(event.ID) {
		return nil, errMail
	}
	if strings.HasPrefix(e.Type, "customer.subscription.") {
		if err := event.Data.Object.periodEnd(w.fixed); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO effects (event_id) VALUES ($1)`, event.ID)
		return err
	}, nil
}

type subscription struct {
	Metadata         map[string]string `json:"metadata"`
	CurrentPeriodEnd int64             `json:"current_period_end"`
	Items            struct {
		Data []struct {
			CurrentPeriodEnd int64 `json:"current_period_end"`
		} `json:"data"`
	} `json:"items"`
}

// periodEnd makes the mistake of the usual handler until it is fixed: it reads the
// field where it stood before the API of 2025-03-31.
func (s *subscription) periodEnd(fixed bool) error {
	end := s.CurrentPeriodEnd
	if fixed && len(s.Items.Data) > 0 {
		end = s.Items.Data[0].CurrentPeriodEnd
	}
	if end == 0 {
		return errors.New("no end of the period")
	}
	return nil
}

func (w *work) firstTry(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.failed[id]
	w.failed[id] = true
	return first
}
