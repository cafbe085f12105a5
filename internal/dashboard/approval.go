package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

const (
	approvalLife  = 24 * time.Hour   // of a request that nobody decides
	approvalLimit = 60 * time.Second // for the operation, once it is approved
	maxAnswerText = 2 << 10          // bytes of an operation's answer that are kept
)

// Approvals holds operations that move money back until a second operator has
// approved them. The API and the pages share one. It is safe for concurrent use.
type Approvals struct {
	keeper hook.ApprovalKeeper
	mux    *http.ServeMux // the operations that need approval
	needs  map[string]hook.Operation
	log    *slog.Logger
	masker *show.Masker
}

// NewApprovals returns one for those of the operations that move money. They must
// have passed CheckOperation. A nil logger means no log.
func NewApprovals(keeper hook.ApprovalKeeper, operations []hook.Operation, log *slog.Logger) *Approvals {
	b := &Approvals{keeper: keeper, mux: http.NewServeMux(), needs: map[string]hook.Operation{}, log: log, masker: show.NewMasker()}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	for _, op := range operations {
		if !op.Money {
			continue
		}
		pattern := op.Method + " /api/v1/" + op.Path
		b.needs[pattern] = op
		b.mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
			out := r.Context().Value(outcomeKey{}).(*outcome)
			out.value, out.err = op.Handle(r)
		})
	}
	return b
}

type outcomeKey struct{}

// outcome is what an operation gave.
type outcome struct {
	value any
	err   error
}

// hold keeps a request until somebody else approves it.
func (b *Approvals) hold(r *http.Request, op hook.Operation, who visitor) (*hook.Approval, error) {
	body, err := io.ReadAll(r.Body) // bounded by the caller
	if err != nil {
		return nil, &badInput{"body", "cannot be read, or is too large"}
	}
	var said struct {
		Reason string `json:"reason"`
	}
	if len(body) > 0 && json.Unmarshal(body, &said) != nil {
		return nil, &badInput{"body", "is not a JSON object"}
	}
	var doc struct {
		Summary string `json:"summary"`
	}
	if err := json.Unmarshal(op.Doc, &doc); err != nil {
		return nil, fmt.Errorf("read the description of an operation: %w", err)
	}
	return b.keeper.AskApproval(r.Context(), hook.ApprovalRequest{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Body: body,
		Summary: doc.Summary, Need: op.Need, Actor: who.name, Reason: said.Reason,
	}, approvalLife)
}

// errRole is a role that does not suffice.
type errRole struct {
	who  visitor
	need hook.Role
}

func (e *errRole) Error() string {
	return fmt.Sprintf("%s has the role %s, this needs %s", e.who.name, e.who.role, e.need)
}

// approve does what was asked for, once: whoever claims the request runs it. If we
// die in between, the request shows as unknown, and is not run by itself again.
func (b *Approvals) approve(ctx context.Context, id string, who visitor) (*hook.Approval, error) {
	a, err := b.keeper.Approval(ctx, id)
	if err != nil {
		return nil, err
	}
	if !who.role.Allows(a.Need) {
		return nil, &errRole{who, a.Need}
	}
	target := a.Path
	if a.Query != "" {
		target += "?" + a.Query
	}
	// The request belongs to the decision, not to the browser that may go away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), approvalLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, a.Method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("approval %s: %w", id, err)
	}
	if _, pattern := b.mux.Handler(request); pattern == "" {
		return nil, fmt.Errorf("approval %s: there is no operation %s %s here: %w", id, a.Method, a.Path, hook.ErrRefused)
	}
	if a, err = b.keeper.ClaimApproval(ctx, id, who.name); err != nil {
		return nil, err
	}
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(a.Body)), int64(len(a.Body))
	state, text := b.run(request, a.AskedBy+", approved by "+who.name)
	b.log.Info("approved operation ended", "approval", id, "path", a.Path, "asked_by", a.AskedBy, "approved_by", who.name, "state", string(state))
	if err := b.keeper.EndApproval(ctx, id, state, text); err != nil {
		return nil, err
	}
	return b.keeper.Approval(ctx, id)
}

