package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Client talks to the operators' API of a running hookkeeper. It is a
// hook.Ledger, so that a command need not know whether it looks at a server or
// into a file. Problems come back as ErrNotFound or ErrRefused where the API
// said so, else as one readable line.
type Client struct {
	Base  string // http://127.0.0.1:8081
	Token string
	HTTP  *http.Client // nil means http.DefaultClient
}

var _ hook.Ledger = (*Client)(nil)

// Events gives one page of the event log, newest first.
func (c *Client) Events(ctx context.Context, f hook.Filter) ([]*hook.EventInfo, string, error) {
	var page struct {
		Events []*hook.EventInfo `json:"events"`
		Next   string            `json:"next"`
	}
	err := c.get(ctx, "/api/v1/events", queryOf(f), &page)
	return page.Events, page.Next, err
}

// Event gives one event with jobs, attempts and raw body.
func (c *Client) Event(ctx context.Context, id string) (*hook.EventDetail, error) {
	var e hook.EventDetail
	route := "/api/v1/events/" + url.PathEscape(id)
	if err := c.get(ctx, route, nil, &e); err != nil {
		return nil, err
	}
	if e.BodyGone {
		return &e, nil
	}
	resp, err := c.call(ctx, http.MethodGet, route+"/raw", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if e.Body, err = io.ReadAll(resp.Body); err != nil {
		return nil, c.broken(err)
	}
	return &e, nil
}

// Counts gives totals of jobs and events.
func (c *Client) Counts(ctx context.Context) (counts hook.Counts, err error) {
	err = c.get(ctx, "/api/v1/counts", nil, &counts)
	return counts, err
}

// Replay queues a recorded event again. The server writes the audit trail under
// the token's name; the Actor given here is not sent.
func (c *Client) Replay(ctx context.Context, id string, r hook.Replay) (int, error) {
	var done struct{ Jobs int }
	err := c.post(ctx, "/api/v1/events/"+url.PathEscape(id)+"/replay",
		map[string]any{"handlers": r.Handlers, "reason": r.Reason}, &done)
	return done.Jobs, err
}

// Discard lays a dead job aside. As with Replay, the actor is the token's.
func (c *Client) Discard(ctx context.Context, id, handler, _, reason string) error {
	return c.post(ctx, "/api/v1/events/"+url.PathEscape(id)+"/discard",
		map[string]any{"handler": handler, "reason": reason}, nil)
}

// Rejections gives the newest notes on refused deliveries.
func (c *Client) Rejections(ctx context.Context, source string, limit int) ([]*hook.Rejection, error) {
	q := url.Values{}
	set(q, "source", source)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var page struct{ Rejections []*hook.Rejection }
	err := c.get(ctx, "/api/v1/rejections", q, &page)
	return page.Rejections, err
}

// Sources gives the configured sources, each as one JSON object.
func (c *Client) Sources(ctx context.Context) ([]json.RawMessage, error) {
	var page struct{ Sources []json.RawMessage }
	err := c.get(ctx, "/api/v1/sources", nil, &page)
	return page.Sources, err
}

// History hands on every line of the history, in commit order.
func (c *Client) History(ctx context.Context, write func(hook.HistoryLine) error) error {
	return c.stream(ctx, "/api/v1/history", nil, func(raw json.RawMessage) error {
		var line hook.HistoryLine
		if err := json.Unmarshal(raw, &line); err != nil {
			return err
		}
		return write(line)
	})
}

// Export hands on every line of the export as it came.
func (c *Client) Export(ctx context.Context, f hook.Filter, write func(json.RawMessage) error) error {
	q := queryOf(f)
	q.Del("limit") // the stream has no pages
	q.Del("cursor")
	return c.stream(ctx, "/api/v1/export", q, write)
}

func (c *Client) stream(ctx context.Context, route string, q url.Values, write func(json.RawMessage) error) error {
	resp, err := c.call(ctx, http.MethodGet, route, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		err := dec.Decode(&line)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return c.broken(err)
		}
		if err := write(line); err != nil {
			return err
		}
	}
}

func queryOf(f hook.Filter) url.Values {
	q := url.Values{}
	set(q, "source", f.Source)
	set(q, "type", f.Type)
	set(q, "state", string(f.State))
	set(q, "subject", f.Subject)
	set(q, "key", f.Key)
	set(q, "cursor", f.Cursor)
	set(q, "q", f.Words)
	if f.Path != "" {
		q.Set("json", f.Path+"="+f.Value)
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		q.Set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func (c *Client) get(ctx context.Context, route string, q url.Values, into any) error {
	resp, err := c.call(ctx, http.MethodGet, route, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.broken(err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, route string, order, into any) error {
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	resp, err := c.call(ctx, http.MethodPost, route, nil, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.broken(err)
	}
	return nil
}

func (c *Client) broken(err error) error {
	return fmt.Errorf("operator API at %s: answer broken off: %v", c.Base, err)
}

// call makes one request; an answer that is no 2xx becomes an error.
func (c *Client) call(ctx context.Context, method, route string, q url.Values, body []byte) (*http.Response, error) {
	address := strings.TrimRight(c.Base, "/") + route
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("operator address %q: not a URL", c.Base)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the address twice
		}
		return nil, fmt.Errorf("no hookkeeper answers at %s (start one, or name it with --operator): %w", c.Base, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.problem(resp)
}

// apiError is what the API refused for, readable, and one of the errors that
// decide, if one fits. Asking again would not help.
type apiError struct {
	text string
	kind error
}

func (e *apiError) Error() string { return e.text }
func (e *apiError) Unwrap() error { return e.kind }

func (c *Client) problem(resp *http.Response) error {
	var p struct{ Detail string }
	if json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p) != nil || p.Detail == "" {
		return fmt.Errorf("operator API at %s: answered %s", c.Base, resp.Status)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return &apiError{p.Detail, hook.ErrNotFound}
	case http.StatusConflict:
		return &apiError{p.Detail, hook.ErrRefused}
	case http.StatusUnauthorized:
		return &apiError{fmt.Sprintf("operator API at %s: the token is missing or wrong; "+
			"give it with --token or HOOKKEEPER_OPERATOR_TOKEN", c.Base), nil}
	}
	text := fmt.Sprintf("operator API at %s: %s", c.Base, p.Detail)
	if resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode/100 == 5 && resp.StatusCode != http.StatusNotImplemented {
		return errors.New(text) // it may be well again soon
	}
	return &apiError{text, nil}
}
