package dashboard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	tokenMemory   = 2 * time.Second // how long a kept token is believed without asking the store
	maxRemembered = 256             // kept tokens believed at once
)

// GateConfig says who may come in. The zero value lets nobody in.
type GateConfig struct {
	// Tokens are the configured operator tokens; each may do everything.
	Tokens []string
	// Keeper has the kept ones, each with its role. Nil means there are none.
	Keeper hook.TokenKeeper
	// Now is the clock of the pauses after wrong tokens; nil means the process's.
	Now func() time.Time
	// Logger is told of guessing; nil means no log.
	Logger *slog.Logger
}

// Gate lets operators in by their tokens, with the role of each. After ten wrong
// tokens within a minute from one address, or a hundred from all together, it
// looks at no more of them for a minute. It is safe for concurrent use; the API
// and the metrics share one.
type Gate struct {
	configured [][sha256.Size]byte
	keeper     hook.TokenKeeper
	now        func() time.Time
	log        *slog.Logger
	brake      *brake

	mu    sync.Mutex
	known map[hook.TokenHash]remembered // guarded by mu
}

// visitor is who came in.
type visitor struct {
	name string // for the audit trail
	role hook.Role
}

type remembered struct {
	visitor
	until time.Time
}

// NewGate returns a gate. Tokens that are blank open nothing.
func NewGate(c GateConfig) *Gate {
	g := &Gate{keeper: c.Keeper, now: c.Now, log: c.Logger, known: map[hook.TokenHash]remembered{}}
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.brake = newBrake(g.now)
	for _, token := range c.Tokens {
		if strings.TrimSpace(token) != "" {
			g.configured = append(g.configured, sha256.Sum256([]byte(token)))
		}
	}
	return g
}

// enter finds out who asks, or answers that nobody does.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request) (visitor, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		unauthorized(w) // no guess, so it does not count as one
		return visitor{}, false
	}
	address := addressOf(r)
	if wait := g.brake.shut(address); wait > 0 {
		tooManyWrong(w, wait)
		return visitor{}, false
	}
	v, err := g.find(r.Context(), sha256.Sum256([]byte(token)))
	switch {
	case err == nil:
		return v, true
	case errors.Is(err, hook.ErrNotFound):
		g.turnAway(w, address)
	case r.Context().Err() != nil:
		// The peer has gone; nobody reads an answer.
	default:
		g.log.Error("operator token", "error", err.Error())
		w.Header().Set("Retry-After", "2")
		problem(w, http.StatusServiceUnavailable, "the token cannot be looked up now, the log of hookkeeper says why")
	}
	return visitor{}, false
}

func (g *Gate) turnAway(w http.ResponseWriter, address string) {
	wait, tooMany := g.brake.wrong(address)
	if tooMany {
		g.log.Warn("operator tokens: too many wrong ones, no more are looked at for a minute", "address", address)
	}
	if wait > 0 {
		tooManyWrong(w, wait)
		return
	}
	unauthorized(w)
}

// find compares with every configured token, always all of them: the time taken
// says nothing. Only then it looks for a kept one.
func (g *Gate) find(ctx context.Context, hash hook.TokenHash) (visitor, error) {
	match := 0
	for i, want := range g.configured {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], want[:]), i+1, match)
	}
	if match != 0 {
		return visitor{fmt.Sprintf("operator token %d", match), hook.RoleAdmin}, nil
	}
	if g.keeper == nil {
		return visitor{}, hook.ErrNotFound
	}
	if v, ok := g.remember(hash); ok {
		return v, nil
	}
	name, role, err := g.keeper.TokenRole(ctx, hash)
	if err != nil {
		return visitor{}, err
	}
	v := visitor{"token " + name, role}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxRemembered {
		clear(g.known)
	}
	g.known[hash] = remembered{v, g.now().Add(tokenMemory)}
	return v, nil
}

// remember spares the store the question for a moment, no longer: a revoked
// token must stop working.
func (g *Gate) remember(hash hook.TokenHash) (visitor, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok := g.known[hash]
	return known.visitor, ok && g.now().Before(known.until)
}

// forget makes a change of the kept tokens hold at once.
func (g *Gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.known)
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="hookkeeper"`)
	problem(w, http.StatusUnauthorized, "an operator token is needed: Authorization: Bearer TOKEN")
}

func tooManyWrong(w http.ResponseWriter, wait time.Duration) {
	seconds := strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	w.Header().Set("Retry-After", seconds)
	problem(w, http.StatusTooManyRequests, "too many wrong operator tokens: try again in "+seconds+" s")
}

// forbidden answers a token whose role does not suffice.
func forbidden(w http.ResponseWriter, v visitor, need hook.Role) {
	problem(w, http.StatusForbidden, fmt.Sprintf("%s has the role %s, this needs %s", v.name, v.role, need))
}

// Guard lets only requests with an operator token through to h, whatever its
// role; open lets all through, as on a loopback listener.
func (g *Gate) Guard(h http.Handler, open bool) http.Handler {
	if open {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := g.enter(w, r); ok {
			h.ServeHTTP(w, r)
		}
	})
}
