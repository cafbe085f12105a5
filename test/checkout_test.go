//go:build hktest

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// Ten seats, two hundred buyers, and processes that are killed all the while.

func TestTenSeatsWhileProcessesAreKilled(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		before := pgtest.Deadlocks(t)
		rush(t, 3, options{url: pgtest.Empty(t)}).wantSound(t)
		if n := pgtest.Deadlocks(t) - before; n > 0 {
			t.Errorf("%d deadlocks in the server's log", n)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		rush(t, 1, options{database: filepath.Join(t.TempDir(), "shop.db")}).wantSound(t)
	})
}

// A crowd that finds nothing wrong shows nothing unless it finds known mistakes.
func TestPaymentMistakesAreCaught(t *testing.T) {
	if os.Getenv("HK_SELFTEST") == "" {
		t.Skip("make torture-selftest runs it")
	}
	for name, as := range map[string]string{
		"seat_after_money":   "confirmed without a seat",
		"refund_key_per_try": "given back twice",
	} {
		env := map[string]string{"HK_MUTANT": name}
		t.Run(name+"/postgres", func(t *testing.T) {
			wantCaught(t, as, func(t *testing.T) *verdict { return rush(t, 3, options{url: pgtest.Empty(t), env: env}) })
		})
		t.Run(name+"/sqlite", func(t *testing.T) {
			wantCaught(t, as, func(t *testing.T) *verdict {
				return rush(t, 1, options{database: filepath.Join(t.TempDir(), "shop.db"), env: env})
			})
		})
	}
}

// wantCaught gives a mistake three chances: a kill hits where chance says.
func wantCaught(t *testing.T, as string, play func(*testing.T) *verdict) {
	t.Helper()
	for range 3 {
		n := 0
		t.Run("chance", func(t *testing.T) { // whose processes end with it
			for _, w := range play(t).wrong {
				if strings.Contains(w, as) {
					n++
				}
			}
		})
		if n > 0 {
			t.Logf("caught as %q, %d times", as, n)
			return
		}
	}
	t.Errorf("not caught as %q", as)
}

// verdict is what a rush has come to.
type verdict struct {
	kills, captures, sold, refunds, unseated int
	wrong                                    []string
}

func (v *verdict) add(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

func (v *verdict) wantSound(t *testing.T) {
	t.Helper()
	for _, w := range v.wrong {
		t.Error(w)
	}
	if v.kills < 4 || v.sold == 0 || v.captures <= seats || v.unseated == 0 {
		t.Errorf("inconclusive: %d kills, %d captures, %d sold, %d captures without a seat", v.kills, v.captures, v.sold, v.unseated)
	}
}

// rush sends the buyers at a shop, kills its nodes until the last buyer has gone,
// lets it come to rest, and judges.
func rush(t *testing.T, nodes int, o options) *verdict {
	t.Helper()
	began := time.Now()
	s := openShop(t, nodes, o)
	v := &verdict{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var buyers, others sync.WaitGroup
	for i := range 200 {
		buyers.Go(func() { s.come(ctx, i) })
	}
	gone := make(chan struct{})
	go func() {
		buyers.Wait()
		close(gone)
	}()
	s.deaf.Store(true)
	others.Go(func() { s.weather(gone) })
	oversold := 0
	others.Go(func() { oversold = s.watch(ctx, gone) })
	v.kills = s.siege(t, gone)
	others.Wait()
	if oversold > 0 {
		v.add("%d seats of %d were taken at once", oversold, seats)
	}
	loaded := time.Since(began)
	s.rest(t)
	s.judge(t, v)
	for _, n := range s.tills {
		n.server.stop(t)
	}
	t.Logf("%d kills, %d captures, %d sold, %d refunds, %d captures without a seat; load %s, rest %s", v.kills, v.captures,
		v.sold, v.refunds, v.unseated, loaded.Round(time.Millisecond), (time.Since(began) - loaded).Round(time.Millisecond))
	return v
}

// siege kills a node every half to one and a half seconds.
func (s *shop) siege(t *testing.T, gone <-chan struct{}) (kills int) {
	t.Helper()
	for {
		select {
		case <-gone:
			return kills
		case <-time.After(500*time.Millisecond + rand.N(time.Second)):
		}
		n := s.some()
		n.server.mustLive(t)
		n.server.kill(t)
		n.server.log.judge(t)
		kills++
		n.open(t)
	}
}

// weather makes Toss slow, deaf and forgetful, one thing at a time for each call.
func (s *shop) weather(gone <-chan struct{}) {
	slow := tosstest.Fault{Action: "slow", MS: 400}
	of := map[string][]tosstest.Fault{
		"confirm": {slow, {Action: "resetAfterCommit"}, slow, {Action: "reset"}, {Action: "500"}, {Action: "garbage"}},
		"cancel":  {{Action: "resetAfterCommit"}, {Action: "garbage"}, slow, {Action: "resetAfterCommit"}, {Action: "500"}},
		"get":     {{Action: "ok"}, {Action: "ok"}, {Action: "ok"}, slow, {Action: "500"}},
		"webhook": {{Action: "ok"}, {Action: "duplicate", N: 3}, {Action: "contradict"}},
	}
	change := time.NewTicker(100 * time.Millisecond)
	defer change.Stop()
	for i := 0; ; i++ {
		select {
		case <-gone:
			s.sim.ClearFaults()
			return
		case <-change.C:
		}
		waiting := s.sim.Faults()
		for target, faults := range of {
			if len(waiting[target]) == 0 {
				_ = s.sim.Fault(target, faults[i%len(faults)]) // all of them exist
			}
		}
	}
}

// watch looks at the seats all the time, and gives the most that were taken if
// that is more than there are.
func (s *shop) watch(ctx context.Context, gone <-chan struct{}) (oversold int) {
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-gone:
			return oversold
		case <-look.C:
		}
		_, _, text := s.operate(ctx, http.MethodGet, "products/meetup", "")
		var p struct{ Taken int }
		if json.Unmarshal(text, &p) == nil && p.Taken > seats {
			oversold = max(oversold, p.Taken)
		}
	}
}

