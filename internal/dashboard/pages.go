package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// maxForm is what an operator may fill in.
const maxForm = 64 << 10

// PagesConfig is what the pages stand on. Ledger and Gate are required. What the
// store can do besides is found out: hook.Desk, hook.Planner, hook.Pauser,
// hook.BulkKeeper, hook.SessionKeeper, hook.TokenKeeper, hook.NodeKeeper.
type PagesConfig struct {
	Ledger  hook.Ledger
	Sources []SourceInfo
	Routes  []hook.Route // of this node, without need of their handlers
	Gate    *Gate
	Logger  *slog.Logger
	Now     func() time.Time
	// Alarms gives alarms; nil: there are none.
	Alarms hook.AlarmBook
	// Previews plans a replay and says what it would change; nil: the pages say
	// what would be queued, and no more.
	Previews hook.Planner
	// Draining is closed when hookkeeper shuts down; live tails then end.
	Draining <-chan struct{}
	// Retention is what is kept how long.
	Retention hook.Retention
	// Approvals are the API's; nil: nothing needs a second person.
	Approvals *Approvals
	// Operations are those of departments; the pages show the lists among them.
	Operations []hook.Operation
	// Again verifies a refused delivery with the present secrets, as of its
	// arrival, and records it if it passes. Nil: the pages do not offer it.
	Again func(ctx context.Context, d hook.Delivery) (hook.Receipt, error)
	// Outages names the handlers for which nobody answers on this node, and since when. Nil: the pages do not say.
	Outages func() map[string]time.Time
}

// Pages are the operators' pages below /dashboard/. They work without a script,
// change nothing on a GET, and show nothing without a session. Safe for
// concurrent use; they start nothing.
type Pages struct {
	// fixed after NewPages
	ledger    hook.Ledger
	desk      hook.Desk       // nil: the store has none
	planner   hook.Planner    // likewise
	previews  hook.Planner    // likewise
	approvals *Approvals      // likewise
	pauser    hook.Pauser     // likewise
	bulk      hook.BulkKeeper // likewise
	nodes     hook.NodeKeeper // likewise
	alarms    hook.AlarmBook  // likewise
	holds     hook.HoldKeeper // likewise
	erasures  hook.ErasureKeeper
	keep      hook.Retention
	sessions  hook.SessionKeeper
	gate      *Gate
	sources   []SourceInfo
	routes    []hook.Route
	records   []recordKind
	extra     []string
	again     func(ctx context.Context, d hook.Delivery) (hook.Receipt, error)
	outages   func() map[string]time.Time
	log       *slog.Logger
	now       func() time.Time
	draining  <-chan struct{}
	frames    *frames
	masker    *show.Masker
	cross     *http.CrossOriginProtection
	mux       *http.ServeMux
	tails     chan struct{}
	tickets   tickets

	counted counted
	pending pending
}

// counted are totals that every page shows, kept for a moment.
type counted struct {
	mu     sync.Mutex
	until  time.Time   // guarded by mu
	counts hook.Counts // guarded by mu
}

