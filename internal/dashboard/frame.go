package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

//go:embed pages assets texts
var pageFiles embed.FS

// The languages and zones that pages come in.
const (
	english = "en"
	korean  = "ko"

	zoneBrowser = "browser"
	zoneUTC     = "utc"
	zoneKorea   = "kst"
)

// view is what every template may use: who looks, in which language and zone,
// and the data of the page.
type view struct {
	Lang, Zone, Theme string
	Who               string
	Role              hook.Role
	Root              string // leads from this page to /dashboard/
	Here              string // the entry of the navigation
	Path              string // below /dashboard/, with its query
	Notice            string
	Now               time.Time
	Version           string // of the assets
	Extra             []string
	SecondPerson      bool // something may need a second operator
	Waiting           int  // requests for approval
	Rows              int  // of a list
	Keys              bool
	Data              any

	texts map[string]string
}

// T is a text of the catalogue, filled in.
func (v *view) T(key string, fill ...any) string {
	text, ok := v.texts[key]
	if !ok {
		return key
	}
	if len(fill) == 0 {
		return text
	}
	return fmt.Sprintf(text, fill...)
}

// Has reports whether the visitor may do what needs a role.
func (v *view) Has(role string) bool { return v.Role.Allows(hook.Role(role)) }

// Known reports whether the catalogue has a text.
func (v *view) Known(key string) bool { _, ok := v.texts[key]; return ok }

// moment is a time as pages show it.
type moment struct {
	ISO, Text, Ago string
	Local          bool // the browser may write it in its own zone
}

// At gives a time in the visitor's zone; empty for none.
func (v *view) At(at any) moment {
	var t time.Time
	switch at := at.(type) {
	case time.Time:
		t = at
	case *time.Time:
		if at != nil {
			t = *at
		}
	}
	if t.IsZero() {
		return moment{}
	}
	m := moment{ISO: t.UTC().Format(time.RFC3339Nano), Local: v.Zone == zoneBrowser}
	m.Text = t.In(v.location()).Format("2006-01-02 15:04:05")
	m.Ago = v.ago(v.Now.Sub(t))
	return m
}

// location has no summer time to know: Korea has none.
func (v *view) location() *time.Location {
	if v.Zone == zoneKorea {
		return time.FixedZone("KST", 9*60*60)
	}
	return time.UTC
}

// ago never says a negative time: clocks differ a little.
func (v *view) ago(d time.Duration) string {
	if d < -time.Second {
		return v.T("time.in", v.Span(-d))
	}
	if d < time.Second {
		return v.T("time.now")
	}
	return v.T("time.ago", v.Span(d))
}

// Span writes a length of time in its largest unit.
func (v *view) Span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return v.T("span.ms", d.Milliseconds())
	case d < 2*time.Minute:
		return v.T("span.s", int(d.Seconds()))
	case d < 2*time.Hour:
		return v.T("span.min", int(d.Minutes()))
	case d < 48*time.Hour:
		return v.T("span.h", int(d.Hours()))
	}
	return v.T("span.d", int(d.Hours()/24))
}

// frames are the templates, one set a page, and the catalogues.
type frames struct {
	pages   map[string]*template.Template
	texts   map[string]map[string]string
	version string
}

func readFrames() (*frames, error) {
	f := &frames{pages: map[string]*template.Template{}, texts: map[string]map[string]string{}}
	for _, lang := range []string{english, korean} {
		raw, err := pageFiles.ReadFile("texts/" + lang + ".json")
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("texts %s: %w", lang, err)
		}
		f.texts[lang] = texts
	}
	sum := sha256.New()
	for _, name := range []string{"dashboard.css", "dashboard.js"} {
		content, err := pageFiles.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		sum.Write(content)
	}
	f.version = hex.EncodeToString(sum.Sum(nil)[:6])
	frame, err := template.New("frame.html").Funcs(template.FuncMap{
		"short": shortText, "count": countText, "dict": dict, "hide": hide(show.NewMasker()),
	}).ParseFS(pageFiles, "pages/frame.html", "pages/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		own, err := frame.Clone()
		if err == nil && page != "frame" && page != "parts" {
			_, err = own.ParseFS(pageFiles, name)
		}
		if err != nil {
			return nil, err
		}
		f.pages[page] = own
	}
	return f, nil
}

