package hooktest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// approvals: what one operator asks for another decides, once. A store that is no
// hook.ApprovalKeeper passes.
func approvals() map[string]func(*bench) {
	return withRole("this store keeps no approvals", map[string]func(*bench, hook.ApprovalKeeper){
		"ARequestWaitsForAnotherOperator": approvalWaits,
		"OneOfAllThatApproveGetsIt":       approvalOnce,
		"ARequestEndsOnce":                approvalEnds,
		"ARequestExpires":                 approvalExpires,
		"ALostApprovalIsUnknown":          approvalLost,
		"RequestsThatWaitAreBounded":      approvalBound,
	})
}

const approvalLife = 24 * time.Hour

func refundRequest(n int) hook.ApprovalRequest {
	return hook.ApprovalRequest{Method: "POST", Path: "/api/v1/orders/o1/refund", Query: "a=b", Body: fmt.Appendf(nil, `{"key":"r%d"}`, n),
		Summary: "Give money back", Need: hook.RoleAdmin, Actor: "token first", Reason: "a defect"}
}

func askApproval(b *bench, k hook.ApprovalKeeper, r hook.ApprovalRequest) *hook.Approval {
	b.Helper()
	a, err := k.AskApproval(b.Context(), r, approvalLife)
	if err != nil {
		b.Fatalf("ask: %v", err)
	}
	return a
}

// wantApproval checks state and body of one.
func wantApproval(b *bench, k hook.ApprovalKeeper, id string, state hook.ApprovalState, body string) *hook.Approval {
	b.Helper()
	a, err := k.Approval(b.Context(), id)
	if err != nil {
		b.Fatalf("approval: %v", err)
	}
	if a.State != state || string(a.Body) != body {
		b.Errorf("it is %s with %q, want %s with %q", a.State, a.Body, state, body)
	}
	return a
}

func approvalWaits(b *bench, k hook.ApprovalKeeper) {
	request := refundRequest(1)
	asked := askApproval(b, k, request)
	if again := askApproval(b, k, request); again.ID != asked.ID {
		b.Errorf("the same request again is %s, want %s", again.ID, asked.ID)
	}
	other := request
	other.Actor = "token second"
	if theirs := askApproval(b, k, other); theirs.ID == asked.ID {
		b.Error("two operators share a request")
	}
	got := wantApproval(b, k, asked.ID, hook.ApprovalWaiting, `{"key":"r1"}`)
	if got.Method != request.Method || got.Path != request.Path || got.Query != request.Query || got.Need != request.Need ||
		got.AskedBy != "token first" || got.Reason != request.Reason || got.DecidedBy != "" || len(got.SHA256) != 64 ||
		!got.ExpiresAt.Equal(got.AskedAt.Add(approvalLife)) {
		b.Errorf("kept %+v", got)
	}
	if _, err := k.ClaimApproval(b.Context(), asked.ID, "token first"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("approved by who has asked: %v", err)
	}
	if _, err := k.ClaimApproval(b.Context(), "ap_nope", "token second"); !errors.Is(err, hook.ErrNotFound) {
		b.Errorf("one that is not there: %v", err)
	}
	all, err := k.Approvals(b.Context(), 10)
	if err != nil || len(all) != 2 {
		b.Errorf("%d approvals, %v, want 2", len(all), err)
	}
}

func approvalOnce(b *bench, k hook.ApprovalKeeper) {
	id := askApproval(b, k, refundRequest(1)).ID
	var all sync.WaitGroup
	var got atomic.Int32
	for i := range 16 {
		all.Go(func() {
			a, err := k.ClaimApproval(b.Context(), id, fmt.Sprintf("token boss%d", i))
			switch {
			case err == nil && string(a.Body) == `{"key":"r1"}` && a.State == hook.ApprovalRunning:
				got.Add(1)
			case !errors.Is(err, hook.ErrRefused):
				b.Errorf("approve: %+v, %v", a, err)
			}
		})
	}
	all.Wait()
	if n := got.Load(); n != 1 {
		b.Errorf("%d of sixteen got it, want one", n)
	}
	wantApproval(b, k, id, hook.ApprovalRunning, "")
	if err := k.RefuseApproval(b.Context(), id, "token boss", "no"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("refused after it was approved: %v", err)
	}
}

