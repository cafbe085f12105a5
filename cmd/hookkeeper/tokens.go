package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hookkeeper/hookkeeper/hook"
)

type tokensCmd struct {
	Add    tokensAddCmd    `cmd:"" help:"Make an operator token, keep its SHA-256, and print it once."`
	List   tokensListCmd   `cmd:"" help:"List the kept operator tokens, never the tokens themselves."`
	Revoke tokensRevokeCmd `cmd:"" help:"End an operator token for ever."`
}

// tokenList and tokenDesk are what the commands need of a keeper of tokens.
type (
	tokenList interface {
		Tokens(ctx context.Context) ([]hook.TokenInfo, error)
	}
	tokenDesk interface {
		tokenList
		AddToken(ctx context.Context, t hook.NewToken, actor string) error
		RevokeToken(ctx context.Context, name, actor string) error
	}
)

var errNoTokens = errors.New("this store keeps no tokens")

// tokenActor is whom the audit trail names for changes made in the database
// itself.
const tokenActor = "command line"

type tokensAddCmd struct {
	Name string `arg:"" help:"Name in lists and in the audit trail; never given twice."`
	Role string `required:"" help:"viewer: looks; operator: also replays, discards, forwards; admin: everything, tokens included." enum:"viewer,operator,admin" placeholder:"ROLE"`
	JSON bool   `name:"json" help:"One JSON object."`
	operatorFlags
}

// Run makes a token here: neither the server nor the database ever sees it.
func (cmd *tokensAddCmd) Run(ctx context.Context, a *app) error {
	token := "hkt_" + randomToken(24)
	err := withTokens(a, &cmd.operatorFlags, func(desk tokenDesk) error {
		hash := hook.TokenHash(sha256.Sum256([]byte(token)))
		return desk.AddToken(ctx, hook.NewToken{Name: cmd.Name, Role: hook.Role(cmd.Role), Hash: hash}, tokenActor)
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(a.stdout, map[string]string{"name": cmd.Name, "role": cmd.Role, "token": token})
	}
	if _, err := fmt.Fprintln(a.stdout, token); err != nil {
		return err
	}
	// Not on stdout: TOKEN=$(hookkeeper tokens add …) takes the token alone.
	_, err = fmt.Fprintf(a.stderr, "token %s, role %s: keep it now, it is shown only once\n", cmd.Name, cmd.Role)
	return err
}

type tokensListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
	operatorFlags
}

// Run lists tokens, revoked ones too.
func (cmd *tokensListCmd) Run(ctx context.Context, a *app) error {
	l, err := cmd.open(a, false)
	if err != nil {
		return err
	}
	list, ok := l.Ledger.(tokenList)
	if !ok {
		return l.done(errNoTokens)
	}
	all, err := list.Tokens(ctx)
	if err = l.done(err); err != nil {
		return err
	}
	if !cmd.JSON {
		return printTokens(a.stdout, all)
	}
	for _, t := range all {
		if err := printJSON(a.stdout, t); err != nil {
			return err
		}
	}
	return nil
}

func printTokens(w io.Writer, all []hook.TokenInfo) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no tokens are kept")
		return err
	}
	var t table
	t.add("TOKEN", "ROLE", "ADDED", "REVOKED")
	for _, one := range all {
		revoked := "-"
		if one.RevokedAt != nil {
			revoked = stamp(*one.RevokedAt)
		}
		t.add(one.Name, string(one.Role), stamp(one.CreatedAt), revoked)
	}
	return t.print(w)
}

type tokensRevokeCmd struct {
	Name string `arg:"" help:"Name of the token."`
	operatorFlags
}

// Run revokes a token. Repeating it changes nothing.
func (cmd *tokensRevokeCmd) Run(ctx context.Context, a *app) error {
	err := withTokens(a, &cmd.operatorFlags, func(desk tokenDesk) error {
		return desk.RevokeToken(ctx, cmd.Name, tokenActor)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "revoked %s\n", printable(cmd.Name))
	return err
}

// withTokens opens the event log for a change of its tokens.
func withTokens(a *app, f *operatorFlags, do func(tokenDesk) error) error {
	l, err := f.open(a, true)
	if err != nil {
		return err
	}
	desk, ok := l.Ledger.(tokenDesk)
	if !ok {
		return l.done(errNoTokens)
	}
	return l.done(do(desk))
}

// adviseToken says how to make an operator token, where none of all is valid.
func (n *node) adviseToken(all []hook.TokenInfo) {
	if slices.ContainsFunc(all, func(t hook.TokenInfo) bool { return t.RevokedAt == nil }) {
		return
	}
	n.log.Warn("no operator token: /api/v1 answers 401 to everybody; set " + envToken +
		", or stop and run: hookkeeper tokens add NAME --role admin --database " + maskURL(n.config.Database))
}
