package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// A preview sees what is watched, and says so of what is not, instead of showing
// nothing. Watching again changes nothing.
func TestOnlyWatchedTablesArePreviewed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	shop := tables()
	shop[0].Watched = []string{"shop_orders", "shop_missing"}
	if err := postgres.Migrate(t.Context(), url, shop); err == nil || !strings.Contains(err.Error(), "shop_missing: there is no such table") {
		t.Errorf("a watched table that is not there: %v", err)
	}
	execute(t, dial(t, url), `CREATE TABLE public.users (id text, mail text)`)
	shop[0].Watched = []string{"shop_orders", "public.users"}
	var store *postgres.Store
	for range 2 {
		store = open(t, url, postgres.Options{MaxConns: 6, Tables: shop})
	}
	effect := func(ctx context.Context, tx hook.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO shop_orders (id, paid) VALUES ('o1', TRUE)`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO users (id, mail) VALUES ('u1', NULL)`)
		return err
	}
	got, err := store.PreviewEffect(t.Context(), hook.Preview{Tables: []string{"shop_orders", "public.users"}}, effect)
	if err != nil || len(got.Rows) != 2 || got.Rows[0].Key != "id=o1" || len(got.Rows[0].Columns) != 2 || *got.Rows[0].Columns[1].New != "true" ||
		got.Rows[1].Table != "users" || len(got.Rows[1].Columns) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := store.PreviewEffect(t.Context(), hook.Preview{Tables: []string{"meta"}}, effect); err == nil ||
		!strings.Contains(err.Error(), "meta is not watched") {
		t.Errorf("a table that nobody watches: %v", err)
	}
}
