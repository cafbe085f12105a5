package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Bounds of one attempt.
const (
	maxAnswer = 64 << 10 // bytes read of an answer
	maxCause  = 1 << 10  // bytes of it kept for operators

	// idle is shorter than the 5 s after which Node.js closes a quiet connection:
	// a request that meets the closing end is lost, and waits for its retry.
	idle = 4 * time.Second
)

// Forwarder sends events to one destination. It is safe for concurrent use.
type Forwarder struct {
	name   string
	to     *url.URL
	sign   string
	key    []byte
	signer func(source string) hook.Signer
	now    func() time.Time

	dialer    *net.Dialer
	transport *http.Transport
	client    *http.Client
}

// New returns a Forwarder, or everything that is wrong with the destination. It
// dials nothing. signer gives the signer of a source, made with the
// destination's secret for SignSender; nil where the source cannot sign.
// SignStandardWebhooks needs none.
func New(d Destination, signer func(source string) hook.Signer) (*Forwarder, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	g, _ := newGuard(d.Allow) // Validate has read them
	to, _ := parseTo(d.To, g)
	f := &Forwarder{name: d.Name, to: to, sign: d.Sign, signer: signer, now: d.Now}
	if f.sign == "" {
		f.sign = SignSender
	}
	if f.sign == SignStandardWebhooks {
		f.key, _ = standardKey(d.Secret)
	} else if err := f.checkSigners(d.Events); err != nil {
		return nil, err
	}
	if f.now == nil {
		f.now = time.Now
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	f.dialer = &net.Dialer{Timeout: min(timeout, 10*time.Second), Control: g.control}
	f.transport = &http.Transport{
		Proxy:       nil, // of the environment: the guard must see the destination, not a proxy
		DialContext: f.dialer.DialContext, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: idle, MaxResponseHeaderBytes: maxAnswer,
		DisableCompression: true, // an answer is not inflated
	}
	f.client = &http.Client{
		Transport: f.transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f, nil
}

// checkSigners finds out at the start what would fail at every attempt. Sources
// that only a pattern names are the caller's to check.
func (f *Forwarder) checkSigners(events []string) error {
	var all []error
	for _, pattern := range events {
		source, _, _ := strings.Cut(pattern, ":")
		if !strings.ContainsAny(source, "*,") && (f.signer == nil || f.signer(source) == nil) {
			all = append(all, fmt.Errorf("destination %q: sign: events of source %q cannot be signed as their sender does; use %s",
				f.name, source, SignStandardWebhooks))
		}
	}
	if f.signer == nil {
		f.signer = func(string) hook.Signer { return nil }
	}
	return errors.Join(all...)
}

// Close lets go of idle connections. The Forwarder can still be used.
func (f *Forwarder) Close() { f.transport.CloseIdleConnections() }

// Forward sends one event and returns the status code of the answer, 0 if there
// was none. 2xx is nil. Of the errors, 410 is hook.ErrPermanent, as in Standard
// Webhooks, where it says that the receiver wants no more of this; no answer, 429,
// 502, 503 and 504 are hook.ErrUnavailable, and 429 and 503 with a Retry-After carry
// it as hook.After; all others, 4xx and redirects too, are to be tried again: an
// application that answers 400 today may be mended tomorrow. The error's text holds the
// beginning of the answer: it is for operators. A repeat sends the event again, under
// the same ids.
func (f *Forwarder) Forward(ctx context.Context, e *hook.Event) (status int, err error) {
	if err := hook.Outward(ctx, "send this event to the destination %s on %s", f.name, f.to.Host); err != nil {
		return 0, err
	}
	header, err := f.headers(e)
	if err != nil {
		return 0, err
	}
	ctx, ended := hook.StartSpan(ctx, "forward", hook.Attribute{Name: "destination", Value: f.name})
	defer func() { ended(err) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.to.String(), bytes.NewReader(e.Body))
	if err != nil {
		return 0, fmt.Errorf("destination %s: %v", f.name, err)
	}
	req.Header = header
	if parent := hook.TraceParent(ctx); parent != "" {
		req.Header.Set("Traceparent", parent) // of this attempt, whatever came with the event
	}
	resp, err := f.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, hook.Unavailable(fmt.Errorf("destination %s: no answer: %w", f.name, ctx.Err()))
		}
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL
		}
		return 0, hook.Unavailable(fmt.Errorf("destination %s: no answer: %v", f.name, err))
	}
	defer resp.Body.Close()
	// Read also what says nothing, so that the connection can be used again; a
	// body that breaks off takes nothing back of the status before it.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, f.failed(ctx, resp, text)
}

// failed makes the error of an answer that is not 2xx.
func (f *Forwarder) failed(ctx context.Context, resp *http.Response, text []byte) error {
	cause := fmt.Errorf("destination %s: answered %d%s", f.name, resp.StatusCode, said(resp.StatusCode, text))
	switch resp.StatusCode {
	case http.StatusGone:
		return fmt.Errorf("%w: %w", cause, hook.ErrPermanent)
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return hook.Unavailable(cause)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		cause = hook.Unavailable(cause)
		if d, ok := retryAfter(resp.Header.Get("Retry-After"), f.now()); ok {
			return hook.After(cause, max(d, patience(hook.JobOf(ctx).Failed)))
		}
	}
	return cause
}

// said is the status text and the beginning of an answer, as one line.
func said(status int, text []byte) string {
	out := ""
	if name := http.StatusText(status); name != "" {
		out = " " + name
	}
	if status/100 == 3 {
		return out + ", and redirects are not followed"
	}
	line := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(text[:min(len(text), maxCause)]), ""))
	if line = strings.Join(strings.Fields(line), " "); line == "" {
		return out
	}
	return out + ": " + line
}
