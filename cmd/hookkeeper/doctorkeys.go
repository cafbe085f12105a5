package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// checkEncryption looks whether the configured keys open what is there, and whether
// one lies beside what it protects.
func checkEncryption(ctx context.Context, c *config, f *findings) {
	const check = "encryption"
	var p problems
	c.Encryption.read(&p)
	for _, problem := range p {
		f.add(check, healthFailed, problem.Error(), "make a key with: openssl rand -base64 32")
	}
	if len(p) > 0 {
		return
	}
	all := keysOf(ctx, c)
	locked := slices.ContainsFunc(all, func(k hook.DataKey) bool { return !k.Opens })
	switch {
	case len(all) == 0 && len(c.Encryption.Keys) == 0:
		f.add(check, healthOK, "off", "")
	case len(all) == 0:
		f.add(check, healthOK, "on: what is recorded from now on is encrypted", "encrypt what is there with: hookkeeper keys seal")
	case locked && len(c.Encryption.Keys) == 0:
		f.add(check, healthFailed, "the database is encrypted and no key is configured", "set "+envEncryption)
	case locked:
		f.add(check, healthFailed, "the configured keys do not open every data key", "give the earlier key too, behind the new one; see hookkeeper keys list")
	case beside(c) != "":
		f.add(check, healthWarning, "the key lies beside the database, in "+beside(c), "keep it elsewhere: who copies the folder has both")
	default:
		f.add(check, healthOK, fmt.Sprintf("on, %d data keys", len(all)), "")
	}
}

// keysOf gives the data keys, none where the database cannot be read, which is
// another check's to say.
func keysOf(ctx context.Context, c *config) []hook.DataKey {
	var p problems
	if c.checkDatabase(&p); len(p) > 0 {
		return nil
	}
	e := engineOf(c.Database) // without keys: wrong ones open nothing
	if s, err := e.schema(ctx); err != nil || s.version != s.known {
		return nil
	}
	r, err := e.reader(ctx)
	if err != nil {
		return nil
	}
	all, err := keysRead{r}.keys(ctx)
	if err == nil && len(c.Encryption.Keys) > 0 {
		if opened, err := c.engine().reader(ctx); err == nil {
			all, _ = keysRead{opened}.keys(ctx) // the same, with what opens
			_ = opened.Close()                  // it was only looked at
		}
	}
	_ = r.Close() // it was only looked at
	return all
}

// beside names a file in the folder of a SQLite database that holds a configured
// key; empty if there is none.
func beside(c *config) string {
	if isPostgres(c.Database) {
		return ""
	}
	folder := filepath.Dir(sqlitePath(c.Database))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
			continue
		}
		data, err := fs.ReadFile(os.DirFS(folder), e.Name())
		if err == nil && slices.ContainsFunc(c.Encryption.Keys, func(k secret) bool { return strings.Contains(string(data), k.value) }) {
			return filepath.Join(folder, e.Name())
		}
	}
	return ""
}
