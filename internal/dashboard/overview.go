package dashboard

import (
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

func (a *api) listSources(w http.ResponseWriter, r *http.Request) {
	counts, err := a.ledger.Counts(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := make([]SourceInfo, len(a.sources))
	for i, s := range a.sources {
		if at, ok := counts.LastEvent[s.Name]; ok {
			s.LastEvent = &at
		}
		list[i] = s
	}
	answer(w, map[string]any{"sources": list})
}

func (a *api) listRejections(w http.ResponseWriter, r *http.Request) {
	p := parametersOf(r)
	source, limit := p.text("source"), p.number("limit", maxPage)
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	if limit == 0 {
		limit = 100
	}
	list, err := a.ledger.Rejections(r.Context(), source, limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if list == nil {
		list = []*hook.Rejection{}
	}
	answer(w, map[string]any{"rejections": list})
}

func (a *api) counts(w http.ResponseWriter, r *http.Request) {
	counts, err := a.ledger.Counts(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, counts)
}

// nodeAnswer is a node as operators see it.
type nodeAnswer struct {
	Name      string    `json:"name"`
	Roles     []string  `json:"roles"`
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`
	Alive     bool      `json:"alive"`
}

// aliveFor is three heartbeats and a little.
const aliveFor = 10 * time.Second

// listNodes gives the nodes that share the store; none where one process has it
// alone. Whoever answers here is among them and alive, so the newest sign of life
// is the store's present.
func (a *api) listNodes(w http.ResponseWriter, r *http.Request) {
	list := []nodeAnswer{}
	keeper, ok := a.ledger.(hook.NodeKeeper)
	if !ok {
		answer(w, map[string]any{"nodes": list})
		return
	}
	nodes, err := keeper.Nodes(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list = append(list, aliveOnes(nodes)...)
	answer(w, map[string]any{"nodes": list})
}

// aliveOnes says of each node whether it gave a sign of life of late, by the
// clock of the store.
func aliveOnes(nodes []hook.NodeInfo) []nodeAnswer {
	var newest time.Time
	for _, n := range nodes {
		if n.SeenAt.After(newest) {
			newest = n.SeenAt
		}
	}
	var list []nodeAnswer
	for _, n := range nodes {
		list = append(list, nodeAnswer{n.Name, n.Roles, n.StartedAt, n.SeenAt, newest.Sub(n.SeenAt) < aliveFor})
	}
	return list
}
