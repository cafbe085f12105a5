package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// Bounds of the checks.
const (
	diskTight    = 1 << 30  // below it: a warning
	diskFull     = 64 << 20 // below it: failed, the next checkpoint may find no room
	clockNoticed = 30 * time.Second
	clockWrong   = 5 * time.Minute // the usual tolerance: beyond it honest deliveries are refused
	lookPatience = 5 * time.Second
)

// checkDatabase looks at the file without changing it.
func checkDatabase(ctx context.Context, c *config, f *findings) {
	var p problems
	if c.checkDatabase(&p); len(p) > 0 {
		f.add("database", healthSkipped, "not a database of this binary", "see configuration")
		return
	}
	e := c.engine()
	if e.shared() {
		checkSchema(ctx, e, "", f)
		return
	}
	path := sqlitePath(c.Database)
	pid, err := sqlite.Holder(path)
	if err != nil {
		f.add("database", healthFailed, err.Error(), "give this user the right to read and write it")
	}
	before := len(p)
	checkFolder(path, &p)
	for _, problem := range p[before:] {
		f.add("database folder", healthFailed, problem.Error(), "create it, or give this user the right to write it")
	}
	if len(p) == before {
		f.add("database folder", healthOK, filepath.Dir(path)+" can be written", "")
	}
	checkDisk(path, f)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		f.add("database", healthOK, path+" does not exist yet", "serve creates it")
		return
	}
	if file, err := os.OpenFile(path, os.O_RDWR, 0); err != nil {
		f.add("database", healthFailed, fmt.Sprintf("%s cannot be written: %v", path, errors.Unwrap(err)), "give this user the right to")
	} else {
		_ = file.Close() // nothing was written
	}
	checkSchema(ctx, e, pid, f)
}

func checkSchema(ctx context.Context, e engine, pid string, f *findings) {
	s, err := e.schema(ctx)
	switch {
	case err != nil && e.shared():
		f.add("database", healthFailed, err.Error(), "look at its address, its log, and the rights of this user")
		return
	case err != nil:
		f.add("database", healthFailed, fmt.Sprintf("%s cannot be read: %v", e.name(), err), "name another file, or restore a copy")
		return
	case s.version != s.known:
		state := healthWarning // serve brings an older one up to date
		if s.version > s.known {
			state = healthFailed
		}
		f.add("schema", state, fmt.Sprintf("%d, this binary knows %d", s.version, s.known), s.advice())
	default:
		f.add("schema", healthOK, fmt.Sprintf("%d, up to date", s.version), "")
		if err := readCounts(ctx, e); err != nil {
			f.add("database", healthFailed, err.Error(), "restore a copy, or ask for help with it")
			return
		}
	}
	switch {
	case e.shared():
		f.add("database", healthOK, e.name()+" answers", "")
	case pid != "":
		f.add("database", healthOK, fmt.Sprintf("%s is worked by the process %s", e.name(), pid), "")
	default:
		f.add("database", healthOK, e.name()+" is free", "")
	}
}

func readCounts(ctx context.Context, e engine) error {
	r, err := e.reader(ctx)
	if err != nil {
		return err
	}
	_, err = r.Counts(ctx)
	return errors.Join(err, r.Close())
}

// keptTokens counts the valid operator tokens in the database; none if it cannot
// be read, which is another check's to say.
func keptTokens(c *config) int {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	r, err := c.engine().reader(ctx)
	if err != nil {
		return 0
	}
	defer r.Close()
	all, err := r.Tokens(ctx)
	if err != nil {
		return 0
	}
	return len(slices.DeleteFunc(all, func(t hook.TokenInfo) bool { return t.RevokedAt != nil }))
}

func checkDisk(path string, f *findings) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		f.add("disk", healthSkipped, "its free space cannot be read: "+err.Error(), "")
		return
	}
	state, todo := diskHealth(uint64(disk.Bavail) * uint64(disk.Bsize))
	f.add("disk", state, fmt.Sprintf("%d MiB free", uint64(disk.Bavail)*uint64(disk.Bsize)>>20), todo)
}

func diskHealth(free uint64) (state health, todo string) {
	const why = "make room: with a full disk every delivery is answered 503"
	switch {
	case free < diskFull:
		return healthFailed, why
	case free < diskTight:
		return healthWarning, why
	}
	return healthOK, ""
}

