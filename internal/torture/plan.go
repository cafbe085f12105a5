package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// The two sources of the load. Both carry the same ids, so that a key that
// leaves out its source is found.
const (
	sourceStripe  = "stripe"
	sourcePartner = "partner"
)

// Shares of the load in percent (reliability §3.2).
const (
	shareForged   = 20 // preceded by a forged copy of the same id
	shareStale    = 10 // preceded by a copy stamped one hour ago
	shareParallel = 25 // four copies at the same time
	shareLate     = 5  // followed by a late copy
	sharePoison   = 2  // always fails
	shareFailing  = 10 // fails one to three times, then passes
	shareSubject  = 30 // of the ordered source: shares its subject with others
)

const (
	parallelCopies = 4
	maxPad         = 2000
	perSubject     = 6  // events that share a subject, on average
	needsGap       = 64 // an event that needs another is so far ahead of it
)

// event is one planned event. It is a pure function of seed and number.
type event struct {
	number  int
	source  string
	mode    string
	key     string
	kind    string
	subject string // subscription of the sender, or empty

	forged, stale, parallel, late bool
	orders                        orders
}

// orders is what the test handler obeys.
type orders struct {
	Fail   int    `json:"fail,omitempty"`
	Poison bool   `json:"poison,omitempty"`
	SlowMS int64  `json:"slow_ms,omitempty"`
	Needs  string `json:"needs,omitempty"`
}

// plan is the whole load of one seed.
type plan struct{ opt Options }

// dice are independent for each event and purpose, so that one event's part of
// the plan does not hang on another's.
func (p plan) dice(number, purpose int) *rand.Rand {
	return rand.New(rand.NewPCG(p.opt.Seed, uint64(number)<<8|uint64(purpose)))
}

const (
	purposePlan = iota
	purposeNeeds
	purposeBody
	purposeForged
	purposePauses // and above: one for each copy
)

func (p plan) event(number int) event {
	d := p.dice(number, purposePlan)
	percent := func(share int) bool { return d.IntN(100) < share }
	e := event{
		number: number, source: sourcePartner, kind: "torture.happened",
		key:    p.key(number),
		forged: percent(shareForged), stale: percent(shareStale),
		parallel: percent(shareParallel), late: percent(shareLate),
	}
	if poison, failing := percent(sharePoison), percent(shareFailing); poison {
		e.orders.Poison = true
	} else if failing {
		e.orders.Fail = 1 + d.IntN(3)
	}
	// What fails to the end need not be slow as well: it would only draw out
	// the drain.
	if percent(p.opt.SlowPercent) && !e.orders.Poison {
		least, most := p.opt.SlowMin.Milliseconds(), p.opt.SlowMax.Milliseconds()
		e.orders.SlowMS = least + d.Int64N(most-least+1)
	}
	if number%2 == 0 {
		e.source, e.mode, e.kind = sourceStripe, "test", "payout.paid"
		p.subject(&e, percent(shareSubject), d)
	}
	return e
}

// subject gives an event of the ordered source its subject, and a need where
// the plan has one.
func (p plan) subject(e *event, shared bool, d *rand.Rand) {
	switch {
	case p.needs(e.number):
		later := p.key(e.number + needsGap)
		e.orders = orders{Needs: later}
		e.subject = "sub_needs_" + later
	case p.needs(e.number - needsGap):
		e.orders = orders{} // it must succeed, or what needs it never can
		e.subject = "sub_needs_" + e.key
	case shared:
		e.subject = fmt.Sprintf("sub_%d", d.IntN(1+p.opt.Events*shareSubject/200/perSubject))
	}
	if e.subject != "" {
		e.kind = "customer.subscription.updated"
	}
}

func (p plan) key(number int) string {
	return fmt.Sprintf("evt_%08x%07d", uint32(p.opt.Seed), number/2)
}

// needs reports whether the event waits for the one needsGap after it. Chains
// are left out: what is needed needs nothing itself.
func (p plan) needs(number int) bool {
	rolled := func(n int) bool {
		return n >= 0 && n%2 == 0 && n+needsGap < p.opt.Events && p.dice(n, purposeNeeds).IntN(100) < p.opt.NeedsPercent
	}
	return rolled(number) && !rolled(number-needsGap)
}

// body is the body of an event, the same bytes each time.
func (p plan) body(e event) []byte { return p.build(e, p.dice(e.number, purposeBody), e.orders) }

// forgedBody has the id of the event and other bytes.
func (p plan) forgedBody(e event) []byte {
	return p.build(e, p.dice(e.number, purposeForged), orders{})
}

func (p plan) build(e event, d *rand.Rand, o orders) []byte {
	var b bytes.Buffer
	pad := padding(d)
	hk, err := json.Marshal(o)
	if err != nil {
		panic("torture: orders cannot be written: " + err.Error()) // a programmer's error: plain fields only
	}
	if e.source == sourcePartner {
		fmt.Fprintf(&b, `{"type":%q,"timestamp":"2026-11-21T12:00:00Z","data":{"n":%d},"pad":"%s","hk":%s}`,
			e.kind, e.number, pad, hk)
		return b.Bytes()
	}
	fmt.Fprintf(&b, `{"id":%q,"object":"event","type":%q,"livemode":false,"created":%d,`, e.key, e.kind, 1_795_000_000+e.number)
	if e.subject != "" {
		fmt.Fprintf(&b, `"data":{"object":{"id":%q,"object":"subscription"}},`, e.subject)
	}
	fmt.Fprintf(&b, `"pad":"%s","hk":%s}`, pad, hk)
	return b.Bytes()
}

// padAlphabet has what a program that writes JSON anew would change: an escaped
// slash, an escaped letter, characters that HTML escapes, and Korean.
func padAlphabet() []string {
	return []string{"a", "Z", "7", " ", `\/`, `\u00e9`, "é", "<", "&", "결", "-", "_", "."}
}

// padding is 0 to maxPad bytes of text that stands inside a JSON string.
func padding(d *rand.Rand) string {
	var b bytes.Buffer
	alphabet := padAlphabet()
	for want := d.IntN(maxPad + 1); b.Len() < want; {
		b.WriteString(alphabet[d.IntN(len(alphabet))])
	}
	return b.String()
}
