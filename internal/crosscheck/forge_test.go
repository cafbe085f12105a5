package crosscheck_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Reasons that the contract names.
const (
	badSignature  = "bad_signature"
	missingHeader = "missing_header"
	malformed     = "malformed_header"
	unsupported   = "unsupported_version_only"
	tooOld        = "timestamp_too_old"
	inFuture      = "timestamp_in_future"
)

// forgery is a delivery that its sender did not send like this.
type forgery struct {
	name   string
	header http.Header
	body   []byte
	reason string
}

// forger makes the forgeries of one true delivery.
type forger struct {
	t      *testing.T
	sdk    sdk
	sample sample
	at     time.Time // when the true one was signed
	header http.Header
	all    []forgery
}

// signed is the sample's header with what an SDK signs.
func (s sample) signed(t *testing.T, k sdk, w order) http.Header {
	t.Helper()
	if w.secret == "" {
		w.secret = s.secret
	}
	if w.id == "" {
		w.id = s.key
	}
	if w.body == nil {
		w.body = s.body
	}
	signature, err := k.sign(w)
	if err != nil {
		t.Fatalf("%s signs: %v", k.name, err)
	}
	header := s.header.Clone()
	maps.Copy(header, signature)
	return header
}

// forgeries are all that is tried on one true delivery.
func forgeries(t *testing.T, k sdk, s sample, at time.Time) []forgery {
	t.Helper()
	f := &forger{t: t, sdk: k, sample: s, at: at, header: s.signed(t, k, order{at: at})}
	f.bodies()
	f.secrets()
	switch k.sender {
	case "stripe":
		f.signatures(stripeHeader)
		f.times()
		f.stripe()
	case "github":
		f.signatures(githubHeader)
		f.github()
	default:
		f.signatures(standardHeader)
		f.times()
		f.standard()
	}
	return f.all
}

func (f *forger) add(name string, header http.Header, body []byte, reason string) {
	f.all = append(f.all, forgery{name, header, body, reason})
}

// with is the true header with one value changed.
func (f *forger) with(name, value string) http.Header {
	header := f.header.Clone()
	header.Set(name, value)
	return header
}

func (f *forger) without(name string) http.Header {
	header := f.header.Clone()
	header.Del(name)
	return header
}

// bodies changes bytes under a true signature.
func (f *forger) bodies() {
	body := f.sample.body
	f.add("one digit changed", f.header, changeDigit(f.t, body), badSignature)
	f.add("a line break appended", f.header, append(bytes.Clone(body), '\n'), badSignature)
	f.add("the end cut off", f.header, body[:len(body)-1], badSignature)
	f.add("empty body", f.header, []byte{}, badSignature)
	f.add("another true body", f.header, []byte(`{"id":"evt_other","object":"event","type":"invoice.paid"}`), badSignature)
	var decoded any
	if json.Unmarshal(body, &decoded) == nil {
		again, err := json.Marshal(decoded)
		if err != nil {
			f.t.Fatal(err)
		}
		f.add("the same JSON in other bytes", f.header, again, badSignature)
	}
}

func changeDigit(t *testing.T, body []byte) []byte {
	t.Helper()
	at := bytes.LastIndexAny(body, "12345678")
	if at < 0 {
		t.Fatal("no digit in the body")
	}
	out := bytes.Clone(body)
	out[at]++
	return out
}

// secrets has the SDK sign with secrets that the receiver does not have.
func (f *forger) secrets() {
	f.add("another secret", f.sample.signed(f.t, f.sdk, order{secret: f.sample.other, at: f.at}), f.sample.body, badSignature)
	if !f.sdk.signsEmpty {
		return
	}
	// SDKs accept this from a receiver that was left without a secret.
	header, err := f.sdk.sign(order{id: f.sample.key, body: f.sample.body, at: f.at})
	if err != nil {
		f.t.Fatalf("%s signs with the empty secret: %v", f.sdk.name, err)
	}
	maps.Copy(header, f.sample.header)
	f.add("the empty secret", header, f.sample.body, badSignature)
}

