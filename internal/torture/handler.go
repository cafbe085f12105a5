package torture

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

//go:embed schema
var schemas embed.FS

// The handlers of a node under torture: the effects of one commit each by
// themselves, those of the other share commits.
const (
	handlerSingle = "torture"
	handlerBatch  = "torture-batch"
)

func handlers() []string { return []string{handlerSingle, handlerBatch} }

// Department is what a node under torture works: each event leaves one row, and
// its body says how often that fails first.
func Department() hook.Department {
	files, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic("torture: schema is not embedded: " + err.Error()) // a broken build
	}
	return hook.Department{
		Name:   "torture",
		Tables: hook.Tables{Name: "torture", Files: files},
		Routes: []hook.Route{
			{Name: handlerSingle, Source: sourceStripe, Handler: hook.HandlerFunc(obey)},
			{Name: handlerBatch, Source: sourcePartner, Batch: true, Handler: hook.HandlerFunc(obey)},
		},
	}
}

var errOrdered = errors.New("ordered to fail")

// obey does what the body orders. Every other ordered failure comes after the
// effect has written its row, so that a rollback that does not happen is seen.
func obey(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	var body struct {
		HK orders `json:"hk"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return nil, fmt.Errorf("not a body of the load: %w", err)
	}
	o, job := body.HK, hook.JobOf(ctx)
	if err := wait(ctx, time.Duration(o.SlowMS)*time.Millisecond); err != nil {
		return nil, err
	}
	fails := o.Poison || job.Attempt <= o.Fail
	if fails && job.Attempt%2 == 0 {
		return nil, errOrdered
	}
	return func(ctx context.Context, tx hook.Tx) error {
		if err := needed(ctx, tx, e, o.Needs); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO torture_effects (source, mode, key, handler, generation, attempt)
			VALUES ($1, $2, $3, $4, $5, $6)`, e.Source, e.Mode, e.Key, job.Handler, job.Generation, job.Attempt)
		if err == nil && fails {
			return errOrdered
		}
		return err
	}, nil
}

// needed waits for the effect of another event of the same source.
func needed(ctx context.Context, tx hook.Tx, e *hook.Event, key string) error {
	if key == "" {
		return nil
	}
	var n int
	row := tx.QueryRowContext(ctx, `SELECT count(*) FROM torture_effects WHERE source = $1 AND mode = $2 AND key = $3`,
		e.Source, e.Mode, key)
	if err := row.Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("event %s has had no effect: %w", key, hook.ErrNotYet)
	}
	return nil
}

// Effects calls write with each row that the handlers have left in a store.
func Effects(ctx context.Context, store hook.Viewer, write func(history.Effect) error) error {
	return store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT source, mode, key, handler, generation, attempt FROM torture_effects`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e history.Effect
			if err := rows.Scan(&e.Source, &e.Mode, &e.Key, &e.Handler, &e.Generation, &e.Attempt); err != nil {
				return err
			}
			if err := write(e); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
