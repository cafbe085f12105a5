package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// stateCount is how many jobs are in a state.
type stateCount struct {
	State hook.State
	N     int64
}

// jobStates are the states that the queue shows, in the order of a job's life.
func jobStates() []hook.State {
	return []hook.State{hook.StateReady, hook.StateRunning, hook.StateRetrying, hook.StateWaiting,
		hook.StateDead, hook.StateDiscarded}
}

func totals(c hook.Counts) []stateCount {
	var all []stateCount
	for _, s := range jobStates() {
		n := int64(0)
		for _, states := range c.Jobs {
			n += states[s]
		}
		all = append(all, stateCount{s, n})
	}
	return all
}

// jobList is the page of the queue.
type jobList struct {
	Totals         []stateCount
	Handler, State string
	Handlers       []string
	States         []hook.State
	Jobs           []*hook.QueuedJob
	Next           string
	NoDesk         bool
}

func (p *Pages) jobs(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	counts, err := p.counts(ctx)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	list := jobList{Totals: totals(counts), Handler: q.Get("handler"), State: q.Get("state"),
		Handlers: p.handlerNames(counts), States: jobStates(), NoDesk: p.desk == nil}
	if !slices.Contains(list.States, hook.State(list.State)) {
		list.State = ""
	}
	if p.desk != nil {
		f := hook.JobFilter{Handler: list.Handler, State: hook.State(list.State), Limit: v.Rows, Cursor: q.Get("cursor")}
		var next string
		if list.Jobs, next, err = p.desk.Jobs(ctx, f); err != nil {
			return err
		}
		if next != "" {
			list.Next = url.Values{"handler": {list.Handler}, "state": {list.State}, "cursor": {next}}.Encode()
		}
	}
	return p.render(w, v, http.StatusOK, "jobs", list)
}

// handlerNames are those that this node has and those that have jobs.
func (p *Pages) handlerNames(c hook.Counts) []string {
	names := sortedKeys(c.Jobs)
	for _, r := range p.routes {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// deadList is the page of dead letters by cause.
type deadList struct {
	Groups  []deadGroup
	Total   int64
	NoDesk  bool
	CanBulk bool
}

type deadGroup struct {
	*hook.DeadCause
	Link string // to a bulk replay of the group
}

func (p *Pages) dead(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	counts, err := p.counts(ctx)
	if err != nil {
		return err
	}
	list := deadList{NoDesk: p.desk == nil, CanBulk: p.bulk != nil && v.Has(string(hook.RoleOperator))}
	for _, states := range counts.Jobs {
		list.Total += states[hook.StateDead]
	}
	if p.desk != nil {
		groups, err := p.desk.Causes(ctx)
		if err != nil {
			return err
		}
		for _, g := range groups {
			q := url.Values{"state": {"dead"}, "handler": {g.Handler}, "dead": {"1"}, "cause": {g.Key}}
			list.Groups = append(list.Groups, deadGroup{g, "bulk/new?" + q.Encode()})
		}
	}
	return p.render(w, v, http.StatusOK, "dead", list)
}

// handlerRow is a handler as the page of handlers shows it.
type handlerRow struct {
	Name   string
	Route  *hook.Route // nil: this node does not have it
	Counts map[hook.State]int64
	Oldest time.Time
	Speed  *hook.HandlerSpeed
	Share  int // of its attempts that failed, in percent
	Pause  *hook.Pause
	Away   time.Time // since when what it needs does not answer; zero: it does
}

// handlerList is the page of handlers.
type handlerList struct {
	Rows     []handlerRow
	CanPause bool
}

func (p *Pages) handlers(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	counts, err := p.counts(ctx)
	if err != nil {
		return err
	}
	speeds := map[string]hook.HandlerSpeed{}
	if p.desk != nil {
		traffic, err := p.desk.Traffic(ctx, v.Now.Add(-time.Hour))
		if err != nil {
			return err
		}
		for _, s := range traffic.Handlers {
			speeds[s.Handler] = s
		}
	}
	var paused []hook.Pause
	if p.pauser != nil {
		if paused, err = p.pauser.Paused(ctx); err != nil {
			return err
		}
	}
	outages := p.outages()
	list := handlerList{CanPause: p.pauser != nil && v.Has(string(hook.RoleOperator))}
	for _, name := range p.handlerNames(counts) {
		row := handlerRow{Name: name, Counts: counts.Jobs[name], Oldest: counts.OldestJob[name], Away: outages[name]}
		if i := slices.IndexFunc(p.routes, func(r hook.Route) bool { return r.Name == name }); i >= 0 {
			row.Route = &p.routes[i]
		}
		if s, ok := speeds[name]; ok {
			row.Speed = &s
			row.Share = int(100 * s.Failed / max(1, s.Attempts))
		}
		if i := slices.IndexFunc(paused, func(pause hook.Pause) bool { return pause.Handler == name }); i >= 0 {
			row.Pause = &paused[i]
		}
		list.Rows = append(list.Rows, row)
	}
	return p.render(w, v, http.StatusOK, "handlers", list)
}

// pause stops giving a handler jobs, or lets it go on.
func (p *Pages) pause(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.pauser == nil {
		return &hook.Problem{Status: http.StatusNotImplemented, Detail: v.T("handlers.nopause")}
	}
	stop := r.PostFormValue("act") == "pause"
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if stop && reason == "" {
		return &badInput{"reason", v.T("input.reason")}
	}
	if err := p.pauser.SetPaused(r.Context(), r.PathValue("name"), stop, v.Who, reason); err != nil {
		return err
	}
	done := "resumed"
	if stop {
		done = "paused"
	}
	p.to(w, v, "handlers?done="+done)
	return nil
}
