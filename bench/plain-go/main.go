// Command plain-go is the usual handler in Go, a baseline for the comparison:
// net/http, database/sql and Stripe's own library. It verifies, looks whether the
// event is known, inserts it, does the work inside the request, and answers 500
// on failure so that the sender tries again. It promises no more than its like do.
package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"
)

func main() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	r := &receiver{db: db, secret: os.Getenv("STRIPE_WEBHOOK_SECRET"), fixed: os.Getenv("FIXED") != "", failed: map[string]bool{}}
	http.HandleFunc("POST /hooks/stripe", r.receive)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

type receiver struct {
	db     *sql.DB
	secret string
	fixed  bool

	mu     sync.Mutex
	failed map[string]bool // guarded by mu: events whose mail failed once
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		http.Error(w, "bad body", http.StatusBadRequest)
		return
	}
	event, err := r.verify(body, req.Header.Get("Stripe-Signature"))
	if err != nil {
		http.Error(w, "bad signature", http.StatusBadRequest)
		return
	}
	var id string
	err = r.db.QueryRowContext(req.Context(), `SELECT id FROM webhook_events WHERE event_id = $1`, event.ID).Scan(&id)
	if err == nil {
		_, _ = io.WriteString(w, "already processed")
		return
	}
	if !errors.Is(err, sql.ErrNoRows) {
		http.Error(w, "error", http.StatusInternalServerError)
		return
	}
	_, err = r.db.ExecContext(req.Context(), `INSERT INTO webhook_events (event_id, type, payload) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, event.ID, string(event.Type), string(event.Data.Raw))
	if err == nil {
		err = r.work(req, event)
	}
	if err != nil {
		http.Error(w, "error", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "ok")
}

// verify refuses, as the library does by itself, events of another API version.
func (r *receiver) verify(body []byte, signature string) (stripe.Event, error) {
	if r.fixed {
		return webhook.ConstructEventWithOptions(body, signature, r.secret, webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	}
	return webhook.ConstructEvent(body, signature, r.secret)
}

// work is what an event causes, the same for every contender: one row.
func (r *receiver) work(req *http.Request, event stripe.Event) error {
	var object struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(event.Data.Raw, &object); err != nil {
		return err
	}
	if object.Metadata["fail_first"] == "yes" && r.firstTry(event.ID) {
		return errors.New("the mail service is away")
	}
	if strings.HasPrefix(string(event.Type), "customer.subscription.") {
		var s stripe.Subscription
		if err := json.Unmarshal(event.Data.Raw, &s); err != nil {
			return err
		}
		if s.Items == nil || len(s.Items.Data) == 0 {
			return errors.New("no items")
		}
		_ = time.Unix(s.Items.Data[0].CurrentPeriodEnd, 0)
	}
	_, err := r.db.ExecContext(req.Context(), `INSERT INTO effects (event_id) VALUES ($1)`, event.ID)
	return err
}

func (r *receiver) firstTry(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !r.failed[id]
	r.failed[id] = true
	return first
}
