package hooktest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// previews: an effect that is previewed says what it would change and changes
// nothing. A store that is no hook.Previewer passes.
func previews() map[string]func(*bench) {
	return withRole("this store previews nothing", map[string]func(*bench, hook.Previewer){
		"APreviewShowsWhatWouldChange":       previewShows,
		"APreviewLeavesNothing":              previewLeaves,
		"APreviewShowsSoMuch":                previewBounded,
		"APreviewThatHangsIsCut":             previewHangs,
		"NothingIsWrittenBesideAPreview":     previewOutward,
		"APreviewedEffectMayNotEndItsOwnEnd": previewRefuses,
	})
}

// watchedTable is one that every store watches.
const watchedTable = "consequences"

func consequences() hook.Preview { return hook.Preview{Tables: []string{watchedTable}} }

// insertConsequence is a statement with the arguments key and result.
const insertConsequence = `INSERT INTO consequences (scope, handler, key, seq, generation, at, result)
	VALUES ('s', 'h', $1, 1, 1, $2, $3)`

func addConsequence(b *bench, key, result string) {
	b.Helper()
	err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, insertConsequence, key, b.clock.Now(), result)
		return err
	})
	if err != nil {
		b.Fatalf("write a consequence: %v", err)
	}
}

func previewShows(b *bench, p hook.Previewer) {
	addConsequence(b, "stays", "was")
	addConsequence(b, "goes", "was")
	at := b.clock.Now()
	effect := func(ctx context.Context, tx hook.Tx) error {
		if !hook.Previewing(ctx) {
			b.Error("the effect's context does not say that it is previewed")
		}
		for _, statement := range []string{
			`UPDATE consequences SET result = 'half' WHERE key = 'stays'`,
			`UPDATE consequences SET result = 'is' WHERE key = 'stays'`,
			`DELETE FROM consequences WHERE key = 'goes'`,
			`INSERT INTO fx (k) VALUES ('of no interest')`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		for key, result := range map[string]string{"comes": "hk1:sealed", "comes and goes": "is"} {
			if _, err := tx.ExecContext(ctx, insertConsequence, key, at, result); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, insertConsequence+` ON CONFLICT (scope, handler, key) DO UPDATE
			SET result = excluded.result`, "stays", at, "is"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM consequences WHERE key = 'comes and goes'`)
		return err
	}
	preview := consequences()
	preview.Hidden = []string{"generation"}
	got, err := p.PreviewEffect(b.Context(), preview, effect)
	if err != nil {
		b.Fatalf("preview: %v", err)
	}
	when := func(v *string) *string { return v }
	want := hook.RowChanges{Rows: []hook.RowChange{
		{Table: watchedTable, Change: hook.ChangeUpdate, Key: "scope=s handler=h key=stays",
			Columns: []hook.ColumnChange{{Name: "result", Old: new("was"), New: new("is")}}},
		{Table: watchedTable, Change: hook.ChangeDelete, Key: "scope=s handler=h key=goes", Columns: []hook.ColumnChange{
			{Name: "scope", Old: new("s")}, {Name: "handler", Old: new("h")}, {Name: "key", Old: new("goes")},
			{Name: "seq", Old: new("1")}, {Name: "generation", Old: new("(hidden)")}, {Name: "at"}, {Name: "result", Old: new("was")}}},
		{Table: watchedTable, Change: hook.ChangeInsert, Key: "scope=s handler=h key=comes", Columns: []hook.ColumnChange{
			{Name: "scope", New: new("s")}, {Name: "handler", New: new("h")}, {Name: "key", New: new("comes")},
			{Name: "seq", New: new("1")}, {Name: "generation", New: new("(hidden)")}, {Name: "at"}, {Name: "result", New: new("(encrypted)")}}},
	}}
	for i, row := range got.Rows {
		for j, c := range row.Columns {
			if c.Name == "at" { // engines write it each in their own way
				got.Rows[i].Columns[j] = hook.ColumnChange{Name: "at", Old: when(nil), New: when(nil)}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("what would change (-want +got):\n%s", diff)
	}
}

func previewLeaves(b *bench, p hook.Previewer) {
	b.record(event{key: "k"})
	const all = `DELETE FROM consequences`
	err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error { // a store may keep how it runs a statement
		_, err := tx.ExecContext(ctx, all)
		return err
	})
	if err != nil {
		b.Fatalf("apply: %v", err)
	}
	addConsequence(b, "there", "was")
	for range 3 {
		changes, err := p.PreviewEffect(b.Context(), consequences(), func(ctx context.Context, tx hook.Tx) error {
			if _, err := tx.ExecContext(ctx, all); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ('previewed')`)
			return err
		})
		if err != nil || len(changes.Rows) != 1 || changes.Rows[0].Change != hook.ChangeDelete {
			b.Fatalf("preview: %+v, %v, want the one row gone", changes, err)
		}
	}
	if n := b.count("fx"); n != 0 {
		b.Errorf("%d rows of a previewed effect stay", n)
	}
	if n := b.count(watchedTable); n != 1 {
		b.Errorf("%d consequences after the previews, want the one", n)
	}
	mine := errors.New("mine")
	_, err = p.PreviewEffect(b.Context(), consequences(), func(context.Context, hook.Tx) error { return mine })
	if !errors.Is(err, mine) {
		b.Errorf("an effect that fails: got %v, want its own error", err)
	}
	// Work goes on as if nothing had been.
	b.finish(b.one("h", "k"))
	if n := b.count("fx"); n != 1 {
		b.Errorf("%d rows of the real effect, want 1", n)
	}
}

