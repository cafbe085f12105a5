package toss

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

//go:embed pages
var pageFiles embed.FS

type pageSet struct{ t *template.Template }

func readPages() (*pageSet, error) {
	t, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("toss: pages: %w", err)
	}
	return &pageSet{t}, nil
}

// page is what every template may use.
type page struct {
	Lang, OtherLang, OtherURL string
	T                         map[string]string
	Title, Shop, Support      string
	Product, Amount, Note     string
	Boot                      *boot
	Result, Heading           string
	Text                      []string
	Facts                     []fact
	Button, Link              *link
	Poll, Status, PaidCID     string
}

type fact struct{ Name, Value string }

type link struct{ URL, Label string }

func (d *Desk) newPage(r *http.Request, begun string) *page {
	p := &page{Lang: d.langOf(r, begun), OtherLang: langEnglish, Shop: d.cfg.Shop}
	if p.Lang == langEnglish {
		p.OtherLang = langKorean
	}
	p.T = d.texts[p.Lang]
	q := url.Values{"lang": {p.OtherLang}}
	for _, keep := range []string{"code", "orderId"} { // of the fail page; a payment key never
		if v := r.URL.Query().Get(keep); v != "" {
			q.Set(keep, v)
		}
	}
	p.OtherURL = "?" + q.Encode()
	p.Title = p.T["page_title"]
	if d.cfg.Support != "" {
		p.Support = fill(p.T["page_support"], "{contact}", d.cfg.Support)
	}
	return p
}

// render writes a page, whole or not at all.
func (d *Desk) render(w http.ResponseWriter, status int, name string, p *page) {
	var b bytes.Buffer
	if err := d.pages.t.ExecuteTemplate(&b, name, p); err != nil {
		d.log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	d.policy(h)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser has gone: nothing to tell
}

// policy sets the content security policy. What the real script loads besides
// its own host is nowhere published, so there the list of hosts is only reported
// unless configured otherwise; who may frame us is always enforced.
func (d *Desk) policy(h http.Header) {
	hosts := origin(d.cfg.SDKURL)
	real := hosts == origin(DefaultSDKURL)
	if real {
		hosts += " https://*.tosspayments.com https://*.toss.im"
	}
	full := "default-src 'self'; script-src 'self' " + hosts + "; frame-src " + hosts + "; connect-src 'self' " + hosts +
		"; img-src 'self' data: " + hosts + "; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; object-src 'none'; base-uri 'none'"
	if real && !d.cfg.StrictCSP {
		h.Set("Content-Security-Policy", "frame-ancestors 'none'; object-src 'none'; base-uri 'none'")
		h.Set("Content-Security-Policy-Report-Only", full)
	} else {
		h.Set("Content-Security-Policy", full)
	}
	h.Set("X-Frame-Options", "DENY")
}

// pageError is a page that says one thing, and nothing about what exists.
func (d *Desk) pageError(w http.ResponseWriter, r *http.Request, status int, what string) {
	p := d.newPage(r, "")
	p.Result, p.Heading = "error", p.T["error_"+what]
	d.render(w, status, "result", p)
}

func (d *Desk) pageTrouble(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, hook.ErrNotFound) {
		d.pageError(w, r, http.StatusNotFound, "not_found")
		return
	}
	d.log.Error("checkout page failed", "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "2")
	d.pageError(w, r, http.StatusServiceUnavailable, "unavailable")
}

// pageBegin makes a purchase for whoever comes, so many a minute and address.
func (d *Desk) pageBegin(w http.ResponseWriter, r *http.Request) {
	product := r.PathValue("product")
	if !productID.MatchString(product) {
		d.pageError(w, r, http.StatusNotFound, "not_found")
		return
	}
	if from := addressOf(r); from != "" && !d.creating.pass(from) {
		w.Header().Set("Retry-After", "30")
		d.pageError(w, r, http.StatusTooManyRequests, "busy")
		return
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK) // a preview of a link buys nothing
		return
	}
	lang := r.URL.Query().Get("lang")
	if lang != langKorean && lang != langEnglish {
		lang = "" // the browser's
	}
	c, _, err := d.begin(r.Context(), Purchase{Product: product, Lang: lang, opened: true})
	if err != nil {
		d.pageTrouble(w, r, err)
		return
	}
	d.session(w, r, c.ID)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/checkout/"+c.ID, http.StatusSeeOther)
}

// session lets this browser see the whole receipt of a purchase. Nothing else
// hangs on it: a card's own app may come back in another browser.
func (d *Desk) session(w http.ResponseWriter, r *http.Request, cid string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: d.seal("session", cid), Path: "/checkout/" + cid, MaxAge: 30 * 24 * 3600,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
	})
}

func (d *Desk) knows(r *http.Request, cid string) bool {
	cookie, err := r.Cookie(cookieName)
	return err == nil && cookie.Value == d.seal("session", cid)
}