// run runs the operation and says how it ended.
func (b *Approvals) run(r *http.Request, actor string) (state hook.ApprovalState, text string) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("approved operation panicked", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			state, text = hook.ApprovalUnknown, "it ended in the middle, the log of hookkeeper says where"
		}
	}()
	out := &outcome{}
	ctx := context.WithValue(hook.WithActor(r.Context(), actor), outcomeKey{}, out)
	b.mux.ServeHTTP(&statusProbe{header: http.Header{}}, r.WithContext(ctx))
	said, isProblem := errors.AsType[*hook.Problem](out.err)
	switch {
	case out.err == nil:
		answer, err := encode(out.value)
		if err != nil || len(answer) > maxAnswerText {
			return hook.ApprovalDone, ""
		}
		return hook.ApprovalDone, string(answer)
	case isProblem && said.Status < 500, errors.Is(out.err, hook.ErrRefused), errors.Is(out.err, hook.ErrNotFound),
		errors.Is(out.err, hook.ErrBadFilter):
		return hook.ApprovalFailed, out.err.Error()
	}
	return hook.ApprovalUnknown, "whether it was done is not known, look at what it was for: " + out.err.Error()
}

// refuse ends a request that waits. Who has asked may do so whatever its role.
func (b *Approvals) refuse(ctx context.Context, id string, who visitor, reason string) (*hook.Approval, error) {
	a, err := b.keeper.Approval(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.AskedBy != who.name && !who.role.Allows(a.Need) {
		return nil, &errRole{who, a.Need}
	}
	if err := b.keeper.RefuseApproval(ctx, id, who.name, reason); err != nil {
		return nil, err
	}
	return b.keeper.Approval(ctx, id)
}

// approvalAnswer is an approval as the API gives it.
type approvalAnswer struct {
	hook.Approval
	// Arguments are what was sent, with what is personal masked; only for whoever
	// may approve it, and until it is decided.
	Arguments string `json:"arguments"`
}

func (b *Approvals) shown(a *hook.Approval, who visitor) approvalAnswer {
	out := approvalAnswer{Approval: *a}
	if who.role.Allows(a.Need) {
		out.Arguments, _ = b.masker.Mask(string(a.Body))
	}
	return out
}

// held answers that a second operator is needed.
func (a *api) held(w http.ResponseWriter, r *http.Request, op hook.Operation) {
	kept, err := a.approvals.hold(r, op, visitorOf(r.Context()))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(marshal(map[string]any{ // a peer that has gone needs no answer
		"approval": kept.ID, "state": kept.State, "expires_at": kept.ExpiresAt, "look": "/api/v1/approvals/" + kept.ID,
		"detail": "another operator must approve this: nothing is done yet",
	}), '\n'))
}

// book gives the approvals, or answers that nothing needs any.
func (a *api) book(w http.ResponseWriter) (*Approvals, bool) {
	if a.approvals == nil {
		problem(w, http.StatusNotImplemented, "no operation of this hookkeeper needs approval: operators.second_person is not set")
		return nil, false
	}
	return a.approvals, true
}

func (a *api) listApprovals(w http.ResponseWriter, r *http.Request) {
	b, ok := a.book(w)
	if !ok {
		return
	}
	p := parametersOf(r)
	limit := p.number("limit", maxPage)
	if p.err != nil {
		a.fail(w, r, p.err)
		return
	}
	if limit == 0 {
		limit = 100
	}
	all, err := b.keeper.Approvals(r.Context(), limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list := []approvalAnswer{}
	for _, one := range all {
		list = append(list, b.shown(one, visitorOf(r.Context())))
	}
	answer(w, map[string]any{"approvals": list})
}

func (a *api) showApproval(w http.ResponseWriter, r *http.Request) {
	a.onApproval(w, r, func(b *Approvals, _ visitor) (*hook.Approval, error) {
		return b.keeper.Approval(r.Context(), r.PathValue("id"))
	})
}

func (a *api) approve(w http.ResponseWriter, r *http.Request) {
	a.onApproval(w, r, func(b *Approvals, who visitor) (*hook.Approval, error) {
		return b.approve(r.Context(), r.PathValue("id"), who)
	})
}

// refusal is the body of the order to refuse a request.
type refusal struct {
	Reason string `json:"reason"`
}

func (a *api) refuse(w http.ResponseWriter, r *http.Request) {
	var order refusal
	if err := orderOf(w, r, &order); err != nil {
		a.fail(w, r, err)
		return
	}
	if order.Reason == "" {
		a.fail(w, r, &badInput{"reason", "say why; it is kept in the audit trail"})
		return
	}
	a.onApproval(w, r, func(b *Approvals, who visitor) (*hook.Approval, error) {
		return b.refuse(r.Context(), r.PathValue("id"), who, order.Reason)
	})
}

func (a *api) onApproval(w http.ResponseWriter, r *http.Request, do func(*Approvals, visitor) (*hook.Approval, error)) {
	b, ok := a.book(w)
	if !ok {
		return
	}
	who := visitorOf(r.Context())
	one, err := do(b, who)
	if role, ok := errors.AsType[*errRole](err); ok {
		forbidden(w, role.who, role.need)
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, b.shown(one, who))
}
