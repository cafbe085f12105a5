package stripe_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// sample reads a payload of a train, such as dahlia/invoice.paid.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	return readFile(t, filepath.Join("testdata", name+".json"))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// edited changes the event by its decoded form.
func edited(t *testing.T, body []byte, change func(e, object map[string]any)) []byte {
	t.Helper()
	var e map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&e); err != nil {
		t.Fatal(err)
	}
	object, _ := e["data"].(map[string]any)["object"].(map[string]any)
	change(e, object)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEveryVersionGivesTheSameProjection: the payloads of four trains tell one
// story; three of them have the whole core of it.
func TestEveryVersionGivesTheSameProjection(t *testing.T) {
	t.Parallel()
	story := []string{"checkout.session.completed.subscription", "customer.subscription.created", "customer.subscription.updated.renewal",
		"invoice.paid", "invoice.payment_succeeded", "charge.refunded"}
	want := []string{
		"sub_1HKtest0001HanbitPro|usr_1001|cus_HKtest0001Hanbit|pro_monthly|price_1HKtestProMonthlyKRW|1|active|1775001600|1777593600|in_1HKtest0002Renew|paid|0",
		"pi_3HKtest0077Order|20000|4900",
		"invoice.paid|invoice.paid/in_1HKtest0002Renew|usr_1001",
		"subscription.created|subscription.created/sub_1HKtest0001HanbitPro|usr_1001",
		"subscription.renewed|subscription.updated/sub_1HKtest0001HanbitPro|usr_1001",
	}
	for _, train := range []string{"acacia", "basil", "dahlia", "endive"} {
		t.Run(train, func(t *testing.T) {
			t.Parallel()
			onEngines(t, func(b *bench) {
				b.open(nil)
				b.work(2)
				for _, name := range story {
					b.deliver(sample(t, train+"/"+name))
				}
				b.settlePatiently()
				b.wantNone(hook.StateDead, hook.StateWaiting)
				got := b.rows(`SELECT subscription_id, user_id, customer_id, plan, price_id, quantity, status, current_period_start,
					current_period_end, latest_invoice, latest_invoice_status, unsure FROM subscriptions`)
				got = append(got, b.rows(`SELECT payment_intent, captured, refunded FROM payments`)...)
				for _, n := range b.rows(`SELECT kind, fact, user_id FROM notifications ORDER BY kind`) {
					if i := strings.Index(n, "/evt_"); i > 0 { // the update's own event, which differs by train
						n = n[:i] + n[strings.LastIndex(n, "|"):]
					}
					got = append(got, n)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// TestEveryPayloadIsHandledOrNobodyWantsIt: no payload of any version ends dead
// where its object is in the body, or can be had from the sender's API.
func TestEveryPayloadIsHandledOrNobodyWantsIt(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		t.Run(map[bool]string{false: "EventsAlone", true: "WithAPIKey"}[keyed], func(t *testing.T) {
			t.Parallel()
			onEngines(t, func(b *bench) { handleEveryPayload(b, keyed) })
		})
	}
}

func handleEveryPayload(b *bench, keyed bool) {
	b.open(nil)
	if keyed {
		b.open(b.keyed)
	}
	paths, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(paths) < 80 {
		b.Fatalf("found %d payloads, %v", len(paths), err)
	}
	for _, path := range paths {
		_ = b.sim.Learn(readFile(b, path)) // thin events and invoices to come hold no object
	}
	b.sim.Put(stripetest.Object{"id": "cus_HKtest0009Conn", "object": "customer", "metadata": map[string]any{"user_id": "usr_9"}})
	b.work(2)
	events := map[string]string{}
	for _, path := range paths {
		events[b.deliver(readFile(b, path)).EventID] = path
	}
	b.settlePatiently()
	states := map[hook.State]int{}
	for id, path := range events {
		e, err := b.store.Event(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		states[e.State]++
		thin := strings.HasPrefix(path, filepath.Join("testdata", "thin"))
		if e.State == hook.StateDone || e.State == hook.StateNoHandler || thin && !keyed && e.State == hook.StateDead {
			continue
		}
		b.Errorf("%s ended %s: %s", path, e.State, b.causes(e.State))
	}
	if states[hook.StateDone] < 50 {
		b.Errorf("states: %v, want most of them done", states)
	}
}

// TestAnUnknownVersionIsNeverHalfWritten: a train of the future and a body
// without a field that we need change nothing, and the cause is told; with an API
// key both are read under our own version.
func TestAnUnknownVersionIsNeverHalfWritten(t *testing.T) {
	t.Parallel()
	future := edited(t, sample(t, "endive/customer.subscription.updated.renewal"), func(e, o map[string]any) {
		e["api_version"] = "2027-09-29.foxglove"
		o["schedule_of_periods"] = o["items"]
		delete(o, "items")
	})
	lacking := edited(t, sample(t, "dahlia/customer.subscription.created"), func(_, o map[string]any) {
		item := o["items"].(map[string]any)["data"].([]any)[0].(map[string]any)
		delete(item, "current_period_end")
	})
	invoice := edited(t, sample(t, "endive/invoice.paid"), func(e, _ map[string]any) { e["api_version"] = "2027-09-29.foxglove" })
	onEngines(t, func(b *bench) {
		b.open(nil)
		b.work(2)
		var ids []string
		for _, body := range [][]byte{future, lacking, invoice} {
			ids = append(ids, b.deliver(body).EventID)
		}
		b.settle()
		for i, cause := range []string{"2027-09-29.foxglove", "current_period_end", "2027-09-29.foxglove"} {
			e, err := b.store.Event(t.Context(), ids[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range e.Jobs {
				if j.State != hook.StateDead || j.Attempt != 1 || j.LastError == nil || !strings.Contains(*j.LastError, cause) {
					t.Errorf("%s of %s: got %s at attempt %d (%v), want it dead at once, naming %s", j.Handler, e.Type, j.State, j.Attempt, j.LastError, cause)
				}
			}
		}
		for _, table := range []string{"subscriptions", "notifications", "customers", "billing_invoices"} {
			if got := b.one(`SELECT count(*) FROM ` + table); got != "0" {
				t.Errorf("%s has %s rows, want none", table, got)
			}
		}
		b.stop()

		// The same dead letters, replayed by a build that can ask.
		b.open(b.keyed)
		sub := stripetest.Subscription("sub_1HKtest0001HanbitPro", "cus_HKtest0001Hanbit", "usr_1001", "active", b.sim.Now(), b.sim.Now().Add(1e12))
		b.sim.Put(sub)
		b.sim.Put(stripetest.Invoice("in_1HKtest0002Renew", "sub_1HKtest0001HanbitPro", "cus_HKtest0001Hanbit", "usr_1001", "paid", 9900, b.sim.Now()))
		for _, id := range ids {
			if _, err := b.store.Replay(t.Context(), id, hook.Replay{Reason: "an API key was set", Actor: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		b.work(2)
		b.settle()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		if got := b.one(`SELECT status, user_id FROM subscriptions`); got != "active|usr_1001" {
			t.Errorf("after the replay: got %s", got)
		}
		if got := b.rows(`SELECT DISTINCT generation FROM consequences`); len(got) != 1 || got[0] != "2" {
			t.Errorf("the consequences are of generations %v, want the replay's, 2", got)
		}
		for _, c := range b.sim.Calls() {
			if c.Version != "2026-10-28.endive" {
				t.Errorf("asked under version %s", c.Version)
			}
		}
	})
}

// TestThinTwin: a thin event is fetched, and the fact that it shares with its
// snapshot is told once.
func TestThinTwin(t *testing.T) {
	t.Parallel()
	thin := sample(t, "thin/v1.invoice.paid.with_snapshot_event")
	change := sample(t, "thin/v1.customer.subscription.updated")
	onEngines(t, func(b *bench) {
		b.open(b.keyed)
		b.work(2)
		b.sim.Put(stripetest.Subscription("sub_1HKtest0001HanbitPro", "cus_HKtest0001Hanbit", "usr_1001", "active", b.sim.Now(), b.sim.Now().Add(1e12)))
		b.sim.Put(stripetest.Invoice("in_1HKtest0002Renew", "sub_1HKtest0001HanbitPro", "cus_HKtest0001Hanbit", "usr_1001", "paid", 9900, b.sim.Now()))
		for _, body := range [][]byte{thin, sample(t, "endive/invoice.paid"), change, sample(t, "endive/invoice.payment_succeeded")} {
			b.deliver(body)
		}
		b.settle()
		b.wantNone(hook.StateDead, hook.StateWaiting)
		got := b.rows(`SELECT kind, fact FROM notifications ORDER BY kind`)
		want := []string{"invoice.paid|invoice.paid/in_1HKtest0002Renew",
			"subscription.updated|subscription.updated/sub_1HKtest0001HanbitPro/evt_test_65HKtest0006sub"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("notices, -want +got:\n%s", diff)
		}
	})
}
