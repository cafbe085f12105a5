package dashboard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

func urlEscape(s string) string { return url.QueryEscape(s) }

// eventFilter is the filter of the list as a form shows it.
type eventFilter struct {
	Source, Type, State, Subject, Key, Since, Until, Text, JSON string
}

// eventList is the page of the event log.
type eventList struct {
	Filter   eventFilter
	Query    string // of the filter, without cursor
	Events   []*hook.EventInfo
	Next     string
	Paged    bool // this is not the newest page
	Sources  []string
	States   []hook.State
	Unknown  []string // parameters that say nothing
	Live     bool
	BulkLink string
	CanBulk  bool
	Index    hook.Indexed
	Behind   time.Time // with a search of bodies: what came later may be missing; zero: nothing
	Down     time.Time // with a search that ended early: what came earlier is not looked at yet
}

// filterNames are those of the command line.
func filterNames() []string {
	return []string{"source", "type", "state", "subject", "key", "since", "until", "q", "json"}
}

// filterQuery reads a filter out of an address. What says nothing is named and
// otherwise ignored: a link with a mistake in it still leads somewhere.
func (p *Pages) filterQuery(q url.Values, v *view) (hook.Filter, eventFilter, []string) {
	get := func(name string) string {
		s := strings.TrimSpace(q.Get(name))
		if len(s) > maxParameter {
			return ""
		}
		return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	}
	form := eventFilter{get("source"), get("type"), get("state"), get("subject"), get("key"), get("since"), get("until"), get("q"), get("json")}
	f := hook.Filter{Source: form.Source, Type: form.Type, Subject: form.Subject, Key: form.Key, Words: form.Text}
	var unknown []string
	if s := hook.State(form.State); s == "" || slices.Contains(hook.Worst[:], s) {
		f.State = s
	} else {
		unknown = append(unknown, "state")
	}
	var ok bool
	if f.Path, f.Value, ok = pathValue(form.JSON); !ok {
		unknown = append(unknown, "json")
	}
	if f.Since, ok = v.instant(form.Since); !ok {
		unknown = append(unknown, "since")
	}
	if f.Until, ok = v.instant(form.Until); !ok {
		unknown = append(unknown, "until")
	}
	known := append(filterNames(), "cursor", "limit", "live", "done")
	for name := range q {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return f, form, unknown
}

// instant reads a time as people and links write it, in the visitor's zone where
// it names none; or a length such as 24h, up to now.
func (v *view) instant(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return v.Now.Add(-d), true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, v.location()); err == nil {
			return t, true
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// queryOfFilter writes a filter as an address, in a fixed order.
func queryOfFilter(f eventFilter, more ...string) string {
	q := url.Values{}
	for name, value := range map[string]string{"source": f.Source, "type": f.Type, "state": f.State,
		"subject": f.Subject, "key": f.Key, "since": f.Since, "until": f.Until, "q": f.Text, "json": f.JSON} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return q.Encode()
}

func (p *Pages) sourceNames() []string {
	names := make([]string, len(p.sources))
	for i, s := range p.sources {
		names[i] = s.Name
	}
	return names
}

func (p *Pages) events(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	f, form, unknown := p.filterQuery(q, v)
	f.Limit, f.Cursor = v.Rows, q.Get("cursor")
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	page, next, err := p.ledger.Events(ctx, f)
	if err != nil {
		return err
	}
	list := eventList{
		Filter: form, Query: queryOfFilter(form), Events: page, Paged: f.Cursor != "", Sources: p.sourceNames(),
		States: hook.Worst[:], Unknown: unknown, Live: q.Get("live") == "1" && f.Cursor == "",
		CanBulk: p.bulk != nil && v.Has(string(hook.RoleOperator)) && f.Words == "" && f.Path == "",
	}
	if err := p.searched(ctx, &list, f, next); err != nil {
		return err
	}
	list.BulkLink = "bulk/new?" + list.Query
	if next != "" {
		list.Next = queryOfFilter(form, "cursor", next)
	}
	return p.render(w, v, http.StatusOK, "events", list)
}

// pageTime is how long a page waits for the store; then it says so.
const pageTime = 5 * time.Second

// search leads to what a word means: an event's id, a sender's key, a subject, or
// else words of bodies.
func (p *Pages) search(w http.ResponseWriter, r *http.Request, v *view) error {
	word := strings.TrimSpace(r.URL.Query().Get("q"))
	if word == "" || len(word) > maxParameter {
		p.to(w, v, "events")
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	if e, err := p.ledger.Event(ctx, word); err == nil {
		p.to(w, v, "events/"+url.PathEscape(e.ID))
		return nil
	}
	found, _, err := p.ledger.Events(ctx, hook.Filter{Key: word, Limit: 1})
	if err != nil && !errors.Is(err, hook.ErrBadFilter) {
		return err
	}
	name := "subject"
	if len(found) > 0 {
		name = "key"
	} else if index, err := p.index(ctx); err == nil && index.Words {
		found, _, err := p.ledger.Events(ctx, hook.Filter{Subject: word, Limit: 1})
		if err != nil && !errors.Is(err, hook.ErrBadFilter) {
			return err
		}
		if len(found) == 0 {
			name = "q"
		}
	}
	p.to(w, v, "events?"+url.Values{name: {word}}.Encode())
	return nil
}

// index says what can be searched; nothing where the store does not search.
func (p *Pages) index(ctx context.Context) (n hook.Indexed, err error) {
	if searcher, ok := p.ledger.(hook.Searcher); ok {
		n, err = searcher.Indexed(ctx)
	}
	return n, err
}

// searched adds what there is to know about a search that may end early, and about
// the index if it looked into bodies.
func (p *Pages) searched(ctx context.Context, list *eventList, f hook.Filter, next string) (err error) {
	if list.Index, err = p.index(ctx); err != nil {
		return err
	}
	searcher, ok := p.ledger.(hook.Searcher)
	if !ok {
		return nil
	}
	if list.Index.Behind > 0 && (f.Words != "" || f.Path != "") {
		list.Behind = list.Index.Through
	}
	if next != "" && len(list.Events) < f.Limit {
		list.Down, err = searcher.SearchedTo(ctx, next)
	}
	return err
}

const (
	maxTails  = 16 // live tails at once; beyond it a page stays as it is
	tailLook  = time.Second
	tailRows  = 50  // at most so many at once
	tailSeen  = 500 // ids that are remembered as sent
	tailQuiet = 15 * time.Second
)

// tail sends new events as they are recorded, each as the row of the list that it
// is. A reader that comes back names the last one it had.
func (p *Pages) tail(w http.ResponseWriter, r *http.Request, v *view) error {
	select {
	case p.tails <- struct{}{}:
		defer func() { <-p.tails }()
	default:
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	f, _, _ := p.filterQuery(r.URL.Query(), v)
	f.Limit = tailRows
	t := &tailing{p: p, w: w, v: v, filter: f, seen: map[string]bool{}}
	if err := t.begin(r.Context(), r.Header.Get("Last-Event-ID")); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if t.send([]byte(": here\n\n")) != nil {
		return nil
	}
	look, quiet := time.NewTicker(tailLook), time.NewTicker(tailQuiet)
	defer look.Stop()
	defer quiet.Stop()
	// The status has gone out: whatever fails now ends the stream, and the
	// browser comes back.
	for {
		var err error
		select {
		case <-r.Context().Done():
			return nil
		case <-p.draining:
			return nil
		case <-quiet.C:
			if _, gone := p.whose(r); gone != nil {
				return nil // the session is over
			}
			err = t.send([]byte(": still here\n\n"))
		case <-look.C:
			err = t.look(r.Context())
		}
		if err != nil {
			return nil
		}
	}
}

// tailing is one live tail. Rows may be committed out of order, so what was sent
// is known by id.
type tailing struct {
	p      *Pages
	w      http.ResponseWriter
	v      *view
	filter hook.Filter
	seen   map[string]bool
	order  []string
}

// begin takes everything up to now as seen, or up to the event that the reader
// had last.
func (t *tailing) begin(ctx context.Context, last string) error {
	page, _, err := t.p.ledger.Events(ctx, t.filter)
	if err != nil {
		return err
	}
	from := 0
	if last != "" {
		from = slices.IndexFunc(page, func(e *hook.EventInfo) bool { return e.ID == last })
		if from < 0 {
			from = len(page) // it was away for longer than a page: all of it is new
		}
	}
	for _, e := range slices.Backward(page[from:]) {
		t.note(e.ID)
	}
	return nil
}

func (t *tailing) note(id string) {
	t.seen[id] = true
	t.order = append(t.order, id)
	if len(t.order) > tailSeen {
		delete(t.seen, t.order[0])
		t.order = t.order[1:]
	}
}

func (t *tailing) look(ctx context.Context) error {
	page, _, err := t.p.ledger.Events(ctx, t.filter)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(page) {
		if t.seen[e.ID] {
			continue
		}
		t.note(e.ID)
		row, err := t.p.fragment(t.v, "events", "row", e)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		b.WriteString("id: " + fileName(e.ID) + "\n")
		for line := range bytes.SplitSeq(row, []byte("\n")) {
			b.WriteString("data: ")
			b.Write(line)
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
		if err := t.send(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (t *tailing) send(b []byte) error {
	c := http.NewResponseController(t.w)
	if err := c.SetWriteDeadline(time.Now().Add(linePatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := t.w.Write(b); err != nil {
		return err
	}
	return c.Flush()
}
