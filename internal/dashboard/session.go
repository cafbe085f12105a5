package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const (
	sessionCookie = "hookkeeper_session"
	sessionTime   = 12 * time.Hour   // a working day
	ticketTime    = 10 * time.Minute // for a link that a terminal has just printed
	maxSessions   = 1000             // in the memory of a node whose store keeps none
)

// sessionBook is hook.SessionKeeper in memory, for stores that keep no sessions:
// they end with the process.
type sessionBook struct {
	now func() time.Time

	mu  sync.Mutex
	all map[hook.TokenHash]bookedSession // guarded by mu
}

type bookedSession struct {
	token hook.TokenHash
	until time.Time
}

func newSessionBook(now func() time.Time) *sessionBook {
	return &sessionBook{now: now, all: map[hook.TokenHash]bookedSession{}}
}

// AddSession implements hook.SessionKeeper. With all places taken the sessions
// that are over go, and then all: people come in again.
func (b *sessionBook) AddSession(_ context.Context, session, token hook.TokenHash, until time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) >= maxSessions {
		for hash, s := range b.all {
			if !b.now().Before(s.until) {
				delete(b.all, hash)
			}
		}
		if len(b.all) >= maxSessions {
			clear(b.all)
		}
	}
	b.all[session] = bookedSession{token, until}
	return nil
}

// SessionToken implements hook.SessionKeeper.
func (b *sessionBook) SessionToken(_ context.Context, session hook.TokenHash) (hook.TokenHash, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.all[session]
	if !ok || !b.now().Before(s.until) {
		return hook.TokenHash{}, hook.ErrNotFound
	}
	return s.token, nil
}

// EndSession implements hook.SessionKeeper.
func (b *sessionBook) EndSession(_ context.Context, session hook.TokenHash) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, session)
	return nil
}

// enter opens a session for a token and gives the browser its secret; only the
// hash of it is kept.
func (p *Pages) enter(w http.ResponseWriter, r *http.Request, token hook.TokenHash) error {
	secret := rand.Text() + rand.Text()
	until := p.now().Add(sessionTime)
	if err := p.sessions.AddSession(r.Context(), hook.TokenHash(sha256.Sum256([]byte(secret))), token, until); err != nil {
		return err
	}
	p.setCookie(w, r, sessionCookie, secret, sessionTime)
	return nil
}

// setCookie names no path: a browser then takes the folder of the page, under
// whatever prefix a proxy shows it.
func (p *Pages) setCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, MaxAge: int(age / time.Second), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: !onLoopback(r)})
}

// onLoopback reports a browser on this machine, by the name that it knows us by:
// only there a cookie travels safely without TLS.
func onLoopback(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// whose finds out whose session a request belongs to. The session is worth as
// much as its token is now: one that was revoked opens nothing.
func (p *Pages) whose(r *http.Request) (visitor, error) {
	secret := cookieOf(r, sessionCookie)
	if secret == "" {
		return visitor{}, hook.ErrNotFound
	}
	token, err := p.sessions.SessionToken(r.Context(), hook.TokenHash(sha256.Sum256([]byte(secret))))
	if err != nil {
		return visitor{}, err
	}
	return p.gate.find(r.Context(), token)
}

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// tickets are one-time links that open a session.
type tickets struct {
	mu  sync.Mutex
	all map[hook.TokenHash]time.Time // guarded by mu; until when
}

// Ticket makes a secret that opens one session for the first configured token,
// once and within ten minutes: …/dashboard/login?ticket=SECRET. ok is false
// without a configured token.
func (p *Pages) Ticket() (secret string, ok bool) {
	if len(p.gate.configured) == 0 {
		return "", false
	}
	secret = rand.Text()
	p.tickets.mu.Lock()
	defer p.tickets.mu.Unlock()
	now := p.now()
	for hash, until := range p.tickets.all {
		if !now.Before(until) {
			delete(p.tickets.all, hash)
		}
	}
	p.tickets.all[sha256.Sum256([]byte(secret))] = now.Add(ticketTime)
	return secret, true
}

// use takes a ticket: whoever comes second finds none.
func (t *tickets) use(secret string, now time.Time) bool {
	hash := hook.TokenHash(sha256.Sum256([]byte(secret)))
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.all[hash]
	delete(t.all, hash)
	return ok && now.Before(until)
}

// showLogin asks for the token. A ticket is not taken by looking at it: previews
// of links look as well.
func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request, v *view) error {
	if _, err := p.whose(r); err == nil {
		p.to(w, v, "")
		return nil
	}
	q := r.URL.Query()
	return p.render(w, v, http.StatusOK, "login", loginForm{
		Ticket: q.Get("ticket"), Next: ownPage(q.Get("next")), Open: !onLoopback(r) && !overTLS(r),
	})
}

