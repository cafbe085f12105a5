package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// maxCapture bounds a captured body: GitHub's limit, the largest of all.
const maxCapture = 25 << 20

type sourcesVerifyCmd struct {
	configFlags
	Source        string `arg:"" help:"Name of the source, or a sender's name with --secret."`
	Headers       string `help:"HTTP header lines or a JSON object; - for stdin." required:"" placeholder:"FILE"`
	Body          string `help:"The exact bytes of the body; - for stdin." required:"" placeholder:"FILE"`
	At            string `help:"Verify as of this time: RFC 3339 or Unix seconds; default now." placeholder:"TIME"`
	PaymentSecret string `help:"Compare the secret of a Toss deposit with this one." placeholder:"SECRET"`
	Secret        string `help:"Verify with this secret instead of the configured ones." placeholder:"SECRET"`
	Dir           string `help:"Folder of hookkeeper dev." default:".hookkeeper" placeholder:"DIR"`
	JSON          bool   `name:"json" help:"One JSON object."`
}

// verdict is what verify says, in the shape that the contract fixes.
type verdict struct {
	Verified bool        `json:"verified"`
	Trust    hook.Trust  `json:"trust"`
	Reason   hook.Reason `json:"reason"`
	Key      string      `json:"key"`
	Type     string      `json:"type"`
	Subject  string      `json:"subject"`
}

// Run verifies a captured delivery and fails if it does not verify.
func (cmd *sourcesVerifyCmd) Run(_ context.Context, a *app) error {
	s, err := cmd.source(a)
	if err != nil {
		return err
	}
	at, err := verifyTime(cmd.At)
	if err != nil {
		return err
	}
	if cmd.Headers == "-" && cmd.Body == "-" {
		return usage("--headers and --body cannot both be read from stdin")
	}
	raw, err := a.readAll(cmd.Headers, 1<<20)
	if err != nil {
		return err
	}
	header, err := parseHeaders(raw)
	if err != nil {
		return fmt.Errorf("headers %s: %w", cmd.Headers, err)
	}
	body, err := a.readAll(cmd.Body, maxCapture)
	if err != nil {
		return err
	}
	found := source.Explain(s, header, body, at, cmd.PaymentSecret)
	v := verdict{
		Verified: found.Verified, Trust: found.Trust, Reason: found.Reason,
		Key: found.Key, Type: found.Type, Subject: found.Subject,
	}
	if cmd.JSON {
		err = printJSON(a.stdout, v)
	} else {
		err = printVerdict(a.stdout, v, found.Detail)
	}
	if err == nil && !v.Verified {
		err = errSaid
	}
	return err
}

// source is the configured one, or one made of a sender's name and --secret.
func (cmd *sourcesVerifyCmd) source(a *app) (hook.Source, error) {
	c, problem := configured(a, cmd.Config, cmd.Dir)
	if c == nil {
		return nil, problem
	}
	var secrets []string
	if cmd.Secret != "" {
		secrets = []string{cmd.Secret}
	}
	conf := c.Sources[cmd.Source]
	// A source that is there but has no usable secret gets its verdict; any
	// other trouble with the configuration is trouble here too.
	if problem != nil && (conf == nil || cmd.Config != "" && !strings.HasPrefix(conf.origin, cmd.Config)) {
		return nil, problem
	}
	if conf == nil && slices.Contains(source.Senders(), cmd.Source) {
		// An unset secret is the likeliest reason for which a source is not
		// there: say bad_config, as its endpoint would.
		conf = &sourceConfig{Sender: cmd.Source}
	}
	if conf == nil {
		_, err := c.named(cmd.Source)
		return nil, err
	}
	return conf.source(cmd.Source, secrets...)
}

func printVerdict(w io.Writer, v verdict, detail []string) error {
	var t table
	if v.Verified {
		t.add("verified", "yes")
		t.add("trust", string(v.Trust))
		t.add("type", orDash(v.Type))
		t.add("key", orDash(v.Key))
		t.add("subject", orDash(v.Subject))
	} else {
		t.add("verified", "no")
		t.add("reason", string(v.Reason))
	}
	for i, line := range detail {
		name := ""
		if i == 0 {
			name = "because"
		}
		t.add(name, line)
	}
	return t.print(w)
}

func verifyTime(s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	if t, err := unixSeconds(s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usage("--at %q: want RFC 3339 or Unix seconds", s)
	}
	return t, nil
}

func unixSeconds(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 40)
	return time.Unix(n, 0), err
}

// parseHeaders reads a JSON object of strings or lists of strings, or header
// lines as they go over the wire, with or without a request line.
func parseHeaders(raw []byte) (http.Header, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] == '{' {
		return jsonHeaders(raw)
	}
	if line, rest, _ := bytes.Cut(raw, []byte("\n")); bytes.Contains(line, []byte(" HTTP/")) ||
		bytes.HasPrefix(line, []byte("HTTP/")) {
		raw = rest
	}
	lines := append(bytes.Clone(raw), "\r\n\r\n"...)
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil {
		return nil, errors.New("want lines such as Name: value, or a JSON object")
	}
	return http.Header(h), nil
}

func jsonHeaders(raw []byte) (http.Header, error) {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, errors.New("not a JSON object")
	}
	h := http.Header{}
	for name, value := range fields {
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, one := range values {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("header %q: want a string or a list of strings", name)
			}
			h.Add(name, text)
		}
	}
	return h, nil
}
