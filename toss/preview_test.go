package toss_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/toss"
)

// previewed is the part of a plan's answer that is looked at.
type previewed struct {
	Plan []hook.PlannedJob
}

// preview asks what a replay of an event that one handler wants would change.
func (w *world) preview(event string) *hook.JobPreview {
	w.Helper()
	var got previewed
	if status := w.op("POST", "events/"+event+"/replay", map[string]any{"dry_run": true, "preview": true}, &got); status != 200 ||
		len(got.Plan) != 1 || got.Plan[0].Preview == nil {
		w.Fatalf("%d, %+v", status, got)
	}
	return got.Plan[0].Preview
}

// setState makes an order as if it had never been settled otherwise.
func (w *world) setState(order string, state toss.OrderState) {
	w.Helper()
	err := w.nodes[0].store.Apply(w.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE orders SET state = $2, captured = 0, toss_status = '', asked_at = NULL, attention = ''
			WHERE id = $1`, order, string(state))
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// lines is a log that goroutines share.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestASettlementIsPreviewed: what Toss would settle now is shown, after questions
// alone, and nothing is left of it: no row, no call that takes or gives money, no
// number.
func TestASettlementIsPreviewed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, e engine) {
		var log lines
		w := newWorld(t, e, setup{config: func(c *toss.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }})
		w.product("one", 15000, 5, false)
		b := w.visit("one")
		b.buy()
		w.settle()
		w.state(b.order, toss.StatePaid)
		// As if the settlement had never been written.
		w.setState(b.order, toss.StateExpired)
		page, _, err := w.nodes[0].store.Events(t.Context(), hook.Filter{Source: "toss"})
		if err != nil || len(page) == 0 {
			t.Fatalf("%d events, %v", len(page), err)
		}
		order, asked, calls := w.orderInfo(b.order), w.metric("hookkeeper_checkout_toss_calls_total", "query", "ok"), len(w.sim.Calls())
		paid := w.metric("hookkeeper_checkout_outcomes_total", "paid")
		p := w.preview(page[0].ID)
		i := slices.IndexFunc(p.Rows, func(r hook.RowChange) bool { return r.Table == "orders" && r.Key == "id="+b.order })
		if p.Ending != hook.PreviewRows || i < 0 || p.Rows[i].Change != hook.ChangeUpdate {
			t.Fatalf("%+v, want a change of the order", p)
		}
		if !slices.ContainsFunc(p.Rows[i].Columns, func(c hook.ColumnChange) bool {
			return c.Name == "state" && *c.Old == "expired" && *c.New == "paid"
		}) {
			t.Errorf("the order: %+v, want expired → paid", p.Rows[i].Columns)
		}
		if after := w.orderInfo(b.order); after.State != order.State || after.Captured != 0 || len(after.Notes) != len(order.Notes) {
			t.Errorf("a preview changed the order: %+v", after)
		}
		if n := w.metric("hookkeeper_checkout_toss_calls_total", "query", "ok"); n != asked {
			t.Errorf("a preview counts as %g questions", n-asked)
		}
		if n := w.metric("hookkeeper_checkout_outcomes_total", "paid"); n != paid {
			t.Errorf("a preview counts as %g orders that were paid", n-paid)
		}
		// Toss says more than we think to know: people would be told, of a preview not.
		w.setState(b.order, toss.StateRefunded)
		if p := w.preview(page[0].ID); p.Ending != hook.PreviewRows || strings.Contains(log.String(), "alarm") {
			t.Errorf("%+v; the log: %s", p, log.String())
		}
		for _, c := range w.sim.Calls()[calls:] {
			if c.API != "get" || c.Changed {
				t.Errorf("a preview called %s", c.API)
			}
		}
	})
}

// TestAConfirmIsNotPreviewed: where a handler would take money its preview ends,
// and says so.
func TestAConfirmIsNotPreviewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onSQLite(), setup{idle: true})
	w.product("one", 15000, 5, false)
	b := w.visit("one")
	if code := b.prepare(); code != "" {
		t.Fatal(code)
	}
	_, back := b.authorize("")
	b.land(back)
	page, _, err := w.nodes[0].store.Events(t.Context(), hook.Filter{Source: "checkout"})
	if err != nil || len(page) != 1 {
		t.Fatalf("%d events, %v", len(page), err)
	}
	d, err := w.nodes[0].store.Event(t.Context(), page[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	event := &hook.Event{ID: d.ID, Source: d.Source, Key: d.Key, Type: d.Type, Trust: d.Trust, Body: d.Body, RecordedAt: d.ReceivedAt}
	_, err = w.desk().Routes()[0].Handler.Handle(hook.WithPreview(t.Context()), event)
	outward, ok := errors.AsType[*hook.OutwardError](err)
	if !ok || !strings.Contains(outward.Deed, "POST /v1/payments/confirm") {
		t.Errorf("got %v, want that it would confirm", err)
	}
	if n, _ := w.calls("confirm"); n != 0 || w.orderInfo(b.order).State == toss.StateConfirming {
		t.Errorf("%d calls of confirm, order %s", n, w.orderInfo(b.order).State)
	}
}
