package main

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// TestTheFirstStartMakesAToken: it lies in a file that only its owner reads, opens
// everything, and is made once.
func TestTheFirstStartMakesAToken(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123"}
	s := serve(t, env)
	s.log.wait(t, "first operator token made", "first-operator-token")
	info, err := os.Stat(firstTokenFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: %v, %v", info, err)
	}
	text, err := os.ReadFile(firstTokenFile)
	token := strings.TrimSpace(string(text))
	if err != nil || !strings.HasPrefix(token, "hkt_") || strings.Contains(s.log.String(), token) {
		t.Errorf("%v, the token is %d bytes; the log:\n%s", err, len(token), s.log)
	}
	if got := status(t, "GET", s.operator+"/api/v1/tokens", token); got != 200 {
		t.Errorf("with the first token: %d", got)
	}
	if got := status(t, "GET", s.operator+"/api/v1/counts", "guess"); got != 401 {
		t.Errorf("with another: %d, want 401", got)
	}
	if left, _ := filepath.Glob(firstTokenFile + ".*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := call(t, env, "tokens", "revoke", firstTokenName, "--operator", s.operator, "--token", token); got.code != 0 {
		t.Errorf("revoke: %s", got.stderr)
	}
}

// firstNode is a node as serve makes one, over a store that is open already.
func firstNode(log *bytes.Buffer, database string) *node {
	return &node{config: &config{Database: database}, log: slog.New(slog.NewTextHandler(log, nil)), first: true}
}

// TestNodesThatStartTogetherMakeOneToken: one of them writes the file, and what it
// holds is the token that is kept.
func TestNodesThatStartTogetherMakeOneToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hk.db")
	store, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { firstNode(&bytes.Buffer{}, "sqlite:"+path).firstToken(t.Context(), store) })
	}
	all.Wait()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), firstTokenFile+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v, want one file", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	hash := hook.TokenHash(sha256.Sum256(bytes.TrimSpace(text)))
	if name, role, err := store.TokenRole(t.Context(), hash); name != firstTokenName || role != hook.RoleAdmin {
		t.Errorf("the file's token is %q, %q, %v", name, role, err)
	}
}

// TestTheFirstTokenIsShownOrNotMade: on a terminal it is shown and in no file; where
// there is a token, or was, none is made.
func TestTheFirstTokenIsShownOrNotMade(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "hk.db")
	store, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var log, screen bytes.Buffer
	n := firstNode(&log, "sqlite:"+path)
	n.screen = &screen
	n.config.OperatorToken.set = true
	n.firstToken(t.Context(), store)
	n.config.OperatorToken.set = false
	if screen.Len() != 0 {
		t.Fatal("one was made beside a configured one")
	}
	n.firstToken(t.Context(), store)
	shown := screen.String()
	_, token, _ := strings.Cut(shown, "\n\n  hkt_")
	if token == "" || strings.Contains(log.String(), strings.TrimSpace(token)) {
		t.Fatalf("shown %q, log %q", shown, log.String())
	}
	if err := store.RevokeToken(t.Context(), firstTokenName, "me"); err != nil {
		t.Fatal(err)
	}
	n.firstToken(t.Context(), store)
	if screen.String() != shown || !strings.Contains(log.String(), "no operator token") {
		t.Errorf("after the first was revoked: %q, log %q", screen.String(), log.String())
	}
	if files, _ := filepath.Glob(filepath.Join(folder, firstTokenFile+"*")); len(files) != 0 {
		t.Errorf("files %v", files)
	}
}
