package crosscheck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
)

// Headers that carry a signature.
const (
	stripeHeader   = "Stripe-Signature"
	githubHeader   = "X-Hub-Signature-256"
	standardHeader = "Webhook-Signature"
)

// sdk is one SDK of a sender: it signs what the sender would send, and judges as
// an application that uses it would.
type sdk struct {
	name   string // as its packages are called
	sender string // as hookkeeper calls it
	// signsEmpty: it makes a signature with the empty secret.
	signsEmpty bool
	// future: it refuses a time in the future.
	future  bool
	sign    func(order) (http.Header, error)
	accepts func(secret string, header http.Header, body []byte) (bool, error)
}

func sdks(o *oracle) []sdk {
	node := func(s sdk) sdk {
		s.sign = func(w order) (http.Header, error) { return o.sign(s.sender, w) }
		s.accepts = func(secret string, header http.Header, body []byte) (bool, error) {
			return o.accepts(s.sender, secret, header, body)
		}
		return s
	}
	return []sdk{
		{name: "stripe-go", sender: "stripe", signsEmpty: true, sign: signStripe, accepts: acceptsStripe},
		node(sdk{name: "stripe-node", sender: "stripe"}),
		{
			name: "standard-webhooks-go", sender: "standard-webhooks", signsEmpty: true, future: true,
			sign: signStandard, accepts: acceptsStandard,
		},
		node(sdk{name: "standardwebhooks-npm", sender: "standard-webhooks", future: true}),
		node(sdk{name: "octokit", sender: "github"}),
	}
}

func signStripe(w order) (http.Header, error) {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{
		Payload: w.body, Secret: w.secret, Timestamp: w.at, Scheme: w.scheme,
	})
	return http.Header{stripeHeader: {signed.Header}}, nil
}

// acceptsStripe looks at a body of any API train, as an application does that
// upgrades its SDK later than its endpoint.
func acceptsStripe(secret string, header http.Header, body []byte) (bool, error) {
	_, err := webhook.ConstructEventWithOptions(body, header.Get(stripeHeader), secret,
		webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	return judged(err, webhook.ErrInvalidHeader, webhook.ErrNoValidSignature, webhook.ErrNotSigned, webhook.ErrTooOld)
}

func signStandard(w order) (http.Header, error) {
	wh, err := standardwebhooks.NewWebhook(w.secret)
	if err != nil {
		return nil, err
	}
	signature, err := wh.Sign(w.id, w.at, w.body)
	return http.Header{
		"Webhook-Id":        {w.id},
		"Webhook-Timestamp": {strconv.FormatInt(w.at.Unix(), 10)},
		standardHeader:      {signature},
	}, err
}

func acceptsStandard(secret string, header http.Header, body []byte) (bool, error) {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return false, err
	}
	return judged(wh.Verify(body, header), standardwebhooks.ErrRequiredHeaders, standardwebhooks.ErrInvalidHeaders,
		standardwebhooks.ErrNoMatchingSignature, standardwebhooks.ErrMessageTooOld, standardwebhooks.ErrMessageTooNew)
}

// judged tells a refusal, which is one of those errors, from a fault of the test.
func judged(err error, refusals ...error) (bool, error) {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return false, nil
		}
	}
	return err == nil, err
}

// sample is a true delivery: what its sender would sign and send.
type sample struct {
	name   string
	source string
	secret string
	other  string // of the same form, known to nobody
	key    string
	kind   string // type of the event
	header http.Header
	body   []byte
}

// samples are the deliveries that one SDK signs. n keeps the keys and bodies of
// the SDKs apart.
func samples(t *testing.T, s sdk, n int) []sample {
	t.Helper()
	switch s.sender {
	case "stripe":
		return stripeSamples(t, n)
	case "github":
		return githubSamples(t)
	}
	return standardSamples(t, n)
}

func stripeSamples(t *testing.T, n int) []sample {
	t.Helper()
	var all []sample
	add := func(file, kind, secret string) {
		body := read(t, "stripe", file)
		var told struct{ ID string }
		if err := json.Unmarshal(body, &told); err != nil || told.ID == "" {
			t.Fatalf("%s has no id: %v", file, err)
		}
		key := fmt.Sprintf("evt_1HKcrosscheck%d%d", n, len(all))
		all = append(all, sample{
			name: file, source: "stripe", secret: secret, other: stripeOther, key: key, kind: kind,
			header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
			body:   bytes.Replace(body, []byte(told.ID), []byte(key), 1),
		})
	}
	for _, train := range []string{"acacia", "dahlia", "endive"} {
		add(train+"/invoice.paid.json", "invoice.paid", stripeSecret)
	}
	add("thin/v1.invoice.paid.with_snapshot_event.json", "v1.invoice.paid", stripeSecret)
	// While a secret is rolled, deliveries signed with the old one still come.
	add("dahlia/customer.subscription.deleted.json", "customer.subscription.deleted", stripeOldSecret)
	return all
}

func githubSamples(t *testing.T) []sample {
	t.Helper()
	push := read(t, "github", "push.json")
	one := sample{
		source: "github", secret: githubSecret, other: githubOther, kind: "push",
		header: http.Header{"User-Agent": {"GitHub-Hookshot/044aadd"}, "X-Github-Event": {"push"}},
	}
	text, form := one, one
	text.name, text.key, text.body = "push as JSON", "72d3162e-cc78-11e3-81ab-4c9367dc0958", push
	form.name, form.key = "push as a form", "72d3162e-cc78-11e3-81ab-4c9367dc0959"
	form.body = []byte(url.Values{"payload": {string(push)}}.Encode())
	text.header, form.header = one.header.Clone(), one.header.Clone()
	text.header.Set("Content-Type", "application/json")
	form.header.Set("Content-Type", "application/x-www-form-urlencoded")
	text.header.Set("X-Github-Delivery", text.key)
	form.header.Set("X-Github-Delivery", form.key)
	return []sample{text, form}
}

func standardSamples(t *testing.T, n int) []sample {
	t.Helper()
	bodies := map[string][]byte{
		"invoice.paid": read(t, "standard-webhooks", "invoice.paid.json"),
		// What a decoder would change: escapes, blanks, the order of members, a
		// number that no float holds, a line break at the end.
		"order.noted": []byte("{\"timestamp\": \"2026-03-01T00:30:40Z\",\"type\":\"order.noted\",\n\t\"data\" : " +
			"{\"z\":1.10,\"a\":12345678901234567890,\"note\":\"\\u003cb\\u003e 감사합니다 🎉 \\/ \"}}\r\n"),
	}
	var all []sample
	for _, kind := range []string{"invoice.paid", "order.noted"} {
		all = append(all, sample{
			name: kind, source: "partner", secret: partnerSecret, other: partnerOther,
			key: fmt.Sprintf("msg_crosscheck_%d_%s", n, kind), kind: kind,
			header: http.Header{"Content-Type": {"application/json"}}, body: bodies[kind],
		})
	}
	return all
}

// read gives the body of a sample that hookkeeper itself sends.
func read(t *testing.T, sender, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "dev", "samples", sender, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return body
}
