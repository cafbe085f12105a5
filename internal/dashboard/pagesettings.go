package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// settingsPage is what a browser may choose, and who may come in.
type settingsPage struct {
	Tokens []hook.TokenInfo
	Nodes  []nodeAnswer
	Until  time.Duration
}

func (p *Pages) settings(w http.ResponseWriter, r *http.Request, v *view) error {
	page := settingsPage{Until: sessionTime}
	var err error
	if page.Nodes, err = p.nodeList(r.Context()); err != nil {
		return err
	}
	if p.gate.keeper != nil && v.Has(string(hook.RoleAdmin)) {
		if page.Tokens, err = p.gate.keeper.Tokens(r.Context()); err != nil {
			return err
		}
	}
	return p.render(w, v, http.StatusOK, "settings", page)
}

// year is how long a browser keeps what was chosen.
const year = 365 * 24 * time.Hour

// setSettings keeps what a browser chose in its cookies: nothing of it concerns
// anybody else.
func (p *Pages) setSettings(w http.ResponseWriter, r *http.Request, v *view) error {
	for name, known := range map[string][]string{
		"lang": {english, korean}, "zone": {zoneBrowser, zoneUTC, zoneKorea}, "theme": {"auto", "light", "dark"},
		"rows": {"25", "50", "100", "200"}, "keys": {"on", "off"},
	} {
		if value := r.PostFormValue(name); slices.Contains(known, value) {
			p.setCookie(w, r, name, value, year)
		}
	}
	if back := r.PostFormValue("back"); back != "" {
		p.to(w, v, ownPage(back))
		return nil
	}
	p.to(w, v, "settings?done=saved")
	return nil
}

// auditPage is the audit trail.
type auditPage struct {
	Entries []*hook.AuditEntry
	Next    string
	Report  *hook.AuditReport
	NoDesk  bool
}

func (p *Pages) audit(w http.ResponseWriter, r *http.Request, v *view) error {
	page := auditPage{NoDesk: p.desk == nil}
	if p.desk != nil {
		entries, next, err := p.desk.Audit(r.Context(), r.URL.Query().Get("cursor"), v.Rows)
		if err != nil {
			return err
		}
		page.Entries = entries
		if next != "" {
			page.Next = url.Values{"cursor": {next}}.Encode()
		}
	}
	return p.render(w, v, http.StatusOK, "audit", page)
}

// verifyAudit walks the chain: it may take a while, so it is asked for by a form,
// though it changes nothing.
func (p *Pages) verifyAudit(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.desk == nil {
		return &hook.Problem{Status: http.StatusNotImplemented, Detail: v.T("audit.none")}
	}
	report, err := p.desk.VerifyAudit(r.Context())
	if err != nil {
		return err
	}
	entries, _, err := p.desk.Audit(r.Context(), "", v.Rows)
	if err != nil {
		return err
	}
	return p.render(w, v, http.StatusOK, "audit", auditPage{Entries: entries, Report: &report})
}

// recordKind is a list that a department's operation gives.
type recordKind struct {
	name  string
	list  hook.Operation
	query []string
	one   *hook.Operation // by id
}

// takeRecords finds the lists among the operations of departments, such as GET
// orders with GET orders/{id}, so that they have pages.
func (p *Pages) takeRecords(all []hook.Operation) {
	for _, o := range all {
		if o.Method != http.MethodGet || strings.ContainsAny(o.Path, "{/") || !o.Need.Allows(hook.RoleViewer) {
			continue
		}
		kind := recordKind{name: o.Path, list: o, query: o.Query}
		for _, other := range all {
			rest, ok := strings.CutPrefix(other.Path, o.Path+"/{")
			if ok && other.Method == http.MethodGet && strings.HasSuffix(rest, "}") && strings.Count(rest, "}") == 1 {
				kind.one = &other
			}
		}
		p.records = append(p.records, kind)
		p.extra = append(p.extra, o.Path)
	}
}

// RowChoices are the lengths that a list may have.
func (v *view) RowChoices() []int { return []int{25, 50, 100, 200} }