// purchase reads the purchase of a page's address.
func (d *Desk) purchase(w http.ResponseWriter, r *http.Request) (*checkout, *order, *Product, bool) {
	cid := r.PathValue("cid")
	if !isID(cid, checkoutPrefix) {
		d.pageError(w, r, http.StatusNotFound, "not_found")
		return nil, nil, nil, false
	}
	c, o, p, err := d.look(r.Context(), cid, "")
	if err != nil {
		d.pageTrouble(w, r, err)
		return nil, nil, nil, false
	}
	return c, o, p, true
}

// pageCheckout is where the buyer pays.
func (d *Desk) pageCheckout(w http.ResponseWriter, r *http.Request) {
	c, _, product, ok := d.purchase(w, r)
	if !ok {
		return
	}
	b, err := d.boot(r, c, product)
	if err != nil {
		d.pageTrouble(w, r, err)
		return
	}
	if b.Fail != nil && b.Fail["code"] == codePaid {
		http.Redirect(w, r, receiptPath(c.ID), http.StatusSeeOther)
		return
	}
	p := d.newPage(r, c.Lang)
	amount := product.Price
	if b.Order != nil {
		amount = b.Order.Amount
	}
	p.Boot, p.Product, p.Amount = b, product.Name, moneyText(amount, product.Currency, p.Lang)
	p.Title = product.Name + " · " + p.T["page_title"]
	if product.Seats != nil {
		p.Note = fill(p.T["page_seats"], "{n}", strconv.FormatInt(max(*product.Seats-product.Taken, 0), 10))
	}
	d.session(w, r, c.ID)
	d.render(w, http.StatusOK, "checkout", p)
}

