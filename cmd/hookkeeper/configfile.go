package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/hookkeeper/hookkeeper/source"
)

// maxConfigFile is more than any configuration; a mistaken path ends here.
const maxConfigFile = 1 << 20

// readConfigFile lays a YAML or JSON file over c.
func readConfigFile(path string, c *config, env lookup, p *problems) {
	info, err := os.Stat(path)
	if err != nil {
		p.add("config: %v", err)
		return
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigFile {
		p.add("config %s: not a regular file of at most 1 MiB", path)
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		p.add("config: %v", err)
		return
	}
	root, err := parseConfig(data)
	if err != nil {
		p.add("config %s%v", path, err)
		return
	}
	if root == nil {
		return // an empty file says nothing
	}
	r := &reader{file: path, env: env, p: p, c: c}
	r.mapping(root, "the file", r.top())
}

// parseConfig gives the one document of a file. Its errors begin with the
// position and quote nothing of the file.
func parseConfig(data []byte) (ast.Node, error) {
	// JSON may be indented with tabs, which YAML forbids; they stand only
	// between its values.
	if json.Valid(data) {
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	file, err := parser.Parse(joinPlain(lexer.Tokenize(string(data))), 0)
	if err != nil {
		if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok {
			return nil, fmt.Errorf(":%d: %s", syntax.Token.Position.Line, syntax.Message)
		}
		return nil, errors.New(": neither YAML nor JSON")
	}
	switch len(file.Docs) {
	case 0:
		return nil, nil
	case 1:
		return file.Docs[0].Body, nil
	}
	return nil, errors.New(": more than one YAML document")
}

// joinPlain mends what the lexer does inside braces: there it splits a plain
// word at its colon, while YAML 1.2 splits only where a blank follows. Without
// this, {secrets: [env:NAME]} would read as a mapping.
func joinPlain(tokens token.Tokens) token.Tokens {
	var out token.Tokens
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		for t.Type == token.StringType && i+2 < len(tokens) &&
			tokens[i+1].Type == token.MappingValueType && tokens[i+2].Type == token.StringType &&
			touch(t, tokens[i+1]) && touch(tokens[i+1], tokens[i+2]) {
			t.Value += ":" + tokens[i+2].Value
			t.Origin += tokens[i+1].Origin + tokens[i+2].Origin
			i += 2
		}
		out.Add(t)
	}
	return out
}

// touch reports whether nothing stands between two tokens of a line.
func touch(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line &&
		a.Position.Offset+utf8.RuneCountInString(a.Value) == b.Position.Offset
}

// top are the keys of the file.
func (r *reader) top() keys {
	c := r.c
	return keys{
		"database":        r.text("database", &c.Database),
		"listen":          r.text("listen", &c.Listen),
		"operator_listen": r.text("operator_listen", &c.OperatorListen),
		"operator_token": func(n ast.Node) {
			c.OperatorToken, _ = r.secret(n, "operator_token")
		},
		"operators":  r.operators,
		"log_format": r.text("log_format", &c.LogFormat),
		"log_level":  r.text("log_level", &c.LogLevel),
		"sources": func(n ast.Node) {
			r.each(n, "sources", r.source)
		},
		"work": func(n ast.Node) { r.mapping(n, "work", r.work(&c.Work)) },
		"handlers": func(n ast.Node) {
			r.each(n, "handlers", func(name string, _, value ast.Node) {
				var events []string
				where := "handlers." + name
				r.mapping(value, where, keys{"events": r.texts(where+".events", &events)})
				c.Handlers[name] = events
			})
		},
		"billing": r.billing,
		"alarms":  r.alarms,
		"forward": func(n ast.Node) {
			r.each(n, "forward", r.forward)
		},
		"checkout":   r.checkout,
		"encryption": r.encryption,
		"search":     r.search,
		"tracing":    r.tracing,
		"retention":  r.retention,
	}
}

func (r *reader) work(w *workConfig) keys {
	return keys{
		"lease":    r.positive("work.lease", &w.Lease),
		"limit":    r.positive("work.limit", &w.Limit),
		"slots":    r.number("work.slots", 1, &w.Slots),
		"attempts": r.number("work.attempts", 1, &w.Attempts),
		"waiting":  r.positive("work.waiting", &w.Waiting),
		"backoff": func(n ast.Node) {
			r.mapping(n, "work.backoff", keys{
				"base": r.positive("work.backoff.base", &w.BackoffBase),
				"max":  r.positive("work.backoff.max", &w.BackoffMax),
			})
		},
	}
}

// source reads one entry of sources.
func (r *reader) source(name string, at, value ast.Node) {
	where := "sources." + name
	s := &sourceConfig{origin: fmt.Sprintf("%s:%d", r.file, at.GetToken().Position.Line)}
	r.c.Sources[name] = s
	r.mapping(value, where, keys{
		"sender": r.text(where+".sender", &s.Sender),
		"secrets": func(n ast.Node) {
			r.list(n, where+".secrets", func(item ast.Node) {
				if one, ok := r.secret(item, where+".secrets"); ok {
					s.Secrets = append(s.Secrets, split(one)...)
				}
			})
		},
		"tolerance": func(n ast.Node) {
			s.Tolerance = new(time.Duration)
			r.duration(where+".tolerance", s.Tolerance)(n)
		},
		"live":       r.truth(where+".live", &s.Live),
		"limit":      r.size(where+".limit", &s.Limit),
		"rate":       r.rate(where+".rate", &s.Rate),
		"api_key":    func(n ast.Node) { s.APIKey, _ = r.secret(n, where+".api_key") },
		"api_base":   r.text(where+".api_base", &s.APIBase),
		"public_url": r.text(where+".public_url", &s.PublicURL),
		"hmac": func(n ast.Node) {
			s.HMAC = new(source.HMACSpec)
			r.mapping(n, where+".hmac", r.hmac(where+".hmac.", s.HMAC))
		},
	})
	if s.Sender == "" && !strings.Contains(strings.Join(source.Senders(), " "), name) {
		r.bad(at, "%s: no sender given, there are %s", where, strings.Join(source.Senders(), ", "))
	}
	if s.Sender == "" {
		s.Sender = name
	}
}

// hmac reads a declared scheme; its source says which values make sense.
func (r *reader) hmac(where string, spec *source.HMACSpec) keys {
	known := keys{}
	for key, into := range map[string]*string{
		"header": &spec.Header, "prefix": &spec.Prefix, "split": &spec.Split,
		"algorithm": &spec.Algorithm, "encoding": &spec.Encoding,
		"secret_encoding": &spec.SecretEncoding, "signed": &spec.Signed,
		"timestamp_header": &spec.TimestampHeader, "timestamp_unit": &spec.TimestampUnit,
		"key": &spec.Key, "type": &spec.Type, "subject": &spec.Subject,
	} {
		known[key] = r.text(where+key, into)
	}
	return known
}
