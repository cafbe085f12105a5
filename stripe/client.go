package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Limits of what we take from the API.
const (
	callTimeout      = 15 * time.Second
	maxAnswerBytes   = 16 << 20 // a page of a hundred events of invoices with many lines
	maxRetryAfter    = 10 * time.Minute
	defaultRetryWait = 5 * time.Second // after a 429 that names no time
)

// errGone: Stripe has no such object, or this key may not know of it.
var errGone = errors.New("no such object")

// errKeyRefused: Stripe does not take the key, or it may not ask that.
var errKeyRefused = errors.New("the API key is refused")

// client asks Stripe's API, under our own version and nothing else.
type client struct {
	base, key string
	http      *http.Client
}

func newClient(cfg Config) *client {
	transport := cfg.HTTP
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: callTimeout, IdleConnTimeout: 90 * time.Second,
			MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true,
		}
	}
	return &client{
		base: strings.TrimSuffix(cfg.APIBase, "/"), key: cfg.APIKey,
		http: &http.Client{Transport: transport, Timeout: callTimeout,
			// The key must not travel to wherever an answer points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// get asks for one object or list. account is a connected one, or empty. An
// error is errGone, hook.ErrUnavailable, carries a time by hook.After, or is worth
// another attempt; it holds neither the key nor the answer's body.
func (c *client) get(ctx context.Context, path string, query url.Values, account string) (gjson.Result, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return gjson.Result{}, fmt.Errorf("stripe: ask for %s: %v", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Stripe-Version", PinnedVersion)
	req.Header.Set("User-Agent", "hookkeeper")
	if account != "" {
		req.Header.Set("Stripe-Account", account)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return gjson.Result{}, hook.Unavailable(fmt.Errorf("stripe: ask for %s: %w", path, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return gjson.Result{}, hook.Unavailable(fmt.Errorf("stripe: read %s: %v", path, err))
	case len(body) > maxAnswerBytes:
		return gjson.Result{}, fmt.Errorf("stripe: read %s: more than %d bytes", path, maxAnswerBytes)
	case resp.StatusCode != http.StatusOK:
		return gjson.Result{}, refusal(path, resp, body)
	case !gjson.ValidBytes(body) || !gjson.ParseBytes(body).IsObject():
		return gjson.Result{}, hook.Unavailable(fmt.Errorf("stripe: read %s: the answer is not a JSON object", path))
	}
	return gjson.ParseBytes(body), nil
}

// refusal is the error of an answer that is not 200. Of its body only the code
// is told: a message may quote what was sent.
func refusal(path string, resp *http.Response, body []byte) error {
	err := fmt.Errorf("stripe: %s: %d %s", path, resp.StatusCode, word(gjson.GetBytes(body, "error.code").String()))
	if id := word(resp.Header.Get("Request-Id")); id != "" {
		err = fmt.Errorf("%w (request %s)", err, id)
	}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		err = hook.Unavailable(err)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", err, errGone)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w", err, errKeyRefused)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if wait, ok := retryAfter(resp.Header.Get("Retry-After")); ok {
			return hook.After(err, wait)
		}
		if resp.StatusCode == http.StatusTooManyRequests {
			return hook.After(err, defaultRetryWait)
		}
	}
	return err
}

func retryAfter(text string) (time.Duration, bool) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, false
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter), true
}

// word lets a text of the far side into an error only if it is a plain word.
func word(s string) string {
	plain := len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if !plain {
		return ""
	}
	return s
}

// pathOf names where an object of that id is to be had.
func pathOf(id string) (path string, ok bool) {
	for prefix, folder := range map[string]string{
		"sub_": "subscriptions", "cus_": "customers", "in_": "invoices", "pi_": "payment_intents", "ch_": "charges",
		"py_": "charges", "re_": "refunds", "pyr_": "refunds", "du_": "disputes", "dp_": "disputes", "cs_": "checkout/sessions",
	} {
		if strings.HasPrefix(id, prefix) && word(id) != "" {
			return "/v1/" + folder + "/" + id, true
		}
	}
	return "", false
}

// object fetches one object by its id.
func (c *client) object(ctx context.Context, id, account string, expand ...string) (gjson.Result, error) {
	path, ok := pathOf(id)
	if !ok {
		return gjson.Result{}, fmt.Errorf("stripe: no way to ask for an object %.40q: %w", id, hook.ErrPermanent)
	}
	query := url.Values{}
	for _, field := range expand {
		query.Add("expand[]", field)
	}
	o, err := c.get(ctx, path, query, account)
	if err == nil && o.Get("id").String() != id {
		return o, fmt.Errorf("stripe: %s: the answer is another object", path)
	}
	return o, err
}
