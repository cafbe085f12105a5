package dev

import (
	"context"
	"net/url"
)

// Get asks an operation of the API, such as one of a department's, by its path
// below /api/v1/, and reads its answer.
func (c *Client) Get(ctx context.Context, path string, q url.Values, into any) error {
	return c.get(ctx, "/api/v1/"+path, q, into)
}

// Post orders an operation of the API by its path below /api/v1/, and reads its
// answer unless into is nil.
func (c *Client) Post(ctx context.Context, path string, order, into any) error {
	return c.post(ctx, "/api/v1/"+path, order, into)
}
