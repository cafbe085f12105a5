package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

// BodyBytes is the size of the prepared Stripe events unless a Mix says
// otherwise, that of a usual invoice.
const BodyBytes = 3600

// repeatWithin is how many events back a duplicate may reach: near enough to
// meet the first delivery while that is still being written.
const repeatWithin = 200

// Mix says what a load consists of. Its zero value has no deliveries.
type Mix struct {
	Secret        string
	Series        string  // letters and digits that keep the ids of several loads apart
	Deliveries    int     // of events and of their duplicates together
	Duplicates    float64 // the share that repeats one of the events before it
	BadSignatures float64 // the share of forgeries, each of an id of its own
	Copies        int     // of each event, one right after the other; 0 means one
	BodyBytes     int     // 0 means BodyBytes; never less than the event itself needs
	Seed          uint64  // which deliveries are duplicates and forgeries

	// Compose gives an event as JSON without its closing brace. Nil gives an
	// invoice. All of one load must have the same length, as ids have.
	Compose func(id string, created int64) []byte
}

// Load is deliveries that are ready to be sent, composed and signed.
type Load struct {
	heads  [][]byte // request line, headers and what differs between bodies
	tail   []byte   // what all bodies end in
	events []int32  // which event each delivery is of
	forged []bool
	series string
}

// Prepare composes and signs a load. A delivery stays valid for the five minutes
// that a Stripe signature does.
func Prepare(m Mix, now time.Time) (*Load, error) {
	if m.Compose == nil {
		m.Compose = invoice
	}
	if m.BodyBytes == 0 {
		m.BodyBytes = BodyBytes
	}
	l := &Load{series: m.Series, heads: make([][]byte, m.Deliveries), events: make([]int32, m.Deliveries),
		forged: make([]bool, m.Deliveries)}
	m.choose(l)
	own, other := source.Stripe("stripe", m.Secret), source.Stripe("stripe", m.Secret+"_of_somebody_else")
	for i := range l.heads {
		start := append(m.Compose(l.ID(i), now.Unix()), `,"pad":"`...)
		if l.tail == nil {
			l.tail = append(bytes.Repeat([]byte("x"), max(m.BodyBytes-len(start)-2, 0)), `"}`...)
		}
		body := append(start, l.tail...)
		h, signer := http.Header{}, own
		if l.forged[i] {
			signer = other
		}
		if err := signer.Sign(h, body, now); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		l.heads[i] = fmt.Appendf(nil, "POST /hooks/stripe HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\nStripe-Signature: %s\r\n\r\n%s", len(body), h.Get("Stripe-Signature"), start)
	}
	return l, nil
}

// choose decides which delivery is what.
func (m Mix) choose(l *Load) {
	random := rand.New(rand.NewPCG(m.Seed, 1))
	var fresh []int32 // events so far, forgeries left out
	for i := range l.events {
		switch p := random.Float64(); {
		case m.Copies > 1 && i%m.Copies > 0:
			l.events[i] = l.events[i-1]
			continue
		case p < m.BadSignatures:
			l.forged[i] = true
		case p < m.BadSignatures+m.Duplicates && len(fresh) > 0:
			back := 1 + random.IntN(min(len(fresh), repeatWithin))
			l.events[i] = fresh[len(fresh)-back]
			continue
		}
		l.events[i] = int32(i)
		if !l.forged[i] {
			fresh = append(fresh, int32(i))
		}
	}
}

func invoice(id string, created int64) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2026-03-25.dahlia","type":"invoice.paid","livemode":false,"created":%d,`+
		`"data":{"object":{"id":"in_%s","object":"invoice","subscription":"sub_%s"}}`, id, created, id[4:], id[4:])
}

// Len is the number of deliveries.
func (l *Load) Len() int { return len(l.heads) }

// ID is the sender's id of the event that delivery i is of.
func (l *Load) ID(i int) string { return fmt.Sprintf("evt_%s%08d", l.series, l.events[i]) }

// append adds the bytes of delivery i.
func (l *Load) append(to []byte, i int) []byte {
	return append(append(to, l.heads[i]...), l.tail...)
}
