package source

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// HMACSource takes deliveries of a sender that an HMACSpec describes. Make it
// with HMAC or New.
type HMACSource struct {
	base
	scheme scheme
	keys   [][]byte
}

// HMAC returns a source for a sender that signs as spec says. Ask Validate
// whether the spec makes sense; with a wrong one the source verifies nothing.
func HMAC(name string, spec HMACSpec, secrets ...string) *HMACSource {
	return newHMAC(Config{Name: name, Sender: senderHMAC, Secrets: secrets, HMAC: &spec})
}

func newHMAC(c Config) *HMACSource {
	var spec HMACSpec
	if c.HMAC != nil {
		spec = *c.HMAC
	}
	t := traits{}
	if spec.TimestampHeader != "" {
		t = traits{window: defaultTolerance, signsAt: true}
	}
	s := &HMACSource{base: newBase(c, t)}
	s.scheme = spec.compile(func(setting, text string) {
		s.broken = true
		s.problem(setting, text)
	})
	if c := &s.scheme; c.kind.header != "" && !c.kind.signed {
		s.warn("hmac.type", "is read from a header that is not signed")
	}
	for i, secret := range s.usable {
		key, err := s.scheme.secret(secret)
		if err != nil || len(key) == 0 {
			s.problem(secretSetting(i), "is not in the encoding that hmac.secret_encoding says")
			continue
		}
		s.keys = append(s.keys, key)
	}
	return s
}

// Verify checks the signature that the spec describes, with every secret.
func (s *HMACSource) Verify(header http.Header, body []byte, now time.Time) error {
	if s.broken || len(s.keys) == 0 {
		return badConfig()
	}
	c := &s.scheme
	sigs, err := s.parse(header)
	if err != nil {
		return err
	}
	before, err := c.text(header, c.before)
	if err != nil {
		return err
	}
	after, err := c.text(header, c.after)
	if err != nil {
		return err
	}
	var signedAt time.Time
	if c.timestamp != "" {
		var ok bool
		if signedAt, ok = unixTime(loose(header, c.timestamp), c.unit()); !ok {
			return refuse(hook.ReasonMalformedHeader, c.timestamp+" is no time in whole units since 1970")
		}
	}
	ok := false
	for _, key := range s.keys {
		if sigs.match(signed(c.newHash, key, before, body, after)) {
			ok = true
		}
	}
	if !ok {
		return sigs.mismatch(len(s.keys))
	}
	if c.timestamp == "" {
		return nil
	}
	return s.window.check(now, signedAt, c.unit())
}

func (c *scheme) unit() time.Duration {
	if c.millis {
		return time.Millisecond
	}
	return time.Second
}

// parse reads the signatures. Entries without the prefix are of other schemes.
func (s *HMACSource) parse(header http.Header) (*candidates, error) {
	c, sigs := &s.scheme, &candidates{}
	text, err := one(header, c.header)
	if err != nil {
		return nil, err
	}
	add := func(entry string) {
		if sig, ok := strings.CutPrefix(entry, c.prefix); ok {
			sigs.add(sig, c.decode)
		}
	}
	if c.split == "" {
		add(text)
	} else {
		for entry := range strings.SplitSeq(text, c.split) {
			add(strings.TrimSpace(entry))
		}
	}
	if sigs.seen == 0 {
		return nil, refuse(hook.ReasonMalformedHeader, c.header+": no signature with the configured prefix")
	}
	return sigs, nil
}

// text puts the values of a delivery into one side of the signed text.
func (c *scheme) text(header http.Header, parts []part) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		name := p.text
		switch p.kind {
		case "text":
			b.WriteString(p.text)
			continue
		case "timestamp":
			name = c.timestamp
		}
		v, err := one(header, name)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// Identify reads key, type and subject from where the spec says. A key in a
// header that is not part of the signed text is marked unsigned. A body is only
// read as JSON if something is to be found in it.
func (s *HMACSource) Identify(header http.Header, body []byte) (hook.Identity, error) {
	c := &s.scheme
	id := hook.Identity{Trust: hook.TrustSignature, KeyUnsigned: c.key.header != "" && !c.key.signed}
	var p peek
	var err error
	if c.readsJSON {
		err = p.verdict(c.paths.read(body, &p))
	}
	at := func(from place) string {
		switch {
		case from.header != "":
			return loose(header, from.header)
		case from.slot >= 0:
			return p.id(from.slot)
		}
		return ""
	}
	id.Key = cleanKey(at(c.key))
	id.Type = clean(at(c.kind))
	id.Subject = clean(at(c.subject))
	return id, err
}

// Sign sets the signature and the time. Signed headers that are missing and
// carry the key get a new id; others must be there.
func (s *HMACSource) Sign(header http.Header, body []byte, now time.Time) error {
	c := &s.scheme
	if s.broken || len(s.keys) == 0 {
		return s.noKey()
	}
	if c.timestamp != "" {
		n := now.Unix()
		if c.millis {
			n = now.UnixMilli()
		}
		header.Set(c.timestamp, strconv.FormatInt(n, 10))
	}
	if c.key.header != "" && c.key.header != c.timestamp {
		setDefault(header, c.key.header, madeID(body, now))
	}
	before, err := c.text(header, c.before)
	if err != nil {
		return refuseToSign(s.config.Name, err)
	}
	after, err := c.text(header, c.after)
	if err != nil {
		return refuseToSign(s.config.Name, err)
	}
	header.Set(c.header, c.prefix+c.encode(signed(c.newHash, s.keys[0], before, body, after)))
	setDefault(header, "Content-Type", "application/json")
	return nil
}
