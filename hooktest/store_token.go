package hooktest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// tokens: a store keeps operator tokens by their hash. A store that is no
// hook.TokenKeeper passes.
func tokens() map[string]func(*bench) {
	return withRole("this store keeps no tokens", map[string]func(*bench, hook.TokenKeeper){
		"ATokenIsFoundByItsHash":      tokenFound,
		"ARevokedTokenIsFoundNoMore":  tokenRevoked,
		"ATokensNameIsGivenOnce":      tokenNames,
		"BadTokensAreRefused":         tokenBad,
		"TheNumberOfTokensIsBounded":  tokenBound,
		"ChangesOfTokensAreNoHistory": tokenHistory,
	})
}

// addToken keeps a token whose text is its name.
func addToken(b *bench, k hook.TokenKeeper, name string, role hook.Role) hook.TokenHash {
	b.Helper()
	hash := hook.TokenHash(sha256.Sum256([]byte(name)))
	if err := k.AddToken(b.Context(), hook.NewToken{Name: name, Role: role, Hash: hash}, "me"); err != nil {
		b.Fatalf("add token %s: %v", name, err)
	}
	return hash
}

func wantRole(b *bench, k hook.TokenKeeper, hash hook.TokenHash, wantName string, wantRole hook.Role) {
	b.Helper()
	name, role, err := k.TokenRole(b.Context(), hash)
	if wantName == "" {
		if !errors.Is(err, hook.ErrNotFound) || name != "" || role != "" {
			b.Errorf("got %s, %s, %v, want not found", name, role, err)
		}
		return
	}
	if err != nil || name != wantName || role != wantRole {
		b.Errorf("got %s, %s, %v, want %s, %s", name, role, err, wantName, wantRole)
	}
}

func tokenFound(b *bench, k hook.TokenKeeper) {
	viewer, admin := addToken(b, k, "grafana", hook.RoleViewer), addToken(b, k, "boss", hook.RoleAdmin)
	wantRole(b, k, viewer, "grafana", hook.RoleViewer)
	wantRole(b, k, admin, "boss", hook.RoleAdmin)
	near := viewer
	near[31] ^= 1
	wantRole(b, k, near, "", "")
	wantRole(b, k, hook.TokenHash{}, "", "")
}

func tokenRevoked(b *bench, k hook.TokenKeeper) {
	at := b.clock.Now()
	gone, stays := addToken(b, k, "laptop", hook.RoleOperator), addToken(b, k, "desk", hook.RoleAdmin)
	b.clock.Advance(time.Hour)
	for range 2 { // a repeat changes nothing, not even the time
		if err := k.RevokeToken(b.Context(), "laptop", "me"); err != nil {
			b.Fatalf("revoke: %v", err)
		}
		b.clock.Advance(time.Hour)
	}
	wantRole(b, k, gone, "", "")
	wantRole(b, k, stays, "desk", hook.RoleAdmin)
	got, err := k.Tokens(b.Context())
	if err != nil {
		b.Fatalf("tokens: %v", err)
	}
	want := []hook.TokenInfo{
		{Name: "desk", Role: hook.RoleAdmin, CreatedAt: at},
		{Name: "laptop", Role: hook.RoleOperator, CreatedAt: at, RevokedAt: new(at.Add(time.Hour))},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("tokens (-want +got):\n%s", diff)
	}
	if err := k.RevokeToken(b.Context(), "nobody", "me"); !errors.Is(err, hook.ErrNotFound) {
		b.Errorf("revoke a token that never was: %v, want not found", err)
	}
}

func tokenNames(b *bench, k hook.TokenKeeper) {
	first := addToken(b, k, "laptop", hook.RoleViewer)
	again := hook.NewToken{Name: "laptop", Role: hook.RoleAdmin, Hash: hook.TokenHash{1}}
	if err := k.AddToken(b.Context(), again, "me"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("the name again: %v, want refused", err)
	}
	if err := k.RevokeToken(b.Context(), "laptop", "me"); err != nil {
		b.Fatalf("revoke: %v", err)
	}
	if err := k.AddToken(b.Context(), again, "me"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("the name of a revoked token: %v, want refused", err)
	}
	wantRole(b, k, first, "", "")
	wantRole(b, k, hook.TokenHash{1}, "", "")
}

func tokenBad(b *bench, k hook.TokenKeeper) {
	hash := addToken(b, k, "good", hook.RoleViewer)
	for _, bad := range []hook.NewToken{
		{Name: "", Role: hook.RoleViewer}, {Name: "Big", Role: hook.RoleViewer}, {Name: "a b", Role: hook.RoleViewer},
		{Name: strings.Repeat("x", 65), Role: hook.RoleViewer}, {Name: "ok", Role: ""}, {Name: "ok", Role: "root"},
		{Name: "twin", Role: hook.RoleAdmin, Hash: hash},
	} {
		if err := k.AddToken(b.Context(), bad, "me"); !errors.Is(err, hook.ErrRefused) {
			b.Errorf("%q as %q: %v, want refused", bad.Name, bad.Role, err)
		}
	}
	if all, err := k.Tokens(b.Context()); err != nil || len(all) != 1 {
		b.Errorf("%d tokens, %v, want the good one alone", len(all), err)
	}
	wantRole(b, k, hash, "good", hook.RoleViewer)
}

func tokenBound(b *bench, k hook.TokenKeeper) {
	for i := range 1000 {
		addToken(b, k, fmt.Sprintf("t%d", i), hook.RoleViewer)
	}
	one := hook.NewToken{Name: "more", Role: hook.RoleViewer, Hash: hook.TokenHash{1}}
	if err := k.AddToken(b.Context(), one, "me"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("one more than a thousand: %v, want refused", err)
	}
}

// tokenHistory: the history is about events; a checker must not meet tokens.
func tokenHistory(b *bench, k hook.TokenKeeper) {
	b.record(event{key: "a"})
	addToken(b, k, "laptop", hook.RoleViewer)
	if err := k.RevokeToken(b.Context(), "laptop", "me"); err != nil {
		b.Fatalf("revoke: %v", err)
	}
	b.finish(b.one("h", "a"))
	err := b.store.History(b.Context(), func(line hook.HistoryLine) error {
		if line.Key != "a" {
			b.Errorf("the history has a line of kind %s about %q", line.Kind, line.Key)
		}
		return nil
	})
	if err != nil {
		b.Errorf("history: %v", err)
	}
}
