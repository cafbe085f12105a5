package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// forwardEnvFile keeps the secrets that forward has made, beside those of dev:
// dev.env would make other commands believe that a dev runs here.
const forwardEnvFile = "forward.env"

// localSecrets finds the secrets by which a program on this machine knows what
// is forwarded to it: the one given, the dev folder's, or one made for the
// purpose and kept.
type localSecrets struct {
	dir, given string
}

func (s localSecrets) get(variable, sender string) (string, error) {
	if s.given != "" {
		return s.given, nil
	}
	folder, err := readDevFolder(s.dir)
	if err != nil {
		return "", err
	}
	if v := folder.values[variable]; v != "" {
		return v, nil
	}
	path := filepath.Join(s.dir, forwardEnvFile)
	data, err := readBounded(path, maxSecretFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"="); ok && v != "" {
			return v, nil
		}
	}
	value := otherSecret(sender)
	return value, s.keep(path, variable+"="+value+"\n")
}

// keep appends a line to a file that only its owner reads.
func (s localSecrets) keep(path, line string) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// Whoever keeps the folder in a repository must not publish its secrets.
	if err := os.WriteFile(filepath.Join(s.dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep a secret: %w", err)
	}
	return nil
}

// secretVariable is the name under which an application expects the secret of a
// source.
func secretVariable(source, sender string) string {
	switch {
	case source == "stripe" && sender == "stripe":
		return envStripeSecret
	case source == "github" && sender == "github":
		return envGitHubSecret
	case source == "toss" && sender == "toss":
		return envTossSecurity
	case source == "standard-webhooks" && sender == "standard-webhooks":
		return envStandardSecret
	}
	return strings.ToUpper(strings.ReplaceAll(source, "-", "_")) + "_WEBHOOK_SECRET"
}
