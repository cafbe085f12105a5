package bench_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/bench"
	"github.com/hookkeeper/hookkeeper/source"
)

const secret = "whsec_a_secret_for_tests_only"

// receiver is an honest server in memory: it verifies, and counts what it kept.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	kept map[string]int // deliveries of each event
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{kept: map[string]int{}}
	s := source.Stripe("stripe", secret)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if err := s.Verify(req.Header, body, time.Now()); err != nil {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		id, _ := s.Identify(req.Header, body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kept[id.Key]++
		w.Header().Set("Content-Length", "0")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) addr() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *receiver) has(id string) bool { return r.kept[id] > 0 }

func (r *receiver) deliveries() int {
	n := 0
	for _, d := range r.kept {
		n += d
	}
	return n
}

func prepare(t *testing.T, m bench.Mix) *bench.Load {
	t.Helper()
	m.Secret, m.Seed = secret, 7
	load, err := bench.Prepare(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return load
}

func share(part, all int) float64 { return float64(part) / float64(all) }

// The load is what it says: signed, of the right size, with the duplicates and
// forgeries asked for, and every answer is counted.
func TestLoad(t *testing.T) {
	const n = 1200
	for name, m := range map[string]bench.Mix{
		"plain":      {Deliveries: n},
		"duplicates": {Deliveries: n, Duplicates: 0.3},
		"mixed":      {Deliveries: n, Duplicates: 0.3, BadSignatures: 0.1},
		"copies":     {Deliveries: n, Copies: 4},
	} {
		t.Run(name, func(t *testing.T) {
			server, load := newReceiver(t), prepare(t, m)
			r, err := bench.Closed(t.Context(), []string{server.addr()}, 8, load)
			if err != nil || r.Answered+r.Caught != n || r.Refused != 0 || r.Believed != 0 {
				t.Fatalf("closed loop: %+v, %v", r, err)
			}
			if got := share(r.Caught, n); got < m.BadSignatures*0.7 || got > m.BadSignatures*1.3 {
				t.Errorf("%.3f forgeries, want %.3f", got, m.BadSignatures)
			}
			if got, want := share(r.Answered-len(server.kept), n), m.Duplicates; m.Copies == 0 && (got < want*0.7 || got > want*1.3) {
				t.Errorf("%.3f duplicates, want %.3f", got, want)
			}
			if m.Copies == 4 && len(server.kept) != n/4 {
				t.Errorf("%d events of %d deliveries, four each", len(server.kept), n)
			}
			if len(load.Events()) != len(server.kept) {
				t.Errorf("the load has %d events, kept %d", len(load.Events()), len(server.kept))
			}
			if r.Rate() <= 0 || r.Quantile(0.5) > r.Quantile(0.99) || r.Quantile(0.99) <= 0 {
				t.Errorf("rate %f, p50 %s, p99 %s", r.Rate(), r.Quantile(0.5), r.Quantile(0.99))
			}
			if _, err := r.Check(server.has, server.deliveries()); err != nil {
				t.Errorf("all were kept: %v", err)
			}
		})
	}
}

func TestBodiesHaveTheSizeAskedFor(t *testing.T) {
	var sizes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		sizes.Add(n)
	}))
	defer server.Close()
	for _, size := range []int{0, 600} {
		sizes.Store(0)
		load := prepare(t, bench.Mix{Deliveries: 3, BodyBytes: size})
		if _, err := bench.Closed(t.Context(), []string{strings.TrimPrefix(server.URL, "http://")}, 1, load); err != nil {
			t.Fatal(err)
		}
		want := size
		if size == 0 {
			want = bench.BodyBytes
		}
		if sizes.Load() != int64(3*want) {
			t.Errorf("3 bodies have %d bytes, want %d each", sizes.Load(), want)
		}
	}
}

// What a database lost, or kept of a forger, is found out.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	server := newReceiver(t)
	load := prepare(t, bench.Mix{Deliveries: 500, Duplicates: 0.2, BadSignatures: 0.2})
	r, err := bench.Closed(t.Context(), []string{server.addr()}, 4, load)
	if err != nil {
		t.Fatal(err)
	}
	lost := load.Events()[17]
	missing, err := r.Check(func(id string) bool { return id != lost && server.has(id) }, server.deliveries())
	if missing != 1 || err == nil {
		t.Errorf("one event is gone: %d missing, %v", missing, err)
	}
	if _, err := r.Check(func(string) bool { return true }, server.deliveries()); err == nil {
		t.Error("forged events are kept, and nothing was said")
	}
	if _, err := r.Check(server.has, server.deliveries()-1); err == nil {
		t.Error("a delivery was not counted, and nothing was said")
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
	r, err := bench.Open(t.Context(), []string{strings.TrimPrefix(server.URL, "http://")}, 1, 1000,
		prepare(t, bench.Mix{Deliveries: 100}))
	if err != nil || r.Answered != 100 {
		t.Fatalf("open loop: %+v, %v", r, err)
	}
	if p := r.Quantile(0.5); p < stall/4 {
		t.Errorf("median %s although the server stalled for %s", p, stall)
	}
}

// Connections are shared out among the servers, and one that fails ends the run
// with its reason.
func TestSeveralServers(t *testing.T) {
	one, two := newReceiver(t), newReceiver(t)
	load := prepare(t, bench.Mix{Deliveries: 400})
	r, err := bench.Closed(t.Context(), []string{one.addr(), two.addr()}, 4, load)
	if err != nil || r.Answered != 400 || len(one.kept) == 0 || len(two.kept) == 0 {
		t.Errorf("%v; one kept %d, two %d", err, len(one.kept), len(two.kept))
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	if _, err := bench.Closed(t.Context(), []string{one.addr(), gone.Addr().String()}, 4, load); err == nil {
		t.Error("nobody listens at one address, and nothing was said")
	}
}

// A sender that insists sends again what failed and what was never answered, and
// gives up at last.
func TestInsist(t *testing.T) {
	var asked atomic.Int64
	tries := map[string]int{}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Add(1)
		mu.Lock()
		defer mu.Unlock()
		key := string(body[:40])
		tries[key]++
		switch len(tries) % 4 {
		case 1:
			if tries[key] == 1 {
				panic(http.ErrAbortHandler) // no answer
			}
		case 2:
			if tries[key] == 1 {
				http.Error(w, "later", http.StatusInternalServerError)
			}
		case 3:
			http.Error(w, "never", http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	load := prepare(t, bench.Mix{Deliveries: 20})
	r, sent := bench.Insist(t.Context(), strings.TrimPrefix(server.URL, "http://"), 1, load, time.Millisecond, 3)
	if sent != int(asked.Load()) || r.Answered != 15 || r.Refused != 5 || sent != 20+5+5+10 {
		t.Errorf("sent %d, server saw %d; %d answered, %d refused", sent, asked.Load(), r.Answered, r.Refused)
	}
	if got := fmt.Sprint(r.Statuses()); got != "map[200:15 500:5]" {
		t.Errorf("statuses %s", got)
	}
}
