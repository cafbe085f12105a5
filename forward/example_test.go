package forward_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// A destination gets an event signed as Stripe signs, with a secret of its own.
func ExampleRoutes() {
	verify := source.Stripe("app", "whsec_the_secret_of_the_application")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		fmt.Printf("%s %s, verified: %v\n", r.Header.Get("Hookkeeper-Event"), body, verify.Verify(r.Header, body, time.Now()) == nil)
	}))
	defer app.Close()

	routes, err := forward.Routes(forward.Destination{
		Name: "app", To: app.URL, Events: []string{"stripe:invoice.*"}, Allow: []string{"loopback"},
	}, func(string) hook.Signer { return verify })
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = routes[0].Handler.Handle(context.Background(), &hook.Event{
		ID: "ev_1", Source: "stripe", Type: "invoice.paid", Body: []byte(`{"id":"evt_1"}`),
	})
	fmt.Println(err)
	// Output:
	// ev_1 {"id":"evt_1"}, verified: true
	// <nil>
}
