//go:build hktest

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// testRoutes binds the test handler to everything.
func testRoutes(store hook.Store) []hook.Route {
	if err := createEffects(store); err != nil {
		panic(fmt.Sprintf("test handler: %v", err))
	}
	return []hook.Route{{Name: "test", Handler: &testHandler{store: store}}}
}

// testHandler writes one row an event and does on top what the body orders.
type testHandler struct{ store hook.Store }

// orders are what the body of a test event asks for. A hint's body asks for
// nothing: no field of it may reach an effect.
type orders struct {
	Fail   int    `json:"fail"`
	Poison bool   `json:"poison"`
	Panic  bool   `json:"panic"`
	Hang   bool   `json:"hang"`
	SlowMS int    `json:"slow_ms"`
	Needs  string `json:"needs"`  // the key of an event whose effect must be there first
	Effect string `json:"effect"` // what the effect does after its row: sleep, commit, cancel or record
}

// misbehaves reports whether the effect of this attempt does what Effect says:
// up to attempt Fail, without one at the first, and always if poisoned.
func (o *orders) misbehaves(attempt int) bool {
	return o.Effect != "" && (o.Poison || attempt <= max(o.Fail, 1))
}

func ordersOf(e *hook.Event) orders {
	var body struct {
		HK orders `json:"hk"`
	}
	if e.Trust == hook.TrustHint || json.Unmarshal(e.Body, &body) != nil {
		return orders{}
	}
	return body.HK
}

var errOrdered = errors.New("ordered to fail")

// Handle obeys. Every other ordered failure comes after the effect has written
// its row, so that a rollback that does not happen is seen.
func (h *testHandler) Handle(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	o := ordersOf(e)
	job := hook.JobOf(ctx)
	fails := o.Effect == "" && (o.Poison || job.Attempt <= o.Fail)
	switch {
	case o.Panic:
		panic("ordered to panic")
	case o.Hang:
		select {} // heeds nothing
	case o.SlowMS > 0:
		if err := pause(ctx, time.Duration(o.SlowMS)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	if fails && job.Attempt%2 == 0 {
		return nil, errOrdered
	}
	return func(ctx context.Context, tx hook.Tx) error {
		if err := requires(ctx, tx, e, o.Needs); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO hk_effects (source, mode, key, handler, generation, attempt, at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			e.Source, e.Mode, e.Key, job.Handler, job.Generation, job.Attempt, time.Now().UnixMicro())
		switch {
		case err != nil:
			return err
		case o.misbehaves(job.Attempt):
			return h.misbehave(ctx, tx, o.Effect)
		case fails:
			return errOrdered
		}
		return nil
	}, nil
}

// misbehave is what no effect may do. Wherever it can it returns nil, so that
// nothing but the store stands between it and a damaged transaction.
func (h *testHandler) misbehave(ctx context.Context, tx hook.Tx, how string) error {
	switch how {
	case "sleep":
		<-time.After(5 * time.Second) // heeds nothing
		return nil
	case "commit":
		_, _ = tx.ExecContext(ctx, `COMMIT`)
		return nil
	case "cancel":
		ctx, cancel := context.WithCancel(ctx)
		stop := time.AfterFunc(30*time.Millisecond, cancel)
		defer stop.Stop()
		// A statement that writes, for SQLite rolls the whole transaction back
		// when such a one is interrupted. It would count for minutes and finds
		// no row.
		_, _ = tx.ExecContext(ctx, `INSERT INTO hk_effects (key)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
			SELECT 'interrupted' FROM n WHERE i = 0`)
		return nil
	case "record":
		d := hook.Delivery{Source: "test", Body: []byte("from inside an effect"), ReceivedAt: time.Now()}
		_, recorded := h.store.Record(ctx, d, hook.Identity{Trust: hook.TrustInternal}, nil)
		applied := h.store.Apply(ctx, func(context.Context, hook.Tx) error { return nil })
		if recorded == nil || applied == nil {
			return nil // the job then ends done at its first attempt, which a test sees
		}
		return errors.Join(recorded, applied)
	}
	return fmt.Errorf("no such misbehaviour: %q", how)
}

// requires waits for the effect of another event of the same source.
func requires(ctx context.Context, tx hook.Tx, e *hook.Event, key string) error {
	if key == "" {
		return nil
	}
	var there bool
	row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM hk_effects WHERE source = $1 AND mode = $2 AND key = $3)`,
		e.Source, e.Mode, key)
	if err := row.Scan(&there); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("event %s has had no effect: %w", key, hook.ErrNotYet)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
