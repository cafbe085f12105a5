package source_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

const githubSecret = "It's a Secret to Everybody"

// githubBodies has one honest, shortened body per event.
func githubBodies() map[string]string {
	const tail = `"repository":{"id":42},"organization":{"id":1},"sender":{"id":7}}`
	return map[string]string{
		"ping":                        `{"zen":"z","hook_id":1,"hook":{},` + tail,
		"push":                        `{"ref":"refs/heads/main","before":"0","after":"1","commits":[],"head_commit":null,"pusher":{},` + tail,
		"pull_request":                `{"action":"synchronize","number":1,"before":"0","after":"1","pull_request":{},` + tail,
		"pull_request_review":         `{"action":"submitted","pull_request":{},"review":{},` + tail,
		"pull_request_review_comment": `{"action":"created","pull_request":{},"comment":{},` + tail,
		"issues":                      `{"action":"labeled","issue":{},"label":{},` + tail,
		"issue_comment":               `{"action":"created","issue":{},"comment":{},` + tail,
		"label":                       `{"action":"created","label":{},` + tail,
		"create":                      `{"ref":"v1","ref_type":"tag","master_branch":"main","pusher_type":"user",` + tail,
		"delete":                      `{"ref":"v1","ref_type":"tag","pusher_type":"user",` + tail,
		"release":                     `{"action":"published","release":{},` + tail,
		"star":                        `{"action":"deleted","starred_at":null,` + tail,
		"watch":                       `{"action":"started",` + tail,
		"repository":                  `{"action":"created",` + tail,
		"public":                      `{` + tail,
		"fork":                        `{"forkee":{},` + tail,
		"check_run":                   `{"action":"completed","check_run":{"check_suite":{}},` + tail,
		"check_suite":                 `{"action":"completed","check_suite":{},` + tail,
		"workflow_run":                `{"action":"completed","workflow_run":{},"workflow":{},` + tail,
		"workflow_job":                `{"action":"queued","workflow_job":{},"deployment":{},` + tail,
		"workflow_dispatch":           `{"inputs":null,"ref":"refs/heads/main","workflow":".github/workflows/a.yml",` + tail,
		"repository_dispatch":         `{"action":"go","branch":"main","client_payload":{},` + tail,
		"deployment":                  `{"action":"created","deployment":{},"workflow":null,"workflow_run":null,` + tail,
		"deployment_status":           `{"action":"created","deployment":{},"deployment_status":{},"check_run":null,` + tail,
		"status":                      `{"id":1,"sha":"0","state":"success","context":"ci","commit":{},` + tail,
		"gollum":                      `{"pages":[],` + tail,
		"member":                      `{"action":"added","member":{},"changes":{},` + tail,
		"membership":                  `{"action":"added","member":{},"scope":"team","team":{},"organization":{"id":1}}`,
		"organization":                `{"action":"member_added","membership":{},"organization":{"id":1}}`,
		"dependabot_alert":            `{"action":"created","alert":{"dependency":{}},` + tail,
		"secret_scanning_alert":       `{"action":"created","alert":{"secret_type":"x"},` + tail,
		"code_scanning_alert":         `{"action":"created","alert":{"rule":{}},"commit_oid":"0",` + tail,
		"meta":                        `{"action":"deleted","hook_id":1,"hook":{},` + tail,
	}
}

func githubHeader(event, delivery string) http.Header {
	h := http.Header{}
	h.Set("X-GitHub-Event", event)
	h.Set("X-GitHub-Delivery", delivery)
	return h
}

func TestGitHubTypeCountsOnlyIfTheShapeAgrees(t *testing.T) {
	s := source.GitHub("github", githubSecret)
	bodies := githubBodies()
	for event, body := range bodies {
		id, err := s.Identify(githubHeader(event, "guid-1"), []byte(body))
		if err != nil || id.Type != event || id.Key != "guid-1" {
			t.Errorf("honest %s: %+v %v", event, id, err)
		}
		if want := "42"; strings.Contains(body, `"repository"`) && id.Subject != want {
			t.Errorf("%s: subject %q", event, id.Subject)
		}
		for other := range bodies {
			if other == event {
				continue
			}
			id, err := s.Identify(githubHeader(other, "guid-1"), []byte(body))
			if got := quarantineOf(err); got != hook.QuarantineTypeMismatch || id.Type != other {
				t.Errorf("body of %s as %s: %q, type %q", event, other, got, id.Type)
			}
		}
	}
}

