package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxGuess is the largest body that is tried in other spellings.
const maxGuess = 1 << 20

// capture is a delivery that did not verify.
type capture struct {
	source hook.Source
	header http.Header
	body   []byte
	at     time.Time
}

// causes tries what commonly goes wrong and names what would have verified.
func (c capture) causes(reason hook.Reason) []string {
	var out []string
	if reason == hook.ReasonBadSignature {
		out = append(out, c.changedBody()...)
		out = append(out, c.otherSecretForm()...)
	}
	fits := c.otherSender()
	out = append(out, fits...)
	if len(fits) == 0 {
		out = append(out, c.foreignHeaders()...)
	}
	if reason == hook.ReasonBadSignature && len(out) == 0 {
		out = append(out, "the secret is another endpoint's, or the body was changed on its way in a manner that leaves no trace")
	}
	return out
}

// fits reports whether the signature is right, whatever the clock says.
func (c capture) fits(s hook.Source, body []byte) bool {
	err := s.Verify(c.header, body, c.at)
	if u, ok := errors.AsType[*hook.UnverifiedError](err); ok {
		return u.Reason == hook.ReasonTimestampTooOld || u.Reason == hook.ReasonTimestampInFuture
	}
	return err == nil
}

// changedBody tries the ways in which editors, shells and frameworks change a
// body without anybody noticing.
func (c capture) changedBody() []string {
	if len(c.body) > maxGuess {
		return nil
	}
	_, toss := c.source.(*TossSource)
	for _, v := range respelled(c.body) {
		// At Toss another spelling may change the type, and an unsigned type
		// would fit without a signature.
		if toss && !tossSigned(tossTypeOf(v.body)) {
			continue
		}
		if c.fits(c.source, v.body) {
			return []string{"the body was changed after it was signed: it would verify " + v.how}
		}
	}
	return nil
}

func tossTypeOf(body []byte) string {
	var p peek
	if tossPaths().read(body, &p) != nil {
		return ""
	}
	return p.str(tossType)
}

type variant struct {
	how  string
	body []byte
}

func respelled(b []byte) []variant {
	lf := bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	out := []variant{
		{"without the newline at its end", bytes.TrimRight(b, "\r\n")},
		{"with one newline at its end", slices.Concat(b, []byte("\n"))},
		{"with a CRLF at its end", slices.Concat(b, []byte("\r\n"))},
		{"with LF instead of CRLF line ends", lf},
		{"with CRLF instead of LF line ends", bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))},
		{"without the byte order mark", bytes.TrimPrefix(b, []byte("\uFEFF"))},
		{"without white space around it", bytes.TrimSpace(b)},
	}
	// Only what the scanner has found shallow may meet a JSON library.
	var p peek
	if newPaths(nil).read(b, &p) != nil {
		return out
	}
	var compact bytes.Buffer
	if json.Compact(&compact, b) == nil {
		const how = "as JSON without white space: something parsed and wrote it again"
		out = append(out, variant{how, compact.Bytes()},
			variant{how, unescapeHTML(compact.Bytes())})
	}
	for _, indent := range [...]string{"  ", "    ", "\t"} {
		var pretty bytes.Buffer
		if json.Indent(&pretty, bytes.TrimSpace(b), "", indent) == nil {
			out = append(out, variant{"as indented JSON: something parsed and wrote it again", pretty.Bytes()})
		}
	}
	return out
}

// unescapeHTML takes back what encoders do to & < > by default.
func unescapeHTML(b []byte) []byte {
	return []byte(strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(b)))
}

// configured is implemented by all sources of this package.
type configured interface{ settings() Config }

func (b *base) settings() Config { return b.config }

