package dashboard

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// keptFor is what holds for one source; in seconds, null for ever.
type keptFor struct {
	Source     string `json:"source"` // empty: all that have no rules of their own
	Bodies     *int64 `json:"bodies_seconds"`
	Hints      *int64 `json:"hints_seconds"`
	Rejections *int64 `json:"rejections_seconds"`
	Attempts   *int64 `json:"attempts_seconds"`
	Keys       *int64 `json:"keys_seconds"`
}

// rulesOf lists what holds, for all sources first.
func rulesOf(r hook.Retention) []keptFor {
	seconds := func(d time.Duration) *int64 {
		if d == 0 {
			return nil
		}
		return new(int64(d / time.Second))
	}
	var all []keptFor
	for _, source := range append([]string{""}, slices.Sorted(maps.Keys(r.Sources))...) {
		k := r.Of(source)
		all = append(all, keptFor{source, seconds(k.Bodies), seconds(k.Hints), seconds(k.Rejections), seconds(k.Attempts), seconds(k.Keys)})
	}
	return all
}

func (a *api) retention(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"retention": rulesOf(a.keep)})
}

// holdOrder is the body of the order to hold something.
type holdOrder struct {
	Source  string    `json:"source"`
	Subject string    `json:"subject"`
	Event   string    `json:"event"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Reason  string    `json:"reason"`
}

// reasonOrder is the body of an order that needs nothing but a reason.
type reasonOrder struct {
	Reason string `json:"reason"`
}

// erasureOrder is the body of the order to erase a customer's bodies.
type erasureOrder struct {
	Source   string `json:"source"`
	Customer string `json:"customer"`
	Reason   string `json:"reason"`
	DryRun   bool   `json:"dry_run"`
}

func (a *api) holder(w http.ResponseWriter) (hook.HoldKeeper, bool) {
	keeper, ok := a.ledger.(hook.HoldKeeper)
	if !ok {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper keeps no holds")
	}
	return keeper, ok
}

func (a *api) eraser(w http.ResponseWriter) (hook.ErasureKeeper, bool) {
	keeper, ok := a.ledger.(hook.ErasureKeeper)
	if !ok {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper erases nothing")
	}
	return keeper, ok
}

// numberOf reads the number in the path of a route.
func numberOf(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, hook.ErrNotFound
	}
	return id, nil
}

func (a *api) listHolds(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	event, limit := p.text("event"), p.number("limit", 1000)
	keeper, ok := a.holder(w)
	if !ok {
		return
	}
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	all, err := keeper.Holds(r.Context(), event, limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"holds": all})
}

func (a *api) addHold(w http.ResponseWriter, r *http.Request) {
	var o holdOrder
	keeper, ok := a.holder(w)
	if !ok {
		return
	}
	err := orderOf(w, r, &o)
	var id int64
	if err == nil {
		id, err = keeper.AddHold(r.Context(), hook.HoldOrder{Source: o.Source, Subject: o.Subject, Event: o.Event,
			Since: o.Since, Until: o.Until, Reason: o.Reason, Actor: actorOf(r)})
	}
	a.ordered(w, r, id, err)
}

func (a *api) releaseHold(w http.ResponseWriter, r *http.Request) {
	var o reasonOrder
	keeper, ok := a.holder(w)
	if !ok {
		return
	}
	id, err := numberOf(r)
	if err == nil {
		err = orderOf(w, r, &o)
	}
	if err == nil {
		err = keeper.ReleaseHold(r.Context(), id, actorOf(r), o.Reason)
	}
	a.ordered(w, r, id, err)
}

// ordered answers with the number of what was ordered.
func (a *api) ordered(w http.ResponseWriter, r *http.Request, id int64, err error) {
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"id": id})
}

func (a *api) listErasures(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	limit := p.number("limit", 1000)
	keeper, ok := a.eraser(w)
	if !ok {
		return
	}
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	all, err := keeper.Erasures(r.Context(), limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"erasures": all})
}

func (a *api) showErasure(w http.ResponseWriter, r *http.Request) {
	keeper, ok := a.eraser(w)
	if !ok {
		return
	}
	var e *hook.Erasure
	id, err := numberOf(r)
	if err == nil {
		e, err = keeper.Erasure(r.Context(), id)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, e)
}

func (a *api) addErasure(w http.ResponseWriter, r *http.Request) {
	var o erasureOrder
	keeper, ok := a.eraser(w)
	if !ok {
		return
	}
	err := orderOf(w, r, &o)
	var id int64
	if err == nil {
		id, err = keeper.AddErasure(r.Context(), hook.ErasureOrder{Source: o.Source, Customer: o.Customer, Reason: o.Reason,
			DryRun: o.DryRun, Actor: actorOf(r)})
	}
	a.ordered(w, r, id, err)
}

func (a *api) cancelErasure(w http.ResponseWriter, r *http.Request) {
	keeper, ok := a.eraser(w)
	if !ok {
		return
	}
	id, err := numberOf(r)
	if err == nil {
		err = keeper.CancelErasure(r.Context(), id, actorOf(r))
	}
	a.ordered(w, r, id, err)
}
