package dashboard

import (
	"context"
	"net/http"
	"path"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

// route is one row of the table from which the API is registered, and with which
// openapi.json is compared.
type route struct {
	pattern string
	need    hook.Role
	query   []string // the parameters that it reads; any other is refused
	handle  func(*api, http.ResponseWriter, *http.Request)
}

// routes are all there are. Reading a feed makes its cursor if it is new, so
// looking is not enough for it.
func routes() []route {
	filter := []string{"source", "type", "state", "subject", "key", "since", "until", "q", "json"}
	return []route{
		{"GET /api/v1/events", hook.RoleViewer, slices.Concat(filter, []string{"limit", "cursor"}), (*api).listEvents},
		{"GET /api/v1/events/{id}", hook.RoleViewer, nil, (*api).showEvent},
		{"GET /api/v1/events/{id}/raw", hook.RoleViewer, nil, (*api).rawBody},
		{"POST /api/v1/events/{id}/replay", hook.RoleOperator, nil, (*api).replay},
		{"POST /api/v1/events/{id}/discard", hook.RoleOperator, nil, (*api).discard},
		{"GET /api/v1/sources", hook.RoleViewer, nil, (*api).listSources},
		{"GET /api/v1/rejections", hook.RoleViewer, []string{"source", "limit"}, (*api).listRejections},
		{"GET /api/v1/nodes", hook.RoleViewer, nil, (*api).listNodes},
		{"GET /api/v1/alarms", hook.RoleViewer, []string{"limit"}, (*api).listAlarms},
		{"GET /api/v1/counts", hook.RoleViewer, nil, (*api).counts},
		{"GET /api/v1/history", hook.RoleViewer, nil, (*api).history},
		{"GET /api/v1/export", hook.RoleViewer, filter, (*api).export},
		{"GET /api/v1/feeds/{name}", hook.RoleOperator, []string{"source", "type", "since", "limit", "wait"}, (*api).readFeed},
		{"POST /api/v1/feeds/{name}/advance", hook.RoleOperator, nil, (*api).advanceFeed},
		{"GET /api/v1/jobs", hook.RoleViewer, []string{"handler", "state", "limit", "cursor"}, (*api).listJobs},
		{"GET /api/v1/dead", hook.RoleViewer, nil, (*api).listDead},
		{"GET /api/v1/pauses", hook.RoleViewer, nil, (*api).listPauses},
		{"POST /api/v1/handlers/{name}/pause", hook.RoleOperator, nil, (*api).pause},
		{"GET /api/v1/bulk-replays", hook.RoleViewer, []string{"limit"}, (*api).listBulk},
		{"POST /api/v1/bulk-replays", hook.RoleOperator, nil, (*api).addBulk},
		{"GET /api/v1/bulk-replays/{id}", hook.RoleViewer, nil, (*api).oneBulk},
		{"POST /api/v1/bulk-replays/{id}", hook.RoleOperator, nil, (*api).steerBulk},
		{"GET /api/v1/approvals", hook.RoleViewer, []string{"limit"}, (*api).listApprovals},
		{"GET /api/v1/approvals/{id}", hook.RoleViewer, nil, (*api).showApproval},
		{"POST /api/v1/approvals/{id}/approve", hook.RoleOperator, nil, (*api).approve},
		{"POST /api/v1/approvals/{id}/refuse", hook.RoleOperator, nil, (*api).refuse},
		{"GET /api/v1/audit", hook.RoleViewer, []string{"limit", "cursor"}, (*api).listAudit},
		{"GET /api/v1/audit/verify", hook.RoleViewer, nil, (*api).verifyAudit},
		{"GET /api/v1/retention", hook.RoleViewer, nil, (*api).retention},
		{"GET /api/v1/holds", hook.RoleViewer, []string{"event", "limit"}, (*api).listHolds},
		{"POST /api/v1/holds", hook.RoleOperator, nil, (*api).addHold},
		{"POST /api/v1/holds/{id}/release", hook.RoleAdmin, nil, (*api).releaseHold},
		{"GET /api/v1/erasures", hook.RoleViewer, []string{"limit"}, (*api).listErasures},
		{"POST /api/v1/erasures", hook.RoleAdmin, nil, (*api).addErasure},
		{"GET /api/v1/erasures/{id}", hook.RoleViewer, nil, (*api).showErasure},
		{"POST /api/v1/erasures/{id}/cancel", hook.RoleAdmin, nil, (*api).cancelErasure},
		{"GET /api/v1/tokens", hook.RoleAdmin, nil, (*api).listTokens},
		{"POST /api/v1/tokens", hook.RoleAdmin, nil, (*api).addToken},
		{"DELETE /api/v1/tokens/{name}", hook.RoleAdmin, nil, (*api).revokeToken},
		{"GET /api/v1/openapi.json", hook.RoleViewer, nil, (*api).openAPI},
	}
}

func (a *api) register(rt route) {
	a.mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) {
		v := visitorOf(r.Context())
		if !v.role.Allows(rt.need) {
			forbidden(w, v, rt.need)
			return
		}
		p := queryOf(r, rt.query)
		if p.err != nil {
			a.fail(w, r, p.err)
			return
		}
		rt.handle(a, w, r.WithContext(context.WithValue(r.Context(), queryKey{}, p)))
	})
}

type (
	visitorKey struct{}
	queryKey   struct{}
)

func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// parametersOf are those of the route that a handler answers.
func parametersOf(r *http.Request) *parameters {
	p, ok := r.Context().Value(queryKey{}).(*parameters)
	if !ok {
		panic("dashboard: a handler outside the table of routes")
	}
	return p
}

// ServeHTTP asks for the token first, so that a stranger learns nothing of what
// exists, not even a route.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	v, ok := a.gate.enter(w, r)
	if !ok {
		return
	}
	// ServeMux would redirect an unclean path; no route of ours has one.
	if path.Clean(r.URL.Path) != r.URL.Path {
		problem(w, http.StatusNotFound, "no such route")
		return
	}
	h, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.noRoute(w, r, h)
		return
	}
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
}

// noRoute turns ServeMux's own plain texts into problem documents.
func (a *api) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		problem(w, probe.status, "this route does not take "+r.Method)
		return
	}
	problem(w, http.StatusNotFound, "no such route")
}

// statusProbe keeps the status and headers of an answer and drops its text.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
