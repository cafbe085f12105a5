package source

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// The slots of standardPaths.
const (
	standardType = iota
	standardTime
	standardPayment
	standardOldPayment
)

func standardPaths() paths {
	return newPaths([]string{"type", "timestamp", "data.paymentId", "payment_id"},
		"data.storeId", "data.transactionId", "data.cancellationId", "data.billingKey", "tx_id", "status")
}

// StandardSource takes deliveries signed as the Standard Webhooks specification
// says, Svix's header names included. PortOne is one with a subject. Make it
// with StandardWebhooks, PortOne or New.
type StandardSource struct {
	base
	keys    [][]byte             // v1: HMAC-SHA256
	public  []ed25519.PublicKey  // v1a
	private []ed25519.PrivateKey // to sign v1a with
	paths   paths
	portOne bool
}

// StandardWebhooks returns a source for a sender that follows the Standard
// Webhooks specification. A secret is base64, with or without whsec_ (v1), or
// after whpk_ an Ed25519 public key, after whsk_ a private one (v1a).
func StandardWebhooks(name string, secrets ...string) *StandardSource {
	return newStandard(Config{Name: name, Sender: senderStandard, Secrets: secrets})
}

// PortOne returns a source for PortOne V2, which signs as Standard Webhooks do.
func PortOne(name string, secrets ...string) *StandardSource {
	return newPortOne(Config{Name: name, Sender: senderPortOne, Secrets: secrets})
}

func newPortOne(c Config) *StandardSource {
	s := newStandard(c)
	s.portOne = true
	return s
}

func newStandard(c Config) *StandardSource {
	s := &StandardSource{
		base:  newBase(c, traits{window: defaultTolerance, signsAt: true}),
		paths: standardPaths(),
	}
	for i, secret := range s.usable {
		if err := s.addSecret(secret); err != nil {
			s.problem(secretSetting(i), err.Error())
		}
	}
	return s
}

func (s *StandardSource) addSecret(secret string) error {
	if apiKey(secret) {
		return errors.New("is a key of the sender's API, not a signing secret")
	}
	if text, ok := strings.CutPrefix(secret, "whpk_"); ok {
		raw, err := base64Key(text)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return errors.New("is no Ed25519 public key: whpk_ and base64 of 32 bytes")
		}
		s.public = append(s.public, raw)
		return nil
	}
	if text, ok := strings.CutPrefix(secret, "whsk_"); ok {
		raw, err := base64Key(text)
		if err != nil || len(raw) != ed25519.PrivateKeySize {
			return errors.New("is no Ed25519 private key: whsk_ and base64 of 64 bytes")
		}
		// The second half is the public key; a pair that does not belong
		// together would sign with one and verify with the other.
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !key.Equal(ed25519.PrivateKey(raw)) {
			return errors.New("is no Ed25519 private key: its two halves do not belong together")
		}
		s.private = append(s.private, key)
		s.public = append(s.public, key.Public().(ed25519.PublicKey))
		return nil
	}
	raw, err := base64Key(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(raw) == 0 {
		return errors.New("is not base64; a Stripe secret also begins with whsec_ and belongs to a source of the sender stripe")
	}
	s.keys = append(s.keys, raw)
	return nil
}