// account is where all money is, as the shop says.
type account struct{ Captured, Settled, Refunded, Open, Off, Attention int64 }

// sale is an order as operators see it.
type sale struct {
	ID, Checkout, State, Attention string
	Captured, Refunded             int64
}

// read asks one node for something that must be there.
func (s *shop) read(t *testing.T, path string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status, _, text := s.operate(ctx, http.MethodGet, path, "")
	if err := json.Unmarshal(text, into); err != nil || status != http.StatusOK {
		t.Fatalf("%s is answered %d %.300s: %v", path, status, text, err)
	}
}

func (s *shop) sales(t *testing.T) map[string]sale {
	t.Helper()
	var page struct {
		Orders []sale
		Next   string
	}
	s.read(t, "orders?limit=1000", &page)
	if page.Next != "" {
		t.Fatal("more than a thousand orders")
	}
	all := map[string]sale{}
	for _, o := range page.Orders {
		all[o.ID] = o
	}
	return all
}

// rest lets everything come to its end: Toss delivers again what was refused
// while nodes were away, and what a killed process had begun is due again.
func (s *shop) rest(t *testing.T) {
	t.Helper()
	s.deaf.Store(false)
	s.settles(t, s.busy)
	for _, later := range []time.Duration{61 * time.Second, 4*time.Minute + time.Second} {
		s.sim.Advance(later)
		s.settles(t, s.busy)
	}
	// Only now: a hint is skipped that seems older than an answer of Toss.
	s.clock.set(t, 9*time.Minute)
	if status, _, text := s.operate(t.Context(), http.MethodPost, "reconcile/toss", `{"all": true}`); status != http.StatusOK {
		t.Fatalf("the comparison with Toss is answered %d %s", status, text)
	}
	s.settles(t, s.unsettled)
	if err := s.sim.Flush(t.Context()); err != nil { // events of the last refunds
		t.Fatal(err)
	}
	s.settles(t, s.busy)
}

// settles waits until nothing is left to name. What is left then is judged later.
func (s *shop) settles(t *testing.T, left func(*testing.T) string) {
	t.Helper()
	what := left(t)
	for end := time.Now().Add(30 * time.Second); what != "" && time.Now().Before(end); what = left(t) {
		pause(t.Context(), 100*time.Millisecond)
	}
	if what != "" {
		t.Logf("after half a minute: %s", what)
	}
}

