//go:build hktest

package test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Secrets of the sources that every server of these tests has. None may ever
// stand in a log.
const (
	stripeSecret   = "whsec_5d0c9a51e1f74c2b8a3d6e90"
	shopSecret     = "whsec_shop_77ab01c2d9e84f65b3"
	githubSecret   = "github-hook-key-0d9f8e7c6b5a"
	partnerSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	legacySecret   = "legacy-hmac-key-314159265358"
	tossSecurity   = "9f1c2e3d4b5a69788796a5b4c3d2e1f0"
	tossAPIKey     = "test_sk_aBcDeFgHiJkLmNoPqRsTuVwX"
	operatorToken  = "operator-token-0011223344556677"
	forgersSecret  = "whsec_Zm9yZ2VyLWtub3dzLW5vLXNlY3JldA=="
	unknownToThem  = "a stranger's words: marker-4711"
	legacyHeader   = "X-Signature"
	jsonUTF8       = "application/json; charset=utf-8"
	patience       = 12 * time.Second // longer than any sender waits, or a late answer could not be seen
	defaultSubject = "pi_subject"
)

func secrets() []string {
	return []string{stripeSecret, shopSecret, githubSecret, partnerSecret, legacySecret, tossSecurity, tossAPIKey,
		operatorToken}
}

// delivery is one POST to be.
type delivery struct {
	source string
	header http.Header
	body   []byte
}

func digest(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

func sum(body []byte) string {
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:])
}

func byStripe(source, secret string, body []byte, at time.Time) delivery {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := digest([]byte(secret), stamp, ".", string(body))
	return delivery{source, http.Header{
		"Content-Type":     {jsonUTF8},
		"Stripe-Signature": {"t=" + stamp + ",v1=" + hex.EncodeToString(mac)},
	}, body}
}

// stripe is what Stripe delivers now.
func stripe(body []byte) delivery { return byStripe("stripe", stripeSecret, body, time.Now()) }

func byGitHub(secret, id, event string, body []byte) delivery {
	return delivery{"github", http.Header{
		"Content-Type":        {"application/json"},
		"X-Github-Delivery":   {id},
		"X-Github-Event":      {event},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(digest([]byte(secret), string(body)))},
	}, body}
}

func github(id, event string, body []byte) delivery { return byGitHub(githubSecret, id, event, body) }

func byPartner(secret, id string, body []byte) delivery {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err) // a constant above is wrong
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	return delivery{"partner", http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(digest(raw, id, ".", stamp, ".", string(body)))},
	}, body}
}

func byLegacy(source, secret string, body []byte) delivery {
	return delivery{source, http.Header{
		legacyHeader: {"sha256=" + hex.EncodeToString(digest([]byte(secret), string(body)))},
	}, body}
}

func byToss(key, transmission string, body []byte) delivery {
	at := time.Now().Format(time.RFC3339)
	d := tossHint(transmission, body)
	d.header["Tosspayments-Webhook-Transmission-Time"] = []string{at}
	d.header["Tosspayments-Webhook-Signature"] = []string{
		"v1:" + base64.StdEncoding.EncodeToString(digest([]byte(key), string(body), ":", at)),
	}
	return d
}

// tossHint is a delivery that Toss does not sign.
func tossHint(transmission string, body []byte) delivery {
	return delivery{"toss", http.Header{
		"Content-Type":                                    {"application/json"},
		"Tosspayments-Webhook-Transmission-Id":            {transmission},
		"Tosspayments-Webhook-Transmission-Retried-Count": {"0"},
	}, body}
}

// stripeEvent is a test event about subject; hk are orders for the test handler.
func stripeEvent(id, subject, hk string) []byte {
	if hk == "" {
		hk = "{}"
	}
	return fmt.Appendf(nil, `{"id":%q,"object":"event","type":"payment_intent.succeeded","created":%d,"livemode":false,`+
		`"pending_webhooks":1,"data":{"object":{"id":%q,"object":"payment_intent","description":%q}},"hk":%s}`,
		id, time.Now().Unix(), subject, unknownToThem, hk)
}

// answer is what a sender hears.
type answer struct {
	Status string `json:"status"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
	code   int
	after  string // Retry-After
	took   time.Duration
	err    error // no answer, or none that the contract knows
}

func (a answer) String() string {
	return fmt.Sprintf("%d %s %s %s (%s) %v", a.code, a.Status, a.Event, a.Reason, a.took.Round(time.Millisecond), a.err)
}

// newClient keeps its connections, follows nothing and is more patient than any
// sender.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1024},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *server) send(d delivery) answer {
	req, err := http.NewRequest(http.MethodPost, "http://"+s.public+"/hooks/"+d.source, bytes.NewReader(d.body))
	if err != nil {
		return answer{err: err}
	}
	req.Header = d.header
	return s.answered(req)
}

func (s *server) answered(req *http.Request) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a.code, a.after = resp.StatusCode, resp.Header.Get("Retry-After")
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.err = err
	} else if err := json.Unmarshal(text, &a); err != nil {
		a.err = fmt.Errorf("answer %q: %w", text, err)
	}
	return a
}

// recorded sends and wants a fresh row.
func (s *server) recorded(t *testing.T, d delivery) answer {
	t.Helper()
	return s.want(t, d, http.StatusOK, "recorded", "")
}

func (s *server) duplicate(t *testing.T, d delivery) answer {
	t.Helper()
	return s.want(t, d, http.StatusOK, "duplicate", "")
}

// refused sends and wants a refusal that names no event.
func (s *server) refused(t *testing.T, d delivery, code int, reason string) {
	t.Helper()
	if a := s.want(t, d, code, "rejected", reason); a.Event != "" {
		t.Errorf("the refusal names event %s", a.Event)
	}
}

func (s *server) want(t *testing.T, d delivery, code int, status, reason string) answer {
	t.Helper()
	a := s.send(d)
	if a.err != nil || a.code != code || a.Status != status || a.Reason != reason || (code == 200) != (a.Event != "") {
		t.Errorf("%s answers %v, want %d %s %s", d.source, a, code, status, reason)
	}
	return a
}
