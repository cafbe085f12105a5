package dashboard

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// lacking answers that the store cannot do what is asked.
func lacking(w http.ResponseWriter, what string) {
	problem(w, http.StatusNotImplemented, "the store of this hookkeeper keeps no "+what)
}

func (a *api) listJobs(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	f := hook.JobFilter{Handler: p.text("handler"), State: p.state("state"), Limit: p.number("limit", maxPage), Cursor: p.text("cursor")}
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	desk, ok := a.desk(w)
	if !ok {
		return
	}
	page, next, err := desk.Jobs(r.Context(), f)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if page == nil {
		page = []*hook.QueuedJob{}
	}
	answer(w, map[string]any{"jobs": page, "next": next})
}

func (a *api) listDead(w http.ResponseWriter, r *http.Request) {
	desk, ok := a.desk(w)
	if !ok {
		return
	}
	causes, err := desk.Causes(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if causes == nil {
		causes = []*hook.DeadCause{}
	}
	answer(w, map[string]any{"causes": causes})
}

func (a *api) listPauses(w http.ResponseWriter, r *http.Request) {
	if a.pauser == nil {
		lacking(w, "pauses")
		return
	}
	list, err := a.pauser.Paused(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if list == nil {
		list = []hook.Pause{}
	}
	answer(w, map[string]any{"pauses": list})
}

// pauseOrder is the body of the order to pause a handler or to let it go on.
type pauseOrder struct {
	Paused *bool  `json:"paused"`
	Reason string `json:"reason"`
}

func (a *api) pause(w http.ResponseWriter, r *http.Request) {
	var order pauseOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	name := r.PathValue("name")
	switch {
	case order.Paused == nil:
		a.fail(w, r, &badInput{"paused", "is required"})
		return
	case *order.Paused && strings.TrimSpace(order.Reason) == "":
		a.fail(w, r, &badInput{"reason", "is required"})
		return
	case a.pauser == nil:
		lacking(w, "pauses")
		return
	}
	if err := a.pauser.SetPaused(r.Context(), name, *order.Paused, actorOf(r), order.Reason); err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"handler": name, "paused": *order.Paused})
}

// bulkReplayOrder is what a bulk replay is to do, asked and answered.
type bulkReplayOrder struct {
	Source   string     `json:"source"`
	Type     string     `json:"type"`
	State    hook.State `json:"state"`
	Subject  string     `json:"subject"`
	Key      string     `json:"key"`
	Since    *time.Time `json:"since"`
	Until    *time.Time `json:"until"`
	Handlers []string   `json:"handlers"`
	OnlyDead bool       `json:"only_dead"`
	Cause    string     `json:"cause"`
	Rate     int        `json:"rate"`
	Reason   string     `json:"reason"`
	DryRun   bool       `json:"dry_run"`
}

// bulkReplay is one as the API shows it.
type bulkReplay struct {
	ID    int64           `json:"id"`
	State hook.BulkState  `json:"state"`
	Order bulkReplayOrder `json:"order"`
	Actor string          `json:"actor"`
	Total int64           `json:"total"`
	Seen  int64           `json:"seen"`
	Jobs  int64           `json:"jobs"`
	Left  int64           `json:"left_out"`
	At    time.Time       `json:"at"`
	Moved time.Time       `json:"moved_at"`
}

func showBulk(b *hook.Bulk) bulkReplay {
	f := b.Order.Filter
	order := bulkReplayOrder{Source: f.Source, Type: f.Type, State: f.State, Subject: f.Subject, Key: f.Key,
		Since: instantOf(f.Since), Until: instantOf(f.Until), Handlers: b.Order.Handlers, OnlyDead: b.Order.OnlyDead,
		Cause: b.Order.Cause, Rate: b.Order.Rate, Reason: b.Order.Reason}
	if order.Handlers == nil {
		order.Handlers = []string{}
	}
	return bulkReplay{b.ID, b.State, order, b.Order.Actor, b.Total, b.Seen, b.Jobs, b.Left, b.At.UTC(), b.Moved.UTC()}
}

func instantOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (o *bulkReplayOrder) given(actor string, now time.Time) (hook.BulkOrder, error) {
	if o.State != "" && !slices.Contains(hook.Worst[:], o.State) {
		return hook.BulkOrder{}, &badInput{"state", "unknown state"}
	}
	f := hook.Filter{Source: o.Source, Type: o.Type, State: o.State, Subject: o.Subject, Key: o.Key, Until: now}
	if o.Since != nil {
		f.Since = *o.Since
	}
	if o.Until != nil && o.Until.Before(now) {
		f.Until = *o.Until
	}
	if o.Rate == 0 {
		o.Rate = standardRate
	}
	return hook.BulkOrder{Filter: f, Handlers: o.Handlers, OnlyDead: o.OnlyDead, Cause: o.Cause, Rate: o.Rate,
		Reason: o.Reason, Actor: actor}, nil
}

func (a *api) listBulk(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	limit := p.number("limit", maxPage)
	switch {
	case p.err != nil:
		a.fail(w, r, p.err)
		return
	case a.bulk == nil:
		lacking(w, "bulk replays")
		return
	case limit == 0:
		limit = 100
	}
	all, err := a.bulk.Bulks(r.Context(), limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := make([]bulkReplay, len(all))
	for i, b := range all {
		list[i] = showBulk(b)
	}
	answer(w, map[string]any{"bulk_replays": list})
}

// addBulk starts one, or with dry_run says what it would look at.
func (a *api) addBulk(w http.ResponseWriter, r *http.Request) {
	var order bulkReplayOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	o, err := order.given(actorOf(r), time.Now())
	switch {
	case err != nil:
		a.fail(w, r, err)
		return
	case a.bulk == nil:
		lacking(w, "bulk replays")
		return
	}
	if order.DryRun {
		n, sample, err := a.bulk.CountBulk(r.Context(), o)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		if sample == nil {
			sample = []*hook.EventInfo{}
		}
		answer(w, map[string]any{"dry_run": true, "total": n, "sample": sample})
		return
	}
	id, err := a.bulk.AddBulk(r.Context(), o)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"dry_run": false, "id": id})
}

func (a *api) oneBulk(w http.ResponseWriter, r *http.Request) {
	id, ok := a.bulkID(w, r)
	if !ok {
		return
	}
	b, err := a.bulk.Bulk(r.Context(), id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, showBulk(b))
}

func (a *api) bulkID(w http.ResponseWriter, r *http.Request) (int64, bool) {
	if a.bulk == nil {
		lacking(w, "bulk replays")
		return 0, false
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		a.fail(w, r, hook.ErrNotFound)
		return 0, false
	}
	return id, true
}

// steerOrder is the body of the order to pause a bulk replay, to let it go on or to
// cancel it.
type steerOrder struct {
	State hook.BulkState `json:"state"`
}

func (a *api) steerBulk(w http.ResponseWriter, r *http.Request) {
	var order steerOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	id, ok := a.bulkID(w, r)
	if !ok {
		return
	}
	switch order.State {
	case hook.BulkRunning, hook.BulkPaused, hook.BulkCancelled:
	default:
		a.fail(w, r, &badInput{"state", "want running, paused or cancelled"})
		return
	}
	if err := a.bulk.SteerBulk(r.Context(), id, order.State, actorOf(r)); err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"id": id, "state": order.State})
}
