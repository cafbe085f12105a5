package dev

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Options change what Compose makes. The zero value makes a new event of now.
type Options struct {
	Data  []byte    // the body, instead of a sample; its id and times stay
	ID    string    // the sender's id of the event, instead of a fresh one
	Set   []string  // edits of the body, each path=value, made last
	At    time.Time // the time of the event; zero means now
	Train string    // Stripe's API train: dahlia, acacia, basil, endive or thin
}

// Delivery is a composed delivery before it is signed.
type Delivery struct {
	Header http.Header
	Body   []byte
	// Signed says that the sender signs this type. What it never signs passes
	// as a hint, whatever is done to it.
	Signed bool
}

// Compose makes a delivery of a sender's event type from a sample or from
// given bytes. Repeated calls make different events unless Data or ID says
// which event it is.
func Compose(sender, eventType string, o Options) (Delivery, error) {
	body := o.Data
	if body == nil {
		var err error
		if body, err = sample(sender, eventType, o.Train); err != nil {
			return Delivery{}, err
		}
	}
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	d := Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Signed: true}
	if err := d.freshen(sender, eventType, at, o); err != nil {
		return Delivery{}, err
	}
	for _, edit := range o.Set {
		path, value, ok := strings.Cut(edit, "=")
		if !ok {
			return Delivery{}, fmt.Errorf("set %q: want path=value", edit)
		}
		var err error
		if d.Body, err = Edit(d.Body, path, value); err != nil {
			return Delivery{}, err
		}
	}
	if sender == "toss" {
		d.Signed = tossSigns(d.Body)
	}
	return d, nil
}

// tossSigns: Toss signs these two types only.
func tossSigns(body []byte) bool {
	t := read(body, "eventType")
	return t == "payout.changed" || t == "seller.changed"
}

// freshen gives the delivery its id and its times, each where that sender has
// them.
func (d *Delivery) freshen(sender, eventType string, at time.Time, o Options) error {
	edits := map[string]string{}
	switch sender {
	case "stripe":
		d.stripe(edits, at, o)
	case "toss":
		d.toss(edits, at, o)
	case "github":
		d.github(edits, eventType, at, o)
	case "standard-webhooks", "portone":
		d.Header.Set("Webhook-Id", pickID(o.ID, "msg_"))
		edits["timestamp"] = at.UTC().Format("2006-01-02T15:04:05.000000Z")
	case "hmac":
		edits["id"] = pickID(o.ID, "evt_")
		edits["created_at"] = at.UTC().Format(time.RFC3339)
	}
	for path, value := range edits {
		idPath := o.ID != "" && value == o.ID
		// Bytes that the caller gave stay as they are, but for an id asked for.
		if o.Data != nil && !idPath || !has(d.Body, path) {
			continue
		}
		var err error
		if d.Body, err = editText(d.Body, path, value); err != nil {
			return err
		}
	}
	return nil
}

// editText is Edit, but an id that looks like a number stays a string.
func editText(body []byte, path, value string) ([]byte, error) {
	if path == "created" || path == "repository.pushed_at" {
		return Edit(body, path, value)
	}
	return splice(body, strings.Split(path, "."), quote(value))
}

func (d *Delivery) stripe(edits map[string]string, at time.Time, o Options) {
	if read(d.Body, "object") == "v2.core.event" {
		edits["id"] = pickID(o.ID, "evt_test_65HK")
		edits["created"] = at.UTC().Format("2006-01-02T15:04:05.000Z")
		return
	}
	edits["id"] = pickID(o.ID, "evt_1HK")
	edits["created"] = strconv.FormatInt(at.Unix(), 10)
}

func (d *Delivery) toss(edits map[string]string, at time.Time, o Options) {
	seoul := at.In(time.FixedZone("KST", 9*60*60))
	layout := "2006-01-02T15:04:05.000000"
	if strings.Contains(read(d.Body, "createdAt"), "+") {
		layout = "2006-01-02T15:04:05-07:00"
	}
	edits["createdAt"] = seoul.Format(layout)
	transmission := pickID("", "whtrans_")
	if has(d.Body, "eventId") {
		edits["eventId"] = pickID(o.ID, "evt_HK-")
	} else if o.ID != "" {
		transmission = o.ID
	}
	d.Header.Set("Tosspayments-Webhook-Transmission-Id", transmission)
	d.Header.Set("Tosspayments-Webhook-Transmission-Time", seoul.Format("2006-01-02T15:04:05-07:00"))
	d.Header.Set("Tosspayments-Webhook-Transmission-Retried-Count", "0")
}

// github makes the body new too: GitHub's key is a header that no signature
// covers, so an old body under a new key is kept from the handlers.
func (d *Delivery) github(edits map[string]string, eventType string, at time.Time, o Options) {
	id := o.ID
	if id == "" {
		id = uuid()
	}
	d.Header.Set("X-Github-Delivery", id)
	d.Header.Set("X-Github-Event", eventType)
	d.Header.Set("User-Agent", "GitHub-Hookshot/hookkeeper")
	commit := randomHex(20)
	for _, path := range []string{"after", "head_commit.id", "commits.0.id", "pull_request.head.sha"} {
		edits[path] = commit
	}
	stamp := at.UTC().Format(time.RFC3339)
	for _, path := range []string{"head_commit.timestamp", "commits.0.timestamp", "pull_request.updated_at"} {
		edits[path] = stamp
	}
	edits["repository.pushed_at"] = strconv.FormatInt(at.Unix(), 10)
}

func pickID(given, prefix string) string {
	if given != "" {
		return given
	}
	return prefix + randomHex(10)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func uuid() string {
	h := []byte(randomHex(16))
	h[12], h[16] = '4', 'a' // version 4, variant 1
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
