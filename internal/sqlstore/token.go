package sqlstore

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxTokens bounds the names that were ever given to tokens.
const maxTokens = 1000

// AddToken keeps a token; see hook.TokenKeeper. If we die before the commit,
// there is no such token.
func (c *Core) AddToken(ctx context.Context, tx Tx, t hook.NewToken, actor string) error {
	switch {
	case !cursorName(t.Name):
		return fmt.Errorf("token %.80q: a name has 1 to 64 of a-z, 0-9, _ and -: %w", t.Name, hook.ErrRefused)
	case !t.Role.Allows(hook.RoleViewer):
		return fmt.Errorf("token %s: role %.40q: there are viewer, operator and admin: %w", t.Name, t.Role, hook.ErrRefused)
	}
	if err := lock(ctx, tx, "tokens"); err != nil {
		return fmt.Errorf("add token %s: %w", t.Name, err)
	}
	var named, known, all int
	row := tx.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE name = $1), count(*) FILTER (WHERE hash = $2), count(*)
		FROM tokens`, t.Name, t.Hash[:])
	if err := row.Scan(&named, &known, &all); err != nil {
		return fmt.Errorf("add token %s: %w", t.Name, err)
	}
	switch {
	case named > 0:
		return fmt.Errorf("token %s: the name was given before, and the audit trail may hold it; take another: %w",
			t.Name, hook.ErrRefused)
	case known > 0:
		return fmt.Errorf("token %s: the same token is kept under another name: %w", t.Name, hook.ErrRefused)
	case all >= maxTokens:
		return fmt.Errorf("token %s: there are %d names already: %w", t.Name, all, hook.ErrRefused)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO tokens (name, role, hash, made_at) VALUES ($1, $2, $3, $4)`,
		t.Name, string(t.Role), t.Hash[:], c.now(tx))
	if err != nil {
		return fmt.Errorf("add token %s: %w", t.Name, err)
	}
	return c.auditToken(ctx, tx, actor, "token_add", t.Name+" "+string(t.Role))
}

// RevokeToken ends a token; see hook.TokenKeeper. If we die before the commit,
// it is still valid, and nobody was told otherwise.
func (c *Core) RevokeToken(ctx context.Context, tx Tx, name, actor string) error {
	var revoked sql.NullInt64
	row := tx.QueryRowContext(ctx, `SELECT revoked_at FROM tokens WHERE name = $1`, name)
	switch err := row.Scan(&revoked); {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("token %.80q: %w", name, hook.ErrNotFound)
	case err != nil:
		return fmt.Errorf("revoke token %s: %w", name, err)
	case revoked.Valid:
		return nil
	}
	if _, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = $1 WHERE name = $2`, c.now(tx), name); err != nil {
		return fmt.Errorf("revoke token %s: %w", name, err)
	}
	return c.auditToken(ctx, tx, actor, "token_revoke", name)
}

func (c *Core) auditToken(ctx context.Context, tx Tx, actor, action, what string) error {
	no, err := c.draw(ctx, tx, 1)
	if err != nil {
		return err
	}
	return c.audit(ctx, tx, no.take(), newJob{actor: actor, action: action, reason: what})
}

// Tokens gives all tokens; see hook.TokenKeeper.
func (c *Core) Tokens(ctx context.Context, tx Tx) ([]hook.TokenInfo, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, role, made_at, revoked_at FROM tokens ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	defer rows.Close()
	var all []hook.TokenInfo
	for rows.Next() {
		var t hook.TokenInfo
		var made int64
		var revoked sql.NullInt64
		if err := rows.Scan(&t.Name, (*string)(&t.Role), &made, &revoked); err != nil {
			return nil, fmt.Errorf("list tokens: %w", err)
		}
		t.CreatedAt, t.RevokedAt = fromMicros(made), timePtr(revoked)
		all = append(all, t)
	}
	return all, rows.Err()
}

// TokenRole finds a valid token; see hook.TokenKeeper. The index has found the
// row by a hash that nobody can steer byte by byte; the whole of it is compared
// once more, in constant time.
func (c *Core) TokenRole(ctx context.Context, tx Tx, hash hook.TokenHash) (name string, role hook.Role, err error) {
	var kept []byte
	row := tx.QueryRowContext(ctx, `SELECT name, role, hash FROM tokens WHERE hash = $1 AND revoked_at IS NULL`, hash[:])
	err = row.Scan(&name, (*string)(&role), &kept)
	if errors.Is(err, sql.ErrNoRows) || err == nil && subtle.ConstantTimeCompare(kept, hash[:]) != 1 {
		return "", "", fmt.Errorf("token: %w", hook.ErrNotFound)
	}
	if err != nil {
		return "", "", fmt.Errorf("find a token: %w", err)
	}
	return name, role, nil
}