func (b *bench) count(table string) (n int) {
	b.Helper()
	err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n)
	})
	if err != nil {
		b.Fatalf("count %s: %v", table, err)
	}
	return n
}

func previewBounded(b *bench, p hook.Previewer) {
	addConsequence(b, "seed", strings.Repeat("x", 5000))
	changes, err := p.PreviewEffect(b.Context(), consequences(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 250)
			INSERT INTO consequences (scope, handler, key, seq, generation, at, result)
			SELECT scope, handler, CAST(n AS text), seq, generation, at, result FROM consequences, c WHERE key = 'seed'`)
		return err
	})
	if err != nil || len(changes.Rows) != 200 || !changes.More {
		b.Fatalf("250 rows: %d shown, more %v, %v, want 200 and more", len(changes.Rows), changes.More, err)
	}
	for _, c := range changes.Rows[0].Columns {
		if c.Name == "result" && len(*c.New) > 500 {
			b.Errorf("a value of 5000 bytes is shown as %d", len(*c.New))
		}
	}
}

func previewHangs(b *bench, p hook.Previewer) {
	asleep := make(chan struct{})
	defer close(asleep)
	begun := time.Now()
	_, err := p.PreviewEffect(b.Context(), consequences(), func(context.Context, hook.Tx) error {
		<-asleep // heeds nothing
		return nil
	})
	if err == nil || time.Since(begun) > 5*time.Second {
		b.Errorf("an effect that never ends: %v after %s", err, time.Since(begun))
	}
}

func previewOutward(b *bench, p hook.Previewer) {
	ctx := hook.WithPreview(b.Context())
	err := b.store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ('beside')`)
		return err
	})
	if _, ok := errors.AsType[*hook.OutwardError](err); !ok {
		b.Errorf("a handler that is previewed may apply: %v", err)
	}
	d, id := hook.Delivery{Source: "stripe", Body: []byte(`{}`)}, hook.Identity{Key: "beside", Trust: hook.TrustInternal}
	if _, err := b.store.Record(ctx, d, id, nil); err == nil {
		b.Error("a handler that is previewed may record")
	}
	if n := b.count("fx"); n != 0 {
		b.Errorf("%d rows were written", n)
	}
}

func previewRefuses(b *bench, p hook.Previewer) {
	_, err := p.PreviewEffect(b.Context(), consequences(), func(ctx context.Context, tx hook.Tx) error {
		_, _ = tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ('committed')`)
		_, err := tx.ExecContext(ctx, `COMMIT`)
		return err
	})
	if err == nil {
		b.Error("a previewed effect may commit")
	}
	if n := b.count("fx"); n != 0 {
		b.Errorf("%d rows were committed by a preview", n)
	}
}
