package dashboard

import (
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

// desk gives the store's desk, or answers that it has none.
func (a *api) desk(w http.ResponseWriter) (hook.Desk, bool) {
	desk, ok := a.ledger.(hook.Desk)
	if !ok {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper has no audit chain")
	}
	return desk, ok
}

// listAudit gives a page of the audit trail, newest first.
func (a *api) listAudit(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	limit, cursor := p.number("limit", maxPage), p.text("cursor")
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	desk, ok := a.desk(w)
	if !ok {
		return
	}
	page, next, err := desk.Audit(r.Context(), cursor, limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"entries": page, "next": next})
}

// verifyAudit walks the chain and changes nothing.
func (a *api) verifyAudit(w http.ResponseWriter, r *http.Request) {
	desk, ok := a.desk(w)
	if !ok {
		return
	}
	report, err := desk.VerifyAudit(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, report)
}
