package hook

import (
	"context"
	"time"
)

// Role says what an operator token may do. Each role may do what the one before
// it may.
type Role string

// The roles of operator tokens.
const (
	RoleViewer   Role = "viewer"   // look
	RoleOperator Role = "operator" // replay, discard, read a feed
	RoleAdmin    Role = "admin"    // everything, tokens included
)

// Allows reports whether r may do what needs that role. An unknown role may do
// nothing.
func (r Role) Allows(need Role) bool {
	return rank(r) >= rank(need) && rank(need) > 0
}

func rank(r Role) int {
	switch r {
	case RoleViewer:
		return 1
	case RoleOperator:
		return 2
	case RoleAdmin:
		return 3
	}
	return 0
}

// TokenHash is the SHA-256 of an operator token: the only form in which a store
// ever sees one.
type TokenHash [32]byte

// NewToken is an operator token to be kept. Its name has 1 to 64 of a-z, 0-9, _
// and -.
type NewToken struct {
	Name string
	Role Role
	Hash TokenHash
}

// TokenInfo is a kept operator token as operators see it.
type TokenInfo struct {
	Name      string     `json:"name"`
	Role      Role       `json:"role"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"` // null while it is valid
}

// TokenKeeper is an optional role of a store: it keeps operator tokens. Changes
// are audited under the actor.
type TokenKeeper interface {
	// AddToken keeps a token. It is ErrRefused for a name that was ever used, so
	// that the audit trail stays clear, for a bad name, an unknown role, a hash
	// that is kept already, and beyond a thousand names.
	AddToken(ctx context.Context, t NewToken, actor string) error
	// Tokens gives all tokens ever kept, by name.
	Tokens(ctx context.Context) ([]TokenInfo, error)
	// RevokeToken ends a token's validity for ever; a repeat does nothing. It is
	// ErrNotFound for a name that was never kept.
	RevokeToken(ctx context.Context, name, actor string) error
	// TokenRole gives name and role of the valid token with that hash, compared
	// in constant time; ErrNotFound if there is none.
	TokenRole(ctx context.Context, hash TokenHash) (name string, role Role, err error)
}
