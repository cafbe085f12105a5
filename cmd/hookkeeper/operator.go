package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

// operatorFlags say where the event log is looked at: through the operators'
// API of a running hookkeeper, or in the database itself.
type operatorFlags struct {
	Operator  string `help:"Operator address of a running hookkeeper; the dev folder's beats the default." var:"HOOKKEEPER_OPERATOR" standard:"http://127.0.0.1:8081" placeholder:"URL"`
	Token     string `help:"Operator token; without any the dev folder's." var:"HOOKKEEPER_OPERATOR_TOKEN" placeholder:"TOKEN"`
	TokenFile string `help:"File with the operator token." var:"HOOKKEEPER_OPERATOR_TOKEN_FILE" placeholder:"FILE"`
	Database  string `help:"Look into the database itself; a SQLite file is changed only while no server runs." placeholder:"URL"`
	Dir       string `help:"Folder of hookkeeper dev." default:".hookkeeper" placeholder:"DIR"`
}

// ledger is a hook.Ledger that may have to be closed.
type ledger struct {
	hook.Ledger
	close func() error
}

func (l *ledger) done(err error) error { return errors.Join(err, l.close()) }

// open gives the event log. Without write a database is opened read-only, also
// beside a running server; with write it must not be in use.
func (f *operatorFlags) open(a *app, write bool) (*ledger, error) {
	if f.Database == "" {
		client, err := f.client(a)
		if err != nil {
			return nil, err
		}
		return &ledger{client, func() error { return nil }}, nil
	}
	if f.Operator != "" {
		return nil, usage("--operator and --database exclude each other")
	}
	var p problems
	c := config{Database: f.Database}
	c.checkDatabase(&p)
	if len(p) > 0 {
		return nil, p[0]
	}
	keys, err := encryptionKeys(a.env)
	if err != nil {
		return nil, err
	}
	e := engineOf(f.Database, keys...)
	if !write {
		r, err := e.reader(context.Background())
		if err != nil {
			return nil, err
		}
		return &ledger{r, r.Close}, nil
	}
	store, err := e.open(context.Background(), storeOptions{})
	if err != nil {
		return nil, err
	}
	return &ledger{store, store.Close}, nil
}

// client finds address and token: flags, then the environment, then the folder
// of hookkeeper dev.
func (f *operatorFlags) client(a *app) (*dev.Client, error) {
	folder, err := readDevFolder(f.Dir)
	if err != nil {
		return nil, err
	}
	env := folder.over(a.env)
	c := &dev.Client{Base: f.Operator}
	if c.Base == "" {
		c.Base, _ = env("HOOKKEEPER_OPERATOR")
	}
	if c.Base == "" {
		c.Base = "http://" + defaultOperatorListen
	}
	if !strings.Contains(c.Base, "://") {
		c.Base = "http://" + c.Base
	}
	var p problems
	switch token := envSecret(env, envToken, &p); {
	case f.Token != "":
		c.Token = f.Token
	case f.TokenFile != "":
		c.Token, err = secretFile(f.TokenFile)
	case len(p) > 0:
		err = p[0]
	default:
		c.Token = token.value
	}
	return c, err
}

// filterFlags select events, as in the API.
type filterFlags struct {
	Source  string `help:"Only of this source." placeholder:"NAME"`
	Type    string `help:"Only of these types; * stands for anything, a comma for or." placeholder:"GLOB"`
	State   string `help:"Only in this state: ready, running, retrying, waiting, done, dead, discarded, no_handler, quarantined." placeholder:"STATE"`
	Subject string `help:"Only about this object." placeholder:"ID"`
	Key     string `help:"Only with this key of the sender." placeholder:"KEY"`
	Since   string `help:"Recorded at or after: RFC 3339, Unix seconds, or an age such as 2h." placeholder:"TIME"`
	Until   string `help:"Recorded before." placeholder:"TIME"`

	Text     string `help:"Only with all of these words in the body; word* for what begins so." placeholder:"WORDS"`
	JSONPath string `name:"json-path" help:"Only with this value there in the body, such as data.object.customer=cus_1." placeholder:"PATH=VALUE"`
}

func (f *filterFlags) filter() (hook.Filter, error) {
	since, err := parseTime("--since", f.Since)
	if err != nil {
		return hook.Filter{}, err
	}
	until, err := parseTime("--until", f.Until)
	if err != nil {
		return hook.Filter{}, err
	}
	state := hook.State(f.State)
	if state != "" {
		known := false
		for _, s := range hook.Worst {
			known = known || s == state
		}
		if !known {
			return hook.Filter{}, usage("--state %q: unknown state, see --help", f.State)
		}
	}
	path, value, ok := strings.Cut(f.JSONPath, "=")
	if f.JSONPath != "" && (!ok || path == "") {
		return hook.Filter{}, usage("--json-path %.80q: want PATH=VALUE, such as data.object.customer=cus_1", f.JSONPath)
	}
	return hook.Filter{
		Source: f.Source, Type: f.Type, State: state,
		Subject: f.Subject, Key: f.Key, Since: since, Until: until,
		Words: f.Text, Path: path, Value: value,
	}, nil
}

// parseTime reads RFC 3339, Unix seconds, or an age before now.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := unixSeconds(s); err == nil {
		return t, nil
	}
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, usage("%s %q: want RFC 3339, Unix seconds or an age such as 2h", flag, s)
	}
	return time.Now().Add(-d), nil
}

// readAll reads a file, or stdin for "-".
func (a *app) readAll(path string, most int64) ([]byte, error) {
	if path == "-" {
		data, err := io.ReadAll(io.LimitReader(a.stdin, most+1))
		if err == nil && int64(len(data)) > most {
			err = errors.New("stdin: more than can be a delivery")
		}
		return data, err
	}
	return readBounded(path, most)
}

// readBounded reads a regular file, pipe or the like, up to a bound.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return data, err
}
