package toss

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/tidwall/gjson"
)

// maxAnswerBytes is far more than a payment with all its cancels.
const maxAnswerBytes = 1 << 20

// Client asks the core API of Toss Payments. It sends POSTs once: whether to
// send one again, with which key, is a decision that needs the order. GETs are
// tried again once. It follows no redirects, so the key stays with its host.
type Client struct {
	base    string
	auth    string
	http    *http.Client
	timeout time.Duration
	told    func(op, outcome string)
}

// ClientConfig configures a Client; see the fields of the same names in Config.
type ClientConfig struct {
	SecretKey string
	APIBase   string        // default DefaultAPIBase
	Timeout   time.Duration // for one answer; default 8 s
	Transport *http.Transport

	// Told is told of every call, by many goroutines: confirm, query or cancel,
	// and ok or the Class of its error. May be nil.
	Told func(op, outcome string)
}

// NewClient returns a client. The transport may be nil.
func NewClient(c ClientConfig) *Client {
	if c.APIBase == "" {
		c.APIBase = DefaultAPIBase
	}
	if c.Timeout == 0 {
		c.Timeout = 8 * time.Second
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Told == nil {
		c.Told = func(string, string) {}
	}
	return &Client{
		base: c.APIBase, timeout: c.Timeout, told: c.Told,
		auth: "Basic " + base64.StdEncoding.EncodeToString([]byte(c.SecretKey+":")),
		http: &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
}

// transport makes the way to Toss: proxy, client certificate, authorities. The
// environment's proxy counts only where none is configured.
func (c *Config) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	if c.Certificate != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*c.Certificate}
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		if err != nil {
			return nil, errors.New("toss: proxy: no address") // the text may hold a password
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// pathConfirm is the one call that takes money.
const pathConfirm = "/v1/payments/confirm"

// Confirm takes the money of an authorised payment: the one call that does. The
// amount is the stored order's. A repeat with the same key is answered as the
// first was.
func (c *Client) Confirm(ctx context.Context, paymentKey, orderID string, amount int64, key string) (*Payment, error) {
	return c.post(ctx, "confirm", pathConfirm, key,
		map[string]any{"paymentKey": paymentKey, "orderId": orderID, "amount": amount})
}

// Payment asks for a payment by its key.
func (c *Client) Payment(ctx context.Context, paymentKey string) (*Payment, error) {
	return c.get(ctx, "/v1/payments/"+url.PathEscape(paymentKey))
}

// PaymentOfOrder asks for the payment of an order.
func (c *Client) PaymentOfOrder(ctx context.Context, orderID string) (*Payment, error) {
	return c.get(ctx, "/v1/payments/orders/"+url.PathEscape(orderID))
}

// CancelOrder is what to give back.
type CancelOrder struct {
	Reason   string    // at most 200 characters
	Amount   int64     // zero: all that is left
	Receiver *Receiver // where a deposit goes back to; nil for all other methods
}

// Receiver is the buyer's account for the refund of a deposit.
type Receiver struct {
	Bank   string `json:"bank"`
	Number string `json:"accountNumber"`
	Holder string `json:"holderName"`
}

// Cancel gives money back, or closes a virtual account that waits for it. A
// repeat with the same key gives nothing twice.
func (c *Client) Cancel(ctx context.Context, paymentKey string, what CancelOrder, key string) (*Payment, error) {
	body := map[string]any{"cancelReason": cut(what.Reason, 200)}
	if what.Amount > 0 {
		body["cancelAmount"] = what.Amount
	}
	if what.Receiver != nil {
		body["refundReceiveAccount"] = what.Receiver
	}
	return c.post(ctx, "cancel", "/v1/payments/"+url.PathEscape(paymentKey)+"/cancel", key, body)
}

func (c *Client) post(ctx context.Context, op, path, key string, body map[string]any) (*Payment, error) {
	if err := hook.Outward(ctx, "call POST %s", path); err != nil {
		return nil, err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		r.GetBody = nil // net/http must not send it again by itself
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		return r, nil
	})
}

func (c *Client) get(ctx context.Context, path string) (*Payment, error) {
	request := func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	}
	p, err := c.send(ctx, "query", request)
	// A question changes nothing: a broken connection is worth a second one.
	if a, ok := errors.AsType[*APIError](err); ok && a.Status == 0 && !a.slow && ctx.Err() == nil {
		return c.send(ctx, "query", request)
	}
	return p, err
}

// outcomeOK is the outcome of a call that brought a payment.
const outcomeOK = "ok"

// send makes one call and tells how it ended.
func (c *Client) send(ctx context.Context, op string, request func(context.Context) (*http.Request, error)) (*Payment, error) {
	p, err := c.exchange(ctx, op, request)
	if hook.Previewing(ctx) {
		return p, err // a question of a preview counts nowhere
	}
	outcome := outcomeOK
	if err != nil {
		outcome = string(classOf(err))
	}
	c.told(op, outcome)
	return p, err
}

