package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Variables that create a source.
const (
	envStripeSecret = "STRIPE_WEBHOOK_SECRET"
	envStripeKey    = "STRIPE_SECRET_KEY"
	envStripeBase   = "STRIPE_API_BASE"
	envTossKey      = "TOSS_SECRET_KEY"
	envTossSecurity = "TOSS_SECURITY_KEY"
	envTossBase     = "TOSS_API_BASE"
	envGitHubSecret = "GITHUB_WEBHOOK_SECRET"
	envToken        = "HOOKKEEPER_OPERATOR_TOKEN"
)

// maxSecretFile is far more than any secret.
const maxSecretFile = 64 << 10

// applyEnvironment lays the environment over what the file said.
func applyEnvironment(c *config, env lookup, p *problems) {
	for name, field := range map[string]*string{
		"HOOKKEEPER_DATABASE":        &c.Database,
		"HOOKKEEPER_LISTEN":          &c.Listen,
		"HOOKKEEPER_OPERATOR_LISTEN": &c.OperatorListen,
		envTracing:                   &c.Tracing.Endpoint,
	} {
		if v, ok := env(name); ok && v != "" {
			*field = v
		}
	}
	if s := envSecret(env, envToken, p); s.set {
		c.OperatorToken = s
	}
	encryptionFromEnvironment(c, env, p)
	stripeFromEnvironment(c, env, p)
	tossFromEnvironment(c, env, p)
	billingFromEnvironment(c, env, p)
	checkoutFromEnvironment(c, env, p)
	if s := envSecret(env, envGitHubSecret, p); s.set {
		c.source("github", "github", s.from).override(s)
	}
}

func stripeFromEnvironment(c *config, env lookup, p *problems) {
	if s := envSecret(env, envStripeSecret, p); s.set {
		c.source("stripe", "stripe", s.from).override(split(s)...)
	}
	stripe := c.Sources["stripe"]
	if stripe == nil {
		return
	}
	if s := envSecret(env, envStripeKey, p); s.set {
		stripe.APIKey = s
	}
	if v, ok := env(envStripeBase); ok && v != "" {
		stripe.APIBase = v
	}
}

// tossFromEnvironment: the API key creates the source, for Toss signs only two
// types and all others need to be asked for; the security key is what signs.
func tossFromEnvironment(c *config, env lookup, p *problems) {
	if s := envSecret(env, envTossKey, p); s.set {
		if isPlaceholder(s.value) {
			p.add("source \"toss\": %s is empty or a placeholder", s.from)
		}
		c.source("toss", "toss", s.from).APIKey = s
	}
	toss := c.Sources["toss"]
	if toss == nil {
		return
	}
	// Shops without payouts have no security key: an empty one counts as none.
	if s := envSecret(env, envTossSecurity, p); s.set && s.value != "" {
		toss.override(split(s)...)
	}
	if v, ok := env(envTossBase); ok && v != "" {
		toss.APIBase = v
	}
}

// source finds or makes the entry of a name.
func (c *config) source(name, sender, origin string) *sourceConfig {
	s := c.Sources[name]
	if s == nil {
		s = &sourceConfig{Sender: sender, origin: origin}
		c.Sources[name] = s
	}
	return s
}

// override puts the environment's secrets in place of the file's, unless the
// file names that very variable: then it has them already, perhaps beside
// another one that is being rotated in.
func (s *sourceConfig) override(secrets ...secret) {
	for _, have := range s.Secrets {
		if slices.ContainsFunc(secrets, func(n secret) bool { return n.from == have.from }) {
			return
		}
	}
	s.Secrets = secrets
}

// split takes a comma-separated list apart.
func split(s secret) []secret {
	var all []secret
	for part := range strings.SplitSeq(s.value, ",") {
		all = append(all, secret{value: strings.TrimSpace(part), from: s.from, set: true})
	}
	return all
}

// envSecret reads X, or the file that X_FILE names.
func envSecret(env lookup, name string, p *problems) secret {
	value, ok := env(name)
	path, inFile := env(name + "_FILE")
	switch {
	case ok && inFile && path != "":
		p.add("%s and %s_FILE are both set, keep one of them", name, name)
	case ok:
		return secret{value: value, from: name, set: true}
	case inFile:
		value, err := secretFile(path)
		if err != nil {
			p.add("%s_FILE: %v", name, err)
		}
		return secret{value: value, from: name + "_FILE", set: true}
	}
	return secret{}
}

// secretFile reads a secret without the line break that editors add.
func secretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return "", fmt.Errorf("%s: not a small regular file", path)
	}
	data, err := os.ReadFile(path)
	return strings.TrimRight(string(data), "\r\n"), err
}
