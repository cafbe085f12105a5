package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// TestApprovalsAreDecidedFromTheCommandLine: what another operator has asked for is
// listed, done when it is approved, and not done when it is refused.
func TestApprovalsAreDecidedFromTheCommandLine(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var done atomic.Int32
	refund := hook.Operation{Method: "POST", Path: "orders/{order}/refund", Need: hook.RoleAdmin, Money: true,
		Doc: json.RawMessage(`{"summary":"Give money back","responses":{"200":{"description":"done"}}}`),
		Handle: func(r *http.Request) (any, error) {
			if done.Add(1); r.PathValue("order") == "refused" {
				return nil, hook.ErrRefused
			}
			return "done", nil
		}}
	const token = "a-token-of-the-second-operator"
	server := httptest.NewServer(dashboard.API(dashboard.APIConfig{Ledger: store, Operations: []hook.Operation{refund},
		Approvals: dashboard.NewApprovals(store, []hook.Operation{refund}, nil),
		Gate:      dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}})}))
	defer server.Close()
	var ids []string
	for _, order := range []string{"o1", "refused", "o3"} {
		a, err := store.AskApproval(t.Context(), hook.ApprovalRequest{Method: "POST", Path: "/api/v1/orders/" + order + "/refund",
			Need: hook.RoleAdmin, Actor: "token first", Reason: "a defect\x1b[31m"}, approvalTestLife)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	approvals := func(words ...string) said {
		return call(t, nil, append(append([]string{"approvals"}, words...), "--operator", server.URL, "--token", token)...)
	}
	if got := approvals("list"); got.code != 0 || strings.Count(got.stdout, "waiting") != 3 || !strings.Contains(got.stdout, "token first") ||
		strings.Contains(got.stdout, "\x1b") {
		t.Errorf("list: %q %s", got.stdout, got.stderr)
	}
	if got := approvals("approve", ids[0]); got.code != 0 || !strings.Contains(got.stdout, ids[0]+"  done  POST ") || done.Load() != 1 {
		t.Errorf("approve: %+v, done %d times", got, done.Load())
	}
	if got := approvals("approve", ids[1]); got.code != exitFailed || !strings.Contains(got.stderr, "failed: refused") {
		t.Errorf("approve what is refused: %+v", got)
	}
	if got := approvals("refuse", ids[2], "--reason", "not now"); got.code != 0 || done.Load() != 2 {
		t.Errorf("refuse: %+v, done %d times", got, done.Load())
	}
	if got := approvals("approve", ids[2]); got.code != exitFailed || !strings.Contains(got.stderr, "it is refused") {
		t.Errorf("approve after it was refused: %+v", got)
	}
	got := approvals("list", "--json", "--limit", "1")
	var line dev.Approval
	if err := json.Unmarshal([]byte(got.stdout), &line); err != nil || line.State == "" || line.AskedBy != "token first" {
		t.Errorf("list --json: %q, %v", got.stdout, err)
	}
	for _, words := range [][]string{{"refuse", ids[2]}, {"list", "--limit", "0"}} {
		if got := approvals(words...); got.code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", words, got.code, exitUsage)
		}
	}
	if got := call(t, nil, "approvals", "list", "--database", "sqlite:hk.db"); got.code != exitUsage || !strings.Contains(got.stderr, "running hookkeeper") {
		t.Errorf("--database: %+v", got)
	}
}

const approvalTestLife = time.Hour
