// Package stripetest plays Stripe for tests and for development: an http.Handler
// that lists and retrieves events, subscriptions, customers, invoices and the
// like, with a clock that moves when it is told to and with faults by order. It
// promises the shapes of Stripe's API where hookkeeper reads them: lists newest
// first, cursors, whole seconds, errors. It refuses to change anything over HTTP:
// its state is set by the program that holds it.
package stripetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Object is an object of the API as JSON has it. Numbers are whole ones.
type Object map[string]any

// Sim is one Stripe account. It is safe for concurrent use.
type Sim struct {
	mu      sync.Mutex
	now     time.Time         // guarded by mu, as all below
	objects map[string]Object // by id
	order   []string          // ids, oldest first
	events  []recorded
	told    map[string]int64 // by id: when the event was made that Learn has its state from
	faults  []*Fault
	calls   []Call
	version string
	live    bool
	count   int
}

// recorded is an event of the account's log.
type recorded struct {
	event   Object
	visible time.Time // in lists from then on
}

// Call is a request that the account was asked.
type Call struct {
	Path    string // with its query
	Version string // of the API, as asked for
	Account string // connected account, if any
	Status  int    // 0 for one that was left hanging
}

// New returns an account at a time, without any objects. Its events are rendered
// under version, such as 2026-10-28.endive.
func New(now time.Time, version string) *Sim {
	return &Sim{now: now.UTC().Truncate(time.Second), version: version, objects: map[string]Object{}, told: map[string]int64{}}
}

// SetLive makes the account one of live mode; it begins in test mode.
func (s *Sim) SetLive(live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
}

// SetVersion changes under which version coming events are rendered.
func (s *Sim) SetVersion(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
}

// Now is the account's clock.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance moves the clock forward.
func (s *Sim) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Put makes the object with that id what it is now; a repeat replaces it. The
// object is copied. It must have an id.
func (s *Sim) Put(o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(clone(o))
}

// PutJSON is Put for an object as text.
func (s *Sim) PutJSON(text []byte) error {
	var o Object
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("put an object: %w", err)
	}
	if id, _ := o["id"].(string); id == "" {
		return fmt.Errorf("put an object: it has no id")
	}
	s.Put(o)
	return nil
}

func (s *Sim) put(o Object) {
	id, _ := o["id"].(string)
	if _, ok := s.objects[id]; !ok {
		s.order = append(s.order, id)
	}
	s.objects[id] = o
}

// Remove makes an object unknown.
func (s *Sim) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

func (s *Sim) remove(id string) {
	delete(s.objects, id)
	delete(s.told, id)
	s.order = slices.DeleteFunc(s.order, func(have string) bool { return have == id })
}

// Change sets fields of an object and records the event of that type with what
// the fields had been. It returns the event's body as a delivery has it.
func (s *Sim) Change(eventType, id string, fields Object) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := clone(s.objects[id])
	previous := Object{}
	for name, value := range clone(fields) {
		previous[name] = o[name]
		o[name] = value
	}
	s.put(o)
	return s.record(eventType, o, previous, 0)
}

// Emit records an event of that type about an object as it is now. It returns the
// event's body as a delivery has it.
func (s *Sim) Emit(eventType, id string) []byte { return s.EmitLate(eventType, id, 0) }

// EmitLate is Emit of an event that lists show only after a while.
func (s *Sim) EmitLate(eventType, id string, after time.Duration) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record(eventType, clone(s.objects[id]), nil, after)
}

// record appends to the log; mu is held.
func (s *Sim) record(eventType string, o, previous Object, late time.Duration) []byte {
	s.count++
	data := Object{"object": map[string]any(o)}
	if len(previous) > 0 {
		data["previous_attributes"] = map[string]any(previous)
	}
	e := Object{"id": fmt.Sprintf("evt_sim%06d", s.count), "object": "event", "api_version": s.version,
		"created": s.now.Unix(), "data": map[string]any(data), "livemode": s.live, "pending_webhooks": 1,
		"request": map[string]any{"id": nil, "idempotency_key": nil}, "type": eventType}
	s.events = append(s.events, recorded{event: e, visible: s.now.Add(late)})
	return encode(e)
}

// Events gives the bodies of all recorded events, oldest first.
func (s *Sim) Events() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, r := range s.events {
		all = append(all, encode(r.event))
	}
	return all
}

// Calls gives what was asked so far.
func (s *Sim) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Fault is something that goes wrong with the next requests.
type Fault struct {
	Path  string // prefix of the paths that it strikes; empty strikes all
	Times int    // how often; 0 means once, negative for ever

	Status     int             // answered instead, such as 500 or 429
	RetryAfter string          // header beside the status
	Garbage    bool            // 200 with a body that is no JSON
	Cut        bool            // the connection ends in the middle of the body
	Hang       <-chan struct{} // no answer before it is closed or the asker leaves

	// Gate is called before the answer is made, outside any lock; the object is
	// read before it, so that an answer can be slow and stale.
	Gate func(path string)
}

// Fail orders a fault. Faults strike in the order in which they were ordered.
func (s *Sim) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Heal takes all faults back.
func (s *Sim) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// strike takes the fault for a path, if one is ordered; mu is held.
func (s *Sim) strike(path string) *Fault {
	for i, f := range s.faults {
		if !strings.HasPrefix(path, f.Path) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}

func clone(o Object) Object {
	var out Object
	_ = json.Unmarshal(encode(o), &out) // what was just encoded
	return out
}

// encode writes indented, as Stripe does.
func encode(v any) []byte {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("stripetest: an object that is no JSON: " + err.Error())
	}
	return text
}

var _ http.Handler = (*Sim)(nil)
