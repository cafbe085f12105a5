package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxApprovals is how many the page shows.
const maxApprovals = 100

// approvalRow is one request for approval as the page shows it.
type approvalRow struct {
	approvalAnswer
	CanApprove bool // by whoever looks
	CanRefuse  bool
	Mine       bool
}

// approvalsPage is the page of requests for approval.
type approvalsPage struct {
	Off           bool
	Waiting, Over []approvalRow
}

// listApprovals shows what waits first, whoever may decide it.
func (p *Pages) listApprovals(w http.ResponseWriter, r *http.Request, v *view) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	page := approvalsPage{Off: p.approvals == nil}
	if page.Off {
		return p.render(w, v, http.StatusOK, "approvals", page)
	}
	all, err := p.approvals.keeper.Approvals(ctx, maxApprovals)
	if err != nil {
		return err
	}
	for _, a := range all {
		row := approvalRow{approvalAnswer: p.approvals.shown(a, visitor{v.Who, v.Role}), Mine: a.AskedBy == v.Who}
		if a.State != hook.ApprovalWaiting {
			page.Over = append(page.Over, row)
			continue
		}
		may := v.Role.Allows(a.Need)
		row.CanApprove, row.CanRefuse = may && !row.Mine, may || row.Mine
		page.Waiting = append(page.Waiting, row)
	}
	return p.render(w, v, http.StatusOK, "approvals", page)
}

// decideApproval approves or refuses. What came of it is on the page after it.
func (p *Pages) decideApproval(w http.ResponseWriter, r *http.Request, v *view) error {
	if p.approvals == nil {
		return hook.ErrNotFound
	}
	who, id := visitor{v.Who, v.Role}, r.PathValue("id")
	var err error
	done := "approved"
	switch r.PostFormValue("act") {
	case "approve":
		_, err = p.approvals.approve(r.Context(), id, who)
	case "refuse":
		reason := strings.TrimSpace(r.PostFormValue("reason"))
		if reason == "" {
			return &badInput{"reason", v.T("input.reason")}
		}
		done = "refused"
		_, err = p.approvals.refuse(r.Context(), id, who, reason)
	default:
		return &badInput{"act", "approve, refuse"}
	}
	if role, ok := errors.AsType[*errRole](err); ok {
		p.say(w, v, http.StatusForbidden, "error.role", string(role.need))
		return nil
	}
	if err != nil {
		return err
	}
	p.pending.forget()
	p.to(w, v, "approvals?done="+done)
	return nil
}

// pending is how many requests wait, which every page shows, kept for a moment.
type pending struct {
	mu    sync.Mutex
	until time.Time // guarded by mu
	n     int       // guarded by mu
}

func (c *pending) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
}

// waiting is how many requests wait for somebody. Nobody misses a page for it: if
// it cannot be told, the page does without.
func (p *Pages) waiting(ctx context.Context) int {
	if p.approvals == nil {
		return 0
	}
	p.pending.mu.Lock()
	defer p.pending.mu.Unlock()
	if p.now().Before(p.pending.until) {
		return p.pending.n
	}
	all, err := p.approvals.keeper.Approvals(ctx, maxApprovals)
	if err != nil {
		return p.pending.n
	}
	n := 0
	for _, a := range all {
		if a.State == hook.ApprovalWaiting {
			n++
		}
	}
	p.pending.n, p.pending.until = n, p.now().Add(countsFor)
	return n
}
