package dashboard

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	maxFeedWait   = 25 * time.Second       // shorter than the 30 s after which proxies cut a silent answer
	feedLook      = 200 * time.Millisecond // how often a waiting feed looks
	maxFeedsAwait = 32                     // beyond it a feed is answered at once
)

// readFeed gives the events after a cursor, oldest first. With wait it holds the
// answer back until there is one, for so many seconds at most.
func (a *api) readFeed(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	f := hook.Filter{Source: p.text("source"), Type: p.text("type"), Since: p.instant("since")}
	limit, wait := p.number("limit", 100), p.seconds("wait", maxFeedWait)
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	if a.feeder == nil {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper has no feeds")
		return
	}
	events, err := a.awaitFeed(r, f, limit, wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := make([]exported, len(events))
	for i, e := range events {
		list[i] = exported{e, e.Body}
	}
	answer(w, map[string]any{"events": list})
}

// awaitFeed ends early when hookkeeper shuts down: the reader asks again and
// finds the next process.
func (a *api) awaitFeed(r *http.Request, f hook.Filter, limit int, wait time.Duration) ([]*hook.EventDetail, error) {
	read := func() ([]*hook.EventDetail, error) { return a.feeder.Feed(r.Context(), r.PathValue("name"), f, limit) }
	events, err := read()
	if err != nil || len(events) > 0 || wait == 0 {
		return events, err
	}
	select {
	case a.waiting <- struct{}{}:
		defer func() { <-a.waiting }()
	default:
		return nil, nil
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	look := time.NewTicker(feedLook)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-end.C:
			return nil, nil
		case <-a.draining:
			return nil, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		if events, err := read(); err != nil || len(events) > 0 {
			return events, err
		}
	}
}

// advanceOrder is the body of the order to move a cursor.
type advanceOrder struct {
	Through string `json:"through"`
}

// advanceFeed moves a cursor past an event.
func (a *api) advanceFeed(w http.ResponseWriter, r *http.Request) {
	var order advanceOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	if order.Through == "" {
		a.fail(w, r, &badInput{"through", "is required: the id of the last event that was taken"})
		return
	}
	if a.feeder == nil {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper has no feeds")
		return
	}
	name := r.PathValue("name")
	if err := a.feeder.Advance(r.Context(), name, order.Through); err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"name": name, "through": order.Through})
}

// seconds reads whole seconds; more than most is most.
func (p *parameters) seconds(name string, most time.Duration) time.Duration {
	s := p.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		p.fail(name, "want whole seconds")
		return 0
	}
	return min(time.Duration(n)*time.Second, most)
}