// base64Key decodes a key with or without its padding.
func base64Key(text string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

// family is one set of the three headers, in canonical form.
type family struct{ id, at, sig string }

// familyOf chooses the headers to read: webhook-* or svix-*, always one of them
// completely, so that headers of the other can neither help nor confuse. The
// complete one wins, webhook-* first.
func familyOf(h http.Header) family {
	webhook := family{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}
	svix := family{"Svix-Id", "Svix-Timestamp", "Svix-Signature"}
	switch {
	case webhook.count(h) == 3:
		return webhook
	case svix.count(h) == 3:
		return svix
	case webhook.count(h) == 0 && svix.count(h) > 0:
		return svix
	}
	return webhook
}

func (f family) count(h http.Header) (n int) {
	for _, name := range [...]string{f.id, f.at, f.sig} {
		if len(h[name]) > 0 {
			n++
		}
	}
	return n
}

// Verify checks the signatures over id, time and raw body: v1 by HMAC-SHA256, v1a
// by Ed25519, each only with keys of its own kind. The tolerance holds on both
// sides.
func (s *StandardSource) Verify(header http.Header, body []byte, now time.Time) error {
	if s.broken || len(s.keys)+len(s.public) == 0 {
		return badConfig()
	}
	f := familyOf(header)
	var value [3]string
	for i, name := range [...]string{f.id, f.at, f.sig} {
		var err error
		if value[i], err = one(header, name); err != nil {
			return err
		}
	}
	signedAt, ok := unixTime(value[1], time.Second)
	if !ok {
		return refuse(hook.ReasonMalformedHeader, f.at+" is no time in Unix seconds")
	}
	if err := s.match(f.sig, value[2], value[0]+"."+value[1]+".", body); err != nil {
		return err
	}
	return s.window.check(now, signedAt, time.Second)
}

func (s *StandardSource) match(name, text, prefix string, body []byte) error {
	var v1, v1a candidates
	known := false // an entry of any version
	for entry := range strings.SplitSeq(text, " ") {
		version, sig, ok := strings.Cut(entry, ",")
		known = known || ok
		switch {
		case !ok || v1.seen+v1a.seen >= maxSignatures:
		case version == "v1" && len(s.keys) > 0:
			v1.add(sig, base64.StdEncoding.DecodeString)
		case version == "v1a" && len(s.public) > 0:
			v1a.add(sig, base64.StdEncoding.DecodeString)
		}
	}
	if v1.seen+v1a.seen == 0 {
		if known {
			return refuse(hook.ReasonUnsupportedVersionOnly, name+": no signature of a version that the secrets are for")
		}
		return refuse(hook.ReasonMalformedHeader, name+": no version,signature in it")
	}
	fits := false
	for _, key := range s.keys {
		if v1.seen > 0 && v1.match(sha256MAC(key, prefix, body, "")) {
			fits = true
		}
	}
	if !fits && v1a.n > 0 {
		fits = s.matchPublic(&v1a, append([]byte(prefix), body...))
	}
	if fits {
		return nil
	}
	v1.seen += v1a.seen
	return v1.mismatch(len(s.config.Secrets))
}

func (s *StandardSource) matchPublic(sigs *candidates, text []byte) bool {
	for _, key := range s.public {
		for _, sig := range sigs.list[:sigs.n] {
			if ed25519.Verify(key, text, sig) {
				return true
			}
		}
	}
	return false
}

// Identify takes the key from the id header, which the signature covers, and the
// type from the body's type. Only PortOne's payments have a subject. The id
// stays the key when the body cannot be read.
func (s *StandardSource) Identify(header http.Header, body []byte) (hook.Identity, error) {
	id := hook.Identity{
		Key:   cleanKey(loose(header, familyOf(header).id)),
		Trust: hook.TrustSignature,
	}
	var p peek
	err := p.verdict(s.paths.read(body, &p))
	id.Type = clean(p.str(standardType))
	id.OccurredAt = parseTime(p.str(standardTime), nil)
	if s.portOne {
		id.Subject = clean(p.first(standardPayment, standardOldPayment))
	}
	return id, err
}

// Sign sets the three headers, in the family whose id is already there, else as
// webhook-*. It signs with the first secret that can: a public key cannot.
func (s *StandardSource) Sign(header http.Header, body []byte, now time.Time) error {
	f := familyOf(header)
	id := header.Get(f.id)
	if id == "" {
		id = "msg_" + madeID(body, now)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	prefix := id + "." + at + "."
	var sig string
	switch {
	case len(s.keys) > 0:
		sig = "v1," + base64.StdEncoding.EncodeToString(sha256MAC(s.keys[0], prefix, body, ""))
	case len(s.private) > 0:
		text := append([]byte(prefix), body...)
		sig = "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(s.private[0], text))
	default:
		return s.noKey()
	}
	header.Set(f.id, id)
	header.Set(f.at, at)
	header.Set(f.sig, sig)
	setDefault(header, "Content-Type", "application/json")
	return nil
}
