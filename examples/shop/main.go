// Command shop is a small shop with hookkeeper inside: Stripe delivers to its own
// /hooks/stripe, and its pages ask who may come in. Everything is kept in one
// SQLite file.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/stripe"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := sqlite.Open("shop.db", sqlite.Options{Tables: []hook.Tables{stripe.Tables()}})
	if err != nil {
		return err
	}
	defer store.Close()

	var keeper *hookkeeper.Keeper // billing records through it once it runs
	sender := source.Stripe("stripe", os.Getenv("STRIPE_WEBHOOK_SECRET"))
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	billing, err := stripe.New(stripe.Config{
		Source: sender, Store: store, APIKey: os.Getenv("STRIPE_SECRET_KEY"), Logger: logger,
		Record: func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
			return keeper.Record(ctx, d, id)
		},
		Channels: []stripe.Channel{{Name: "log", Sender: printer{}}},
	})
	if err != nil {
		return err
	}
	keeper, err = hookkeeper.New(hookkeeper.Config{
		Store: store, Sources: []hook.Source{sender}, Departments: []hook.Department{billing.Department()}, Logger: logger,
	})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/hooks/", keeper)
	mux.HandleFunc("GET /lounge", func(w http.ResponseWriter, r *http.Request) { lounge(w, r, billing) })
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return serve(ctx, server, keeper)
}

// serve runs both until ctx ends or one of them fails. It returns when the last
// handler has ended: the store may be closed then, and not before.
func serve(ctx context.Context, server *http.Server, keeper *hookkeeper.Keeper) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	listened, worked := make(chan error, 1), make(chan error, 1)
	go func() { defer stop(); listened <- server.ListenAndServe() }()
	go func() { defer stop(); worked <- keeper.Run(ctx) }()
	<-ctx.Done()
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(farewell)
	if refused := <-listened; !errors.Is(refused, http.ErrServerClosed) {
		err = errors.Join(err, refused)
	}
	return errors.Join(err, <-worked)
}

// lounge lets in who has paid. A real shop knows the user from its session.
func lounge(w http.ResponseWriter, r *http.Request, billing *stripe.Desk) {
	access, err := billing.AccessOf(r.Context(), r.URL.Query().Get("user"))
	switch {
	case err != nil:
		http.Error(w, "please try again", http.StatusServiceUnavailable)
	case !access.HasAccess:
		http.Error(w, "members only ("+access.Why+")", http.StatusPaymentRequired)
	default:
		fmt.Fprintf(w, "welcome, your %s runs until %s\n", access.Plan, access.Until.Format(time.DateOnly))
	}
}

// printer is the simplest channel: it writes notices to the log.
type printer struct{}

func (printer) Send(_ context.Context, n stripe.Notice) error {
	log.Printf("tell %s: %s", n.UserID, n.Title)
	return nil
}