// busy names a job that is open, or an order that is being confirmed.
func (s *shop) busy(t *testing.T) string {
	t.Helper()
	var counts struct{ Jobs map[string]map[string]int }
	s.read(t, "counts", &counts)
	for handler, states := range counts.Jobs {
		for state, n := range states {
			if n > 0 && !strings.Contains(" done dead discarded ", " "+state+" ") {
				return fmt.Sprintf("%d jobs of %s are %s", n, handler, state)
			}
		}
	}
	for id, o := range s.sales(t) {
		if o.State == "confirming" {
			return "order " + id + " is being confirmed"
		}
	}
	return ""
}

// unsettled names something that is still on its way.
func (s *shop) unsettled(t *testing.T) string {
	var m account
	if s.read(t, "money", &m); m.Open != 0 {
		return fmt.Sprintf("%d won are open", m.Open)
	}
	var p struct{ Taken int }
	s.read(t, "products/meetup", &p)
	paid := 0
	for _, o := range s.sales(t) {
		if o.State == "paid" {
			paid++
		}
	}
	for p := range s.promised {
		if at, ok := s.sim.PaymentOf(p.order); ok && cancels(at, p.reason) == 0 {
			return "the refund of order " + p.order + ", " + p.reason
		}
	}
	if p.Taken != paid {
		return fmt.Sprintf("%d seats are taken, %d are paid", p.Taken, paid)
	}
	return ""
}

// cancels counts how often a payment was given back for that reason.
func cancels(p tosstest.Payment, reason string) (n int) {
	for _, c := range p.Cancels {
		if strings.HasPrefix(c.CancelReason, reason) {
			n++
		}
	}
	return n
}

// judge folds what Toss has against what the shop says.
func (s *shop) judge(t *testing.T, v *verdict) {
	t.Helper()
	var m account
	s.read(t, "money", &m)
	for _, left := range []func(*testing.T) string{s.busy, s.unsettled} {
		if what := left(t); what != "" {
			v.add("unfinished: %s", what)
		}
	}
	if m.Off != 0 || m.Open != 0 || m.Attention != 0 {
		v.add("the money is off: %+v", m)
	}
	sales := s.sales(t)
	winners := map[string]int{}
	for _, o := range sales {
		if o.State == "paid" {
			v.sold++
			winners[o.Checkout]++
		}
		if winners[o.Checkout] > 1 {
			v.add("purchase %s is paid twice", o.Checkout)
		}
		if o.Attention != "" {
			v.add("order %s, %s, needs a person: %s", o.ID, o.State, o.Attention)
		}
	}
	if v.sold > seats {
		v.add("%d sold of %d seats", v.sold, seats)
	}
	confirmed := map[string]int{}
	for _, c := range s.sim.Calls() {
		if c.API == "confirm" && c.Changed {
			confirmed[c.PaymentKey]++
		}
	}
	var atToss account
	for _, p := range s.sim.Payments() {
		s.judgePayment(v, sales[p.OrderID], p, confirmed[p.PaymentKey])
		if p.ApprovedAt != nil {
			atToss.Captured += p.TotalAmount
			atToss.Settled += p.BalanceAmount
			atToss.Refunded += p.TotalAmount - p.BalanceAmount
		}
	}
	if m.Captured != atToss.Captured || m.Settled != atToss.Settled || m.Refunded != atToss.Refunded {
		v.add("the shop says %+v, Toss %+v", m, atToss)
	}
}

// judgePayment wants exactly one of a seat and an accepted refund for a payment
// that was captured, and every refund once.
func (s *shop) judgePayment(v *verdict, o sale, p tosstest.Payment, confirmed int) {
	if p.ApprovedAt == nil {
		if o.State == "paid" {
			v.add("order %s is paid, and Toss has taken nothing", o.ID)
		}
		return
	}
	v.captures++
	v.refunds += len(p.Cancels)
	unseated := cancels(p, "no seat")
	v.unseated += unseated
	if kept := p.BalanceAmount > 0; kept != (o.State == "paid") {
		v.add("order %s is %s, and Toss keeps %d of its money", o.ID, o.State, p.BalanceAmount)
	}
	if unseated > 0 && confirmed > 0 {
		v.add("order %s was confirmed without a seat", o.ID)
	}
	for _, reason := range []string{reasonPart, reasonWhole, "no seat"} {
		switch n := cancels(p, reason); {
		case n > 1:
			v.add("order %s was given back twice: %s", o.ID, reason)
		case n == 0 && s.promised[promise{o.ID, reason}]:
			v.add("order %s: its refund was promised and never made: %s", o.ID, reason)
		}
	}
}
