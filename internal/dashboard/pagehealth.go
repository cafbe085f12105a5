package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// When the overview says that something wants a look.
const (
	oldJob      = 5 * time.Minute // an open job that is so old
	silentTimes = 20              // usual gaps of silence
	silentLeast = 10 * time.Minute
	burst       = 10 // refused signatures within ten minutes
	burstTime   = 10 * time.Minute
	failShare   = 30  // percent of a handler's newest attempts
	failLeast   = 10  // attempts that say something
	recentNotes = 200 // refused deliveries that are counted: each brings its body along
)

// concern is something that wants a look.
type concern struct {
	Grave bool
	Text  string
	Link  string
}

// sourceRow is a source as pages show it.
type sourceRow struct {
	SourceInfo
	Last    time.Time
	Gap     time.Duration
	Silent  bool
	Refused int
	Hour    int64
}

// overviewPage is the state of everything now.
type overviewPage struct {
	Concerns []concern
	Hour     int64
	Chart    show.Chart
	Totals   []stateCount
	Oldest   time.Time
	Dead     int64
	Sources  []sourceRow
	Nodes    int // alive
	Events   int64
	Empty    bool
	NoDesk   bool
	Partial  bool
}

func (p *Pages) overview(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	counts, err := p.counts(ctx)
	if err != nil {
		return err
	}
	page := overviewPage{Totals: totals(counts), Events: counts.Events, Empty: counts.Events == 0, NoDesk: p.desk == nil}
	var traffic *hook.Traffic
	if p.desk != nil {
		if traffic, err = p.desk.Traffic(ctx, v.Now.Add(-time.Hour)); err != nil {
			page.Partial = true
		}
	}
	if traffic == nil {
		traffic = &hook.Traffic{}
	}
	page.Chart = show.Bars(v.T("overview.minutes"), minutePoints(traffic, "", counts.StoreTime))
	page.Hour = page.Chart.Total
	for _, states := range counts.Jobs {
		page.Dead += states[hook.StateDead]
	}
	for _, at := range counts.OldestJob {
		if page.Oldest.IsZero() || at.Before(page.Oldest) {
			page.Oldest = at
		}
	}
	nodes, err := p.nodeList(ctx)
	if err != nil {
		page.Partial = true
	}
	for _, n := range nodes {
		if n.Alive {
			page.Nodes++
		}
	}
	if page.Sources, err = p.sourceRows(ctx, v, counts, traffic); err != nil {
		page.Partial = true
	}
	raised, err := p.raised(ctx, v)
	if err != nil {
		page.Partial = true
	}
	page.Concerns = concernsOf(v, &page, counts, traffic, raised)
	return p.render(w, v, http.StatusOK, "overview", page)
}

// concernsOf looks over everything and names what is not as usual, gravest first.
// What an alarm says already is not said twice; which source is silent is the
// alarms' to know, where there are any.
func concernsOf(v *view, page *overviewPage, counts hook.Counts, traffic *hook.Traffic, raised *raisedAlarms) []concern {
	var all []concern
	for _, a := range raised.all {
		all = append(all, concern{a.Grave, a.What, a.Page})
	}
	add := func(grave bool, link, key string, fill ...any) {
		all = append(all, concern{grave, v.T(key, fill...), link})
	}
	if page.Dead > 0 && !raised.any("dead_letters") {
		add(true, "dead", "concern.dead", page.Dead)
	}
	for _, name := range sortedKeys(counts.OldestJob) {
		if age := counts.StoreTime.Sub(counts.OldestJob[name]); age > oldJob && !raised.has("oldest_job", name) {
			add(false, "jobs?handler="+urlEscape(name), "concern.old", name, v.Span(age))
		}
	}
	for _, s := range page.Sources {
		if s.Silent && !raised.known {
			add(false, "sources", "concern.silent", s.Name, v.Span(v.Now.Sub(s.Last)), v.Span(s.Gap))
		}
		if s.Refused >= burst && !raised.has("bad_signatures", s.Name) {
			add(true, "rejected?source="+urlEscape(s.Name), "concern.refused", s.Name, s.Refused)
		}
		for _, warning := range s.Warnings {
			add(false, "sources", "concern.warning", s.Name, warning)
		}
	}
	for _, s := range traffic.Handlers {
		if share := 100 * s.Failed / max(1, s.Attempts); s.Attempts >= failLeast && share >= failShare {
			add(false, "handlers", "concern.failing", s.Handler, share)
		}
	}
	slices.SortStableFunc(all, func(a, b concern) int { return cmp.Compare(graveFirst(a), graveFirst(b)) })
	return all
}

func graveFirst(c concern) int {
	if c.Grave {
		return 0
	}
	return 1
}

