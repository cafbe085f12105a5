package torture

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func planOf(seed uint64, events int) plan {
	return plan{Options{Seed: seed, Events: events, NeedsPercent: 5, SlowPercent: 4,
		SlowMin: 5 * time.Millisecond, SlowMax: 14 * time.Millisecond}}
}

func TestOneSeedGivesOneLoad(t *testing.T) {
	a, b, other := planOf(7, 1000), planOf(7, 1000), planOf(8, 1000)
	differs := 0
	for n := range 1000 {
		if x, y := a.event(n), b.event(n); x != y || !bytes.Equal(a.body(x), b.body(y)) {
			t.Fatalf("event %d differs: %+v, %+v", n, x, y)
		}
		if !bytes.Equal(a.body(a.event(n)), other.body(other.event(n))) {
			differs++
		}
	}
	if differs < 990 {
		t.Errorf("another seed changes %d of 1000 bodies", differs)
	}
}

func TestLoadHasItsShares(t *testing.T) {
	const events = 20_000
	p := planOf(1, events)
	got := map[string]int{}
	keys := map[string]map[string]bool{}
	for n := range events {
		e := p.event(n)
		for name, is := range map[string]bool{
			"forged": e.forged, "stale": e.stale, "parallel": e.parallel, "late": e.late,
			"poison": e.orders.Poison, "fail": e.orders.Fail > 0, "slow": e.orders.SlowMS > 0,
		} {
			if is {
				got[name]++
			}
		}
		if e.orders.Fail > 3 || e.orders.SlowMS > 14 {
			t.Fatalf("event %d: %+v", n, e.orders)
		}
		if keys[e.key] == nil {
			keys[e.key] = map[string]bool{}
		}
		keys[e.key][e.source] = true
	}
	for name, percent := range map[string]float64{
		"forged": 20, "stale": 10, "parallel": 25, "late": 5, "poison": 2, "fail": 10, "slow": 4,
	} {
		// What is needed must succeed, so needs take a little from the orders.
		if is := float64(got[name]) * 100 / events; is < percent*0.85 || is > percent*1.15 {
			t.Errorf("%s: %.1f %%, want about %.0f %%", name, is, percent)
		}
	}
	for key, sources := range keys {
		if len(sources) != 2 {
			t.Fatalf("%s is used by %d sources, want both", key, len(sources))
		}
	}
}

func TestNeedsNameALaterEventOfTheSameSubject(t *testing.T) {
	p := planOf(3, 2000)
	byKey, found := map[string]event{}, 0
	for n := range 2000 {
		if e := p.event(n); e.source == sourceStripe {
			byKey[e.key] = e
		}
	}
	for _, e := range byKey {
		if e.orders.Needs == "" {
			continue
		}
		found++
		needed := byKey[e.orders.Needs]
		if needed.number <= e.number || needed.subject != e.subject || needed.orders != (orders{}) {
			t.Errorf("%+v needs %+v", e, needed)
		}
	}
	if found < 20 {
		t.Errorf("%d events need another", found)
	}
}

func TestBodiesAreValidAndForgeriesDiffer(t *testing.T) {
	p := planOf(5, 400)
	for n := range 400 {
		e := p.event(n)
		var said struct {
			ID string
			HK orders
		}
		if err := json.Unmarshal(p.body(e), &said); err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		if said.HK != e.orders || e.source == sourceStripe && said.ID != e.key {
			t.Errorf("event %d says %+v, planned %+v", n, said, e)
		}
		if bytes.Equal(p.body(e), p.forgedBody(e)) {
			t.Errorf("event %d: its forgery has the same bytes", n)
		}
	}
}

// The expected values come from the examples in the senders' documentation of
// their schemes, computed with openssl.
func TestSignaturesAreThoseOfTheSenders(t *testing.T) {
	at := time.Unix(1614265330, 0)
	h := http.Header{}
	sign(h, sourcePartner, "msg_p5jXN8AQM9LWM0D4loKWxJek", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", []byte(`{"test": 2432232314}`), at)
	if got, want := h.Get("Webhook-Signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("standard webhooks: %s, want %s", got, want)
	}
	h = http.Header{}
	sign(h, sourceStripe, "", "whsec_test", []byte(`{"id":"evt_1"}`), at)
	if got, want := h.Get("Stripe-Signature"), "t=1614265330,v1=347e9afe3d74ec4c5cbefd270edc9246513ae3da7b375223e302560fbd4146eb"; got != want {
		t.Errorf("stripe: %s, want %s", got, want)
	}
}