func TestGitHubUnknownEvents(t *testing.T) {
	s := source.GitHub("github", githubSecret)
	bodies := githubBodies()
	for _, c := range []struct {
		event, body string
		want        hook.Quarantine
	}{
		{"brand_new", `{"action":"done","thing":{}}`, ""},
		{"brand_new", bodies["repository"], ""},
		{"brand_new", bodies["push"], hook.QuarantineTypeMismatch},
		{"brand_new", bodies["issue_comment"], hook.QuarantineTypeMismatch},
		{"brand_new", bodies["ping"], hook.QuarantineTypeMismatch},
		{"", bodies["push"], hook.QuarantineTypeMismatch},
		{"", `{}`, hook.QuarantineTypeMismatch},
		{"push", `{}`, hook.QuarantineTypeMismatch},
		{"push", `{"foo":"bar"}`, hook.QuarantineTypeMismatch},
		{"push", `Hello, World!`, hook.QuarantineUnreadable},
		{"push", `{"ref":1,"ref":2,"before":0,"after":0,"commits":[]}`, hook.QuarantineAmbiguous},
		{"Push", bodies["push"], hook.QuarantineTypeMismatch},
	} {
		if id, err := s.Identify(githubHeader(c.event, "g"), []byte(c.body)); quarantineOf(err) != c.want || id.Type != c.event {
			t.Errorf("%s with %s: %v, want %q", c.event, c.body, err, c.want)
		}
	}
}

func TestGitHubKeyIsMarkedUnsigned(t *testing.T) {
	s := source.GitHub("github", githubSecret)
	repeats := map[string]bool{"ping": true, "workflow_dispatch": true, "repository_dispatch": true}
	for event, body := range githubBodies() {
		id, _ := s.Identify(githubHeader(event, "g"), []byte(body))
		if id.KeyUnsigned == repeats[event] {
			t.Errorf("%s: KeyUnsigned %v", event, id.KeyUnsigned)
		}
	}
	// Without an id the key is the body's hash; the flag must stay, or a captured
	// body would come in again by leaving the header out.
	two := http.Header{"X-Github-Delivery": {"a", "b"}, "X-Github-Event": {"push"}}
	for name, h := range map[string]http.Header{"missing": {"X-Github-Event": {"push"}}, "two": two} {
		if id, _ := s.Identify(h, []byte(githubBodies()["push"])); id.Key != "" || !id.KeyUnsigned {
			t.Errorf("%s: %+v", name, id)
		}
	}
	if id, _ := s.Identify(githubHeader("push", "g"), []byte("no json")); id.Key != "g" || !id.KeyUnsigned {
		t.Errorf("unreadable: %+v", id)
	}
}

func TestGitHubForms(t *testing.T) {
	s := source.GitHub("github", githubSecret)
	push := githubBodies()["push"]
	form := "payload=" + url.QueryEscape(push)
	for _, c := range []struct {
		name, body string
		want       hook.Quarantine
	}{
		{"Form", form, ""},
		{"FormWithMore", "a=b&" + form, ""},
		{"JSONWhateverTheContentType", push, ""},
		{"TwoPayloads", form + "&payload=%7B%7D", hook.QuarantineAmbiguous},
		{"EscapedNameTwice", form + "&p%61yload=%7B%7D", hook.QuarantineAmbiguous},
		{"BadEscape", "payload=%zz", hook.QuarantineUnreadable},
		{"EmptyPayload", "payload=", hook.QuarantineUnreadable},
		{"NotAnObject", "payload=%5B%5D", hook.QuarantineUnreadable},
		{"NoPayload", "a=b", hook.QuarantineUnreadable},
	} {
		for _, contentType := range []string{"application/json", "application/x-www-form-urlencoded", ""} {
			h := githubHeader("push", "g")
			h.Set("Content-Type", contentType)
			id, err := s.Identify(h, []byte(c.body))
			if got := quarantineOf(err); got != c.want || c.want == "" && id.Subject != "42" {
				t.Errorf("%s as %s: %q %+v, want %q", c.name, contentType, got, id, c.want)
			}
		}
	}
}

func TestGitHubLimits(t *testing.T) {
	if got := source.GitHub("g", githubSecret).MaxBodyBytes(); got != 25<<20 {
		t.Errorf("limit %d", got)
	}
	s, err := source.New(source.Config{Name: "g", Sender: "github", Secrets: []string{githubSecret}, MaxBodyBytes: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.(hook.Bounder).MaxBodyBytes(); got != 5 {
		t.Errorf("limit %d", got)
	}
	if n := source.GitHubPaths(); n < 50 || n > source.MaxSlots {
		t.Errorf("%d paths do not fit %d slots", n, source.MaxSlots)
	}
}

func TestGitHubSignatureLengths(t *testing.T) {
	s, h, body := source.GitHub("g", githubSecret), http.Header{}, []byte(githubBodies()["push"])
	if err := s.Sign(h, body, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if h.Get("X-GitHub-Event") != "push" || len(h.Get("X-GitHub-Delivery")) != 36 {
		t.Errorf("signed as %q with id %q", h.Get("X-GitHub-Event"), h.Get("X-GitHub-Delivery"))
	}
	good := h.Get("X-Hub-Signature-256")
	for n := range len(good) + 1 {
		want := hook.ReasonBadSignature
		switch {
		case n == 0:
			want = hook.ReasonMissingHeader
		case n < len("sha256="):
			want = hook.ReasonMalformedHeader
		case n == len(good):
			want = "ok"
		}
		h.Set("X-Hub-Signature-256", good[:n])
		if got := reasonOf(s.Verify(h, body, time.Time{})); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	h.Set("X-Hub-Signature-256", good+"00")
	if got := reasonOf(s.Verify(h, body, time.Time{})); got != hook.ReasonBadSignature {
		t.Errorf("one byte more: %s", got)
	}
}