// sourceRows gathers what is known of every source.
func (p *Pages) sourceRows(ctx context.Context, v *view, counts hook.Counts, traffic *hook.Traffic) ([]sourceRow, error) {
	raised, err := p.raised(ctx, v)
	if err != nil {
		return nil, err
	}
	notes, err := p.ledger.Rejections(ctx, "", recentNotes)
	refused := map[string]int{}
	for _, n := range notes {
		if v.Now.Sub(n.At) < burstTime {
			refused[n.Source]++
		}
	}
	var rows []sourceRow
	for _, s := range p.sources {
		row := sourceRow{SourceInfo: s, Last: counts.LastEvent[s.Name], Refused: refused[s.Name]}
		for _, h := range traffic.Habits {
			if h.Source == s.Name && h.Events >= failLeast {
				row.Gap = h.Gap
			}
		}
		for _, m := range traffic.Minutes {
			if m.Source == s.Name {
				row.Hour += m.N
			}
		}
		since := v.Now.Sub(row.Last)
		row.Silent = row.Gap > 0 && since > silentLeast && since > silentTimes*row.Gap
		if raised.known { // they know its habit better
			row.Silent = raised.has("source_silent", s.Name)
		}
		rows = append(rows, row)
	}
	return rows, err
}

func (p *Pages) nodeList(ctx context.Context) ([]nodeAnswer, error) {
	if p.nodes == nil {
		return nil, nil
	}
	nodes, err := p.nodes.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return aliveOnes(nodes), nil
}

// minutePoints are the sixty minutes up to now; those that nothing is known of
// are gaps.
func minutePoints(t *hook.Traffic, source string, now time.Time) []show.Point {
	if now.IsZero() {
		return nil
	}
	sums := map[time.Time]int64{}
	for _, m := range t.Minutes {
		if source == "" || m.Source == source {
			sums[m.Minute.UTC()] += m.N
		}
	}
	var points []show.Point
	first := now.UTC().Truncate(time.Minute).Add(-59 * time.Minute)
	for i := range 60 {
		at := first.Add(time.Duration(i) * time.Minute)
		n, ok := sums[at]
		if !ok && at.Before(t.Whole) {
			n = -1
		}
		points = append(points, show.Point{At: at, Value: n})
	}
	return points
}

// hourPoints are so many hours up to now, of the outcomes that which names.
func hourPoints(t *hook.Traffic, now time.Time, hours int, which func(hook.HourCount) bool) []show.Point {
	sums := map[time.Time]int64{}
	for _, h := range t.Hours {
		if which(h) {
			sums[h.Hour.UTC()] += h.N
		}
	}
	first := now.UTC().Truncate(time.Hour).Add(-time.Duration(hours-1) * time.Hour)
	points := make([]show.Point, hours)
	for i := range points {
		at := first.Add(time.Duration(i) * time.Hour)
		points[i] = show.Point{At: at, Value: sums[at]}
	}
	return points
}

func (p *Pages) listSources(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	counts, err := p.counts(ctx)
	if err != nil {
		return err
	}
	traffic := &hook.Traffic{}
	if p.desk != nil {
		if traffic, err = p.desk.Traffic(ctx, v.Now.Add(-time.Hour)); err != nil {
			return err
		}
	}
	rows, err := p.sourceRows(ctx, v, counts, traffic)
	if err != nil {
		return err
	}
	return p.render(w, v, http.StatusOK, "sources", rows)
}

// metricsPage are the charts.
type metricsPage struct {
	Range    string
	Ranges   []string
	Source   string
	Sources  []string
	Charts   []show.Chart
	Handlers []hook.HandlerSpeed
	NoDesk   bool
}

// ranges are the lengths of time that charts come in, in hours.
func ranges() map[string]int { return map[string]int{"1h": 1, "24h": 24, "7d": 168} }

func (p *Pages) metrics(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	q := r.URL.Query()
	page := metricsPage{Range: q.Get("range"), Ranges: []string{"1h", "24h", "7d"}, Source: q.Get("source"),
		Sources: p.sourceNames(), NoDesk: p.desk == nil}
	hours := ranges()[page.Range]
	if hours == 0 {
		page.Range, hours = "24h", 24
	}
	if p.desk != nil {
		counts, err := p.counts(ctx)
		if err != nil {
			return err
		}
		traffic, err := p.desk.Traffic(ctx, v.Now.Add(-time.Duration(hours)*time.Hour))
		if err != nil {
			return err
		}
		page.Handlers = traffic.Handlers
		page.Charts = p.charts(v, page, hours, counts.StoreTime, traffic)
	}
	return p.render(w, v, http.StatusOK, "metrics", page)
}

func (p *Pages) charts(v *view, page metricsPage, hours int, now time.Time, t *hook.Traffic) []show.Chart {
	sources := page.Sources
	if page.Source != "" {
		sources = []string{page.Source}
	}
	var all []show.Chart
	if hours == 1 {
		for _, s := range sources {
			all = append(all, show.Bars(s, minutePoints(t, s, now)))
		}
		return all
	}
	outcomes := map[string]bool{}
	for _, h := range t.Hours {
		outcomes[h.Outcome] = true
	}
	for _, outcome := range sortedKeys(outcomes) {
		all = append(all, show.Bars(v.T("metrics.outcome", outcome), hourPoints(t, now, hours, func(h hook.HourCount) bool {
			return h.Outcome == outcome && (page.Source == "" || h.Source == page.Source)
		})))
	}
	for _, s := range sources {
		all = append(all, show.Bars(s, hourPoints(t, now, hours, func(h hook.HourCount) bool { return h.Source == s })))
	}
	return all
}
