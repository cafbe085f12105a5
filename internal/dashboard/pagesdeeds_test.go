package dashboard_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

// polyglot is a text that would run in most places of a page.
const polyglot = `jaVasCript:/*-/*` + "`" + `/*\` + "`" + `/*'/*"/**/(/* */oNcliCk=alert() )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/</scRipt/--!>` +
	`\x3csVg/<sVg/oNloAd=alert()//>\x3e</td><script>alert(1)</script><img src=x onerror=alert(1)>` + hostile

// live finds what a browser would run: a tag or an attribute of a stranger.
var live = regexp.MustCompile(`(?i)<script>|<img|<svg/|onerror=alert\(1\)>|<[^>]*\s(onclick|onload|onerror)=|href="javascript|style="`)

// values are what stands in attributes; an escaped quotation mark ends none.
var values = regexp.MustCompile(`"[^"]*"`)

// steering finds what a page must hold none of.
func steering(s string) (rune, bool) {
	for _, r := range s {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0xe0001 {
			return r, true
		}
	}
	return 0, false
}

func TestHostileTextsAreInert(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	body := []byte(`{"a":"` + strings.Repeat("x", 10) + `"}` + polyglot)
	r, err := o.store.Record(t.Context(), hook.Delivery{Source: "stripe", Header: http.Header{"X-" + polyglot: {polyglot}},
		Body: body, ReceivedAt: time.Now()}, hook.Identity{Key: polyglot, Type: polyglot, Subject: polyglot, Mode: hook.ModeTest,
		Trust: hook.TrustSignature}, []string{"mail"})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := o.store.Claim(t.Context(), hook.Ask{Handlers: []string{"mail"}, Lease: time.Minute, Max: 1, MaxAttempts: 3, Node: polyglot})
	if err != nil || len(jobs) != 1 {
		t.Fatalf("claim: %v", err)
	}
	if err := o.store.Bury(t.Context(), jobs[0], hook.Cause{Text: polyglot}); err != nil {
		t.Fatal(err)
	}
	o.store.Reject(hook.Delivery{Source: "stripe", Header: http.Header{"X-Signature": {polyglot}}, Body: body, ReceivedAt: time.Now(),
		Remote: polyglot}, hook.ReasonBadSignature, polyglot)
	if err := o.store.Note(t.Context(), hook.AuditNote{Actor: polyglot, Action: polyglot, Object: polyglot, Reason: polyglot}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.store.AddErasure(t.Context(), hook.ErasureOrder{Source: polyglot, Customer: polyglot, Reason: hostile + live.String(), Actor: polyglot}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.store.AddHold(t.Context(), hook.HoldOrder{Source: polyglot, Subject: polyglot, Reason: polyglot, Actor: polyglot}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.store.AskApproval(t.Context(), hook.ApprovalRequest{Method: "POST", Path: polyglot, Query: polyglot, Body: []byte(polyglot),
		Summary: polyglot, Need: hook.RoleAdmin, Actor: polyglot, Reason: polyglot}, time.Hour); err != nil {
		t.Fatal(err)
	}
	q := url.QueryEscape(polyglot)
	pages := []string{"", "events", "events?type=" + q + "&subject=" + q + "&since=" + q + "&" + q + "=1", "events/" + r.EventID,
		"events/" + r.EventID + "/replay?handler=" + q, "rejected", "rejected?reason=" + q, "jobs?state=dead&handler=" + q, "jobs?state=dead",
		"dead", "bulk/new?cause=" + q + "&dead=1&handler=" + q, "handlers", "sources", "approvals", "audit", "privacy?event=" + q, "metrics?source=" + q, "records/orders?state=" + q,
		"settings", "events?done=" + q, "records/" + url.PathEscape(polyglot), url.PathEscape(polyglot)}
	_, list := o.visit("rejected", nil)
	if note := regexp.MustCompile(`href="(rejected/[0-9a-f-]+)"`).FindStringSubmatch(list); note == nil {
		t.Error("the list of refused deliveries leads nowhere")
	} else {
		pages = append(pages, note[1])
	}
	for _, lang := range []string{"en", "ko"} {
		for _, page := range pages {
			resp, got := o.visit(page, nil, "Accept-Language", lang)
			if resp.StatusCode >= 500 {
				t.Errorf("%.60s: %d", page, resp.StatusCode)
			}
			if r, found := steering(got); found {
				t.Errorf("%.60s holds %U", page, r)
			}
			if strings.Contains(strings.ToLower(got), `="javascript:`) && strings.Contains(got, `href="jaVas`) {
				t.Errorf("%.60s: a link that runs", page)
			}
			got = values.ReplaceAllString(got, `""`)
			if at := live.FindStringIndex(got); at != nil {
				t.Errorf("%.60s: a stranger's text is alive: …%s…", page, got[max(0, at[0]-80):min(len(got), at[1]+40)])
			}
		}
	}
	for _, page := range []string{"events", "events/" + r.EventID} {
		if _, got := o.visit(page, nil); !strings.Contains(got, "jaVasCript:") {
			t.Errorf("%s does not show the text at all", page)
		}
	}
}

// TestErrorsAreMasked: a handler's error may quote the body.
func TestErrorsAreMasked(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.dead("k", `decode {"mail":"minji@shop.example","card":"4242424242424242"}`, []byte(`{"amount":15000}`))
	o.store.Reject(hook.Delivery{Source: "shop", Body: []byte("{}"), ReceivedAt: time.Unix(1_800_000_000, 0)},
		hook.ReasonMalformedBody, "near minji@shop.example")
	for _, page := range []string{"events/" + id, "jobs", "dead", "rejected"} {
		_, body := o.visit(page, nil)
		if shown, _, _ := strings.Cut(body, "<form"); strings.Contains(shown, "minji@") || strings.Contains(shown, "4242424242424242") {
			t.Errorf("%s shows what the error quotes", page)
		}
		if page != "jobs" && !strings.Contains(body, "m•••@shop.example") {
			t.Errorf("%s does not show what is left of the error", page)
		}
	}
}

func TestMasksAndTheirReveal(t *testing.T) {
	o := newOffice(t)
	id := o.record("k", "invoice.paid", []byte(`{"mail":"minji@shop.example","card":"4242 4242 4242 4242","tel":"010-1234-5678","amount":15000}`))
	for _, role := range []hook.Role{hook.RoleOperator, hook.RoleAdmin} {
		hash := dashboard.HashOf("kept-" + string(role))
		if err := o.store.AddToken(t.Context(), hook.NewToken{Name: string(role), Role: role, Hash: hash}, "t"); err != nil {
			t.Fatal(err)
		}
	}
	o.enter("kept-operator")
	secret := []string{"minji@", "4242 4242 4242", "1234-5678", "eyJtYWlsIjoi"} // the last: as base64
	_, body := o.visit("events/"+id, nil)
	for _, s := range secret {
		if strings.Contains(body, s) {
			t.Errorf("the page shows %q", s)
		}
	}
	if !strings.Contains(body, "m•••@shop.example") || !strings.Contains(body, "15000") {
		t.Error("what is left is not shown")
	}
	if resp, body := o.visit("events/"+id+"/reveal", url.Values{"reason": {"x"}}); resp.StatusCode != 403 || strings.Contains(body, "minji@") {
		t.Errorf("an operator reveals: %d", resp.StatusCode)
	}
	o.browser = browserFor(t)
	o.enter("kept-admin")
	if resp, body := o.visit("events/"+id+"/reveal", url.Values{"reason": {" "}}); resp.StatusCode != 400 || strings.Contains(body, "minji@") {
		t.Errorf("without a reason: %d", resp.StatusCode)
	}
	_, body = o.visit("events/"+id+"/reveal", url.Values{"reason": {"support case"}})
	for _, s := range secret {
		if !strings.Contains(body, s) {
			t.Errorf("revealed, but without %q", s)
		}
	}
	entries, _, err := o.store.Audit(t.Context(), "", 1)
	if err != nil || len(entries) != 1 || entries[0].Action != "reveal" || entries[0].Actor != "token admin" || entries[0].Event != id || entries[0].Reason != "support case" {
		t.Errorf("audited: %+v, %v", entries, err)
	}
}

func TestReplayAndDiscard(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.dead("k", "no luck", []byte(`{}`))
	if _, body := o.visit("events/"+id+"/replay", nil); !strings.Contains(body, `name="handler" value="mail" checked`) {
		t.Error("the preview does not name the handler")
	}
	for _, bad := range []url.Values{{"handler": {"mail"}}, {"reason": {"x"}}, {"handler": {"mail"}, "reason": {"  "}}} {
		if resp, _ := o.visit("events/"+id+"/replay", bad); resp.StatusCode != 400 {
			t.Errorf("%v: %d", bad, resp.StatusCode)
		}
	}
	resp, _ := o.visit("events/"+id+"/replay", url.Values{"handler": {"mail"}, "reason": {"mended"}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "../../events/"+id+"?done=replayed" {
		t.Errorf("replay: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	e, err := o.store.Event(t.Context(), id)
	if err != nil || e.Jobs[0].Generation != 2 || e.Jobs[0].State != hook.StateReady {
		t.Errorf("after the replay: %+v, %v", e.Jobs, err)
	}
	if resp, body := o.visit("events/"+id+"/replay", url.Values{"handler": {"mail"}, "reason": {"again"}}); resp.StatusCode != 409 || !strings.Contains(body, "still open") {
		t.Errorf("beside an open job: %d", resp.StatusCode)
	}
	if resp, _ := o.visit("events/"+id+"/discard", url.Values{"handler": {"mail"}, "reason": {"x"}}); resp.StatusCode != 409 {
		t.Errorf("discard of an open job: %d", resp.StatusCode)
	}
	if resp, _ := o.visit("events/ev_nope/replay", url.Values{"handler": {"mail"}, "reason": {"x"}}); resp.StatusCode != 404 {
		t.Errorf("of nothing: %d", resp.StatusCode)
	}
}

func TestRejectedIsVerifiedAgain(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	o.store.Reject(hook.Delivery{Source: "stripe", Header: http.Header{"Stripe-Signature": {"t=1,v1=ab"}}, Body: []byte(`{"id":"evt_1"}`), ReceivedAt: at},
		hook.ReasonBadSignature, "no v1 matches")
	o.store.Reject(hook.Delivery{Source: "stripe", Body: make([]byte, 70<<10), ReceivedAt: at}, hook.ReasonTooLarge, "")
	_, list := o.visit("rejected", nil)
	links := regexp.MustCompile(`href="(rejected/[0-9a-f-]+)"`).FindAllStringSubmatch(list, -1)
	if len(links) != 2 {
		t.Fatalf("%d refused deliveries are shown", len(links))
	}
	o.again = func(_ context.Context, d hook.Delivery) (hook.Receipt, error) {
		return hook.Receipt{}, &hook.UnverifiedError{Reason: hook.ReasonBadSignature}
	}
	small, large := links[1][1], links[0][1]
	if resp, body := o.visit(small+"/again", url.Values{}); resp.StatusCode != 200 || !strings.Contains(body, "bad_signature") {
		t.Errorf("still refused: %d", resp.StatusCode)
	}
	if resp, _ := o.visit(large+"/again", url.Values{}); resp.StatusCode != http.StatusConflict {
		t.Errorf("a body that was cut: %d", resp.StatusCode)
	}
	var asked hook.Delivery
	o.again = func(ctx context.Context, d hook.Delivery) (hook.Receipt, error) {
		asked = d
		return o.store.Record(ctx, d, hook.Identity{Key: "evt_1", Trust: hook.TrustSignature}, nil)
	}
	resp, _ := o.visit(small+"/again", url.Values{})
	if resp.StatusCode != http.StatusSeeOther || !strings.HasSuffix(resp.Header.Get("Location"), "?done=recorded") {
		t.Errorf("recorded: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if !asked.ReceivedAt.Equal(at) || string(asked.Body) != `{"id":"evt_1"}` || asked.Header.Get("Stripe-Signature") != "t=1,v1=ab" {
		t.Errorf("verified as %+v, want it as of its arrival", asked)
	}
	entries, _, err := o.store.Audit(t.Context(), "", 9)
	if err != nil || len(entries) != 2 || entries[0].Reason != "recorded" || entries[1].Reason != "still refused: bad_signature" {
		t.Errorf("audited: %+v, %v", entries, err)
	}
	o.again = func(context.Context, hook.Delivery) (hook.Receipt, error) {
		return hook.Receipt{}, errors.New("disk full")
	}
	if resp, _ := o.visit(small+"/again", url.Values{}); resp.StatusCode != 503 {
		t.Errorf("a store that is away: %d", resp.StatusCode)
	}
}

func TestBulkReplayWantsItsNumber(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	for i := range 7 {
		o.dead(fmt.Sprint(i), fmt.Sprintf("smtp 550 order_%d000", i), []byte(fmt.Sprint(i)))
	}
	_, body := o.visit("dead", nil)
	link := regexp.MustCompile(`href="(bulk/new\?cause=[^"]+)"`).FindStringSubmatch(body)
	if link == nil {
		t.Fatal("no link to a bulk replay of the group")
	}
	_, form := o.visit(html.UnescapeString(link[1]), nil)
	fields := url.Values{"reason": {"mended"}, "rate": {"1000"}, "confirm": {"7"}, "dead": {"1"}}
	for _, name := range []string{"source", "type", "state", "subject", "key", "since", "until", "cause"} {
		value := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(form)
		if value == nil {
			t.Fatalf("the form has no %s", name)
		}
		fields.Set(name, html.UnescapeString(value[1]))
	}
	for name, bad := range map[string]string{"confirm": "8", "reason": "", "rate": "5000"} {
		wrong := url.Values{}
		for k, v := range fields {
			wrong[k] = v
		}
		wrong.Set(name, bad)
		if resp, _ := o.visit("bulk/new", wrong); resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("with %s %q: %d", name, bad, resp.StatusCode)
		}
	}
	resp, said := o.visit("bulk/new", fields)
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("start: %d %s", resp.StatusCode, said)
	}
	for busy := true; busy; {
		var err error
		if busy, err = o.store.StepBulk(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, body := o.visit("bulk/1", nil); !strings.Contains(body, ">7 / 7<") || !strings.Contains(body, "mended") {
		t.Errorf("the progress is not shown: %s", body)
	}
	if resp, _ := o.visit("bulk/1", url.Values{"act": {"cancel"}}); resp.StatusCode != http.StatusConflict {
		t.Errorf("cancel after the end: %d", resp.StatusCode)
	}
	if resp, _ := o.visit("bulk/99", nil); resp.StatusCode != 404 {
		t.Errorf("another: %d", resp.StatusCode)
	}
}

func TestAnOutageIsShownAtItsHandler(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.enter(token)
	if _, body := o.visit("handlers", nil); !strings.Contains(body, "mail") || strings.Contains(body, "no answer") {
		t.Errorf("the handlers before an outage: %s", body)
	}
	o.outages = map[string]time.Time{"mail": o.clock.Now().Add(-5 * time.Minute)}
	for lang, says := range map[string]string{"en": "no answer", "ko": "응답 없음"} {
		if _, body := o.visit("handlers", nil, "Accept-Language", lang); !strings.Contains(body, says) {
			t.Errorf("%s: the outage is not shown: %s", lang, body)
		}
	}
}

func TestHandlerIsPausedAndResumed(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	if resp, _ := o.visit("handlers/mail", url.Values{"act": {"pause"}}); resp.StatusCode != 400 {
		t.Errorf("without a reason: %d", resp.StatusCode)
	}
	o.visit("handlers/mail", url.Values{"act": {"pause"}, "reason": {"smtp down"}})
	if _, body := o.visit("handlers", nil); !strings.Contains(body, "smtp down") {
		t.Error("the pause is not shown")
	}
	o.visit("handlers/mail", url.Values{"act": {"resume"}})
	if paused, err := o.store.Paused(t.Context()); err != nil || len(paused) != 0 {
		t.Errorf("after resuming: %+v, %v", paused, err)
	}
}

func TestAuditPageVerifiesTheChain(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	o.visit("handlers/mail", url.Values{"act": {"pause"}, "reason": {"smtp down"}})
	if _, err := o.store.Sweep(t.Context(), hook.SweepRules{}); err != nil {
		t.Fatal(err)
	}
	if _, body := o.visit("audit", url.Values{}); !strings.Contains(body, "The chain is whole: 1 entries") || !strings.Contains(body, "smtp down") {
		t.Errorf("the page says %s", body)
	}
	err := o.store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE audit SET reason = 'nothing'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, body := o.visit("audit", url.Values{}); !strings.Contains(body, "broken at entry #1") {
		t.Error("a changed entry is not noticed")
	}
}

func TestDepartmentsHavePages(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	if _, body := o.visit("records/orders?state=paid", nil); !strings.Contains(body, `href="orders/o1"`) || !strings.Contains(body, "paid") {
		t.Errorf("the list: %s", body)
	}
	if _, body := o.visit("records/orders/o1", nil); !strings.Contains(body, "operator token 1") {
		t.Errorf("one: %s", body)
	}
	for _, path := range []string{"records/orders/o2", "records/nothing", "records/secrets/x"} {
		if resp, _ := o.visit(path, nil); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestSearchLeadsToWhatAWordMeans(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	id := o.record("evt_key", "t", []byte("x"))
	for word, want := range map[string]string{id: "events/" + id, "evt_key": "events?key=evt_key", "sub_1": "events?subject=sub_1", " ": "events"} {
		resp, _ := o.visit("search?q="+url.QueryEscape(word), nil)
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", word, got, want)
		}
	}
}

func TestCataloguesSayTheSame(t *testing.T) {
	texts := dashboard.Texts()
	fills := regexp.MustCompile(`%[a-z%]`)
	for key, text := range texts["en"] {
		other, ok := texts["ko"][key]
		if !ok || other == "" || text == "" {
			t.Errorf("%s is missing in a catalogue", key)
		}
		if a, b := fills.FindAllString(text, -1), fills.FindAllString(other, -1); !slices.Equal(a, b) {
			t.Errorf("%s is filled with %v and %v", key, a, b)
		}
	}
	for key := range texts["ko"] {
		if texts["en"][key] == "" {
			t.Errorf("%s is in Korean only", key)
		}
	}
	paths, err := filepath.Glob("pages/*.html")
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d templates, %v", len(paths), err)
	}
	used := regexp.MustCompile(`\.T "([^"]+)"`)
	for _, path := range paths {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllStringSubmatch(string(page), -1) {
			if texts["en"][m[1]] == "" {
				t.Errorf("%s: no text for %s", path, m[1])
			}
		}
	}
}

func TestPagesWithNothingToShow(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	for _, s := range dashboard.Sheets() {
		method, path := fixed(s.Pattern, "ev_x")
		if method != http.MethodGet || strings.Contains(path, "ev_x") || strings.HasSuffix(path, "tail") || strings.HasPrefix(path, "assets") {
			continue
		}
		resp, body := o.visit(path, nil, "Accept-Language", "ko-KR,ko;q=0.9")
		if resp.StatusCode >= 500 || resp.StatusCode != http.StatusSeeOther && !strings.Contains(body, `<html lang="ko"`) {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// TestStoreThatIsAway: every page says that something failed, and not what.
func TestStoreThatIsAway(t *testing.T) {
	good := newOffice(t)
	o := newOfficeOver(t, good.store, away{good.store})
	o.enter(token)
	for _, page := range []string{"", "events", "events/ev_x", "jobs", "dead", "handlers", "sources", "rejected"} {
		resp, body := o.visit(page, nil)
		if resp.StatusCode != 503 && page != "" || strings.Contains(body, "disk on fire") {
			t.Errorf("%s: %d", page, resp.StatusCode)
		}
	}
}

// away is a store of which only the tokens can be read.
type away struct{ hook.Ledger }

var errAway = errors.New("disk on fire")

func (away) Counts(context.Context) (hook.Counts, error) { return hook.Counts{}, errAway }
func (away) Events(context.Context, hook.Filter) ([]*hook.EventInfo, string, error) {
	return nil, "", errAway
}
func (away) Event(context.Context, string) (*hook.EventDetail, error) { return nil, errAway }
func (away) Rejections(context.Context, string, int) ([]*hook.Rejection, error) {
	return nil, errAway
}

func TestLiveTail(t *testing.T) {
	o := newOffice(t)
	o.enter(token)
	first := o.record("1", "invoice.paid", []byte("1"))
	second := o.record("2", hostile+polyglot, []byte("2"))
	o.record("3", "charge.refunded", []byte("3"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", o.url+"events/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", first) // it was away while the other two came
	resp, err := o.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type is %q", got)
	}
	var ids []string
	for lines := bufio.NewScanner(resp.Body); len(ids) < 2 && lines.Scan(); {
		line := lines.Text()
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			ids = append(ids, id)
		}
		if live.MatchString(values.ReplaceAllString(line, `""`)) {
			t.Errorf("a stranger's text is alive: %s", line)
		}
		if r, found := steering(line); found {
			t.Errorf("the tail holds %U", r)
		}
	}
	if len(ids) != 2 || ids[0] != second {
		t.Errorf("got %v, want the two after %s, oldest first", ids, first)
	}
}
