package hookkeeper_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// indexed tells when a step of the index has found nothing more to do.
type indexed struct {
	*sqlite.Store
	idle chan struct{}
}

func (s *indexed) IndexWords(ctx context.Context) (bool, error) {
	busy, err := s.Store.IndexWords(ctx)
	if n, errN := s.Indexed(ctx); err == nil && errN == nil && !busy && n.Behind == 0 && !n.Through.IsZero() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
	return busy, err
}

// A Keeper fills the index of words while it runs, and shows how far it is.
func TestAKeeperFillsTheIndexOfWords(t *testing.T) {
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "hook.db"), sqlite.Options{Search: &hook.Search{Words: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	store := &indexed{file, make(chan struct{}, 1)}
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)}, Tokens: []string{testToken}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		_, err := k.Record(t.Context(), hook.Delivery{Source: "stripe", Header: http.Header{}, Body: []byte(`{"text":"word"}`)},
			hook.Identity{Key: key, Type: "x", Trust: hook.TrustInternal})
		if err != nil {
			t.Fatal(err)
		}
	}
	lag := func() string {
		t.Helper()
		_, text := get(t, k.Operator(), "/metrics", testToken)
		_, rest, _ := strings.Cut(text, "\nhookkeeper_search_lag_events ")
		n, _, _ := strings.Cut(rest, "\n")
		return n
	}
	if got := lag(); got != "2" {
		t.Errorf("a lag of %q events before it runs, want 2", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	select {
	case <-store.idle:
	case <-ctx.Done():
		t.Error("the index was not filled")
	}
	if got := lag(); got != "0" {
		t.Errorf("a lag of %q events, want 0", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	page, _, err := store.Events(t.Context(), hook.Filter{Words: "word"})
	if err != nil || len(page) != 2 {
		t.Errorf("found %d events, %v, want 2", len(page), err)
	}
}