func approvalEnds(b *bench, k hook.ApprovalKeeper) {
	id := askApproval(b, k, refundRequest(1)).ID
	if err := k.EndApproval(b.Context(), id, hook.ApprovalDone, "too early"); err != nil {
		b.Errorf("end before it is claimed: %v", err)
	}
	wantApproval(b, k, id, hook.ApprovalWaiting, `{"key":"r1"}`)
	if _, err := k.ClaimApproval(b.Context(), id, "token second"); err != nil {
		b.Fatalf("approve: %v", err)
	}
	if err := k.EndApproval(b.Context(), id, hook.ApprovalWaiting, ""); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("an end that is none: %v", err)
	}
	for _, state := range []hook.ApprovalState{hook.ApprovalDone, hook.ApprovalFailed} { // the second does nothing
		if err := k.EndApproval(b.Context(), id, state, "answer "+string(state)); err != nil {
			b.Errorf("end: %v", err)
		}
	}
	a := wantApproval(b, k, id, hook.ApprovalDone, "")
	if a.Answer != "answer done" || a.DecidedBy != "token second" || a.EndedAt == nil {
		b.Errorf("ended %+v", a)
	}
	second := askApproval(b, k, refundRequest(1)).ID // the same again, after it has ended, is another
	if second == id {
		b.Error("an ended request is given again")
	}
	if err := k.RefuseApproval(b.Context(), second, "token first", "a mistake of mine"); err != nil {
		b.Errorf("withdrawn by who has asked: %v", err)
	}
	wantApproval(b, k, second, hook.ApprovalRefused, "")
	desk, ok := b.store.(hook.Desk)
	if !ok {
		return
	}
	entries, _, err := desk.Audit(b.Context(), "", 20)
	var trail []string
	for _, e := range entries {
		if strings.HasPrefix(e.Action, "approval_") {
			trail = append(trail, e.Action+" by "+e.Actor)
		}
	}
	want := "approval_refuse by token first, approval_ask by token first, approval_end by token second, " +
		"approval_approve by token second, approval_ask by token first"
	if got := strings.Join(trail, ", "); err != nil || got != want {
		b.Errorf("the audit trail, newest first: %s, %v, want %s", got, err, want)
	}
}

func approvalExpires(b *bench, k hook.ApprovalKeeper) {
	id := askApproval(b, k, refundRequest(1)).ID
	b.clock.Advance(approvalLife)
	wantApproval(b, k, id, hook.ApprovalExpired, "")
	if _, err := k.ClaimApproval(b.Context(), id, "token second"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("approved after its time: %v", err)
	}
	if again := askApproval(b, k, refundRequest(1)); again.ID == id {
		b.Error("an expired request is given again")
	}
}

func approvalLost(b *bench, k hook.ApprovalKeeper) {
	id := askApproval(b, k, refundRequest(1)).ID
	if _, err := k.ClaimApproval(b.Context(), id, "token second"); err != nil {
		b.Fatalf("approve: %v", err)
	}
	b.clock.Advance(time.Hour) // its node has died
	wantApproval(b, k, id, hook.ApprovalUnknown, "")
	if _, err := k.ClaimApproval(b.Context(), id, "token third"); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("what may have been done can be done again: %v", err)
	}
}

func approvalBound(b *bench, k hook.ApprovalKeeper) {
	for i := range 100 {
		askApproval(b, k, refundRequest(i))
	}
	if _, err := k.AskApproval(b.Context(), refundRequest(100), approvalLife); !errors.Is(err, hook.ErrRefused) {
		b.Errorf("one more than a hundred: %v, want refused", err)
	}
}