// NewPages returns the pages. It panics without a ledger or a gate, which is an
// error of the programmer.
func NewPages(c PagesConfig) *Pages {
	if c.Ledger == nil || c.Gate == nil {
		panic("dashboard: pages without a ledger or a gate")
	}
	p := &Pages{
		ledger: c.Ledger, gate: c.Gate, sources: c.Sources, routes: c.Routes, again: c.Again, outages: c.Outages, log: c.Logger, now: c.Now,
		draining: c.Draining, masker: show.NewMasker(), cross: http.NewCrossOriginProtection(), mux: http.NewServeMux(),
		tails: make(chan struct{}, maxTails), tickets: tickets{all: map[hook.TokenHash]time.Time{}},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.outages == nil {
		p.outages = func() map[string]time.Time { return nil }
	}
	p.desk, _ = c.Ledger.(hook.Desk)
	p.planner, _ = c.Ledger.(hook.Planner)
	p.previews, p.approvals = c.Previews, c.Approvals
	p.pauser, _ = c.Ledger.(hook.Pauser)
	p.bulk, _ = c.Ledger.(hook.BulkKeeper)
	p.nodes, _ = c.Ledger.(hook.NodeKeeper)
	p.alarms, p.keep = c.Alarms, c.Retention
	p.holds, _ = c.Ledger.(hook.HoldKeeper)
	p.erasures, _ = c.Ledger.(hook.ErasureKeeper)
	var ok bool
	if p.sessions, ok = c.Ledger.(hook.SessionKeeper); !ok {
		p.sessions = newSessionBook(p.now)
	}
	var err error
	if p.frames, err = readFrames(); err != nil {
		panic("dashboard: " + err.Error()) // files that are built in; a test renders each
	}
	p.takeRecords(c.Operations)
	for _, s := range pageRoutes() {
		p.register(s)
	}
	return p
}

// sheet is one row of the table of pages. A row without a role is open to all.
type sheet struct {
	pattern string
	need    hook.Role
	here    string // its entry of the navigation
	handle  func(*Pages, http.ResponseWriter, *http.Request, *view) error
}

// pageRoutes are all there are.
func pageRoutes() []sheet {
	const v, o, a = hook.RoleViewer, hook.RoleOperator, hook.RoleAdmin
	return []sheet{
		{"GET /dashboard/assets/{file}", "", "", (*Pages).asset},
		{"GET /dashboard/login", "", "", (*Pages).showLogin},
		{"POST /dashboard/login", "", "", (*Pages).login},
		{"POST /dashboard/logout", "", "", (*Pages).logout},
		{"GET /dashboard/{$}", v, "overview", (*Pages).overview},
		{"GET /dashboard/alarms", v, "alarms", (*Pages).listAlarms},
		{"GET /dashboard/search", v, "events", (*Pages).search},
		{"GET /dashboard/events", v, "events", (*Pages).events},
		{"GET /dashboard/events/tail", v, "events", (*Pages).tail},
		{"GET /dashboard/events/{id}", v, "events", (*Pages).event},
		{"POST /dashboard/events/{id}/reveal", a, "events", (*Pages).reveal},
		{"GET /dashboard/events/{id}/replay", o, "events", (*Pages).planReplay},
		{"POST /dashboard/events/{id}/replay", o, "events", (*Pages).replay},
		{"POST /dashboard/events/{id}/discard", o, "events", (*Pages).discard},
		{"GET /dashboard/rejected", v, "rejected", (*Pages).rejected},
		{"GET /dashboard/rejected/{note}", v, "rejected", (*Pages).rejection},
		{"POST /dashboard/rejected/{note}/again", o, "rejected", (*Pages).verifyAgain},
		{"GET /dashboard/jobs", v, "jobs", (*Pages).jobs},
		{"GET /dashboard/dead", v, "dead", (*Pages).dead},
		{"GET /dashboard/bulk", v, "bulk", (*Pages).bulks},
		{"GET /dashboard/bulk/new", o, "bulk", (*Pages).newBulk},
		{"POST /dashboard/bulk/new", o, "bulk", (*Pages).startBulk},
		{"GET /dashboard/bulk/{id}", v, "bulk", (*Pages).oneBulk},
		{"POST /dashboard/bulk/{id}", o, "bulk", (*Pages).steerBulk},
		{"GET /dashboard/sources", v, "sources", (*Pages).listSources},
		{"GET /dashboard/handlers", v, "handlers", (*Pages).handlers},
		{"POST /dashboard/handlers/{name}", o, "handlers", (*Pages).pause},
		{"GET /dashboard/metrics", v, "metrics", (*Pages).metrics},
		{"GET /dashboard/records/{kind}", v, "", (*Pages).listRecords},
		{"GET /dashboard/records/{kind}/{id}", v, "", (*Pages).oneRecord},
		{"GET /dashboard/privacy", v, "privacy", (*Pages).privacy},
		{"POST /dashboard/privacy/hold", o, "privacy", (*Pages).addHold},
		{"POST /dashboard/privacy/release", a, "privacy", (*Pages).releaseHold},
		{"POST /dashboard/privacy/erase", a, "privacy", (*Pages).addErasure},
		{"POST /dashboard/privacy/cancel", a, "privacy", (*Pages).cancelErasure},
		{"GET /dashboard/approvals", v, "approvals", (*Pages).listApprovals},
		{"POST /dashboard/approvals/{id}", o, "approvals", (*Pages).decideApproval},
		{"GET /dashboard/audit", v, "audit", (*Pages).audit},
		{"POST /dashboard/audit", v, "audit", (*Pages).verifyAudit},
		{"GET /dashboard/settings", v, "settings", (*Pages).settings},
		{"POST /dashboard/settings", v, "settings", (*Pages).setSettings},
	}
}

func (p *Pages) register(s sheet) {
	p.mux.HandleFunc(s.pattern, func(w http.ResponseWriter, r *http.Request) {
		v := p.newView(r)
		v.Here = s.here
		if s.need != "" && !p.admit(w, r, v, s) {
			return
		}
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				p.trouble(w, r, v, &badInput{"form", "cannot be read"})
				return
			}
		}
		if err := s.handle(p, w, r, v); err != nil {
			p.trouble(w, r, v, err)
		}
	})
}