// signatures changes the header that carries the signature.
func (f *forger) signatures(name string) {
	text, body := f.header.Get(name), f.sample.body
	// So near to the end there is only signature, whichever the scheme.
	at := len(text) - len(text)/6
	other := byte('0')
	if text[at] == other {
		other = '1'
	}
	f.add("one character of the signature changed", f.with(name, text[:at]+string(other)+text[at+1:]), body, badSignature)
	f.add("the last character of the signature cut off", f.with(name, text[:len(text)-1]), body, badSignature)
	f.add("a third of the signature cut off", f.with(name, text[:len(text)*2/3]), body, badSignature)
	another := f.sample.signed(f.t, f.sdk, order{body: []byte(`{"id":"evt_other"}`), at: f.at})
	f.add("the signature of another body", another, body, badSignature)
	f.add("no signature header", f.without(name), body, missingHeader)
	f.add("an empty signature header", f.with(name, ""), body, missingHeader)
	f.add("a signature header without a signature", f.with(name, "none"), body, malformed)
	twice := f.header.Clone()
	twice[name] = []string{"none", text}
	f.add("two signature headers", twice, body, malformed)
}

// times has the SDK sign at times outside the tolerance of five minutes.
func (f *forger) times() {
	for _, away := range []struct {
		by     time.Duration
		reason string
	}{
		{-6 * time.Minute, tooOld}, {-24 * time.Hour, tooOld},
		{6 * time.Minute, inFuture}, {24 * time.Hour, inFuture},
	} {
		header := f.sample.signed(f.t, f.sdk, order{at: f.at.Add(away.by)})
		f.add(fmt.Sprintf("signed %s from now", away.by), header, f.sample.body, away.reason)
	}
}

func (f *forger) stripe() {
	text := f.header.Get(stripeHeader)
	now := strconv.FormatInt(f.at.Unix(), 10)
	moved := strconv.FormatInt(f.at.Unix()-1, 10)
	f.add("the time moved", f.with(stripeHeader, strings.Replace(text, "t="+now, "t="+moved, 1)), f.sample.body, badSignature)
	f.add("the time left out", f.with(stripeHeader, strings.Replace(text, "t="+now+",", "", 1)), f.sample.body, malformed)
	f.add("a second time", f.with(stripeHeader, text+",t="+moved), f.sample.body, malformed)
	// The SDK signs rightly, but under the scheme that Stripe keeps for tests.
	f.add("only a v0 signature", f.sample.signed(f.t, f.sdk, order{at: f.at, scheme: "v0"}), f.sample.body, unsupported)
}

func (f *forger) standard() {
	body := f.sample.body
	f.add("another id", f.with("Webhook-Id", f.sample.key+"2"), body, badSignature)
	f.add("no id", f.without("Webhook-Id"), body, missingHeader)
	f.add("the time moved", f.with("Webhook-Timestamp", strconv.FormatInt(f.at.Unix()-1, 10)), body, badSignature)
	f.add("no time", f.without("Webhook-Timestamp"), body, missingHeader)
	f.add("a time that is none", f.with("Webhook-Timestamp", "now"), body, malformed)
	other := strings.Replace(f.header.Get(standardHeader), "v1,", "v2,", 1)
	f.add("only a v2 signature", f.with(standardHeader, other), body, unsupported)
}

func (f *forger) github() {
	body := f.sample.body
	// Right by the old scheme, which GitHub still sends beside the new one.
	mac := hmac.New(sha1.New, []byte(f.sample.secret))
	mac.Write(body)
	legacy := "sha1=" + hex.EncodeToString(mac.Sum(nil))
	old := f.without(githubHeader)
	old.Set("X-Hub-Signature", legacy)
	f.add("only the SHA-1 header", old, body, missingHeader)
	f.add("SHA-1 in the header of SHA-256", f.with(githubHeader, legacy), body, malformed)
	bare := strings.TrimPrefix(f.header.Get(githubHeader), "sha256=")
	f.add("the signature without its algorithm", f.with(githubHeader, bare), body, malformed)
}
