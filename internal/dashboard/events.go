package dashboard

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

func (a *api) listEvents(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r, true)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	page, next, err := a.ledger.Events(r.Context(), f)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if page == nil {
		page = []*hook.EventInfo{}
	}
	answer(w, map[string]any{"events": page, "next": next})
}

func (a *api) showEvent(w http.ResponseWriter, r *http.Request) {
	e, err := a.ledger.Event(r.Context(), r.PathValue("id"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, e)
}

// rawBody gives the exact bytes. They are a stranger's, so a browser may only
// save them, never show or run them.
func (a *api) rawBody(w http.ResponseWriter, r *http.Request) {
	e, err := a.ledger.Event(r.Context(), r.PathValue("id"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if e.BodyGone {
		problem(w, http.StatusGone, "the body of "+e.ID+" is no longer kept")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(e.ID)+`.body"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(e.Body)))
	_, _ = w.Write(e.Body) // a peer that has gone needs no answer
}

// fileName keeps what is harmless in a file name and in a quoted header value.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, id)
}

// replayOrder is the body of the order to replay an event.
type replayOrder struct {
	Handlers []string `json:"handlers"`
	Reason   string   `json:"reason"`
	DryRun   bool     `json:"dry_run"`
	Preview  bool     `json:"preview"`
}

// discardOrder is the body of the order to lay a dead job aside.
type discardOrder struct {
	Handler string `json:"handler"`
	Reason  string `json:"reason"`
}

func (a *api) replay(w http.ResponseWriter, r *http.Request) {
	var order replayOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	if order.DryRun {
		a.planReplay(w, r, order)
		return
	}
	if strings.TrimSpace(order.Reason) == "" {
		a.fail(w, r, &badInput{"reason", "say why; it is kept in the audit trail"})
		return
	}
	jobs, err := a.ledger.Replay(r.Context(), r.PathValue("id"), hook.Replay{
		Handlers: order.Handlers, Reason: order.Reason, Actor: actorOf(r),
	})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"id": r.PathValue("id"), "jobs": jobs})
}

// planReplay says what the replay would queue.
func (a *api) planReplay(w http.ResponseWriter, r *http.Request, order replayOrder) {
	planner, ok := a.ledger.(hook.Planner)
	if order.Preview && a.previews != nil {
		planner, ok = a.previews, true
	}
	if !ok {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper makes no plans")
		return
	}
	id := r.PathValue("id")
	plan, err := planner.PlanReplay(r.Context(), id, hook.Replay{Handlers: order.Handlers})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"id": id, "jobs": 0, "plan": hidePersonal(a.masker, plan)})
}

func (a *api) discard(w http.ResponseWriter, r *http.Request) {
	var order discardOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	for _, field := range []struct{ name, value string }{
		{"handler", order.Handler}, {"reason", order.Reason},
	} {
		if strings.TrimSpace(field.value) == "" {
			a.fail(w, r, &badInput{field.name, "is required"})
			return
		}
	}
	id := r.PathValue("id")
	if err := a.ledger.Discard(r.Context(), id, order.Handler, actorOf(r), order.Reason); err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"id": id, "handler": order.Handler, "state": hook.StateDiscarded})
}
