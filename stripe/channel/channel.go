// Package channel delivers notices of the billing department outside: by e-mail,
// to Slack, Discord or a webhook, and to whatever else the library behind it
// knows. A URL says where to. It promises one call per notice and attempt, an end
// within its time limit, and errors that hold nothing of the URL, which is full
// of secrets. It refuses a URL that cannot work, and an address that is not one.
package channel

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
)

const (
	sendTimeout = 20 * time.Second
	// maxHanging bounds the sends that were given up and still run: the library
	// cannot be stopped in the middle of one.
	maxHanging = 16
	// noAddress stands in an SMTP URL without a recipient: each notice then goes to
	// the address of its own customer.
	noAddress = "customer@hookkeeper.invalid"
)

// Outlet is one place outside. It is safe for concurrent use.
type Outlet struct {
	service types.Service
	kind    string // the URL's scheme
	perUser bool   // e-mail to the customer of the notice
	words   []string
	hanging atomic.Int32
	limit   time.Duration
}

var _ stripe.Sender = (*Outlet)(nil)

// Open reads a URL: smtp://user:password@host:port/?from=a@example.com mails each
// notice to its customer, with &to=b@example.com to that address instead;
// slack://hook:A-B-C@webhook, discord://token@id and generic+https://host/path
// post it there. The error names what is wrong, not the URL.
func Open(rawURL string) (*Outlet, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("channel: want a URL such as smtp://… or slack://…")
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	o := &Outlet{kind: scheme, words: secretWords(u), limit: sendTimeout}
	if scheme == "logger" {
		return nil, errors.New("channel: logger delivers nothing")
	}
	if q := u.Query(); scheme == "smtp" && !q.Has("to") && !q.Has("toaddresses") {
		q.Set("to", noAddress)
		u.RawQuery, o.perUser = q.Encode(), true
	}
	if scheme == "generic" { // the whole notice and its key, not the bare text
		q := u.Query()
		if !q.Has("template") {
			q.Set("template", "json")
			u.RawQuery = q.Encode()
		}
	}
	router, err := shoutrrr.CreateSender()
	if err == nil {
		o.service, err = router.Locate(u.String())
	}
	if err != nil {
		return nil, fmt.Errorf("channel %s: %s", scheme, o.hidden(err))
	}
	return o, nil
}

// Send implements stripe.Sender. A notice whose customer has no address yet is
// hook.ErrNotYet.
func (o *Outlet) Send(ctx context.Context, n stripe.Notice) error {
	params := types.Params{"title": oneLine(n.Title)}
	message := n.Body
	switch {
	case o.perUser:
		address, err := addressOf(n.Email)
		if err != nil {
			return err
		}
		params["to"] = address
		fallthrough
	case o.kind == "smtp":
		params["title"] = mime.QEncoding.Encode("utf-8", params["title"])
	case o.kind == "generic":
		params["key"], params["kind"], params["user_id"] = n.Key, n.Kind, n.UserID
	}
	if o.hanging.Load() >= maxHanging {
		return errors.New("too many sends hang")
	}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	done := make(chan error, 1)
	o.hanging.Add(1)
	go func() {
		defer o.hanging.Add(-1)
		done <- o.service.Send(message, &params)
	}()
	select {
	case err := <-done:
		if err != nil {
			return errors.New(o.hidden(err))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// addressOf takes exactly one plain address: the text comes from whoever filled in
// a checkout.
func addressOf(email string) (string, error) {
	if email == "" {
		return "", hook.After(fmt.Errorf("the customer has no e-mail address: %w", hook.ErrNotYet), time.Minute)
	}
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || strings.ContainsAny(email, ",;<>\r\n\t \"") {
		return "", fmt.Errorf("the customer's e-mail address is not one: %w", hook.ErrPermanent)
	}
	return email, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+`)

// hidden is an error's text without anything of the URL.
func (o *Outlet) hidden(err error) string {
	text := anyURL.ReplaceAllString(oneLine(err.Error()), "…")
	for _, w := range o.words {
		text = strings.ReplaceAll(text, w, "…")
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "")
	}
	return text
}

// secretWords are the parts of a URL that its errors may quote.
func secretWords(u *url.URL) []string {
	words := []string{u.User.Username(), u.Host, u.Hostname(), u.Path, u.RawQuery}
	if pw, ok := u.User.Password(); ok {
		words = append(words, pw)
		words = append(words, strings.Split(pw, "-")...)
	}
	words = append(words, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		words = append(words, values...)
	}
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) < 4 })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}
