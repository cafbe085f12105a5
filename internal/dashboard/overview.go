package dashboard

import (
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

func (a *api) listSources(w http.ResponseWriter, r *http.Request) {
	counts, err := a.ledger.Counts(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := make([]SourceInfo, len(a.sources))
	for i, s := range a.sources {
		if at, ok := counts.LastEvent[s.Name]; ok {
			s.LastEvent = &at
		}
		list[i] = s
	}
	answer(w, map[string]any{"sources": list})
}

func (a *api) listRejections(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	source, limit := p.text("source"), p.number("limit", maxPage)
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	if limit == 0 {
		limit = 100
	}
	list, err := a.ledger.Rejections(r.Context(), source, limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if list == nil {
		list = []*hook.Rejection{}
	}
	answer(w, map[string]any{"rejections": list})
}

func (a *api) counts(w http.ResponseWriter, r *http.Request) {
	counts, err := a.ledger.Counts(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, counts)
}
