package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

const standardRate = 20 // events a second, unless the operator says otherwise

// bulkList is the page of bulk replays.
type bulkList struct {
	Bulks  []*hook.Bulk
	NoBulk bool
}

func (p *Pages) bulks(w http.ResponseWriter, r *http.Request, v *view) error {
	list := bulkList{NoBulk: p.bulk == nil}
	if p.bulk != nil {
		var err error
		if list.Bulks, err = p.bulk.Bulks(r.Context(), v.Rows); err != nil {
			return err
		}
	}
	return p.render(w, v, http.StatusOK, "bulk", list)
}

// bulkForm is the preview of a bulk replay, and the form that starts it.
type bulkForm struct {
	Filter   eventFilter
	Query    string
	Handler  string
	Handlers []string
	OnlyDead bool
	Cause    string
	Rate     int
	Reason   string
	Count    int64
	Sample   []*hook.EventInfo
	Previews []sampled
	Frozen   string // the time limit, as it is handed on
	Problem  string
	Unknown  []string
}

// bulkOrder reads an order from an address or a form.
func (p *Pages) bulkOrder(q url.Values, v *view) (hook.BulkOrder, bulkForm, error) {
	named := url.Values{}
	for _, name := range filterNames() {
		named[name] = q[name]
	}
	f, form, unknown := p.filterQuery(named, v)
	page := bulkForm{Filter: form, Handler: q.Get("handler"), OnlyDead: q.Get("dead") == "1", Cause: q.Get("cause"),
		Rate: standardRate, Reason: strings.TrimSpace(q.Get("reason")), Unknown: unknown}
	if len(unknown) > 0 {
		return hook.BulkOrder{}, page, &badInput{strings.Join(unknown, ", "), v.T("input.filter")}
	}
	if f.Until.IsZero() || f.Until.After(v.Now) {
		f.Until = v.Now
	}
	page.Filter.Until = f.Until.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	if rate := q.Get("rate"); rate != "" {
		n, err := strconv.Atoi(rate)
		if err != nil || n < 1 || n > 1000 {
			return hook.BulkOrder{}, page, &badInput{"rate", v.T("input.rate")}
		}
		page.Rate = n
	}
	page.Query = queryOfFilter(page.Filter)
	o := hook.BulkOrder{Filter: f, OnlyDead: page.OnlyDead, Cause: page.Cause, Rate: page.Rate, Reason: page.Reason, Actor: v.Who}
	if page.Handler != "" {
		o.Handlers = []string{page.Handler}
	}
	return o, page, nil
}

func (p *Pages) noBulk(v *view) error {
	return &hook.Problem{Status: http.StatusNotImplemented, Detail: v.T("bulk.none")}
}

func (p *Pages) newBulk(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.bulk == nil {
		return p.noBulk(v)
	}
	o, page, err := p.bulkOrder(r.URL.Query(), v)
	if err != nil {
		return err
	}
	return p.previewBulk(w, r, v, http.StatusOK, o, page)
}

func (p *Pages) previewBulk(w http.ResponseWriter, r *http.Request, v *view, status int, o hook.BulkOrder, page bulkForm) error {
	counts, err := p.counts(r.Context())
	if err != nil {
		return err
	}
	page.Handlers = p.handlerNames(counts)
	if page.Handler != "" && !slices.Contains(page.Handlers, page.Handler) {
		page.Handlers = append(page.Handlers, page.Handler)
	}
	if page.Count, page.Sample, err = p.bulk.CountBulk(r.Context(), o); err != nil {
		return err
	}
	page.Previews = p.sample(r.Context(), o, page.Sample)
	return p.render(w, v, status, "bulknew", page)
}

// startBulk wants the number that was shown typed in: whoever replays twelve
// thousand events has seen that they are so many.
func (p *Pages) startBulk(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.bulk == nil {
		return p.noBulk(v)
	}
	o, page, err := p.bulkOrder(r.PostForm, v)
	if err != nil {
		return err
	}
	n, _, err := p.bulk.CountBulk(r.Context(), o)
	if err != nil {
		return err
	}
	switch typed := strings.TrimSpace(r.PostFormValue("confirm")); {
	case page.Reason == "":
		page.Problem = v.T("input.reason")
	case typed != countText(n):
		page.Problem = v.T("bulk.confirmwrong", countText(n))
	case n == 0:
		page.Problem = v.T("bulk.nothing")
	}
	if page.Problem != "" {
		return p.previewBulk(w, r, v, http.StatusUnprocessableEntity, o, page)
	}
	id, err := p.bulk.AddBulk(r.Context(), o)
	if err != nil {
		return err
	}
	p.to(w, v, "bulk/"+strconv.FormatInt(id, 10)+"?done=started")
	return nil
}

// bulkPage is one bulk replay.
type bulkPage struct {
	*hook.Bulk
	Share    int64 // of a hundred
	Over     bool
	CanSteer bool
}

func (p *Pages) oneBulk(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.bulk == nil {
		return p.noBulk(v)
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return hook.ErrNotFound
	}
	b, err := p.bulk.Bulk(r.Context(), id)
	if err != nil {
		return err
	}
	page := bulkPage{Bulk: b, Over: b.State == hook.BulkDone || b.State == hook.BulkCancelled,
		CanSteer: v.Has(string(hook.RoleOperator))}
	page.Share = min(100, 100*b.Seen/max(1, b.Total))
	if b.State == hook.BulkDone {
		page.Share = 100
	}
	return p.render(w, v, http.StatusOK, "bulkone", page)
}

func (p *Pages) steerBulk(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.bulk == nil {
		return p.noBulk(v)
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return hook.ErrNotFound
	}
	to, ok := map[string]hook.BulkState{"pause": hook.BulkPaused, "resume": hook.BulkRunning,
		"cancel": hook.BulkCancelled}[r.PostFormValue("act")]
	if !ok {
		return &badInput{"act", "pause, resume, cancel"}
	}
	if err := p.bulk.SteerBulk(r.Context(), id, to, v.Who); err != nil {
		return err
	}
	p.to(w, v, "bulk/"+strconv.FormatInt(id, 10)+"?done=bulk"+string(to))
	return nil
}