// pageSuccess takes the buyer back from the payment window. It compares the
// amount, records what came, waits a moment for the job that confirms, and shows
// the receipt whatever happened. It never calls Toss, and needs no cookie.
func (d *Desk) pageSuccess(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	q := r.URL.Query()
	cid, id, key := r.PathValue("cid"), q.Get("orderId"), q.Get("paymentKey")
	if !isID(cid, checkoutPrefix) || !isID(id, orderPrefix) {
		d.pageError(w, r, http.StatusNotFound, "not_found")
		return
	}
	c, o, _, err := d.look(r.Context(), cid, id)
	if err != nil {
		d.pageTrouble(w, r, err)
		return
	}
	amount, fits := wholeWon(q.Get("amount"))
	if d.cfg.mutant("amount_from_redirect") {
		o.Amount = amount
	}
	currency := q.Get("currency")
	if !fits || amount != o.Amount || currency != "" && currency != o.Currency {
		d.refuseAmount(w, r, o, q.Get("amount"))
		return
	}
	if !paymentKeyFits(key) {
		d.pageError(w, r, http.StatusBadRequest, "not_found")
		return
	}
	if err := d.recordAuthorized(r, authorized{Checkout: cid, Order: id, PaymentKey: key, Amount: amount}); err != nil {
		// Nothing is recorded: the buyer's reload tries again.
		d.pageTrouble(w, r, err)
		return
	}
	d.wait(r.Context(), id, d.cfg.RedirectWait)
	target := receiptPath(cid)
	if c.ReturnURL != "" {
		target = withCheckout(c.ReturnURL, cid)
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// wholeWon reads an amount of the redirect: digits alone, no sign, no exponent.
func wholeWon(s string) (int64, bool) {
	if s == "" || len(s) > 15 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// paymentKeyFits reports whether a text can be a payment key: what it is, Toss says.
func paymentKeyFits(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for _, c := range s {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func (d *Desk) refuseAmount(w http.ResponseWriter, r *http.Request, o *order, got string) {
	d.log.Warn("success page with another amount: nothing is confirmed", "order", o.ID, "checkout", o.Checkout,
		"amount", o.Amount, "got", cut(printable(got), 40))
	err := d.cfg.Applier.Apply(r.Context(), d.remark(o.ID, "refused", "AMOUNT", "redirect says "+cut(got, 40)))
	if err != nil {
		d.log.Error("note not written", "order", o.ID, "error", err)
	}
	p := d.newPage(r, "")
	p.Result, p.Heading = "error", p.T["error_amount"]
	p.Button = &link{"/checkout/" + o.Checkout, p.T["pay_again"]}
	d.render(w, http.StatusBadRequest, "result", p)
}

// recordAuthorized makes what came back durable, with the job that confirms it.
// The same order and payment key are the same event, so a reload is a duplicate.
func (d *Desk) recordAuthorized(r *http.Request, a authorized) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	now := d.now()
	_, err = d.cfg.Record(r.Context(), hook.Delivery{
		Source: sourceCheckout, Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
		ReceivedAt: now, Remote: r.RemoteAddr,
	}, hook.Identity{
		Key: a.Order + ":" + a.PaymentKey, Type: typeAuthorized, Subject: a.Order, OccurredAt: now,
		Mode: d.mode, Trust: hook.TrustInternal,
	})
	return err
}

// withCheckout adds the purchase to an allowed return address.
func withCheckout(address, cid string) string {
	u, err := url.Parse(address)
	if err != nil {
		return receiptPath(cid)
	}
	q := u.Query()
	q.Set("hk_checkout", cid)
	u.RawQuery = q.Encode()
	return u.String()
}

// pageFail says in our own words what went wrong. That nothing was charged it
// says only while no confirm was sent for this purchase.
func (d *Desk) pageFail(w http.ResponseWriter, r *http.Request) {
	c, _, product, ok := d.purchase(w, r)
	if !ok {
		return
	}
	s, _, err := d.standing(r.Context(), c.ID)
	if err != nil {
		d.pageTrouble(w, r, err)
		return
	}
	q := r.URL.Query()
	p := d.newPage(r, c.Lang)
	code := codeOf(q.Get("code"))
	p.Result, p.Heading, p.Product = "failed", p.T["fail_title"], product.Name
	text := p.T["fail_"+code]
	if text == "" {
		text = p.T["fail_other"]
	}
	p.Text = append(p.Text, text)
	if said := strings.TrimSpace(cut(printable(q.Get("message")), 510)); said != "" {
		p.Text = append(p.Text, said)
	}
	if s.Status == standingOpen {
		p.Text = append(p.Text, p.T["fail_not_charged"])
	}
	again := "/checkout/" + c.ID
	if c.ReturnURL != "" {
		again = withCheckout(c.ReturnURL, c.ID)
	}
	p.Button = &link{again, p.T["pay_again"]}
	d.render(w, http.StatusOK, "result", p)
}

// pageReceipt shows what has become of a purchase; to a browser that did not
// begin it, only that.
func (d *Desk) pageReceipt(w http.ResponseWriter, r *http.Request) {
	c, _, product, ok := d.purchase(w, r)
	if !ok {
		return
	}
	s, o, err := d.standing(r.Context(), c.ID)
	if err != nil {
		d.pageTrouble(w, r, err)
		return
	}
	p := d.newPage(r, c.Lang)
	p.Result, p.Heading = s.Status, p.T["receipt_"+s.Status]
	d.receipt(p, s, o)
	if d.knows(r, c.ID) {
		p.Facts = d.facts(p, o, product)
	}
	d.render(w, http.StatusOK, "result", p)
}

// receipt words the standing.
func (d *Desk) receipt(p *page, s stateAnswer, o *order) {
	again := &link{"/checkout/" + o.Checkout, p.T["pay_again"]}
	switch s.Status {
	case standingConfirming:
		p.Result, p.Heading = "processing", p.T["receipt_processing"]
		p.Poll, p.Status = "/checkout/"+o.Checkout+"/state", s.Status
		p.Link = &link{receiptPath(o.Checkout), p.T["receipt_reload"]}
	case standingPaid:
		p.PaidCID = o.Checkout
	case standingNotCharged:
		if o.Reason == reasonNoSeat {
			p.Heading = p.T["receipt_no_seat"]
		}
		if o.Reason != reasonApplied {
			p.Button = again
		} else {
			p.Text = append(p.Text, p.T[codeApplied])
		}
	case standingRefunding:
		p.Heading = p.T["receipt_refunding_plain"]
		if d.cfg.Support != "" {
			p.Heading = fill(p.T["receipt_refunding"], "{contact}", d.cfg.Support)
		}
		p.Poll, p.Status = "/checkout/"+o.Checkout+"/state", s.Status
	case standingDeposit:
		p.Result, p.Button = "processing", nil
		p.Facts = append(p.Facts, fact{p.T["page_account"], o.Account}, fact{p.T["page_due"], dueText(o.DueAt)})
		p.Poll, p.Status = "/checkout/"+o.Checkout+"/state", s.Status
		p.Link = &link{"/checkout/" + o.Checkout, p.T["pay_other"]}
	case standingOpen, standingRefunded, standingClosed:
		p.Button = again
	}
}

func (d *Desk) facts(p *page, o *order, product *Product) []fact {
	all := append([]fact{
		{p.T["page_product"], product.Name},
		{p.T["page_amount"], moneyText(o.Amount, o.Currency, p.Lang)},
		{p.T["page_order"], o.ID},
	}, p.Facts...)
	if o.Refunded > 0 {
		all = append(all, fact{p.T["page_refunded"], moneyText(o.Refunded, o.Currency, p.Lang)})
	}
	return all
}

// since is an age for people and JSON alike; zero for no time.
func since(t hook.Timestamp, now time.Time) time.Duration {
	if !t.Valid {
		return 0
	}
	return now.Sub(t.Time).Round(time.Second)
}
