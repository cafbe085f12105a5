package tracing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/tracing"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// backend is a collector that keeps what it is sent.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*spans.Span // guarded by mu
	raw   []byte        // guarded by mu
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.raw = append(b.raw, body...)
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				b.spans = append(b.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// named gives the spans of a name.
func (b *backend) named(name string) (all []*spans.Span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.spans {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

const (
	secret   = "a-secret-of-github-for-tests"
	incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// house is a keeper whose events go to an application, whose second answer is 200.
type house struct {
	keeper *hookkeeper.Keeper
	source hook.Source
	asked  chan http.Header // of the application
}

func newHouse(t *testing.T, tracer hook.Tracing) *house {
	h := &house{source: source.GitHub("github", secret), asked: make(chan http.Header, 10)}
	var n atomic.Int32
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusTeapot)
		}
		h.asked <- r.Header
	}))
	t.Cleanup(app.Close)
	routes, err := forward.Routes(forward.Destination{Name: "app", To: app.URL, Events: []string{"github:*"}, Sign: forward.SignOriginal,
		Allow: []string{"loopback"}}, func(string) hook.Signer { return h.source.(hook.Signer) })
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.keeper, err = hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{h.source}, Handlers: routes, Tracing: tracer,
		BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.keeper.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// deliver delivers and gives the event's id.
func (h *house) deliver(t *testing.T, key, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/hooks/github", strings.NewReader(body))
	if err := h.source.(hook.Signer).Sign(r.Header, []byte(body), time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-GitHub-Delivery", key)
	r.Header.Set("X-GitHub-Event", "ping")
	r.Header.Set("Traceparent", incoming)
	w := httptest.NewRecorder()
	h.keeper.ServeHTTP(w, r)
	var said struct{ Event string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return said.Event
}

const delivery = `{"zen":"what nobody may see","hook_id":1,"hook":{"type":"Repository"}}`

// TestAnEventIsOneTrace: from its delivery over a failed and a second attempt to
// the request at the destination, which is told of it.
func TestAnEventIsOneTrace(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	tracer, err := tracing.Open(t.Context(), tracing.Config{Endpoint: b.URL, Sample: 1, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, tracer)
	id := h.deliver(t, "key-of-the-sender", delivery)
	if again := h.deliver(t, "key-of-the-sender", delivery); again != id {
		t.Fatalf("the redelivery is %s", again)
	}
	<-h.asked
	last := <-h.asked
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if err := tracer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.named("finish")) == 1 && len(b.named("attempt")) == 2 {
			break
		}
	}
	sum := sha256.Sum256([]byte(id))
	for name, n := range map[string]int{"delivery": 2, "read": 2, "verify": 2, "record": 2, "attempt": 2, "handle": 2, "forward": 2, "finish": 1} {
		all := b.named(name)
		if len(all) != n {
			t.Errorf("%d spans %s, want %d", len(all), name, n)
		}
		for _, s := range all {
			if !bytes.Equal(s.TraceId, sum[:16]) {
				t.Errorf("%s is in the trace %x, want %x", name, s.TraceId, sum[:16])
			}
			if s.EndTimeUnixNano < s.StartTimeUnixNano {
				t.Errorf("%s ends before it begins", name)
			}
		}
	}
	first := b.named("delivery")[0]
	if !bytes.Equal(first.SpanId, sum[16:24]) || len(first.ParentSpanId) != 0 || len(first.Links) != 1 ||
		hex.EncodeToString(first.Links[0].TraceId) != incoming[3:35] {
		t.Errorf("the delivery is %+v", first)
	}
	for _, attempt := range b.named("attempt") {
		if !bytes.Equal(attempt.ParentSpanId, first.SpanId) {
			t.Errorf("an attempt stands below %x", attempt.ParentSpanId)
		}
	}
	if failed := b.named("forward")[0]; failed.Status.GetCode() != spans.Status_STATUS_CODE_ERROR {
		t.Errorf("the failed request is %v", failed.Status)
	}
	want := "00-" + hex.EncodeToString(sum[:16]) + "-" + hex.EncodeToString(b.named("forward")[1].SpanId) + "-01"
	if got := last.Get("Traceparent"); got != want {
		t.Errorf("the destination is told %s, want %s", got, want)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, hidden := range []string{"what nobody may see", secret, "key-of-the-sender", "Teapot", "teapot"} {
		if bytes.Contains(b.raw, []byte(hidden)) {
			t.Errorf("the spans hold %q", hidden)
		}
	}
}

// TestACollectorThatIsAwayHoldsNothingUp: events are worked, and the log says once
// that spans are dropped.
func TestACollectorThatIsAwayHoldsNothingUp(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(nil)
	away.Close()
	var mu sync.Mutex
	var log bytes.Buffer
	tracer, err := tracing.Open(t.Context(), tracing.Config{Endpoint: away.URL, Sample: 1,
		Logger: slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), nil))})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, tracer)
	h.deliver(t, "one", delivery)
	<-h.asked
	<-h.asked
	for range 3 {
		h.deliver(t, "one", delivery)
		if err := tracer.Flush(t.Context()); err != nil {
			t.Errorf("a collector that is away is our failure: %v", err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "spans are dropped"); n != 1 {
		t.Errorf("the log says %d times that spans are dropped:\n%s", n, log.String())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestNothingIsSentOfWhatIsNotTraced: with a share of 0.
func TestNothingIsSentOfWhatIsNotTraced(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	tracer, err := tracing.Open(t.Context(), tracing.Config{Endpoint: b.URL, Sample: 0})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, tracer)
	h.deliver(t, "one", delivery)
	if got := (<-h.asked).Get("Traceparent"); !strings.HasSuffix(got, "-00") {
		t.Errorf("the destination is told %s", got)
	}
	<-h.asked
	if err := tracer.Close(t.Context()); err != nil || len(b.named("delivery")) != 0 {
		t.Errorf("%v, %d spans", err, len(b.named("delivery")))
	}
}

// TestConfigIsRefused: what could not work is known at the start.
func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []tracing.Config{
		{Sample: 1}, {Endpoint: "localhost:4318", Sample: 1}, {Endpoint: "ftp://x", Sample: 1}, {Endpoint: "http://user:pw@x", Sample: 1},
		{Endpoint: "http://x", Sample: -1}, {Endpoint: "http://x", Sample: 1.1},
	} {
		if _, err := tracing.Open(t.Context(), c); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestWithoutTracingAHandlerPaysNothing: no byte is allocated for it.
func TestWithoutTracingAHandlerPaysNothing(t *testing.T) {
	ctx := hook.WithJob(t.Context(), &hook.Job{})
	n := testing.AllocsPerRun(100, func() {
		inner, end := hook.StartSpan(ctx, "forward", hook.Attribute{Name: "destination", Value: "app"})
		if hook.TraceParent(inner) != "" {
			t.Error("a span without tracing")
		}
		end(nil)
	})
	if n != 0 {
		t.Errorf("%g allocations", n)
	}
}
