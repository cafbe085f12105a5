package dev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/forward"
	"github.com/hookkeeper/hookkeeper/hook"
)

// Times of a Relay.
const (
	relayWait  = 20 * time.Second // for one answer of a feed
	relayBase  = 500 * time.Millisecond
	relayMax   = 15 * time.Second
	relayGrace = 3 * time.Second // at a stop, for the event on its way
	relayBatch = 20
)

// Feed is where a Relay reads: a Client, or a store.
type Feed interface {
	AwaitFeed(ctx context.Context, name string, f hook.Filter, limit int, wait time.Duration) ([]*hook.EventDetail, error)
	Advance(ctx context.Context, name, id string) error
}

// Relay passes the events of a feed on to a program, one after the other, each
// until it is answered 2xx, and only then moves the cursor. A program that is
// down and a hookkeeper that is restarted make it wait. What it was told to skip
// or, by Attempts, to pass over is said and never sent again.
type Relay struct {
	// Open gives the feed; it is asked again after a failure, since a restarted
	// hookkeeper may have another address.
	Open      func() (Feed, error)
	Forwarder *forward.Forwarder
	Name      string
	Filter    hook.Filter
	Skip      func(*hook.Event, *hook.EventDetail) (why string) // nil sends everything
	Attempts  int                                               // of one event; 0: without end
	Once      bool                                              // end when nothing is left
	Say       func(Relayed)
	Note      func(text string) // what is no event: hookkeeper away, and back
	Backoff   time.Duration     // the first pause after a failure; 0: half a second

	feed Feed
	away bool
}

// Relayed is the outcome of one attempt. Outcome is forwarded, retrying,
// skipped or passed_over.
type Relayed struct {
	Event   string  `json:"event"`
	Source  string  `json:"source"`
	Type    string  `json:"type"`
	Outcome string  `json:"outcome"`
	Status  int     `json:"status"` // 0: no answer
	Millis  float64 `json:"ms"`
	Attempt int     `json:"attempt"`
	AgainMS int64   `json:"again_ms,omitempty"` // until the next attempt
	Error   string  `json:"error,omitempty"`
}

// Run relays until ctx ends, which is no error: the event on its way has three
// seconds to be answered, and is not sent again if it was.
func (r *Relay) Run(ctx context.Context) error {
	if r.Backoff == 0 {
		r.Backoff = relayBase
	}
	for failed := 0; ctx.Err() == nil; {
		begun := time.Now()
		events, err := r.read(ctx)
		if err != nil {
			if fatal(err) {
				return err
			}
			r.gone(ctx, err)
			pause(ctx, r.backoff(failed))
			failed++
			continue
		}
		failed = 0
		r.back()
		for _, e := range events {
			if err := r.one(ctx, e); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		if len(events) > 0 {
			continue
		}
		if r.Once {
			return nil
		}
		if time.Since(begun) < r.Backoff { // a feed that does not wait, as at a drain
			pause(ctx, r.Backoff)
		}
	}
	return nil
}

func (r *Relay) read(ctx context.Context) (events []*hook.EventDetail, err error) {
	if r.feed == nil {
		if r.feed, err = r.Open(); err != nil {
			return nil, err
		}
	}
	wait := relayWait
	if r.Once {
		wait = 0
	}
	return r.feed.AwaitFeed(ctx, r.Name, r.Filter, relayBatch, wait)
}

// fatal reports what no waiting mends: a wrong token, a wrong name, an event
// that this hookkeeper does not know.
func fatal(err error) bool {
	_, said := errors.AsType[*apiError](err)
	return said || errors.Is(err, hook.ErrBadFilter) || errors.Is(err, hook.ErrNotFound)
}

func (r *Relay) gone(ctx context.Context, err error) {
	r.feed = nil
	if !r.away && ctx.Err() == nil {
		r.Note(err.Error() + "; trying again until it answers")
	}
	r.away = true
}

func (r *Relay) back() {
	if r.away {
		r.Note("hookkeeper answers again")
	}
	r.away = false
}

func (r *Relay) backoff(failed int) time.Duration {
	return min(r.Backoff<<min(failed, 10), relayMax)
}

// one sees an event to its end.
func (r *Relay) one(ctx context.Context, d *hook.EventDetail) error {
	e := eventOf(d)
	line := Relayed{Event: e.ID, Source: e.Source, Type: e.Type}
	if why := r.skip(e, d); why != "" {
		line.Outcome, line.Error = "skipped", why
		r.Say(line)
		return r.advance(ctx, e.ID)
	}
	for ctx.Err() == nil {
		line.Attempt++
		err := r.send(ctx, e, &line)
		switch {
		case err == nil:
			line.Outcome, line.AgainMS, line.Error = "forwarded", 0, ""
		case line.Attempt == r.Attempts:
			line.Outcome, line.AgainMS, line.Error = "passed_over", 0, err.Error()
		default:
			again := r.backoff(line.Attempt - 1)
			if d, ok := hook.Delay(err); ok {
				again = max(again, min(d, time.Minute))
			}
			line.Outcome, line.AgainMS, line.Error = "retrying", again.Milliseconds(), err.Error()
			if ctx.Err() == nil {
				r.Say(line)
				pause(ctx, again)
			}
			continue
		}
		r.Say(line)
		return r.advance(ctx, e.ID)
	}
	return nil
}

func (r *Relay) skip(e *hook.Event, d *hook.EventDetail) string {
	if d.BodyGone {
		return "its body is no longer kept"
	}
	if r.Skip == nil {
		return ""
	}
	return r.Skip(e, d)
}

// send makes one attempt. The end of ctx does not cut it at once: an event that
// the program has taken would otherwise come again.
func (r *Relay) send(ctx context.Context, e *hook.Event, line *Relayed) (err error) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	late := time.AfterFunc(time.Hour, cut)
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { late.Reset(relayGrace) })()
	begun := time.Now()
	line.Status, err = r.Forwarder.Forward(sending, e)
	line.Millis = float64(time.Since(begun).Microseconds()) / 1000
	return err
}

// advance moves the cursor, however long hookkeeper is away.
func (r *Relay) advance(ctx context.Context, id string) error {
	for failed := 0; ; failed++ {
		// Also after the end of ctx there is one try, so that what was answered is
		// not sent again.
		ended := ctx.Err() != nil
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayGrace)
		err := r.tryAdvance(try, id)
		cancel()
		if err == nil {
			r.back()
			return nil
		}
		if ended || fatal(err) {
			return fmt.Errorf("event %s is done with, but its feed could not be advanced, so it will come again: %w", id, err)
		}
		r.gone(ctx, err)
		pause(ctx, r.backoff(failed))
	}
}

func (r *Relay) tryAdvance(ctx context.Context, id string) (err error) {
	if r.feed == nil {
		if r.feed, err = r.Open(); err != nil {
			return err
		}
	}
	return r.feed.Advance(ctx, r.Name, id)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
