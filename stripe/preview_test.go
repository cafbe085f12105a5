package stripe_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
	"github.com/hookkeeper/hookkeeper/stripe"
)

// watchedAPI is Stripe's double, which counts what is more than a question.
func (b *bench) watchedAPI(writes *atomic.Int32) func(*stripe.Config) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writes.Add(1)
		}
		b.sim.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	transport := &http.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	return func(c *stripe.Config) { c.APIKey, c.APIBase, c.HTTP = "sk_test_bench", server.URL, transport }
}

// everything is all that the department and the queue have written.
func (b *bench) everything() string {
	var all []string
	for _, table := range []string{"customers", "subscriptions", "payments", "notifications", "billing_invoices",
		"billing_payment_parts", "consequences"} {
		rows := b.rows(`SELECT * FROM ` + table)
		slices.Sort(rows)
		all = append(all, table+": "+strings.Join(rows, "\n"))
	}
	for _, table := range []string{"attempts", "jobs", "audit"} {
		all = append(all, table+": "+b.one(`SELECT count(*) FROM `+table))
	}
	return strings.Join(all, "\n")
}

func (o *outbox) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.tried)
}

// TestAReplayIsPreviewed: the rows that a replay would write are shown, what has
// happened is not repeated, and nothing at all is left of it.
func TestAReplayIsPreviewed(t *testing.T) {
	t.Parallel()
	onEngines(t, func(b *bench) {
		var writes atomic.Int32
		box := &outbox{}
		key := b.watchedAPI(&writes)
		b.open(func(c *stripe.Config) {
			key(c)
			c.Channels = []stripe.Channel{{Name: "mail", Sender: box}}
		})
		b.work(1)
		bodies, sub, _ := b.life(1)
		var events []string
		for _, body := range bodies {
			events = append(events, b.deliver(body).EventID)
		}
		b.settlePatiently()
		b.stop()
		told := box.count()
		previews := worker.NewPreviews(b.store, b.routes)
		preview := func(event string) map[string]*hook.JobPreview {
			before := b.everything()
			plan, err := previews.PlanReplay(b.Context(), event, hook.Replay{})
			if err != nil {
				b.Fatalf("preview: %v", err)
			}
			if after := b.everything(); after != before {
				b.Errorf("a preview left something behind:\n%s\nbefore:\n%s", after, before)
			}
			all := map[string]*hook.JobPreview{}
			for _, job := range plan {
				all[job.Handler] = job.Preview
			}
			return all
		}
		for _, event := range events {
			if p := preview(event)["stripe-notices"]; p != nil && (p.Ending != hook.PreviewRows || slices.ContainsFunc(p.Rows,
				func(r hook.RowChange) bool { return r.Table == "notifications" || r.Table == "consequences" })) {
				b.Errorf("a notice that was told would be told again: %+v", p)
			}
		}
		b.apply(`DELETE FROM consequences WHERE handler = 'stripe-notify-mail'`)
		if p := preview(events[0])["stripe-notify-mail"]; p.Ending != hook.PreviewOutward || !strings.Contains(p.Text, "channel mail") {
			b.Errorf("the channel: %+v, want that it would tell somebody", p)
		}
		b.apply(`DELETE FROM consequences`)
		b.apply(`DELETE FROM notifications`)
		b.apply(`DELETE FROM subscriptions`)
		got := preview(events[0])
		b.wantRow(got["stripe-subscriptions"], "subscriptions", hook.ChangeInsert, "source=stripe mode=test subscription_id="+sub)
		b.wantRow(got["stripe-notices"], "notifications", hook.ChangeInsert, "id=nt_")
		b.wantRow(got["stripe-notices"], "consequences", hook.ChangeInsert, "handler=stripe-notices")
		if n := writes.Load(); n != 0 || box.count() != told {
			b.Errorf("previews sent %d requests that were no questions, and %d notices", n, box.count()-told)
		}
	})
}

// wantRow looks for a change whose key holds that text.
func (b *bench) wantRow(p *hook.JobPreview, table, change, key string) {
	b.Helper()
	if p == nil || p.Ending != hook.PreviewRows {
		b.Errorf("no rows are shown: %+v", p)
		return
	}
	if !slices.ContainsFunc(p.Rows, func(r hook.RowChange) bool {
		return r.Table == table && r.Change == change && strings.Contains(r.Key, key) && len(r.Columns) > 0
	}) {
		b.Errorf("no %s of a row of %s with %s in %s", change, table, key, fmt.Sprint(p.Rows))
	}
}
