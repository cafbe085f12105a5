package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// eventPage is one event with everything known of it.
type eventPage struct {
	*hook.EventDetail
	Body     string
	Kind     show.Kind
	Whole    bool
	Masked   int  // places hidden; 0 also when it was asked to hide nothing
	Open     bool // nothing is hidden
	Curl     string
	Headers  []headerLine
	Previous *hook.EventInfo
	Changes  []show.Change
	More     bool
	Compared bool
	Related  []*hook.EventInfo
	Partial  bool // the neighbours were not found in time
	Steps    []timeStep
	CanDesk  bool
	Holds    []*hook.Hold
}

type headerLine struct{ Name, Value string }

// timeStep is a point of an event's life.
type timeStep struct {
	At      time.Time
	What    string // word of the catalogue, below step.
	Detail  string
	State   string
	Took    time.Duration
	Error   string
	Running bool
}

func (p *Pages) event(w http.ResponseWriter, r *http.Request, v *view) error {
	return p.showEvent(w, r, v, false)
}

// neighbourTime is how long the page looks for other events of the subject.
const neighbourTime = 200 * time.Millisecond

func (p *Pages) showEvent(w http.ResponseWriter, r *http.Request, v *view, open bool) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	e, err := p.ledger.Event(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	page := &eventPage{EventDetail: e, Open: open, CanDesk: p.desk != nil}
	if p.holds != nil {
		if page.Holds, err = p.holds.Holds(ctx, e.ID, 10); err != nil {
			return err
		}
	}
	mask := func(s string) string {
		if open {
			return s
		}
		s, n := p.masker.Mask(s)
		page.Masked += n
		return s
	}
	text, kind, whole := show.Body(e.Body)
	page.Body, page.Kind, page.Whole = mask(text), kind, whole
	for _, line := range headerLines(e.Headers) {
		page.Headers = append(page.Headers, headerLine{line.Name, mask(line.Value)})
	}
	p.neighbours(ctx, page, mask)
	if page.Open || page.Masked == 0 && kind != show.KindHex && whole {
		page.Open = true
		if !e.BodyGone && len(e.Body) <= show.MaxInlineBytes {
			page.Curl = show.Curl("/hooks/"+e.Source, e.Headers, e.Body)
		}
	}
	page.Steps = stepsOf(e)
	if !open {
		p.hideErrors(page)
	}
	return p.render(w, v, http.StatusOK, "event", page)
}

// hideErrors masks what handlers may have quoted of the body.
func (p *Pages) hideErrors(page *eventPage) {
	for i := range page.Steps {
		page.Steps[i].Error, _ = p.masker.Mask(page.Steps[i].Error)
	}
	for i := range page.Jobs {
		if text := page.Jobs[i].LastError; text != nil {
			hidden, _ := p.masker.Mask(*text)
			page.Jobs[i].LastError = &hidden
		}
	}
}

// neighbours looks for the other events of the subject, for a moment only: they
// are a help, and the page must not wait for them.
func (p *Pages) neighbours(ctx context.Context, page *eventPage, mask func(string) string) {
	if page.Subject == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, neighbourTime)
	defer cancel()
	related, _, err := p.ledger.Events(ctx, hook.Filter{Source: page.Source, Subject: page.Subject, Limit: 20})
	if err != nil {
		page.Partial = true
		return
	}
	page.Related = related
	for _, e := range related {
		if e.ID == page.ID || e.Mode != page.Mode || !e.ReceivedAt.Before(page.ReceivedAt) {
			continue
		}
		page.Previous = e
		break
	}
	if page.Previous == nil || page.BodyGone {
		return
	}
	before, err := p.ledger.Event(ctx, page.Previous.ID)
	if err != nil || before.BodyGone {
		return
	}
	page.Changes, page.More, page.Compared = show.Changes(before.Body, page.EventDetail.Body)
	for i, c := range page.Changes {
		page.Changes[i] = show.Change{Path: mask(c.Path), Old: mask(c.Old), New: mask(c.New)}
	}
}

func headerLines(h map[string][]string) []headerLine {
	var lines []headerLine
	for _, name := range sortedKeys(h) {
		for _, value := range h[name] {
			lines = append(lines, headerLine{name, value})
		}
	}
	return lines
}

