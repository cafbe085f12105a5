package dev

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"
)

// The scenarios that tell the whole life of a subscription.
const (
	storyInOrder    = "subscription-lifecycle"
	storyShuffled   = "subscription-lifecycle-shuffled"
	storyDuplicates = "subscription-lifecycle-duplicates"
)

// Stories lists the scenarios that need no type: they send many, of one new
// customer each time.
func Stories() []string { return []string{storyInOrder, storyShuffled, storyDuplicates} }

// chapter is one event of the story: a sample and what is changed in it.
type chapter struct {
	name  string
	edits []string
}

// lifecycle is the life of a subscription: it is set up, paid, renewed, misses a
// payment, is to be cancelled, and ends.
func lifecycle() []chapter {
	return []chapter{
		{"customer.created", nil},
		{"customer.subscription.created.incomplete", nil},
		{"invoice.paid.first", nil},
		{"customer.subscription.created", []string{"type=customer.subscription.updated"}},
		{"checkout.session.completed.subscription", nil},
		{"customer.subscription.updated.renewal", nil},
		{"invoice.paid", nil},
		{"invoice.payment_succeeded", nil},
		{"customer.subscription.trial_will_end", []string{"data.object.status=active"}},
		{"invoice.payment_failed", nil},
		{"customer.subscription.updated.past_due", nil},
		{"customer.subscription.updated.cancel_at_period_end", nil},
		{"customer.subscription.deleted", nil},
	}
}

// renewal is when the samples' second period begins. The whole story is moved so
// that it begins now: whoever tries it sees a subscription that runs.
const renewal = 1775001600

var sampleTime = regexp.MustCompile(`\b17[67]\d{7}\b`)

// story makes the deliveries of one life, signed now.
func (p *Plan) story(now time.Time) ([]shot, error) {
	if p.Sender != "stripe" {
		return nil, errNoStory(p.Scenario, p.Sender)
	}
	train := p.Train
	if train == "" {
		train = stripeTrains[0]
	}
	if train == "thin" {
		return nil, fmt.Errorf("scenario %s: thin events hold no subscription; choose another train", p.Scenario)
	}
	all := lifecycle()
	mark := randomHex(6)
	var shots []shot
	for i, c := range all {
		s, err := p.chapter(c, train, mark, now, now.Add(time.Duration(i+1-len(all))*time.Minute))
		if err != nil {
			return nil, err
		}
		shots = append(shots, s)
	}
	switch p.Scenario {
	case storyDuplicates:
		shots = append(shots, shots...)
		fallthrough
	case storyShuffled:
		rand.Shuffle(len(shots), func(i, j int) { shots[i], shots[j] = shots[j], shots[i] })
	}
	return shots, nil
}

// chapter makes one event of the life whose ids carry mark.
func (p *Plan) chapter(c chapter, train, mark string, now, at time.Time) (shot, error) {
	body, ok := stripeFile(c.name, train)
	if !ok {
		return shot{}, fmt.Errorf("no sample of %s in train %s", c.name, train)
	}
	for _, id := range []string{"sub_1HKtest0001", "cus_HKtest0001", "in_1HKtest000", "si_HKtest0001", "cs_test_HKa1", "il_1HKtest000"} {
		body = bytes.ReplaceAll(body, []byte(id), []byte(id+mark))
	}
	shift := now.Unix() - renewal
	body = sampleTime.ReplaceAllFunc(body, func(n []byte) []byte {
		v, err := strconv.ParseInt(string(n), 10, 64)
		if err != nil {
			return n
		}
		return strconv.AppendInt(nil, v+shift, 10)
	})
	o := p.Options
	o.Data, o.ID, o.At = body, pickID("", "evt_1HK"), at
	o.Set = append([]string{"created=" + strconv.FormatInt(at.Unix(), 10)}, append(c.edits, p.Set...)...)
	if c.name == "customer.subscription.deleted" {
		o.Set = append(o.Set, "data.object.ended_at="+strconv.FormatInt(at.Unix(), 10))
	}
	d, err := Compose(p.Sender, "", o)
	if err != nil {
		return shot{}, err
	}
	s, err := p.sign(d, now)
	s.kind = read(d.Body, "type")
	return s, err
}
