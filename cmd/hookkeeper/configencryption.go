package main

import (
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/internal/seal"
)

// envEncryption turns encryption at rest on; several keys, comma-separated, while
// they are being replaced.
const envEncryption = "HOOKKEEPER_ENCRYPTION_KEY"

// encryptionConfig are the keys of encryption at rest; none: it is off.
type encryptionConfig struct {
	Keys []secret // the first wraps, the others only unwrap
}

// encryption reads the section of that name.
func (r *reader) encryption(n ast.Node) {
	r.mapping(n, "encryption", keys{"keys": func(n ast.Node) {
		r.list(n, "encryption.keys", func(item ast.Node) {
			if one, ok := r.secret(item, "encryption.keys"); ok {
				r.c.Encryption.Keys = append(r.c.Encryption.Keys, split(one)...)
			}
		})
	}})
}

// encryptionFromEnvironment puts the environment's keys in place of the file's,
// unless the file names that very variable.
func encryptionFromEnvironment(c *config, env lookup, p *problems) {
	s := envSecret(env, envEncryption, p)
	if !s.set || slices.ContainsFunc(c.Encryption.Keys, func(k secret) bool { return k.from == s.from }) {
		return
	}
	c.Encryption.Keys = split(s)
}

// read gives the keys as the store takes them. A key that cannot be one is a
// problem, never a reason to go on without.
func (e *encryptionConfig) read(p *problems) [][]byte {
	var all [][]byte
	for _, s := range e.Keys {
		key, err := seal.ParseKey(s.value)
		if err != nil {
			p.add("encryption key of %s: %w", s.from, err)
			continue
		}
		all = append(all, key)
	}
	if len(all) == len(e.Keys) && len(all) > 0 {
		if _, err := seal.NewRing(all...); err != nil {
			p.add("%w", err)
		}
	}
	return all
}

// engine is the configured database, opened with what keys there are. What is
// wrong with them is another's to say.
func (c *config) engine() engine {
	var p problems
	return engineOf(c.Database, c.Encryption.read(&p)...)
}

func (e *encryptionConfig) printed() yaml.MapSlice {
	masked := make([]string, len(e.Keys))
	for i := range masked {
		masked[i] = mask
	}
	return yaml.MapSlice{{Key: "keys", Value: masked}}
}

// encryptionKeys are those of the environment alone, for commands that are given a
// database and no configuration.
func encryptionKeys(env lookup) ([][]byte, error) {
	c, p := &config{}, problems{}
	encryptionFromEnvironment(c, env, &p)
	all := c.Encryption.read(&p)
	if len(p) > 0 {
		return nil, p[0]
	}
	return all, nil
}
