package alarm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/alarm"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// place is a store with a clock, and a disk that a test fills.
type place struct {
	*testing.T
	alarm.Store
	clock *hooktest.Clock
	open  func() hook.Store // once more, as another node or after a restart
	slot  string            // what a row of counters needs besides on this engine
	mu    sync.Mutex
	free  int64 // guarded by mu
}

// Space implements hook.Spacer.
func (p *place) Space() (free, total int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free, 100 << 30, nil
}

func (p *place) fillUp(free int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = free
}

// onEach runs a test on both engines.
func onEach(t *testing.T, test func(p *place)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		clock, path := hooktest.NewClock(), filepath.Join(t.TempDir(), "hook.db")
		var last *sqlite.Store
		open := func() hook.Store {
			if last != nil {
				if err := last.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s, err := sqlite.Open(path, sqlite.Options{Now: clock.Now, EffectBudget: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			last = s
			return s
		}
		t.Cleanup(func() { _ = last.Close() })
		test(newPlace(t, clock, open, ""))
	})
	t.Run("postgres", func(t *testing.T) {
		clock, url := hooktest.NewClock(), pgtest.Database(t)
		open := func() hook.Store {
			s, err := postgres.Open(t.Context(), url, postgres.Options{Now: clock.Now, MaxConns: 8})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		test(newPlace(t, clock, open, ", slot"))
	})
}

func newPlace(t *testing.T, clock *hooktest.Clock, open func() hook.Store, slot string) *place {
	p := &place{T: t, clock: clock, open: open, slot: slot, free: 50 << 30}
	p.Store = open().(alarm.Store)
	return p
}

// quiet is a channel that takes everything.
type quiet struct{}

func (quiet) SendAlarm(context.Context, hook.AlarmNotice) error { return nil }

// watch makes a Watch of one node; record may break what it records.
func (p *place) watch(change func(*alarm.Config)) *alarm.Watch {
	p.Helper()
	c := alarm.Config{Store: p, Now: p.clock.Now, Channels: []alarm.Channel{{Name: "ops", Sender: quiet{}}}, Record: p.record}
	if change != nil {
		change(&c)
	}
	w, err := alarm.New(c)
	if err != nil {
		p.Fatal(err)
	}
	return w
}

func (p *place) record(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = p.clock.Now()
	}
	return p.Store.(hook.Store).Record(ctx, d, id, nil)
}

// looks lets a node look as it does over a time; over a long one not so often.
func (p *place) looks(w *alarm.Watch, over time.Duration) {
	p.Helper()
	step := max(30*time.Second, over/20)
	for t := time.Duration(0); t < over; t += step {
		p.clock.Advance(step)
		if err := w.Look(p.Context()); err != nil {
			p.Fatal(err)
		}
	}
}

// told gives what was told of a rule, in order: raised, resolved.
func (p *place) told(rule string) (all []string) {
	p.Helper()
	page, _, err := p.Events(p.Context(), hook.Filter{Source: alarm.Source, Limit: 1000})
	if err != nil {
		p.Fatal(err)
	}
	for _, e := range slices.Backward(page) {
		d, err := p.Event(p.Context(), e.ID)
		if err != nil {
			p.Fatal(err)
		}
		if strings.Contains(string(d.Body), `"rule":"`+rule+`"`) {
			all = append(all, strings.TrimPrefix(e.Type, "alarm."))
		}
	}
	return all
}

func (p *place) want(rule string, want ...string) {
	p.Helper()
	if got := p.told(rule); !slices.Equal(got, want) {
		p.Errorf("%s at %s: told %v, want %v", rule, p.clock.Now(), got, want)
	}
}

func (p *place) exec(query string, args ...any) {
	p.Helper()
	err := p.Apply(p.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		p.Fatalf("%s: %v", query, err)
	}
}

func (p *place) event(key string, handlers ...string) {
	p.Helper()
	_, err := p.Store.(hook.Store).Record(p.Context(), hook.Delivery{Source: "stripe", Body: []byte(key), ReceivedAt: p.clock.Now()},
		hook.Identity{Key: key, Type: "x", Trust: hook.TrustSignature}, handlers)
	if err != nil {
		p.Fatal(err)
	}
}

// noted has the notes on refusals written, which go with the next deliveries, until
// there are so many.
func (p *place) noted(want int) {
	p.Helper()
	for tries := range 1000 {
		var n int
		err := p.Store.(hook.Applier).View(p.Context(), func(ctx context.Context, tx hook.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT count(*) FROM rejections`).Scan(&n)
		})
		if err != nil {
			p.Fatal(err)
		}
		if n == want {
			return
		}
		p.event(fmt.Sprint("brings the notes ", want, " ", tries))
	}
	p.Fatalf("%d notes are not written", want)
}

func (p *place) claim(handler string) *hook.Job {
	p.Helper()
	jobs, err := p.Store.(hook.Store).Claim(p.Context(), hook.Ask{Handlers: []string{handler}, Lease: time.Minute, Max: 1, MaxAttempts: 9, Node: "n"})
	if err != nil || len(jobs) != 1 {
		p.Fatalf("claim: %d jobs, %v", len(jobs), err)
	}
	return jobs[0]
}

func (p *place) bury(key string) {
	p.Helper()
	p.event(key, "mail")
	if err := p.Store.(hook.Store).Bury(p.Context(), p.claim("mail"), hook.Cause{Text: "550"}); err != nil {
		p.Fatal(err)
	}
}

// TestAnOldJobRaisesOnceAndResolvesOnce.
func TestAnOldJobRaisesOnceAndResolvesOnce(t *testing.T) {
	onEach(t, func(p *place) {
		w := p.watch(nil)
		p.event("k", "mail")
		p.looks(w, 9*time.Minute)
		p.want("oldest_job")
		p.looks(w, 10*time.Minute)
		p.want("oldest_job", "raised")
		if err := p.Store.(hook.Store).Finish(p.Context(), p.claim("mail"), nil); err != nil {
			p.Fatal(err)
		}
		p.looks(w, time.Minute)
		p.want("oldest_job", "raised") // not yet for long enough
		p.looks(w, 10*time.Minute)
		p.want("oldest_job", "raised", "resolved")
	})
}

// TestDeadLettersAreNewsForAnHour: a storm is told once, a late one anew, and one
// that was told is no news after a restart.
func TestDeadLettersAreNewsForAnHour(t *testing.T) {
	onEach(t, func(p *place) {
		w := p.watch(nil)
		for i := range 5 {
			p.bury(fmt.Sprint("dead", i))
			p.looks(w, time.Minute)
		}
		p.want("dead_letters", "raised")
		p.looks(w, 50*time.Minute)
		p.want("dead_letters", "raised")
		p.looks(w, 20*time.Minute)
		p.want("dead_letters", "raised", "resolved")
		p.looks(p.watch(nil), 5*time.Minute)
		p.want("dead_letters", "raised", "resolved")
		p.bury("late")
		p.looks(w, time.Minute)
		p.want("dead_letters", "raised", "resolved", "raised")
		page, _, err := p.Events(p.Context(), hook.Filter{State: hook.StateDead})
		if err != nil || len(page) != 6 {
			p.Fatalf("%d dead events, %v", len(page), err)
		}
		for _, e := range page {
			if err := p.Discard(p.Context(), e.ID, "mail", "me", "seen"); err != nil {
				p.Fatal(err)
			}
		}
		p.looks(w, 4*time.Minute)
		p.want("dead_letters", "raised", "resolved", "raised", "resolved")
	})
}

// TestABurstOfBadSignatures, and nothing of what only strays by.
func TestABurstOfBadSignatures(t *testing.T) {
	onEach(t, func(p *place) {
		w := p.watch(nil)
		all := 0
		reject := func(n int, reason hook.Reason) {
			for range n {
				p.Store.(hook.Store).Reject(hook.Delivery{Source: "stripe", Body: []byte("x"), ReceivedAt: p.clock.Now()}, reason, "")
			}
			all += n
			p.noted(all)
		}
		reject(50, hook.ReasonMissingHeader)
		reject(9, hook.ReasonBadSignature)
		p.looks(w, time.Minute)
		p.want("bad_signatures")
		reject(1, hook.ReasonTimestampTooOld)
		p.looks(w, time.Minute)
		p.want("bad_signatures", "raised")
		for range 20 { // around the bound nothing flaps
			reject(7+int(p.clock.Now().Unix()/60)%2*6, hook.ReasonBadSignature)
			p.looks(w, 10*time.Minute)
		}
		p.want("bad_signatures", "raised")
		p.looks(w, 20*time.Minute)
		p.want("bad_signatures", "raised", "resolved")
	})
}

// TestALedgerOutOfBalance: a node whose check is older than what another found
// neither ends an alarm nor raises it again.
func TestALedgerOutOfBalance(t *testing.T) {
	onEach(t, func(p *place) {
		finder, other := p.watch(nil), p.watch(nil)
		other.Balance(0)
		p.clock.Advance(time.Minute)
		finder.Balance(-3)
		p.looks(finder, time.Minute)
		p.looks(other, 10*time.Minute)
		p.want("ledger_imbalance", "raised")
		other.Balance(0)
		p.looks(other, 4*time.Minute)
		p.want("ledger_imbalance", "raised", "resolved")
		p.looks(finder, 10*time.Minute)
		p.want("ledger_imbalance", "raised", "resolved")
		finder.Balance(1)
		p.looks(finder, time.Minute)
		p.want("ledger_imbalance", "raised", "resolved", "raised")
	})
}

func TestADiskThatFillsUp(t *testing.T) {
	onEach(t, func(p *place) {
		w := p.watch(nil)
		p.fillUp(1000 << 20)
		p.looks(w, time.Minute)
		p.want("disk_space", "raised")
		for _, free := range []int64{1100 << 20, 1000 << 20, 1200 << 20} {
			p.fillUp(free)
			p.looks(w, 5*time.Minute)
		}
		p.want("disk_space", "raised")
		p.fillUp(2 << 30)
		p.looks(w, 5*time.Minute)
		p.want("disk_space", "raised", "resolved")
	})
}

const newSecret, oldSecret = "whsec_the_new_one_of_two_for_tests", "whsec_the_old_one_of_two_for_tests"

// signed records an event of Stripe that carries the signatures of these secrets.
func (p *place) signed(key string, secrets ...string) {
	p.Helper()
	body, header := []byte(`{"id":"`+key+`","type":"invoice.paid"}`), http.Header{}
	for i, secret := range secrets {
		one := http.Header{}
		if err := source.Stripe("stripe", secret).Sign(one, body, p.clock.Now()); err != nil {
			p.Fatal(err)
		}
		value := one.Get("Stripe-Signature")
		if i > 0 {
			_, v1, _ := strings.Cut(value, ",")
			value = header.Get("Stripe-Signature") + "," + v1
		}
		header.Set("Stripe-Signature", value)
	}
	_, err := p.Store.(hook.Store).Record(p.Context(), hook.Delivery{Source: "stripe", Header: header, Body: body, ReceivedAt: p.clock.Now()},
		hook.Identity{Key: key, Type: "invoice.paid", Trust: hook.TrustSignature}, nil)
	if err != nil {
		p.Fatal(err)
	}
}

// TestASecretThatIsRolled: a second signature that we cannot verify means that
// ours will end; an old secret may stay in use for a day.
func TestASecretThatIsRolled(t *testing.T) {
	onEach(t, func(p *place) {
		with := func(secrets ...string) *alarm.Watch {
			return p.watch(func(c *alarm.Config) { c.Sources = []hook.Source{source.Stripe("stripe", secrets...)} })
		}
		w := with(oldSecret)
		p.signed("evt_1", oldSecret)
		p.looks(w, 20*time.Minute)
		p.want("unknown_secret")
		p.signed("evt_2", oldSecret, newSecret)
		p.looks(w, 20*time.Minute)
		p.want("unknown_secret", "raised")
		both := with(newSecret, oldSecret) // started again, with both
		p.looks(both, 20*time.Minute)
		p.want("unknown_secret", "raised", "resolved")
		p.want("old_secret")
		p.signed("evt_3", oldSecret)
		p.looks(both, 23*time.Hour)
		p.want("old_secret")
		p.looks(both, 3*time.Hour)
		p.want("old_secret", "raised")
		p.signed("evt_4", newSecret)
		p.looks(both, 20*time.Minute)
		p.want("old_secret", "raised", "resolved")
	})
}

// TestADepartmentsCondition: what is open for long enough raises, and only the end
// of all of it resolves.
func TestADepartmentsCondition(t *testing.T) {
	onEach(t, func(p *place) {
		kind := map[string]string{"": "INTEGER", ", slot": "timestamptz"}[p.slot]
		p.exec(`CREATE TABLE stuck (name TEXT, since ` + kind + `)`)
		texts := map[string]hook.ConditionText{"en": {What: "%d are stuck", Do: "look"}, "ko": {What: "%d개 멈춤", Do: "보세요"}}
		w := p.watch(func(c *alarm.Config) {
			c.Conditions = []hook.Condition{{Rule: "stuck_things", Grave: true, Lasting: 5 * time.Minute, Page: "records/stuck", Texts: texts,
				Query: `SELECT name, since FROM stuck ORDER BY since LIMIT 100`}}
		})
		p.exec(`INSERT INTO stuck (name, since) VALUES ('a', $1)`, p.clock.Now())
		p.looks(w, 4*time.Minute)
		p.want("stuck_things")
		p.exec(`INSERT INTO stuck (name, since) VALUES ('b', $1)`, p.clock.Now())
		p.looks(w, 10*time.Minute)
		p.exec(`DELETE FROM stuck WHERE name = 'a'`)
		p.looks(w, 5*time.Minute)
		p.want("stuck_things", "raised")
		all, err := w.Alarms(p.Context(), "ko", 10)
		if err != nil || len(all) != 1 || all[0].What != "1개 멈춤" || !all[0].Grave || all[0].Page != "records/stuck" || all[0].ResolvedAt != nil {
			p.Errorf("shown %+v, %v", all, err)
		}
		p.exec(`ALTER TABLE stuck RENAME TO gone`)
		p.fillUp(0) // what cannot be asked holds up no other rule, and ends nothing
		for range 10 {
			p.clock.Advance(time.Minute)
			if err := w.Look(p.Context()); err == nil || !strings.Contains(err.Error(), "condition stuck_things") {
				p.Fatalf("a query that fails: %v", err)
			}
		}
		p.want("stuck_things", "raised")
		p.want("disk_space", "raised")
		p.exec(`ALTER TABLE gone RENAME TO stuck`)
		p.exec(`DELETE FROM stuck`)
		p.looks(w, 5*time.Minute)
		p.want("stuck_things", "raised", "resolved")
	})
}

// TestTwoNodesRaiseOnce: both look at the same moment, and one of them dies in
// the middle of telling.
func TestTwoNodesRaiseOnce(t *testing.T) {
	onEach(t, func(p *place) {
		died := errors.New("died")
		dies := p.watch(func(c *alarm.Config) {
			c.Record = func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
				_, err := p.record(ctx, d, id)
				return hook.Receipt{}, errors.Join(err, died) // after the event, before the note of it
			}
		})
		nodes := []*alarm.Watch{p.watch(nil), p.watch(nil), dies}
		p.event("k", "mail")
		p.clock.Advance(11 * time.Minute)
		for range 10 {
			var all sync.WaitGroup
			for _, w := range nodes {
				all.Go(func() {
					if err := w.Look(p.Context()); err != nil && !errors.Is(err, died) {
						p.Error(err)
					}
				})
			}
			all.Wait()
			p.clock.Advance(30 * time.Second)
		}
		p.want("oldest_job", "raised")
	})
}

// TestARestartInBetween: raised before it, told after it, resolved after it.
func TestARestartInBetween(t *testing.T) {
	onEach(t, func(p *place) {
		down := errors.New("the database is cut off")
		w := p.watch(func(c *alarm.Config) {
			c.Record = func(context.Context, hook.Delivery, hook.Identity) (hook.Receipt, error) { return hook.Receipt{}, down }
		})
		p.event("k", "mail")
		p.clock.Advance(11 * time.Minute)
		if err := w.Look(p.Context()); !errors.Is(err, down) {
			p.Fatalf("look: %v", err)
		}
		p.want("oldest_job")
		p.Store = p.open().(alarm.Store)
		w = p.watch(nil)
		p.looks(w, time.Minute)
		p.want("oldest_job", "raised")
		if err := p.Store.(hook.Store).Finish(p.Context(), p.claim("mail"), nil); err != nil {
			p.Fatal(err)
		}
		p.looks(w, time.Minute)
		p.Store = p.open().(alarm.Store)
		p.looks(p.watch(nil), 5*time.Minute)
		p.want("oldest_job", "raised", "resolved")
	})
}
