package toss

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed assets
var assetFiles embed.FS

// Codes of the JSON API, fixed by what the page knows.
const (
	codePaid            = "CHECKOUT_PAID"
	codeAwaitingDeposit = "AWAITING_DEPOSIT"
	codeSoldOut         = "SOLD_OUT"
	codeApplied         = "ALREADY_APPLIED"
	codeClosed          = "CLOSED"
	codePriceChanged    = "PRICE_CHANGED"
	codeSuperseded      = "ORDER_SUPERSEDED"
	codeBusy            = "BUSY"
	codeUnavailable     = "UNAVAILABLE"
	codeNotFound        = "NOT_FOUND"
	codeBadRequest      = "BAD_REQUEST"
	codeForbidden       = "FORBIDDEN"
	codeReturn          = "RETURN_NOT_ALLOWED"
)

const (
	maxRequestBytes = 16 << 10
	tokenHeader     = "Hookkeeper-Checkout-Token"
	tokenLife       = time.Hour
	cookieName      = "hk_checkout"
)

// Pages is the public side: everything below /checkout/.
func (d *Desk) Pages() http.Handler {
	mux := http.NewServeMux()
	assets, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		panic("toss: assets are not embedded: " + err.Error()) // a broken build
	}
	// Neither assets nor p can be a purchase's id; they go first, for a mux finds
	// their patterns no more special than those of a purchase.
	fixed := http.NewServeMux()
	fixed.Handle("GET /checkout/assets/", asset(http.StripPrefix("/checkout/assets/", http.FileServerFS(assets))))
	fixed.HandleFunc("GET /checkout/p/{product}", d.pageBegin)
	fixed.Handle("/checkout/", mux)
	mux.HandleFunc("GET /checkout/{cid}", d.pageCheckout)
	mux.HandleFunc("GET /checkout/{cid}/success", d.pageSuccess)
	mux.HandleFunc("GET /checkout/{cid}/fail", d.pageFail)
	mux.HandleFunc("GET /checkout/{cid}/receipt", d.pageReceipt)
	mux.HandleFunc("GET /checkout/{cid}/boot", d.call(d.callBoot))
	mux.HandleFunc("GET /checkout/{cid}/state", d.call(d.callState))
	mux.HandleFunc("POST /checkout/{cid}/orders", d.call(d.callOrders))
	mux.HandleFunc("POST /checkout/{cid}/orders/{oid}/prepare", d.call(d.callPrepare))
	mux.HandleFunc("POST /checkout/{cid}/telemetry", d.call(d.callTelemetry))
	mux.HandleFunc("OPTIONS /checkout/{cid}/", d.preflight)
	mux.HandleFunc("/checkout/", func(w http.ResponseWriter, r *http.Request) {
		d.pageError(w, r, http.StatusNotFound, "not_found")
	})
	guard := http.NewCrossOriginProtection()
	for _, o := range d.cfg.Origins {
		if err := guard.AddTrustedOrigin(o); err != nil {
			panic("toss: origin " + o + ": " + err.Error()) // New has checked them
		}
	}
	return guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "strict-origin")
		fixed.ServeHTTP(w, r)
	}))
}

// asset serves what is embedded: kept for a few minutes, so that a new version
// reaches everybody soon.
func asset(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		next.ServeHTTP(w, r)
	})
}

// call is one operation of the JSON API: its answer, or an error that says how
// it is answered.
func (d *Desk) call(do func(r *http.Request, cid string) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "Origin")
		if !d.admit(w, r) {
			return
		}
		cid := r.PathValue("cid")
		if !isID(cid, checkoutPrefix) {
			d.answerError(w, r, hook.ErrNotFound)
			return
		}
		status, body, err := do(r, cid)
		if err != nil {
			d.answerError(w, r, err)
			return
		}
		writeJSON(w, status, body)
	}
}

