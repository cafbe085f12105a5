package source

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
)

// HMACSpec describes a sender that signs with an HMAC and is not known by name.
type HMACSpec struct {
	// Header carries the signature. Prefix stands before each signature in it;
	// Split is what separates several, empty if there is only one.
	Header string `json:"header" yaml:"header"`
	Prefix string `json:"prefix,omitempty" yaml:"prefix,omitempty"`
	Split  string `json:"split,omitempty" yaml:"split,omitempty"`

	Algorithm string `json:"algorithm,omitempty" yaml:"algorithm,omitempty"` // sha256 (default) or sha512
	Encoding  string `json:"encoding,omitempty" yaml:"encoding,omitempty"`   // of the signature: hex (default) or base64

	// SecretEncoding says how the secret spells the key: text (default, the
	// characters themselves), hex or base64.
	SecretEncoding string `json:"secret_encoding,omitempty" yaml:"secret_encoding,omitempty"`

	// Signed is the signed text: {body} once, and where the sender signs them
	// {timestamp} and {header:Name}. Empty means {body}.
	Signed string `json:"signed,omitempty" yaml:"signed,omitempty"`

	// TimestampHeader carries the signed time in TimestampUnit, s (default) or
	// ms since 1970. It must be part of Signed; then there is a window.
	TimestampHeader string `json:"timestamp_header,omitempty" yaml:"timestamp_header,omitempty"`
	TimestampUnit   string `json:"timestamp_unit,omitempty" yaml:"timestamp_unit,omitempty"`

	// Key, Type and Subject say where the event's are: json:path.to.member or
	// header:Name. Without a key the hash of the body is the key.
	Key     string `json:"key,omitempty" yaml:"key,omitempty"`
	Type    string `json:"type,omitempty" yaml:"type,omitempty"`
	Subject string `json:"subject,omitempty" yaml:"subject,omitempty"`
}

// part is one piece of the signed text.
type part struct {
	kind string // "text", "body", "timestamp" or "header"
	text string // the text, or the header's name
}

// place is where a value is read from.
type place struct {
	header string // canonical name, or
	slot   int    // the slot of the JSON path, -1 for none
	signed bool   // whether a signature covers it
}

// scheme is the compiled form of an HMACSpec.
type scheme struct {
	header, prefix, split string
	newHash               func() hash.Hash
	decode                func(string) ([]byte, error)
	encode                func([]byte) string
	secret                func(string) ([]byte, error)
	before, after         []part // around the body
	timestamp             string // canonical name, or empty
	millis                bool
	key, kind, subject    place
	paths                 paths
	readsJSON             bool
}

// compile checks a spec and reports every problem through say, by setting.
func (spec HMACSpec) compile(say func(setting, text string)) scheme {
	c := scheme{prefix: spec.Prefix, split: spec.Split, secret: textSecret}
	c.header = headerName(spec.Header, "hmac.header", say)
	if spec.Header == "" {
		say("hmac.header", "is empty: name the header that carries the signature")
	}
	spec.compileCoding(&c, say)
	spec.compileTime(&c, say)
	spec.compileSigned(&c, say)
	spec.compilePlaces(&c, say)
	return c
}

func (spec HMACSpec) compileCoding(c *scheme, say func(setting, text string)) {
	switch spec.Algorithm {
	case "", "sha256":
		c.newHash = sha256.New
	case "sha512":
		c.newHash = sha512.New
	default:
		say("hmac.algorithm", "must be sha256 or sha512; older ones are refused")
	}
	switch spec.Encoding {
	case "", "hex":
		c.decode, c.encode = hex.DecodeString, hex.EncodeToString
	case "base64":
		c.decode, c.encode = base64.StdEncoding.DecodeString, base64.StdEncoding.EncodeToString
	default:
		say("hmac.encoding", "must be hex or base64")
	}
	switch spec.SecretEncoding {
	case "", "text":
	case "hex":
		c.secret = hex.DecodeString
	case "base64":
		c.secret = base64Key
	default:
		say("hmac.secret_encoding", "must be text, hex or base64")
	}
}

