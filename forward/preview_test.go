package forward_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
)

// TestAPreviewSendsNothing: it says where the event would go, without what may be
// secret of the address.
func TestAPreviewSendsNothing(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer app.Close()
	routes, err := forward.Routes(forward.Destination{Name: "app", To: app.URL + "/hooks/t0ken", Events: []string{"stripe:*"},
		Sign: forward.SignStandardWebhooks, Secret: "whsec_aG9va2tlZXBlci1ob29ra2VlcGVyLXNlY3JldA==", Allow: []string{"loopback"}}, nil)
	if err != nil || routes[0].Preview == nil {
		t.Fatalf("%v, preview %v", err, routes)
	}
	event := &hook.Event{ID: "ev_1", Source: "stripe", Type: "t", Body: []byte(`{}`)}
	_, err = routes[0].Handler.Handle(hook.WithPreview(t.Context()), event)
	outward, ok := errors.AsType[*hook.OutwardError](err)
	if !ok || !strings.Contains(outward.Deed, "app") || strings.Contains(outward.Deed, "t0ken") {
		t.Errorf("got %v, want the destination's name and host", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if _, err := routes[0].Handler.Handle(t.Context(), event); err != nil || requests.Load() != 1 {
		t.Errorf("without a preview: %v, %d requests", err, requests.Load())
	}
}