// admit lets a visitor in whose role suffices, or answers.
func (p *Pages) admit(w http.ResponseWriter, r *http.Request, v *view, s sheet) bool {
	who, err := p.whose(r)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		if r.Method != http.MethodGet || strings.HasSuffix(r.URL.Path, "/tail") {
			p.say(w, v, http.StatusUnauthorized, "error.session", "")
			return false
		}
		target := "login"
		if v.Path != "" {
			target += "?next=" + urlEscape(v.Path)
		}
		p.to(w, v, target)
		return false
	case err != nil:
		p.trouble(w, r, v, err)
		return false
	}
	v.Who, v.Role = who.name, who.role
	v.SecondPerson, v.Waiting = p.approvals != nil, p.waiting(r.Context())
	if !who.role.Allows(s.need) {
		p.say(w, v, http.StatusForbidden, "error.role", string(s.need))
		return false
	}
	return true
}

// ServeHTTP answers below /dashboard/. A form from another site is refused before
// anything is read of it.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	if r.URL.Path == "/dashboard" {
		w.Header().Set("Location", "dashboard/")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	if err := p.cross.Check(r); err != nil {
		p.say(w, p.newView(r), http.StatusForbidden, "error.origin", "")
		return
	}
	_, pattern := p.mux.Handler(r)
	if pattern == "" || path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") {
		v := p.newView(r)
		if who, err := p.whose(r); err == nil {
			v.Who, v.Role = who.name, who.role
			p.say(w, v, http.StatusNotFound, "error.page", "")
			return
		}
		p.say(w, v, http.StatusUnauthorized, "error.session", "")
		return
	}
	p.mux.ServeHTTP(w, r)
}

// oneSentence is a page that says what failed, and what to do.
type oneSentence struct {
	Key    string // of the catalogue
	Detail string
	Status int
}

func (p *Pages) say(w http.ResponseWriter, v *view, status int, key, detail string) {
	if err := p.render(w, v, status, "error", oneSentence{key, detail, status}); err != nil {
		p.log.Error("operator page", "error", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// trouble answers an error: what the store decided by its status, everything
// else as unavailable, with the cause in the log only.
func (p *Pages) trouble(w http.ResponseWriter, r *http.Request, v *view, err error) {
	bad, isBad := errors.AsType[*badInput](err)
	said, isSaid := errors.AsType[*hook.Problem](err)
	switch {
	case isBad:
		p.say(w, v, http.StatusBadRequest, "error.input", bad.Error())
	case isSaid:
		p.say(w, v, said.Status, "error.input", said.Detail)
	case errors.Is(err, hook.ErrBadFilter):
		p.say(w, v, http.StatusBadRequest, "error.input", err.Error())
	case errors.Is(err, hook.ErrNotFound):
		p.say(w, v, http.StatusNotFound, "error.notfound", err.Error())
	case errors.Is(err, hook.ErrRefused):
		p.say(w, v, http.StatusConflict, "error.refused", err.Error())
	case r.Context().Err() != nil:
		// The browser has gone; nobody reads an answer.
	default:
		p.log.Error("operator page", "method", r.Method, "route", r.Pattern, "error", err.Error())
		w.Header().Set("Retry-After", "2")
		p.say(w, v, http.StatusServiceUnavailable, "error.store", "")
	}
}

// asset gives a file of ours; its name changes with its content, so it may be
// kept for ever.
func (p *Pages) asset(w http.ResponseWriter, r *http.Request, _ *view) error {
	name := r.PathValue("file")
	content, err := pageFiles.ReadFile("assets/" + name)
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".svg": "image/svg+xml"}[path.Ext(name)]
	if err != nil || kind == "" {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content) // the browser has gone: nothing to tell
	return nil
}

// counts are the totals, at most five seconds old.
func (p *Pages) counts(ctx context.Context) (hook.Counts, error) {
	p.counted.mu.Lock()
	defer p.counted.mu.Unlock()
	if p.now().Before(p.counted.until) {
		return p.counted.counts, nil
	}
	counts, err := p.ledger.Counts(ctx)
	if err == nil {
		p.counted.counts, p.counted.until = counts, p.now().Add(countsFor)
	}
	return counts, err
}

// forget lets the next page count anew, after an act.
func (p *Pages) forget() {
	p.counted.mu.Lock()
	defer p.counted.mu.Unlock()
	p.counted.until = time.Time{}
}

const countsFor = 5 * time.Second