// stepsOf tells an event's life in order: the attempts are given in that of their
// claims.
func stepsOf(e *hook.EventDetail) []timeStep {
	steps := []timeStep{{At: e.ReceivedAt, What: "received"}}
	switch {
	case e.Trust == hook.TrustHint:
		steps = append(steps, timeStep{What: "hint"})
	default:
		steps = append(steps, timeStep{What: "trusted", Detail: string(e.Trust)})
	}
	if e.Quarantine != nil {
		steps = append(steps, timeStep{What: "quarantined", Detail: *e.Quarantine, State: string(hook.StateQuarantined)})
	}
	if e.Deliveries > 1 {
		steps = append(steps, timeStep{What: "again", Detail: digits(int(e.Deliveries - 1))})
	}
	for _, a := range e.Attempts {
		s := timeStep{At: a.StartedAt, What: "attempt", Detail: a.Handler + " · " + digits(a.Generation) + "." + digits(a.Attempt),
			State: a.Outcome, Running: a.EndedAt == nil}
		if a.EndedAt != nil {
			s.Took = max(0, a.EndedAt.Sub(a.StartedAt))
		}
		if a.Error != nil {
			s.Error = *a.Error
		}
		steps = append(steps, s)
	}
	return steps
}

// reveal shows what the masks hide, after it has been written down who asked and
// why. It is the one act that answers with a page: what it shows belongs into no
// address.
func (p *Pages) reveal(w http.ResponseWriter, r *http.Request, v *view) error {
	id := r.PathValue("id")
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if p.desk == nil || reason == "" {
		return &badInput{"reason", v.T("input.reason")}
	}
	if _, err := p.ledger.Event(r.Context(), id); err != nil {
		return err
	}
	err := p.desk.Note(r.Context(), hook.AuditNote{Actor: v.Who, Action: "reveal", Event: id, Reason: reason})
	if err != nil {
		return err
	}
	return p.showEvent(w, r, v, true)
}

// replayPage is the preview of a replay.
type replayPage struct {
	ID      string
	Plan    []hook.PlannedJob
	Refused string
	Chosen  string // handler, if only one
	NoPlan  bool
}

func (p *Pages) planReplay(w http.ResponseWriter, r *http.Request, v *view) error {
	page := replayPage{ID: r.PathValue("id"), Chosen: r.URL.Query().Get("handler")}
	if p.planner == nil {
		page.NoPlan = true
		if _, err := p.ledger.Event(r.Context(), page.ID); err != nil {
			return err
		}
		return p.render(w, v, http.StatusOK, "replay", page)
	}
	order := hook.Replay{}
	if page.Chosen != "" {
		order.Handlers = []string{page.Chosen}
	}
	plan, err := p.plan(r.Context(), page.ID, order)
	if isRefused(err) {
		page.Refused, err = err.Error(), nil
	}
	if err != nil {
		return err
	}
	page.Plan = plan
	return p.render(w, v, http.StatusOK, "replay", page)
}

func (p *Pages) replay(w http.ResponseWriter, r *http.Request, v *view) error {
	id, reason := r.PathValue("id"), strings.TrimSpace(r.PostFormValue("reason"))
	handlers := r.PostForm["handler"]
	switch {
	case reason == "":
		return &badInput{"reason", v.T("input.reason")}
	case len(handlers) == 0:
		return &badInput{"handler", v.T("input.handler")}
	}
	_, err := p.ledger.Replay(r.Context(), id, hook.Replay{Handlers: handlers, Reason: reason, Actor: v.Who})
	if err != nil {
		return err
	}
	p.forget()
	p.to(w, v, "events/"+url.PathEscape(id)+"?done=replayed")
	return nil
}

func (p *Pages) discard(w http.ResponseWriter, r *http.Request, v *view) error {
	id, reason := r.PathValue("id"), strings.TrimSpace(r.PostFormValue("reason"))
	if reason == "" {
		return &badInput{"reason", v.T("input.reason")}
	}
	if err := p.ledger.Discard(r.Context(), id, r.PostFormValue("handler"), v.Who, reason); err != nil {
		return err
	}
	p.forget()
	p.to(w, v, "events/"+url.PathEscape(id)+"?done=discarded")
	return nil
}

// decodeRecord reads a department's answer as a page can walk through it.
func decodeRecord(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	err = dec.Decode(&v)
	return v, err
}