// admit lets our own pages through, and those of a configured origin that carry
// a token for this purchase; the boot call is where such a page gets it.
func (d *Desk) admit(w http.ResponseWriter, r *http.Request) bool {
	foreign := d.foreign(r)
	if foreign == "" {
		return true
	}
	if !slices.Contains(d.cfg.Origins, foreign) {
		d.answerError(w, r, &refused{Status: http.StatusForbidden, Code: codeForbidden})
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", foreign)
	if strings.HasSuffix(r.URL.Path, "/boot") {
		return true
	}
	if !d.tokenFits(r.Header.Get(tokenHeader), r.PathValue("cid"), foreign) {
		d.answerError(w, r, &refused{Status: http.StatusForbidden, Code: codeForbidden})
		return false
	}
	return true
}

// foreign is the other site whose page asks; empty for our own pages and for
// what is no page. A proxy may have taken the TLS off, so only hosts compare.
func (d *Desk) foreign(r *http.Request) string {
	from := r.Header.Get("Origin")
	if from == "" || from == d.cfg.PublicURL {
		return ""
	}
	if u, err := url.Parse(from); err == nil && u.Host == r.Host {
		return ""
	}
	return from
}

// secure reports whether the buyer's browser speaks TLS, to us or to a proxy
// that says so. It decides a cookie's attribute and nothing that is trusted.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// preflight answers a browser that asks whether a foreign page may call.
func (d *Desk) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	foreign := r.Header.Get("Origin")
	if !slices.Contains(d.cfg.Origins, foreign) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	h.Set("Access-Control-Allow-Origin", foreign)
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "content-type, idempotency-key, hookkeeper-checkout-token")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the browser has gone: nothing to tell
}

// answerError gives an error its public form. What we do not know ourselves is
// unavailable, and told to the log.
func (d *Desk) answerError(w http.ResponseWriter, r *http.Request, err error) {
	answer, ok := errors.AsType[*refused](err)
	switch {
	case ok:
	case errors.Is(err, hook.ErrNotFound):
		answer = &refused{Status: http.StatusNotFound, Code: codeNotFound}
	default:
		d.log.Error("checkout call failed", "path", r.URL.Path, "error", err)
		answer = &refused{Status: http.StatusServiceUnavailable, Code: codeUnavailable}
	}
	if answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	texts := d.texts[d.langOf(r, "")]
	body := map[string]any{"code": answer.Code, "message": texts[answer.Code]}
	if body["message"] == "" {
		body["message"] = texts["other_error"]
	}
	for k, v := range answer.More {
		body[k] = v
	}
	writeJSON(w, answer.Status, body)
}

// readBody reads a small JSON object. A foreign body is refused as a whole.
func readBody(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &refused{Status: http.StatusBadRequest, Code: codeBadRequest}
	}
	return nil
}

// token lets a page of another origin call for one purchase, for an hour.
func (d *Desk) token(cid, foreign string) string {
	end := strconv.FormatInt(d.now().Add(tokenLife).Unix(), 36)
	return end + "." + d.seal("token", cid, foreign, end)
}

func (d *Desk) tokenFits(token, cid, foreign string) bool {
	end, mac, ok := strings.Cut(token, ".")
	seconds, err := strconv.ParseInt(end, 36, 64)
	return ok && err == nil && d.now().Unix() < seconds &&
		hmac.Equal([]byte(mac), []byte(d.seal("token", cid, foreign, end)))
}

// seal is a MAC over words, under a key that all nodes derive from the secret key.
func (d *Desk) seal(words ...string) string {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(strings.Join(words, "\x00")))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// customerKey names a buyer to the widget: the same each time, and nothing that
// says who it is.
func (d *Desk) customerKey(buyer string) string { return "hk-" + d.seal("customer", buyer)[:32] }

// returnAllowed reports whether a purchase may end at this address.
func (d *Desk) returnAllowed(address string) bool {
	return len(address) <= 2000 && slices.Contains(d.cfg.Origins, origin(address))
}

// addressOf is whom a limit counts: the peer, or, where that is a proxy of our
// own network, the last address that it names; empty if nobody can be told from
// anybody else.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() && !ip.IsPrivate() {
		return host
	}
	all := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
	return strings.TrimSpace(all[len(all)-1])
}

// wait looks at an order until it is settled or the time is over.
func (d *Desk) wait(ctx context.Context, id string, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		o, err := d.order(ctx, id)
		if err != nil || o.decided() {
			return
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
	}
}

// decided reports whether the buyer can be told what has become of an order that
// came back from the payment window.
func (o *order) decided() bool {
	switch o.State {
	case StateConfirming:
		return false
	case StateIssued, StatePrepared:
		return o.TossStatus == statusExpired || o.TossStatus == statusAborted
	case StateAuthorized:
		return o.Reason != ""
	case StateSuperseded, StateExpired:
		return o.AskedAt.Valid || o.PaymentKey != ""
	}
	return true
}