// otherSecretForm tries the same secrets read in another way.
func (c capture) otherSecretForm() []string {
	own, ok := c.source.(configured)
	if !ok {
		return nil
	}
	cfg := own.settings()
	var out []string
	trimmed := cfg
	trimmed.Secrets = nil
	for _, s := range cfg.Secrets {
		trimmed.Secrets = append(trimmed.Secrets, strings.TrimSpace(s))
	}
	if s, err := New(trimmed); err == nil && c.fits(s, c.body) {
		out = append(out, "a secret has white space around it: it would verify without")
	}
	if _, ok := c.source.(*StandardSource); ok {
		f := familyOf(c.header)
		text := HMAC(cfg.Name, HMACSpec{
			Header: f.sig, Split: " ", Prefix: "v1,", Encoding: "base64",
			Signed: "{header:" + f.id + "}.{timestamp}.{body}", TimestampHeader: f.at,
		}, cfg.Secrets...)
		if c.fits(text, c.body) {
			out = append(out, "the sender uses the secret as text, undecoded: it would verify with the sender hmac and secret_encoding text")
		}
	}
	return out
}

// otherSender tries the secrets with the recipes of the other senders.
func (c capture) otherSender() []string {
	own, ok := c.source.(configured)
	if !ok {
		return nil
	}
	cfg := own.settings()
	var out []string
	for _, sender := range [...]string{senderStripe, senderGitHub, senderStandard} {
		same := sender == cfg.Sender || sender == senderStandard && cfg.Sender == senderPortOne
		other, err := New(Config{Name: cfg.Name, Sender: sender, Secrets: cfg.Secrets})
		if same || err != nil || !c.fits(other, c.body) {
			continue
		}
		out = append(out, fmt.Sprintf("this is a delivery of the sender %s, signed with a secret of this source: "+
			"set sender to %[1]s", sender))
	}
	return out
}

// foreignHeaders names headers that other senders sign with.
func (c capture) foreignHeaders() []string {
	own := c.ownHeaders()
	var out []string
	for _, known := range signatureHeaders() {
		if len(c.header[known.name]) > 0 && !slices.Contains(own, known.name) {
			out = append(out, fmt.Sprintf("it has the header %s, which %s sends", known.name, known.sender))
		}
	}
	return out
}

func (c capture) ownHeaders() []string {
	switch s := c.source.(type) {
	case *StripeSource:
		return []string{stripeSignature}
	case *TossSource:
		return []string{tossSignature, tossID}
	case *GitHubSource:
		return []string{githubSignature}
	case *StandardSource:
		return []string{"Webhook-Signature", "Svix-Signature"}
	case *HMACSource:
		return []string{s.scheme.header}
	}
	return nil
}

type signatureHeader struct{ name, sender string }

// signatureHeaders are the headers by which deliveries of other senders are
// recognised, in canonical form.
func signatureHeaders() []signatureHeader {
	return []signatureHeader{
		{stripeSignature, "Stripe (sender stripe)"},
		{tossSignature, "Toss Payments (sender toss)"},
		{tossID, "Toss Payments (sender toss)"},
		{githubSignature, "GitHub (sender github)"},
		{"X-Hub-Signature", "GitHub for its old SHA-1 signature, which counts for nothing: set a secret at GitHub"},
		{"Webhook-Signature", "a sender of Standard Webhooks or PortOne (sender standard-webhooks or portone)"},
		{"Svix-Signature", "Svix (sender standard-webhooks)"},
		{"X-Gitlab-Token", "GitLab"},
		{"X-Shopify-Hmac-Sha256", "Shopify"},
		{"Shopify-Hmac-Sha256", "Shopify"},
		{"X-Slack-Signature", "Slack"},
		{"Paddle-Signature", "Paddle"},
		{"X-Signature", "Lemon Squeezy"},
		{"Paypal-Transmission-Sig", "PayPal"},
		{"X-Square-Hmacsha256-Signature", "Square"},
		{"Hmacsignature", "Adyen"},
		{"X-Twilio-Signature", "Twilio"},
		{"X-Signature-Ed25519", "Discord"},
		{"Linear-Signature", "Linear"},
		{"X-Zm-Signature", "Zoom"},
		{"X-Hubspot-Signature-V3", "HubSpot"},
		{"X-Hubspot-Signature", "HubSpot"},
		{"X-Twilio-Email-Event-Webhook-Signature", "SendGrid"},
		{"X-Razorpay-Signature", "Razorpay"},
		{"X-Mollie-Signature", "Mollie"},
		{"X-Callback-Token", "Xendit"},
	}
}
