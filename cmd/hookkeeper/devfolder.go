package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// devEnvFile is the file of the dev folder that holds its secrets, one NAME=VALUE
// a line, as a shell or an application's .env reads them.
const devEnvFile = "dev.env"

// envStandardSecret is the secret of the dev folder's source standard-webhooks.
const envStandardSecret = "STANDARD_WEBHOOKS_SECRET"

// devFolder is what a folder of hookkeeper dev says.
type devFolder struct {
	found  bool
	path   string
	values map[string]string
}

// readDevFolder reads a dev folder. One that does not exist is no error: it
// just was never used.
func readDevFolder(dir string) (*devFolder, error) {
	f := &devFolder{path: dir, values: map[string]string{}}
	data, err := readBounded(filepath.Join(dir, devEnvFile), maxSecretFile)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	f.found = true
	for n, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s:%d: want NAME=VALUE", filepath.Join(dir, devEnvFile), n+1)
		}
		f.values[name] = value
	}
	return f, nil
}

// over looks into the environment first, then into the folder.
func (f *devFolder) over(env lookup) lookup {
	return func(name string) (string, bool) {
		if v, ok := env(name); ok {
			return v, true
		}
		// A token from a file of the environment must not clash with the
		// folder's own.
		if _, ok := env(name + "_FILE"); ok {
			return "", false
		}
		v, ok := f.values[name]
		return v, ok
	}
}

// config is the configuration under which dev runs.
func (f *devFolder) config() *config {
	c := defaults()
	var none problems // every value is one of ours
	applyEnvironment(c, func(name string) (string, bool) {
		v, ok := f.values[name]
		return v, ok
	}, &none)
	c.Database = "sqlite:" + filepath.Join(f.path, "hookkeeper.db")
	standard := secret{value: f.values[envStandardSecret], from: envStandardSecret, set: true}
	c.Sources["standard-webhooks"] = &sourceConfig{
		Sender: "standard-webhooks", Secrets: []secret{standard}, origin: envStandardSecret,
	}
	for _, s := range c.Sources {
		s.origin = filepath.Join(f.path, devEnvFile)
		test := false
		if s.Sender == "stripe" && s.Live == nil {
			s.Live = &test
		}
	}
	return c
}

// devSecrets are the variables of dev.env that are generated once and kept.
func devSecrets() map[string]func() string {
	return map[string]func() string{
		envStripeSecret:   func() string { return "whsec_" + randomToken(24) },
		envStripeKey:      func() string { return "sk_test_" + randomToken(16) },
		envGitHubSecret:   func() string { return randomToken(24) },
		envTossKey:        func() string { return "test_gsk_" + randomToken(16) },
		envTossClient:     func() string { return "test_gck_" + randomToken(16) },
		envTossSecurity:   func() string { return randomToken(32) },
		envStandardSecret: func() string { return otherSecret("standard-webhooks") },
		envToken:          func() string { return randomToken(24) },
	}
}

// randomToken is that many random bytes in hex, with no sign that a shell changes.
func randomToken(n int) string { return otherSecret("")[:2*n] }

// prepareDevFolder makes the folder or completes it, for its owner alone.
func prepareDevFolder(dir string) (*devFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := readDevFolder(dir)
	if err != nil {
		return nil, err
	}
	for name, fresh := range devSecrets() {
		if f.values[name] == "" {
			f.values[name] = fresh()
		}
	}
	if strings.HasPrefix(f.values[envTossKey], "test_sk_") { // of a version before the checkout: not the widget's kind
		f.values[envTossKey] = devSecrets()[envTossKey]()
	}
	f.found = true
	// Whoever keeps the folder in a repository must not publish its secrets.
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return nil, err
	}
	return f, f.write()
}

// write replaces dev.env whole, so that a crash leaves the old or the new one.
func (f *devFolder) write() error {
	var b bytes.Buffer
	b.WriteString("# Made by hookkeeper dev. For trying things out, not for production.\n")
	for _, name := range []string{
		envStripeSecret, envStripeKey, envGitHubSecret, envTossKey, envTossClient, envTossSecurity, envStandardSecret,
		envToken, "HOOKKEEPER_URL", "HOOKKEEPER_OPERATOR",
	} {
		if v := f.values[name]; v != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, v)
		}
	}
	path := filepath.Join(f.path, devEnvFile)
	fresh, err := os.CreateTemp(f.path, ".dev.env-*") // 0600 from the start
	if err != nil {
		return err
	}
	_, err = fresh.Write(b.Bytes())
	if err = errors.Join(err, fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	return nil
}
