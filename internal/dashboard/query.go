package dashboard

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	maxPage      = 1000     // the most that hook.Filter allows on one page
	maxOrder     = 64 << 10 // an operator's order is a few names and a sentence
	maxParameter = 4 << 10  // longer than any key that a sender makes
)

// parameters reads a query string in which each known name stands at most once.
type parameters struct {
	known  []string
	values url.Values
	err    error // the first problem; later reads give zero values
}

func queryOf(r *http.Request, known []string) *parameters {
	p := &parameters{known: known}
	p.values, p.err = url.ParseQuery(r.URL.RawQuery)
	if p.err != nil {
		p.err = &badInput{"query", "not a well-formed query string"}
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		values := p.values[name]
		switch {
		case !slices.Contains(known, name):
			p.fail(name, "unknown parameter, "+knownHere(known))
		case len(values) > 1:
			p.fail(name, "given more than once")
		case len(values[0]) > maxParameter:
			p.fail(name, "too long")
		case !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0):
			p.fail(name, "not valid text")
		}
	}
	return p
}

// fail keeps the first problem.
func (p *parameters) fail(name, why string) {
	if p.err == nil {
		p.err = &badInput{name, why}
	}
}

func knownHere(names []string) string {
	if len(names) == 0 {
		return "this route has none"
	}
	return "known here: " + strings.Join(names, ", ")
}

// text reads a parameter of the route's row. Reading any other is a mistake of
// the programmer: nobody could ever give it.
func (p *parameters) text(name string) string {
	if !slices.Contains(p.known, name) {
		panic("dashboard: parameter " + name + " is not in the table of routes")
	}
	return p.values.Get(name)
}

func (p *parameters) number(name string, most int) int {
	s := p.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		p.fail(name, fmt.Sprintf("want a number from 1 to %d", most))
		return 0
	}
	return n
}

// instant reads RFC 3339 or Unix seconds.
func (p *parameters) instant(name string) time.Time {
	s := p.text(name)
	if s == "" {
		return time.Time{}
	}
	if n, err := strconv.ParseInt(s, 10, 40); err == nil {
		return time.Unix(n, 0).UTC()
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		p.fail(name, "want RFC 3339, such as 2026-03-01T09:30:00Z, or Unix seconds")
	}
	return t
}

func (p *parameters) state(name string) hook.State {
	s := hook.State(p.text(name))
	if s != "" && !slices.Contains(hook.Worst[:], s) {
		p.fail(name, "unknown state")
	}
	return s
}

// filterOf reads the filters of the event log; paged adds limit and cursor.
func filterOf(r *http.Request, paged bool) (hook.Filter, error) {
	p := parametersOf(r)
	f := hook.Filter{
		Source: p.text("source"), Type: p.text("type"), State: p.state("state"),
		Subject: p.text("subject"), Key: p.text("key"),
		Since: p.instant("since"), Until: p.instant("until"), Words: p.text("q"),
	}
	var ok bool
	if f.Path, f.Value, ok = pathValue(p.text("json")); !ok {
		p.fail("json", "want path=value, such as data.object.customer=cus_1")
	}
	if paged {
		f.Limit, f.Cursor = p.number("limit", maxPage), p.text("cursor")
	}
	return f, p.err
}

// orderOf decodes the body of a changing request: one JSON object, known fields
// only.
func orderOf(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &badInput{"body", "want one JSON object with the fields of this route: " +
			strings.TrimPrefix(err.Error(), "json: ")}
	}
	if _, err := dec.Token(); err != io.EOF {
		return &badInput{"body", "more than one JSON object"}
	}
	return nil
}

// pathValue reads path=value.
func pathValue(s string) (path, value string, ok bool) {
	if s == "" {
		return "", "", true
	}
	path, value, ok = strings.Cut(s, "=")
	if path = strings.TrimSpace(path); !ok || path == "" {
		return "", "", false
	}
	return path, value, true
}