func textSecret(s string) ([]byte, error) { return []byte(s), nil }

func (spec HMACSpec) compileTime(c *scheme, say func(setting, text string)) {
	switch spec.TimestampUnit {
	case "", "s":
	case "ms":
		c.millis = true
	default:
		say("hmac.timestamp_unit", "must be s or ms")
	}
	c.timestamp = headerName(spec.TimestampHeader, "hmac.timestamp_header", say)
	if c.timestamp == "" && spec.TimestampUnit != "" {
		say("hmac.timestamp_unit", "has no meaning without timestamp_header")
	}
}

// compileSigned cuts the template into what stands before and after the body.
func (spec HMACSpec) compileSigned(c *scheme, say func(setting, text string)) {
	const setting = "hmac.signed"
	rest, bodies, times := spec.Signed, 0, 0
	if rest == "" {
		rest = "{body}"
	}
	to := &c.before
	for rest != "" {
		text, more, ok := strings.Cut(rest, "{")
		if text != "" {
			*to = append(*to, part{"text", text})
		}
		if !ok {
			break
		}
		name, tail, closed := strings.Cut(more, "}")
		header, isHeader := strings.CutPrefix(name, "header:")
		switch {
		case !closed:
			say(setting, "has a { without its }")
			return
		case name == "body":
			bodies++
			to = &c.after
		case name == "timestamp":
			times++
			*to = append(*to, part{"timestamp", ""})
		case isHeader && headerName(header, setting, say) != "":
			*to = append(*to, part{"header", headerName(header, setting, say)})
		default:
			say(setting, "may contain {body}, {timestamp} and {header:Name}, nothing else in braces")
		}
		rest = tail
	}
	if bodies != 1 {
		say(setting, "must contain {body} exactly once: else the body is not covered for certain")
	}
	if c.header != "" && (c.header == c.timestamp || c.signs(c.header)) {
		say(setting, "must not contain the signature's own header")
	}
	if (times > 0) != (c.timestamp != "") {
		say(setting, "must contain {timestamp} if there is a timestamp_header, and only then")
	}
}

func (spec HMACSpec) compilePlaces(c *scheme, say func(setting, text string)) {
	var read []string
	compile := func(setting, text string) place {
		p := place{slot: -1}
		path, isJSON := strings.CutPrefix(text, "json:")
		name, isHeader := strings.CutPrefix(text, "header:")
		switch {
		case text == "":
		case isJSON && validPath(path):
			if p.slot, p.signed = slices.Index(read, path), true; p.slot < 0 {
				p.slot = len(read)
				read = append(read, path)
			}
		case isHeader && name != "":
			p.header = headerName(name, setting, say)
			p.signed = c.signs(p.header)
		default:
			say(setting, "must be json:path.to.member (at most 8 steps) or header:Name")
		}
		return p
	}
	c.key = compile("hmac.key", spec.Key)
	c.kind = compile("hmac.type", spec.Type)
	c.subject = compile("hmac.subject", spec.Subject)
	c.readsJSON = len(read) > 0
	c.paths = newPaths(read)
}

// signs reports whether the signed text contains that header.
func (c *scheme) signs(name string) bool {
	for _, parts := range [...][]part{c.before, c.after} {
		for _, p := range parts {
			if p.kind == "timestamp" && name == c.timestamp || p.kind == "header" && p.text == name {
				return true
			}
		}
	}
	return false
}

// validPath allows plain member names; the signs that the compiler gives a
// meaning to are not plain.
func validPath(path string) bool {
	steps := strings.Split(path, ".")
	for _, step := range steps {
		if step == "" || step == "*" || step == "[]" {
			return false
		}
	}
	return len(steps) <= 8
}

// headerName returns the canonical form of a header's name; empty stays empty.
func headerName(name, setting string, say func(setting, text string)) string {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			say(setting, fmt.Sprintf("has a byte at position %d that no header name has", i))
			return ""
		}
	}
	return http.CanonicalHeaderKey(name)
}
