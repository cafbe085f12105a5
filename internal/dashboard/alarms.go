package dashboard

import (
	"context"
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxAlarms are shown at a time: those that are raised first.
const maxAlarms = 200

// listAlarms answers in English: it is for programs.
func (a *api) listAlarms(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	limit := p.number("limit", maxPage)
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	if limit == 0 {
		limit = 100
	}
	list := []*hook.Alarm{}
	if a.alarms != nil {
		var err error
		if list, err = a.alarms.Alarms(r.Context(), english, limit); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	answer(w, map[string]any{"alarms": list})
}

// raisedAlarms are those that are raised now.
type raisedAlarms struct {
	known bool // alarms are kept at all
	all   []*hook.Alarm
}

func (r *raisedAlarms) has(rule, object string) bool {
	for _, a := range r.all {
		if a.Rule == rule && a.Object == object {
			return true
		}
	}
	return false
}

func (r *raisedAlarms) any(rule string) bool {
	for _, a := range r.all {
		if a.Rule == rule {
			return true
		}
	}
	return false
}

func (p *Pages) raised(ctx context.Context, v *view) (*raisedAlarms, error) {
	if p.alarms == nil {
		return &raisedAlarms{}, nil
	}
	all, err := p.alarms.Alarms(ctx, v.Lang, maxAlarms)
	r := &raisedAlarms{known: err == nil}
	for _, a := range all {
		if a.ResolvedAt == nil {
			r.all = append(r.all, a)
		}
	}
	return r, err
}

// alarmsPage are the alarms that are raised, and those that are over.
type alarmsPage struct {
	None         bool
	Raised, Over []*hook.Alarm
}

func (p *Pages) listAlarms(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	page := alarmsPage{None: p.alarms == nil}
	if p.alarms != nil {
		all, err := p.alarms.Alarms(ctx, v.Lang, maxAlarms)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.ResolvedAt == nil {
				page.Raised = append(page.Raised, a)
			} else {
				page.Over = append(page.Over, a)
			}
		}
	}
	return p.render(w, v, http.StatusOK, "alarms", page)
}