// hide masks what the error of a handler, or a note, may quote of a body.
func hide(m *show.Masker) func(text any) string {
	return func(text any) string {
		s, ok := text.(*string)
		if !ok {
			masked, _ := m.Mask(fmt.Sprint(text))
			return masked
		}
		masked, _ := m.Mask(*s)
		return masked
	}
}

// dict lets a template hand several values to another.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict: names are texts")
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// shortText cuts a text, also one behind a pointer.
func shortText(n int, text any) string {
	switch text := text.(type) {
	case *string:
		if text != nil {
			return show.Short(n, *text)
		}
		return ""
	case string:
		return show.Short(n, text)
	}
	return show.Short(n, fmt.Sprint(text))
}

// countText writes a bounded count: beyond the bound it is known to be more.
func countText(n int64) string {
	if n > maxCounted {
		return "10k+"
	}
	return strconv.FormatInt(n, 10)
}

// maxCounted is how far rows are counted.
const maxCounted = 10_000

func digits(n int) string { return strconv.Itoa(n) }

// newView reads what a browser has chosen; whatever is unknown falls back.
func (p *Pages) newView(r *http.Request) *view {
	v := &view{Lang: english, Now: p.now(), Version: p.frames.version, Extra: p.extra, Keys: cookieOf(r, "keys") != "off"}
	below := strings.TrimPrefix(r.URL.Path, "/dashboard/")
	v.Root = strings.Repeat("../", strings.Count(strings.TrimPrefix(r.URL.EscapedPath(), "/dashboard/"), "/"))
	if r.Method == http.MethodGet {
		v.Path = below
	}
	if v.Path != "" && r.URL.RawQuery != "" {
		v.Path += "?" + r.URL.RawQuery
	}
	switch chosen := cookieOf(r, "lang"); {
	case chosen == korean, chosen == english:
		v.Lang = chosen
	case prefersKorean(r.Header.Get("Accept-Language")):
		v.Lang = korean
	}
	v.texts = p.frames.texts[v.Lang]
	switch v.Zone = cookieOf(r, "zone"); v.Zone {
	case zoneUTC, zoneBrowser, zoneKorea:
	default:
		v.Zone = zoneBrowser
		if v.Lang == korean {
			v.Zone = zoneKorea
		}
	}
	switch v.Theme = cookieOf(r, "theme"); v.Theme {
	case "light", "dark":
	default:
		v.Theme = "auto"
	}
	v.Rows, _ = strconv.Atoi(cookieOf(r, "rows"))
	if v.Rows != 25 && v.Rows != 100 && v.Rows != 200 {
		v.Rows = 50
	}
	v.Notice = v.notice(r.URL.Query().Get("done"))
	return v
}

// notice is the outcome of an act, by its name only: texts of others never come
// in by an address.
func (v *view) notice(done string) string {
	if key := "done." + done; done != "" && v.Known(key) {
		return v.T(key)
	}
	return ""
}

// prefersKorean looks at which of our languages is named first.
func prefersKorean(accepted string) bool {
	for part := range strings.SplitSeq(strings.ToLower(accepted), ",") {
		switch tag := strings.TrimSpace(part); {
		case strings.HasPrefix(tag, korean):
			return true
		case strings.HasPrefix(tag, english):
			return false
		}
	}
	return false
}

// policy is the content security policy: nothing but our own files, and nothing
// written into a page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func guard(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // without it a form's Origin would be null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// render writes a page, whole or not at all. Whatever text steers is made visible
// over the whole page: no template can forget it.
func (p *Pages) render(w http.ResponseWriter, v *view, status int, name string, data any) error {
	v.Data = data
	var b bytes.Buffer
	if err := p.frames.pages[name].ExecuteTemplate(&b, "frame", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(show.Visible(b.Bytes())) // the browser has gone: nothing to tell
	return nil
}

// fragment renders a part of a page, for the live tail.
func (p *Pages) fragment(v *view, page, part string, data any) ([]byte, error) {
	v.Data = data
	var b bytes.Buffer
	if err := p.frames.pages[page].ExecuteTemplate(&b, part, v); err != nil {
		return nil, fmt.Errorf("part %s: %w", part, err)
	}
	return show.Visible(b.Bytes()), nil
}

// to leads on to another page of ours, below /dashboard/, relative to this one:
// a prefix that a proxy shows stays.
func (p *Pages) to(w http.ResponseWriter, v *view, page string) {
	target := v.Root + page
	if target == "" {
		target = "./"
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}