func (c *Client) exchange(ctx context.Context, op string, request func(context.Context) (*http.Request, error)) (*Payment, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := request(ctx)
	if err != nil {
		return nil, &APIError{Op: op, Code: "BAD_ADDRESS", Class: ClassRefused}
	}
	r.Header.Set("Authorization", c.auth)
	r.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, lost(ctx, op, "NO_ANSWER")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, lost(ctx, op, "ANSWER_CUT")
	case len(body) > maxAnswerBytes:
		return nil, &APIError{Op: op, Status: resp.StatusCode, Code: "ANSWER_TOO_LARGE", Class: ClassUnknown}
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(op, resp, body)
	}
	p, err := readPayment(body)
	if err != nil {
		return nil, &APIError{Op: op, Status: resp.StatusCode, Code: "ANSWER_UNREADABLE", Class: ClassUnknown, away: !gjson.ValidBytes(body)}
	}
	return p, nil
}

// codeTimeout stands for the answer that did not come in time.
const codeTimeout = "TIMEOUT"

// lost is a call whose outcome nobody knows.
func lost(ctx context.Context, op, code string) *APIError {
	e := &APIError{Op: op, Code: code, Class: ClassUnknown, away: true}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Code, e.slow = codeTimeout, true
	}
	return e
}

func refusal(op string, resp *http.Response, body []byte) *APIError {
	e := &APIError{Op: op, Status: resp.StatusCode}
	if gjson.ValidBytes(body) {
		e.Code = codeOf(gjson.GetBytes(body, "code").String())
	}
	if e.Code == "" {
		e.Code = "HTTP_" + strconv.Itoa(resp.StatusCode)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s <= 3600 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	e.Class = classify(e.Status, e.Code)
	return e
}

// codeOf keeps a code that looks like one: it is stored, logged and counted.
func codeOf(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return s
}

// Class says what an error of the API means for the money.
type Class string

// The classes of errors.
const (
	// ClassRefused: Toss has decided against it; the same call will not succeed.
	ClassRefused Class = "refused"
	// ClassUnknown: it may have happened. Ask before anything else.
	ClassUnknown Class = "unknown"
	// ClassBusy: nothing was done, later it may be.
	ClassBusy Class = "busy"
	// ClassMissing: Toss knows no such payment, or no longer.
	ClassMissing Class = "missing"
	// ClassKeys: our keys or our request are wrong; a person must look.
	ClassKeys Class = "keys"
)

// APIError is a call that brought no payment. Its text names operation, status
// and code, never a key, a body or a name.
type APIError struct {
	Op         string // confirm, query, cancel
	Status     int    // of HTTP; zero without an answer
	Code       string // Toss's code, or ours
	Class      Class
	RetryAfter time.Duration

	slow bool // no answer in time, as against a broken connection
	away bool // no answer, or not one of the API's
}

// Error is the operation, status and code.
func (e *APIError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("toss: %s: %s", e.Op, e.Code)
	}
	return fmt.Sprintf("toss: %s: %d %s", e.Op, e.Status, e.Code)
}

// Is makes an answer that says nothing of this payment, or none at all, a
// hook.ErrUnavailable.
func (e *APIError) Is(target error) bool {
	return target == hook.ErrUnavailable && (e.away || e.Status >= 500 || e.Status == http.StatusTooManyRequests)
}

// classOf gives the class of any error; what is no APIError is unknown.
func classOf(err error) Class {
	if a, ok := errors.AsType[*APIError](err); ok {
		return a.Class
	}
	return ClassUnknown
}

func errorCode(err error) string {
	if a, ok := errors.AsType[*APIError](err); ok {
		return a.Code
	}
	return "UNKNOWN"
}

// classify reads status and code; the messages of Toss are for people and
// change. What it does not know is unknown where the server failed, and refused
// where it says that the request was at fault.
func classify(status int, code string) Class {
	switch code {
	case "UNAUTHORIZED_KEY", "INVALID_API_KEY", "INCORRECT_BASIC_AUTH_FORMAT", "FORBIDDEN_REQUEST",
		"INVALID_IDEMPOTENCY_KEY":
		return ClassKeys
	case "ALREADY_PROCESSED_PAYMENT", "ALREADY_CANCELED_PAYMENT", "IDEMPOTENT_REQUEST_PROCESSING",
		"FORBIDDEN_CONSECUTIVE_REQUEST", "PROVIDER_ERROR":
		return ClassUnknown
	case "NOT_FOUND_PAYMENT", "NOT_FOUND_PAYMENT_SESSION":
		return ClassMissing
	}
	switch {
	case status == http.StatusUnauthorized:
		return ClassKeys
	case status == http.StatusTooManyRequests:
		return ClassBusy
	case status == http.StatusNotFound:
		// Without one of the codes above the 404 may be a proxy's: nothing is known.
		return ClassUnknown
	case status >= 500, status < 400:
		return ClassUnknown
	}
	return ClassRefused
}
