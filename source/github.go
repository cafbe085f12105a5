package source

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Header names of GitHub, in canonical form.
const (
	githubSignature = "X-Hub-Signature-256"
	githubDelivery  = "X-Github-Delivery"
	githubEvent     = "X-Github-Event"
)

// githubMaxBody is the size beyond which GitHub sends nothing.
const githubMaxBody = 25 << 20

// GitHubSource takes the deliveries of GitHub, as JSON or as a form. Make it
// with GitHub or New.
type GitHubSource struct {
	base
	keys   [][]byte
	shapes *shapes
}

// GitHub returns a source for one webhook of GitHub.
func GitHub(name string, secrets ...string) *GitHubSource {
	return newGitHub(Config{Name: name, Sender: senderGitHub, Secrets: secrets})
}

func newGitHub(c Config) *GitHubSource {
	s := &GitHubSource{base: newBase(c, traits{}), shapes: newShapes()}
	s.keys = s.textKeys()
	return s
}

// Verify checks X-Hub-Signature-256 over the raw body, which for a form is the
// raw form. The SHA-1 header counts for nothing. GitHub signs no time.
func (s *GitHubSource) Verify(header http.Header, body []byte, _ time.Time) error {
	if s.broken || len(s.keys) == 0 {
		return badConfig()
	}
	text, err := one(header, githubSignature)
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(text, "sha256=")
	if !ok {
		return refuse(hook.ReasonMalformedHeader, githubSignature+" does not begin with sha256=")
	}
	var sigs candidates
	sigs.add(text, hex.DecodeString)
	for _, key := range s.keys {
		if sigs.match(sha256MAC(key, "", body, "")) {
			return nil
		}
	}
	return sigs.mismatch(len(s.keys))
}

// Identify takes the key from X-GitHub-Delivery and the type from
// X-GitHub-Event. No signature covers either. So the key is marked unsigned
// unless the body may repeat by its own shape, and the type counts only if the
// body's shape agrees: an event that we know must have the members that it
// always has; one that we do not know must not clearly be another. A body that
// shows no shape at all under the name of an event that we know is quarantined
// like a wrong one: no honest delivery looks like that.
func (s *GitHubSource) Identify(header http.Header, body []byte) (hook.Identity, error) {
	id := hook.Identity{
		Key:         cleanKey(loose(header, githubDelivery)),
		Type:        clean(loose(header, githubEvent)),
		Trust:       hook.TrustSignature,
		KeyUnsigned: true,
	}
	text, err := githubJSON(body)
	if err != nil {
		return id, err
	}
	var p peek
	err = p.verdict(s.shapes.paths.read(text, &p))
	id.Subject = clean(p.id(githubRepository))
	id.KeyUnsigned = !s.shapes.repeats(&p)
	if err == nil && !s.shapes.agree(&p, id.Type) {
		err = quarantine(hook.QuarantineTypeMismatch, "the body's shape contradicts "+githubEvent)
	}
	return id, err
}

// githubJSON returns the JSON in a body. The body itself says whether it is a
// form: the Content-Type is not signed.
func githubJSON(body []byte) ([]byte, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return body, nil
	}
	if !bytes.Contains(body, []byte("payload=")) {
		return nil, quarantine(hook.QuarantineUnreadable, errNotObject.Error())
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["payload"]) == 0 {
		return nil, quarantine(hook.QuarantineUnreadable, "the body is neither JSON nor a form with a payload")
	}
	if len(form["payload"]) > 1 {
		return nil, quarantine(hook.QuarantineAmbiguous, "the form has several payloads")
	}
	return []byte(form["payload"][0]), nil
}

// MaxBodyBytes returns the configured limit, or GitHub's own of 25 MiB.
func (s *GitHubSource) MaxBodyBytes() int64 {
	if s.config.MaxBodyBytes > 0 {
		return s.config.MaxBodyBytes
	}
	return githubMaxBody
}

// Sign sets X-Hub-Signature-256 and, where they are missing, a delivery id and
// the event that the body has the shape of.
func (s *GitHubSource) Sign(header http.Header, body []byte, now time.Time) error {
	if len(s.keys) == 0 {
		return s.noKey()
	}
	sum := sha256MAC(s.keys[0], "", body, "")
	header.Set(githubSignature, "sha256="+hex.EncodeToString(sum))
	guid := madeID(body, now)
	setDefault(header, githubDelivery,
		guid[:8]+"-"+guid[8:12]+"-"+guid[12:16]+"-"+guid[16:20]+"-"+guid[20:])
	contentType := "application/x-www-form-urlencoded"
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		contentType = "application/json"
	}
	setDefault(header, "Content-Type", contentType)
	var p peek
	if text, err := githubJSON(body); err == nil && s.shapes.paths.read(text, &p) == nil {
		if event := s.shapes.guess(&p); event != "" {
			setDefault(header, githubEvent, event)
		}
	}
	return nil
}
