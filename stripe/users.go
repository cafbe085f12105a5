package stripe

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// lookupTimeout bounds one question for a user.
const lookupTimeout = 2 * time.Second

// TableUsers finds users in a table of the application, in the same database.
type TableUsers struct {
	store hook.Viewer
	query string
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)
var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// NewTableUsers looks customers up in a table: customer is the column that holds
// Stripe's customer id, id the one of the user. table may name a schema. Names are
// letters, digits and _, written as they are in the database.
func NewTableUsers(store hook.Viewer, table, id, customer string) (*TableUsers, error) {
	switch {
	case store == nil:
		return nil, errors.New("billing users: no store")
	case !tableName.MatchString(table):
		return nil, fmt.Errorf("billing users: table %.80q: want a name such as public.users", table)
	case !columnName.MatchString(id) || !columnName.MatchString(customer):
		return nil, fmt.Errorf("billing users: columns %.80q and %.80q: want names such as id and stripe_customer_id", id, customer)
	}
	quoted := `"` + strings.ReplaceAll(table, ".", `"."`) + `"`
	return &TableUsers{store: store, query: `SELECT CAST("` + id + `" AS text) FROM ` + quoted +
		` WHERE "` + customer + `" = $1 LIMIT 2`}, nil
}

// UserOf implements Users. Two users of one customer are an error: whoever is
// meant, the other one would get in.
func (t *TableUsers) UserOf(ctx context.Context, c Customer) (user string, err error) {
	err = t.store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		rows, err := tx.QueryContext(ctx, t.query, c.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		var found string
		for n := 0; rows.Next(); n++ {
			var id sql.NullString
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if n > 0 && id.String != found {
				return errors.New("the table names two users")
			}
			found = id.String
		}
		user = found
		return rows.Err()
	})
	if err != nil {
		return "", err
	}
	return user, nil
}

// HTTPUsers asks the application over HTTP. The question is a POST with a JSON
// Customer, signed like a delivery of Stripe: header Hookkeeper-Signature holds
// t=UNIX SECONDS,v1=hex of HMAC-SHA256 over time, full stop and body. The answer
// is {"user_id": "…"}; null, nothing or 404 mean that no user is known.
type HTTPUsers struct {
	endpoint string
	secret   []byte
	client   *http.Client
	now      func() time.Time

	mu    sync.Mutex
	known map[Customer]answer // guarded by mu
}

type answer struct {
	user  string
	until time.Time
}

// How long answers are remembered, and how many.
const (
	keepKnown   = 10 * time.Minute
	keepUnknown = 5 * time.Second
	maxAnswers  = 10_000
)

// NewHTTPUsers asks at an endpoint. The secret has at least 16 characters.
func NewHTTPUsers(endpoint, secret string, now func() time.Time) (*HTTPUsers, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("billing users: the callback: want an http or https URL without a user")
	}
	if len(secret) < 16 {
		return nil, errors.New("billing users: the callback's secret has fewer than 16 characters")
	}
	if now == nil {
		now = time.Now
	}
	return &HTTPUsers{endpoint: endpoint, secret: []byte(secret), now: now, known: map[Customer]answer{},
		client: &http.Client{Timeout: lookupTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// UserOf implements Users; answers are remembered for ten minutes, that nobody is
// known for five seconds.
func (h *HTTPUsers) UserOf(ctx context.Context, c Customer) (string, error) {
	now := h.now()
	h.mu.Lock()
	known, ok := h.known[c]
	h.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.user, nil
	}
	user, err := h.ask(ctx, c, now)
	if err != nil {
		return "", err
	}
	keep := keepKnown
	if user == "" {
		keep = keepUnknown
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxAnswers {
		clear(h.known)
	}
	h.known[c] = answer{user, now.Add(keep)}
	return user, nil
}

func (h *HTTPUsers) ask(ctx context.Context, c Customer, now time.Time) (string, error) {
	if err := hook.Outward(ctx, "ask the application, by POST, for the user of customer %s", c.ID); err != nil {
		return "", err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.endpoint, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("billing users: the callback's URL cannot be used")
	}
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, h.secret)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Hookkeeper-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := h.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a token
		}
		return "", fmt.Errorf("ask the application: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusNoContent:
		return "", nil
	case http.StatusOK:
	default:
		return "", fmt.Errorf("ask the application: %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("ask the application: %v", err)
	}
	user := gjson.GetBytes(data, "user_id") // a number is as good an id as a text
	if !gjson.ValidBytes(data) || !gjson.ParseBytes(data).IsObject() || user.IsObject() || user.IsArray() {
		return "", errors.New("ask the application: the answer is not {\"user_id\": …}")
	}
	return user.String(), nil
}
