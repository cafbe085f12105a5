package hooktest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/hookkeeper/hookkeeper/hook"
)

// effects: nothing that an effect does can lose or double what others do.
func effects() map[string]func(*bench) {
	return map[string]func(*bench){
		"AnEffectCannotEndItsTransaction": cannotEnd,
		"AnEffectThatHangsIsCut":          hangingEffect,
		"AnEffectThatPanicsIsRolledBack":  panickingEffect,
		"AnEffectCannotCallTheStore":      cannotCallStore,
		"AnEffectCannotKeepItsTx":         cannotKeepTx,
		"ACancelledStatementHurtsNobody":  cancelledStatement,
		"OneBadEffectInABatchIsAlone":     badInBatch,
		"RecordingGoesOnBesideBadEffects": recordingBeside,
	}
}

// fails runs an effect and then fails.
func fails(first hook.Effect, err error) hook.Effect {
	return func(ctx context.Context, tx hook.Tx) error { return errors.Join(first(ctx, tx), err) }
}

func cannotEnd(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	for _, sql := range []string{
		"COMMIT", "rollback", " \n END", "-- x\nCOMMIT", "/* x */ROLLBACK", "BEGIN", "SAVEPOINT effect", "RELEASE effect",
		"ROLLBACK TO effect", "INSERT INTO fx (k) VALUES ('x'); COMMIT", "INSERT INTO fx (k) VALUES (';'); ; ROLLBACK",
	} {
		for how, run := range map[string]func(context.Context, hook.Tx) error{
			"exec":  func(ctx context.Context, tx hook.Tx) error { _, err := tx.ExecContext(ctx, sql); return err },
			"query": func(ctx context.Context, tx hook.Tx) error { _, _ = tx.QueryContext(ctx, sql); return nil }, //nolint:sqlclosecheck,rowserrcheck // refused
			"row":   func(ctx context.Context, tx hook.Tx) error { tx.QueryRowContext(ctx, sql); return nil },
		} {
			err := b.store.Finish(b.Context(), j, func(ctx context.Context, tx hook.Tx) error {
				return errors.Join(row("a")(ctx, tx), run(ctx, tx))
			})
			if err == nil {
				b.Fatalf("%s %q passed", how, sql)
			}
			b.wantRows("a", 0)
		}
	}
	if err := b.store.Finish(b.Context(), j, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ('commit; rollback')`)
		return err
	}); err != nil {
		b.Errorf("words inside a string: %v", err)
	}
}

func hangingEffect(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	over := make(chan struct{})
	late := make(chan error, 1)
	err := b.store.Finish(b.Context(), j, func(ctx context.Context, tx hook.Tx) error {
		_ = row("a")(ctx, tx)
		<-over // heeds nothing
		late <- row("a")(context.Background(), tx)
		return nil
	})
	if err == nil {
		b.Fatal("an effect that hangs was committed")
	}
	r := b.record(event{key: "b"}) // the store goes on
	close(over)
	if err := <-late; err == nil {
		b.Error("a statement after the end of the effect passed")
	}
	b.wantRows("a", 0)
	b.finish(j)
	b.wantRows("a", 1)
	b.wantState(r.EventID, hook.StateReady)
}

func panickingEffect(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	err := b.store.Finish(b.Context(), j, func(ctx context.Context, tx hook.Tx) error {
		_ = row("a")(ctx, tx)
		panic("boom")
	})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		b.Errorf("got %v", err)
	}
	b.wantRows("a", 0)
	b.finish(j)
}

func cannotCallStore(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	err := b.store.Finish(b.Context(), j, func(ctx context.Context, _ hook.Tx) error {
		_, err := b.tryRecord(ctx, event{key: "inside"})
		b.wantErr(err, hook.ErrInsideEffect, "record inside an effect")
		err = b.store.Apply(ctx, row("inside"))
		b.wantErr(err, hook.ErrInsideEffect, "apply inside an effect")
		return err
	})
	b.wantErr(err, hook.ErrInsideEffect, "finish")
	b.wantRows("inside", 0)
	b.finish(j)
}

func cannotKeepTx(b *bench) {
	b.record(event{key: "a"})
	var kept hook.Tx
	if err := b.store.Finish(b.Context(), b.one("h", "a"), func(_ context.Context, tx hook.Tx) error {
		kept = tx
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	if err := row("a")(context.Background(), kept); err == nil {
		b.Error("a kept transaction still writes")
	}
	b.wantRows("a", 0)
}

// A context that ends in mid-statement interrupts it, which may roll back the
// whole transaction behind the store's back.
func cancelledStatement(b *bench) {
	b.record(event{key: "a"})
	j := b.one("h", "a")
	err := b.store.Finish(b.Context(), j, func(ctx context.Context, tx hook.Tx) error {
		_ = row("a")(ctx, tx)
		short, cancel := context.WithCancel(ctx)
		cancel()
		_, _ = tx.ExecContext(short, `INSERT INTO fx (k) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
			WHERE i < 10000000) SELECT 'a' FROM n`)
		return nil // and it does not even say so
	})
	if err == nil {
		b.wantRows("a", 1) // the statement never began: the effect stands, once
		return
	}
	b.wantRows("a", 0)
	b.finish(j)
	b.wantRows("a", 1)
}

func badInBatch(b *bench) {
	const n = 40
	for i := range n {
		b.record(event{key: key(i)})
	}
	jobs := b.claim("h", n)
	var all sync.WaitGroup
	for i, j := range jobs {
		j.Batch = true
		effect := row(j.Event.Key)
		switch i {
		case 7:
			effect = fails(effect, errors.New("bad"))
		case 21:
			effect = func(ctx context.Context, tx hook.Tx) error { _, err := tx.ExecContext(ctx, "ROLLBACK"); return err }
		}
		all.Go(func() {
			err := b.store.Finish(context.Background(), j, effect)
			if bad := i == 7 || i == 21; (err != nil) != bad {
				b.Errorf("job %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i, j := range jobs {
		want := 1
		if i == 7 || i == 21 {
			want = 0
		}
		b.wantRows(j.Event.Key, want)
	}
}

func recordingBeside(b *bench) {
	const n = 60
	for i := range n {
		b.record(event{key: key(i)})
	}
	jobs := b.claim("h", n)
	var all sync.WaitGroup
	for i, j := range jobs {
		all.Go(func() {
			_ = b.store.Finish(context.Background(), j, fails(row(j.Event.Key), errors.New("bad")))
		})
		all.Go(func() {
			if _, err := b.tryRecord(context.Background(), event{key: "beside" + key(i)}); err != nil {
				b.Errorf("record beside a failing effect: %v", err)
			}
		})
	}
	all.Wait()
	if got := len(b.list(hook.Filter{Limit: 1000})); got != 2*n {
		b.Errorf("events: got %d, want %d", got, 2*n)
	}
	for _, j := range jobs {
		b.wantRows(j.Event.Key, 0)
	}
}
