package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
)

// Of the token that the first start makes, so that somebody can come in at all.
const (
	firstTokenName = "first"
	firstTokenFile = "first-operator-token" // beside the database, unless it is configured
	startActor     = "first start"          // in the audit trail
)

// screenOf is where a secret may be shown to whoever started this by hand; nil if
// nobody sits there.
func (a *app) screenOf() io.Writer {
	for _, w := range []io.Writer{a.stderr, a.stdout} {
		if terminal(w) {
			return w
		}
	}
	return nil
}

// firstTokens is what firstToken needs of a store.
type firstTokens interface {
	tokenDesk
	TokenRole(ctx context.Context, hash hook.TokenHash) (name string, role hook.Role, err error)
}

// firstToken makes the first operator token where there is none, and none ever was:
// shown on the terminal, or else written to a file that only its owner reads. Of
// several nodes that start together one makes it: a name is never given twice. A
// failure is no reason not to serve.
func (n *node) firstToken(ctx context.Context, store hook.Store) {
	desk, ok := store.(firstTokens)
	operates := len(n.roles) == 0 || slices.Contains(n.roles, hookkeeper.RoleOperate)
	if !ok || !n.first || !operates || n.config.OperatorToken.set {
		return
	}
	all, err := desk.Tokens(ctx)
	if err != nil {
		return // what a database that cannot be read means, the next step says
	}
	if len(all) > 0 {
		n.adviseToken(all)
		return
	}
	if err := n.makeFirstToken(ctx, desk); err != nil && !errors.Is(err, hook.ErrRefused) {
		n.log.Warn("first operator token not made", "error", err.Error())
		n.adviseToken(nil)
	}
}

// makeFirstToken is ErrRefused if another node has made it.
func (n *node) makeFirstToken(ctx context.Context, desk firstTokens) error {
	token := "hkt_" + randomToken(24)
	if n.screen != nil {
		if err := keepFirst(ctx, desk, token); err != nil {
			return err
		}
		// If we die before it is shown, the token is lost, and another is made with
		// hookkeeper tokens add.
		_, err := fmt.Fprintf(n.screen, "\noperator token %s, role %s, shown only this once:\n\n  %s\n\n", firstTokenName, hook.RoleAdmin, token)
		return err
	}
	path := n.firstTokenPath()
	// The file is whole on disk before the token counts, and gets its name after: if
	// we die in between, it lies there under the other name.
	temporary, err := writeSecret(path, token)
	if err != nil {
		return err
	}
	if err := keepFirst(ctx, desk, token); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		path = temporary
	}
	n.log.Info("first operator token made, role admin: it is in a file that only its owner reads", "name", firstTokenName, "file", path)
	return nil
}

func (n *node) firstTokenPath() string {
	switch {
	case n.config.Operators.FirstTokenFile != "":
		return n.config.Operators.FirstTokenFile
	case isPostgres(n.config.Database):
		return firstTokenFile
	}
	return filepath.Join(filepath.Dir(sqlitePath(n.config.Database)), firstTokenFile)
}

// keepFirst keeps the token. An error of a commit whose outcome is unknown counts
// as none if the token is there.
func keepFirst(ctx context.Context, desk firstTokens, token string) error {
	hash := hook.TokenHash(sha256.Sum256([]byte(token)))
	err := desk.AddToken(ctx, hook.NewToken{Name: firstTokenName, Role: hook.RoleAdmin, Hash: hash}, startActor)
	if err == nil || errors.Is(err, hook.ErrRefused) {
		return err
	}
	if _, _, look := desk.TokenRole(ctx, hash); look == nil {
		return nil
	}
	return err
}

// writeSecret writes a file of mode 0600 beside path and gives its name.
func writeSecret(path, text string) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