// checkListeners tries both addresses. One that is taken is well if a hookkeeper
// answers there.
func checkListeners(ctx context.Context, c *config, f *findings) {
	for _, door := range []struct {
		check, address, key string
		ours                func(ctx context.Context, base string) bool
	}{
		{"public listener", c.Listen, "listen", publicDoor},
		{"operator listener", c.OperatorListen, "operator_listen", operatorDoor},
	} {
		var p problems
		if checkAddress(&p, door.key, door.address); len(p) > 0 {
			f.add(door.check, healthSkipped, "not an address", "see configuration")
			continue
		}
		l, err := net.Listen("tcp", door.address)
		switch {
		case err == nil:
			_ = l.Close() // nobody has come yet
			f.add(door.check, healthOK, door.address+" is free", "")
		case errors.Is(err, syscall.EADDRINUSE) && door.ours(ctx, "http://"+reachable(door.address)):
			f.add(door.check, healthOK, door.address+" is held by a running hookkeeper", "")
		case errors.Is(err, syscall.EADDRINUSE):
			f.add(door.check, healthFailed, door.address+" is held by another program", "stop it, or choose another address with "+door.key)
		default:
			f.add(door.check, healthFailed, fmt.Sprintf("%s cannot be opened: %v", door.address, innermost(err)), "choose another address with "+door.key)
		}
	}
}

// innermost drops the address that the error of a listener repeats.
func innermost(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// reachable is the address under which this machine reaches a listener's.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// publicDoor knows our answer to a path that delivers nothing.
func publicDoor(ctx context.Context, base string) bool {
	resp, err := look(ctx, base+"/hooks/")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var said struct{ Status string }
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<10)).Decode(&said) == nil && said.Status == "rejected"
}

// operatorDoor knows how we ask for a token.
func operatorDoor(ctx context.Context, base string) bool {
	resp, err := look(ctx, base+"/api/v1/openapi.json")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return strings.Contains(resp.Header.Get("WWW-Authenticate"), `realm="hookkeeper"`)
}

// look asks once, without a secret, and follows nobody elsewhere.
func look(ctx context.Context, address string) (*http.Response, error) {
	client := http.Client{
		Timeout:       lookPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// checkSenders asks the configured API addresses of sources that have a key
// whether they answer, and what time it is there. Any answer will do; no key is
// sent. An address that nobody configured is never asked.
func checkSenders(ctx context.Context, c *config, f *findings) {
	told := false
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		conf, check := c.Sources[name], "sender API "+name
		switch {
		case !conf.APIKey.set:
			continue
		case conf.APIBase == "":
			f.add(check, healthSkipped, "not checked: api_base is not set", "")
			continue
		}
		u, err := url.Parse(conf.APIBase)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			f.add(check, healthFailed, "api_base is no http or https URL", "see "+conf.origin)
			continue
		}
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		resp, err := look(ctx, u.String())
		if err != nil {
			if inner, ok := errors.AsType[*url.Error](err); ok {
				err = inner.Err // without the address twice
			}
			f.add(check, healthFailed, fmt.Sprintf("%s does not answer: %v", u.Host, err), "look at the network, DNS and proxies of this machine")
			continue
		}
		_ = resp.Body.Close() // only the head matters
		f.add(check, healthOK, fmt.Sprintf("%s answers", u.Host), "")
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			told = true
			state, found, todo := clockHealth(time.Since(at))
			f.add("clock", state, found+" "+u.Host, todo)
		}
	}
	if !told {
		f.add("clock", healthSkipped, "not checked: no sender's API base is configured, with a key, and answers", "")
	}
}

// clockHealth judges how far this machine's clock is ahead.
func clockHealth(ahead time.Duration) (state health, found, todo string) {
	const mend = "set this machine's clock: honest deliveries are refused as too old or in the future"
	size := ahead.Abs().Round(time.Second)
	switch side := map[bool]string{true: "ahead of", false: "behind"}[ahead > 0]; {
	case size > clockWrong:
		return healthFailed, fmt.Sprintf("%s %s", size, side), mend
	case size > clockNoticed:
		return healthWarning, fmt.Sprintf("%s %s", size, side), "set this machine's clock"
	}
	return healthOK, "agrees with", ""
}
