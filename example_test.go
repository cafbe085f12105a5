package hookkeeper_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// bookPayment is a handler. What is slow or remote it does right here, with no
// transaction open; what it wants written it returns.
func bookPayment(ctx context.Context, e *hook.Event) (hook.Effect, error) {
	return func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO payments (event, subject) VALUES ($1, $2)`, e.Key, e.Subject)
		return err
	}, nil
}

func newKeeper(store hook.Store, stripe *source.StripeSource) (*hookkeeper.Keeper, error) {
	return hookkeeper.New(hookkeeper.Config{
		Store:   store,
		Sources: []hook.Source{stripe},
		Handlers: []hook.Route{{
			Name: "book-payment", Source: "stripe", Types: "invoice.paid",
			Handler: hook.HandlerFunc(bookPayment),
		}},
	})
}

// The same signed event is delivered three times, once of them tampered with.
// It is booked once.
func Example() {
	dir, err := os.MkdirTemp("", "hookkeeper-example-")
	check(err)
	defer os.RemoveAll(dir)

	store, err := sqlite.Open(filepath.Join(dir, "hookkeeper.db"), sqlite.Options{})
	check(err)
	defer store.Close()
	ctx, stop := context.WithCancel(context.Background())
	check(store.Apply(ctx, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE payments (event TEXT, subject TEXT)`)
		return err
	}))

	stripe := source.Stripe("stripe", "whsec_of_your_endpoint_at_stripe")
	keeper, err := newKeeper(store, stripe)
	check(err)
	mux := http.NewServeMux()
	mux.Handle("/hooks/", keeper) // a plain http.Handler on your own mux
	server := httptest.NewServer(mux)
	defer server.Close()
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }() // works the queue until ctx ends

	body := `{"id":"evt_1","type":"invoice.paid","livemode":false,"data":{"object":{"subscription":"sub_1"}}}`
	signature := http.Header{}
	check(stripe.Sign(signature, []byte(body), time.Now()))
	endpoint := server.URL + "/hooks/stripe"
	fmt.Println(deliver(endpoint, strings.Replace(body, "sub_1", "sub_2", 1), signature))
	fmt.Println(deliver(endpoint, body, signature))
	fmt.Println(deliver(endpoint, body, signature))

	fmt.Println(state(ctx, store, "evt_1"))
	stop()
	check(<-ended)
	check(store.Apply(context.Background(), func(ctx context.Context, tx hook.Tx) error {
		var booked int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM payments WHERE subject = 'sub_1'`).Scan(&booked)
		fmt.Println("booked:", booked)
		return err
	}))
	// Output:
	// 400 rejected
	// 200 recorded
	// 200 duplicate
	// done
	// booked: 1
}

// deliver posts a body as Stripe does and returns the code and the status.
func deliver(endpoint, body string, header http.Header) string {
	r, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(body))
	check(err)
	r.Header = header.Clone()
	res, err := http.DefaultClient.Do(r)
	check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(err)
	_, status, _ := strings.Cut(string(text), `"status":"`)
	status, _, _ = strings.Cut(status, `"`)
	return fmt.Sprint(res.StatusCode, " ", status)
}

// state waits until the event is final, at most ten seconds.
func state(ctx context.Context, store hook.Store, key string) hook.State {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		page, _, err := store.Events(ctx, hook.Filter{Key: key})
		check(err)
		if len(page) == 1 && page[0].State.Final() {
			return page[0].State
		}
		<-look.C
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
