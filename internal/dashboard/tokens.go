package dashboard

import (
	_ "embed" // openapi.json
	"encoding/hex"
	"net/http"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed openapi.json
var openAPIDocument []byte

func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.doc) // a peer that has gone needs no answer
}

// tokenOrder is the body of the order to keep a token. The token itself is made
// by whoever will use it, and never comes here.
type tokenOrder struct {
	Name   string    `json:"name"`
	Role   hook.Role `json:"role"`
	SHA256 string    `json:"sha256"`
}

// tokens gives the keeper of tokens, or answers that there is none.
func (a *api) tokens(w http.ResponseWriter) (hook.TokenKeeper, bool) {
	if a.gate.keeper == nil {
		problem(w, http.StatusNotImplemented, "the store of this hookkeeper keeps no tokens")
		return nil, false
	}
	return a.gate.keeper, true
}

func (a *api) listTokens(w http.ResponseWriter, r *http.Request) {
	keeper, ok := a.tokens(w)
	if !ok {
		return
	}
	list, err := keeper.Tokens(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if list == nil {
		list = []hook.TokenInfo{}
	}
	answer(w, map[string]any{"tokens": list})
}

func (a *api) addToken(w http.ResponseWriter, r *http.Request) {
	var order tokenOrder
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	sum, err := hex.DecodeString(order.SHA256)
	if err != nil || len(sum) != len(hook.TokenHash{}) {
		a.fail(w, r, &badInput{"sha256", "want the SHA-256 of the token, 64 hex digits"})
		return
	}
	if !order.Role.Allows(hook.RoleViewer) {
		a.fail(w, r, &badInput{"role", "want viewer, operator or admin"})
		return
	}
	keeper, ok := a.tokens(w)
	if !ok {
		return
	}
	t := hook.NewToken{Name: order.Name, Role: order.Role, Hash: hook.TokenHash(sum)}
	if err := keeper.AddToken(r.Context(), t, actorOf(r)); err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"name": order.Name, "role": order.Role})
}

func (a *api) revokeToken(w http.ResponseWriter, r *http.Request) {
	keeper, ok := a.tokens(w)
	if !ok {
		return
	}
	name := r.PathValue("name")
	err := keeper.RevokeToken(r.Context(), name, actorOf(r))
	a.gate.forget()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, map[string]any{"name": name})
}
