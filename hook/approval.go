package hook

import (
	"context"
	"time"
)

// ApprovalState says how far a request for approval has come.
type ApprovalState string

// The states of a request for approval.
const (
	ApprovalWaiting ApprovalState = "waiting" // for another operator
	ApprovalExpired ApprovalState = "expired" // nobody has decided in time
	ApprovalRefused ApprovalState = "refused"
	ApprovalRunning ApprovalState = "running" // approved, and being done
	ApprovalDone    ApprovalState = "done"
	ApprovalFailed  ApprovalState = "failed"  // the operation has refused it and done nothing
	ApprovalUnknown ApprovalState = "unknown" // whether it was done is to be seen at its object; it may be asked for again
)

// ApprovalRequest is an operation that one operator asks for and another must
// approve: what was sent, to the byte.
type ApprovalRequest struct {
	Method  string
	Path    string // below the listener, escaped
	Query   string
	Body    []byte
	Summary string // what the operation does
	Need    Role   // the least role of who approves
	Actor   string // who asks
	Reason  string // why
}

// Approval is a kept request for approval.
type Approval struct {
	ID        string        `json:"id"`
	State     ApprovalState `json:"state"`
	Method    string        `json:"method"`
	Path      string        `json:"path"`
	Query     string        `json:"query"`
	SHA256    string        `json:"sha256"` // of the body as it was sent
	Summary   string        `json:"summary"`
	Need      Role          `json:"role"` // the least role of who approves
	AskedBy   string        `json:"asked_by"`
	AskedAt   time.Time     `json:"asked_at"`
	Reason    string        `json:"reason"`
	ExpiresAt time.Time     `json:"expires_at"`
	DecidedBy string        `json:"decided_by"` // empty while nobody has
	DecidedAt *time.Time    `json:"decided_at"`
	Answer    string        `json:"answer"` // how it ended, or why it was refused
	EndedAt   *time.Time    `json:"ended_at"`

	Body []byte `json:"-"` // empty once it is decided
}

// ApprovalKeeper is an optional role of a store: it keeps what one operator asks
// for until another decides. Everything is audited with both names.
type ApprovalKeeper interface {
	// AskApproval keeps a request for that long. The same request of the same
	// operator, while it waits, is the same approval. It is ErrRefused while a
	// hundred wait.
	AskApproval(ctx context.Context, r ApprovalRequest, life time.Duration) (*Approval, error)
	// Approvals gives the newest ones.
	Approvals(ctx context.Context, limit int) ([]*Approval, error)
	// Approval gives one; ErrNotFound if there is none.
	Approval(ctx context.Context, id string) (*Approval, error)
	// ClaimApproval approves a request that waits: of all that try, one gets it,
	// with what is to be done, and does it. It is ErrRefused for whoever has asked,
	// and for a request that is decided or expired. If the caller dies before it
	// has called EndApproval, the request is ApprovalUnknown after a while.
	ClaimApproval(ctx context.Context, id, actor string) (*Approval, error)
	// EndApproval says how a claimed request ended: done, failed or unknown. A
	// repeat does nothing.
	EndApproval(ctx context.Context, id string, as ApprovalState, answer string) error
	// RefuseApproval ends a request that waits; who has asked may do so as well.
	// It is ErrRefused for one that is decided or expired.
	RefuseApproval(ctx context.Context, id, actor, reason string) error
}
