package dev

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var _ hook.Feeder = (*Client)(nil)

// feedPatience is how long beyond the asked waiting time an answer may take.
const feedPatience = 15 * time.Second

// Feed reads events after a cursor; see hook.Feeder.
func (c *Client) Feed(ctx context.Context, name string, f hook.Filter, limit int) ([]*hook.EventDetail, error) {
	return c.AwaitFeed(ctx, name, f, limit, 0)
}

// AwaitFeed is Feed that waits for an event: whole seconds, of which the server
// takes 25 at most. Nothing and no error is what it says when none came.
func (c *Client) AwaitFeed(ctx context.Context, name string, f hook.Filter, limit int, wait time.Duration) ([]*hook.EventDetail, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+feedPatience)
	defer cancel()
	q := queryOf(hook.Filter{Source: f.Source, Type: f.Type, Since: f.Since, Limit: limit})
	if wait > 0 {
		q.Set("wait", strconv.Itoa(int(wait/time.Second)))
	}
	var page struct {
		Events []struct {
			hook.EventDetail
			Body []byte `json:"body"`
		} `json:"events"`
	}
	if err := c.get(ctx, "/api/v1/feeds/"+url.PathEscape(name), q, &page); err != nil {
		return nil, err
	}
	events := make([]*hook.EventDetail, len(page.Events))
	for i := range page.Events {
		events[i] = &page.Events[i].EventDetail
		events[i].Body = page.Events[i].Body
	}
	return events, nil
}

// Advance moves a cursor past an event; see hook.Feeder.
func (c *Client) Advance(ctx context.Context, name, id string) error {
	ctx, cancel := context.WithTimeout(ctx, feedPatience)
	defer cancel()
	return c.post(ctx, "/api/v1/feeds/"+url.PathEscape(name)+"/advance", map[string]string{"through": id}, nil)
}

// eventOf is a fed event as a handler would get it.
func eventOf(d *hook.EventDetail) *hook.Event {
	e := &hook.Event{
		ID: d.ID, Source: d.Source, Mode: d.Mode, Trust: d.Trust, Key: d.Key, Type: d.Type, Subject: d.Subject,
		Header: http.Header(d.Headers), Body: d.Body, RecordedAt: d.ReceivedAt,
	}
	if d.OccurredAt != nil {
		e.OccurredAt = *d.OccurredAt
	}
	return e
}
