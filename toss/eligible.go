package toss

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// eligibilityTimeout is what an application has to answer: a person waits.
const eligibilityTimeout = 2 * time.Second

// Applicant is about whom an application is asked.
type Applicant struct {
	Checkout string `json:"checkout"`
	Product  string `json:"product"`
	Buyer    string `json:"buyer"` // as the application named it; empty for a guest
}

// Verdict is an application's answer. A refusal's Code is one of SOLD_OUT,
// ALREADY_APPLIED and CLOSED; anything else counts as CLOSED.
type Verdict struct {
	Allowed bool   `json:"allowed"`
	Code    string `json:"code,omitempty"`
}

// Eligibility says whether an applicant may have a seat. It is asked each time
// before one is held, has two seconds, and an error holds none.
type Eligibility interface {
	Eligible(ctx context.Context, a Applicant) (Verdict, error)
}

// EligibilityFunc is a function as an Eligibility.
type EligibilityFunc func(ctx context.Context, a Applicant) (Verdict, error)

// Eligible calls f.
func (f EligibilityFunc) Eligible(ctx context.Context, a Applicant) (Verdict, error) {
	return f(ctx, a)
}

// eligible asks the application, if one is configured.
func (d *Desk) eligible(ctx context.Context, c *checkout, p *Product) error {
	if d.cfg.Eligibility == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, eligibilityTimeout)
	defer cancel()
	v, err := d.cfg.Eligibility.Eligible(ctx, Applicant{Checkout: c.ID, Product: p.ID, Buyer: c.Buyer})
	switch {
	case err != nil:
		d.log.Warn("eligibility not answered, no seat is held", "checkout", c.ID, "product", p.ID, "error", err)
		return &refused{Status: http.StatusServiceUnavailable, Code: codeUnavailable}
	case v.Allowed:
		return nil
	case v.Code == codeSoldOut, v.Code == codeApplied:
		return conflict(v.Code)
	}
	return conflict(codeClosed)
}

// RemoteEligibility asks an application by HTTP: POST with an Applicant as JSON,
// signed as Standard Webhooks are (webhook-id, webhook-timestamp,
// webhook-signature: v1 and HMAC-SHA256 over id.timestamp.body), answered 200
// with a Verdict. No redirect is followed.
type RemoteEligibility struct {
	URL    string
	Secret []byte // at least 16 bytes
	Client *http.Client
	Now    func() time.Time
}

// Validate says what is wrong with the settings, never the secret.
func (r *RemoteEligibility) Validate() error {
	if origin(r.URL) == "" {
		return errors.New("eligibility: want an http or https address")
	}
	if len(r.Secret) < 16 {
		return errors.New("eligibility: the secret has fewer than 16 bytes: use a long random one")
	}
	return nil
}

// Eligible asks once; an answer that is not 200 with a verdict is an error.
func (r *RemoteEligibility) Eligible(ctx context.Context, a Applicant) (v Verdict, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return v, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return v, errors.New("eligibility: no address")
	}
	r.sign(req.Header, newID("el_"), body)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r.Client != nil {
		client.Transport = r.Client.Transport
	}
	resp, err := client.Do(req)
	if err != nil {
		return v, errors.New("eligibility: no answer") // the error would name the address, which may hold a token
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return v, fmt.Errorf("eligibility: answered %d", resp.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(answer, &v) != nil {
		return Verdict{}, errors.New("eligibility: the answer is no verdict")
	}
	return v, nil
}

func (r *RemoteEligibility) sign(h http.Header, id string, body []byte) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	stamp := strconv.FormatInt(now().Unix(), 10)
	mac := hmac.New(sha256.New, r.Secret)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	h.Set("Content-Type", "application/json")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
