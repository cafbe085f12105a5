package bench_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/source"
)

const secret = "whsec_a_secret_for_tests_only"

// The load is what it says: signed, of the right size, with the duplicates
// asked for, and every answer is counted.
func TestLoad(t *testing.T) {
	s := source.Stripe("stripe", secret)
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := s.Verify(r.Header, body, time.Now()); err != nil || len(body) != bench.BodyBytes {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		id, _ := s.Identify(r.Header, body)
		mu.Lock()
		defer mu.Unlock()
		seen[id.Key]++
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	for name, duplicates := range map[string]int{"a": 0, "b": 30} {
		requests, err := bench.Requests(secret, name, 500, duplicates, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		clear(seen)
		r, err := bench.Closed(t.Context(), addr, 8, requests)
		if err != nil || r.Answered != 500 || r.Refused != 0 {
			t.Fatalf("closed loop: %+v, %v", r, err)
		}
		if want := 500 - 4*duplicates; len(seen) != want {
			t.Errorf("%d events, want %d", len(seen), want)
		}
		if r.Rate() <= 0 || r.Quantile(0.5) > r.Quantile(0.99) || r.Quantile(0.99) <= 0 {
			t.Errorf("rate %f, p50 %s, p99 %s", r.Rate(), r.Quantile(0.5), r.Quantile(0.99))
		}
	}
}

// In the open loop a stall of the server shows in the latency of every delivery
// that was due meanwhile.
func TestOpenLoopHidesNoStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { <-time.After(stall) })
	}))
	defer server.Close()
	requests, err := bench.Requests(secret, "a", 100, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := bench.Open(t.Context(), strings.TrimPrefix(server.URL, "http://"), 1, 1000, requests)
	if err != nil || r.Answered != 100 {
		t.Fatalf("open loop: %+v, %v", r, err)
	}
	if p := r.Quantile(0.5); p < stall/4 {
		t.Errorf("median %s although the server stalled for %s", p, stall)
	}
}