type loginForm struct {
	Ticket, Next string
	Open         bool // neither on this machine nor by TLS
	Problem      string
}

// overTLS believes a header that only fools whoever sets it.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// login takes a token or a ticket. Guessing is slowed down by the gate's brake.
func (p *Pages) login(w http.ResponseWriter, r *http.Request, v *view) error {
	form := loginForm{Next: ownPage(r.PostFormValue("next")), Open: !onLoopback(r) && !overTLS(r)}
	again := func(status int, problem string) error {
		form.Problem = problem
		return p.render(w, v, status, "login", form)
	}
	if form.Open {
		return again(http.StatusForbidden, v.T("login.insecure"))
	}
	address := addressOf(r)
	if wait := p.gate.brake.shut(address); wait > 0 {
		return p.tooMany(w, again, v, wait)
	}
	hash, ok, err := p.tokenOf(r)
	switch {
	case err != nil:
		return err
	case ok:
		if err := p.enter(w, r, hash); err != nil {
			return err
		}
		p.to(w, v, form.Next)
		return nil
	}
	wait, tooMany := p.gate.brake.wrong(address)
	if tooMany {
		p.log.Warn("operator tokens: too many wrong ones, no more are looked at for a minute", "address", address)
	}
	if wait > 0 {
		return p.tooMany(w, again, v, wait)
	}
	return again(http.StatusUnauthorized, v.T("login.wrong"))
}

func (p *Pages) tooMany(w http.ResponseWriter, again func(int, string) error, v *view, wait time.Duration) error {
	seconds := int((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", digits(seconds))
	return again(http.StatusTooManyRequests, v.T("login.toomany", seconds))
}

// tokenOf reads the token or the ticket of a login.
func (p *Pages) tokenOf(r *http.Request) (hash hook.TokenHash, ok bool, err error) {
	if ticket := r.PostFormValue("ticket"); ticket != "" {
		if len(p.gate.configured) == 0 || !p.tickets.use(ticket, p.now()) {
			return hash, false, nil
		}
		return p.gate.configured[0], true, nil
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	if token == "" {
		return hash, false, nil
	}
	hash = sha256.Sum256([]byte(token))
	if _, err = p.gate.find(r.Context(), hash); errors.Is(err, hook.ErrNotFound) {
		return hash, false, nil
	}
	return hash, err == nil, err
}

// logout ends the session in the store too: a copy of the cookie is worth nothing
// afterwards.
func (p *Pages) logout(w http.ResponseWriter, r *http.Request, v *view) error {
	if secret := cookieOf(r, sessionCookie); secret != "" {
		err := p.sessions.EndSession(r.Context(), hook.TokenHash(sha256.Sum256([]byte(secret))))
		if err != nil {
			return err
		}
	}
	p.setCookie(w, r, sessionCookie, "", -time.Second)
	p.to(w, v, "login")
	return nil
}

// ownPage gives a page of ours to go on to, seen from the login; anything else
// leads to the overview.
func ownPage(next string) string {
	path, _, _ := strings.Cut(next, "?")
	for _, r := range path {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '/' || r == '_' || r == '-') {
			return ""
		}
	}
	if strings.HasPrefix(path, "/") || strings.Contains(path, "//") || len(next) > maxParameter ||
		strings.ContainsFunc(next, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '\\' }) {
		return ""
	}
	return next
}
