package dashboard

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// privacyPage is what is kept how long, what is held, and what was erased.
type privacyPage struct {
	Rules    []rule
	Holds    []*hook.Hold
	Erasures []*hook.Erasure
	NoHolds  bool // the store keeps none
	NoErase  bool // it erases nothing
	Event    string
}

// rule is one line of what is kept how long; zero is for ever.
type rule struct {
	Source string
	Keep   []time.Duration // bodies, hints, notes on rejections, attempts, keys
}

func (p *Pages) privacy(w http.ResponseWriter, r *http.Request, v *view) error {
	page := privacyPage{NoHolds: p.holds == nil, NoErase: p.erasures == nil, Event: r.URL.Query().Get("event")}
	for _, k := range rulesOf(p.keep) {
		keep := p.keep.Of(k.Source)
		page.Rules = append(page.Rules, rule{k.Source, []time.Duration{keep.Bodies, keep.Hints, keep.Rejections, keep.Attempts, keep.Keys}})
	}
	var err error
	if p.holds != nil {
		if page.Holds, err = p.holds.Holds(r.Context(), "", v.Rows); err != nil {
			return err
		}
	}
	if p.erasures != nil {
		if page.Erasures, err = p.erasures.Erasures(r.Context(), v.Rows); err != nil {
			return err
		}
		for _, e := range page.Erasures {
			e.Customer, _ = p.masker.Mask(e.Customer)
		}
	}
	return p.render(w, v, http.StatusOK, "privacy", page)
}

func (p *Pages) noPrivacy(v *view) error {
	return &hook.Problem{Status: http.StatusNotImplemented, Detail: v.T("privacy.none")}
}

func (p *Pages) addHold(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.holds == nil {
		return p.noPrivacy(v)
	}
	o := hook.HoldOrder{Actor: v.Who}
	for name, into := range map[string]*string{"event": &o.Event, "source": &o.Source, "subject": &o.Subject, "reason": &o.Reason} {
		*into = strings.TrimSpace(r.PostFormValue(name))
	}
	for name, into := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		text := strings.TrimSpace(r.PostFormValue(name))
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return &badInput{name, v.T("privacy.badtime")}
		}
		*into = at
	}
	if _, err := p.holds.AddHold(r.Context(), o); err != nil {
		return err
	}
	p.to(w, v, "privacy?done=held")
	return nil
}

func (p *Pages) releaseHold(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.holds == nil {
		return p.noPrivacy(v)
	}
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return hook.ErrNotFound
	}
	if err := p.holds.ReleaseHold(r.Context(), id, v.Who, strings.TrimSpace(r.PostFormValue("reason"))); err != nil {
		return err
	}
	p.to(w, v, "privacy?done=unheld")
	return nil
}

// addErasure wants the identifier typed twice: what is erased does not come back.
func (p *Pages) addErasure(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.erasures == nil {
		return p.noPrivacy(v)
	}
	customer := strings.TrimSpace(r.PostFormValue("customer"))
	o := hook.ErasureOrder{Source: strings.TrimSpace(r.PostFormValue("source")), Customer: customer,
		Reason: strings.TrimSpace(r.PostFormValue("reason")), Actor: v.Who, DryRun: r.PostFormValue("act") == "look"}
	if !o.DryRun && strings.TrimSpace(r.PostFormValue("confirm")) != customer {
		return &badInput{"confirm", v.T("privacy.confirmwrong")}
	}
	if _, err := p.erasures.AddErasure(r.Context(), o); err != nil {
		return err
	}
	p.to(w, v, "privacy?done=erasing")
	return nil
}

func (p *Pages) cancelErasure(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.erasures == nil {
		return p.noPrivacy(v)
	}
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return hook.ErrNotFound
	}
	if err := p.erasures.CancelErasure(r.Context(), id, v.Who); err != nil {
		return err
	}
	p.to(w, v, "privacy?done=erasestopped")
	return nil
}
