package hookkeeper

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// switchboard is a store that knows what is paused and lends all that it is asked for.
type switchboard struct {
	hook.Pauser
	hook.Lender
	names []string
	err   error
	asked int
}

func (s *switchboard) Paused(context.Context) (all []hook.Pause, err error) {
	s.asked++
	for _, name := range s.names {
		all = append(all, hook.Pause{Handler: name})
	}
	return all, s.err
}

func (s *switchboard) RecordAndLend(_ context.Context, _ hook.Delivery, _ hook.Identity, _ []string, loan hook.Loan) (hook.Receipt, []*hook.Job, error) {
	var jobs []*hook.Job
	for _, h := range loan.Handlers {
		jobs = append(jobs, &hook.Job{Handler: h})
	}
	return hook.Receipt{}, jobs, nil
}

// What is recorded is lent to no paused handler, to none while it is not known what is
// paused, and never waits for the answer.
func TestAPausedHandlerIsLentNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := &switchboard{}
	p := &pausing{pauser: s, now: func() time.Time { return now }}
	record := func(when string, want ...string) {
		t.Helper()
		_, jobs, err := (&pausedLender{Lender: s, pausing: p}).RecordAndLend(t.Context(), hook.Delivery{}, hook.Identity{}, nil,
			hook.Loan{Handlers: []string{"mail", "books"}})
		var got []string
		for _, j := range jobs {
			got = append(got, j.Handler)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: lent to %v, %v; want %v", when, got, err, want)
		}
	}
	record("nobody was asked yet")
	if s.asked != 0 {
		t.Error("a recording asked the store what is paused")
	}
	if err := p.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	record("nothing is paused", "mail", "books")
	s.names = []string{"mail"}
	now = now.Add(pausedFor)
	record("the answer is a second old")
	if err := p.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	record("mail is paused", "books")
	s.err = errors.New("away")
	now = now.Add(pausedFor - 1)
	if err := p.ask(t.Context()); err == nil {
		t.Fatal("no error")
	}
	record("the store is away, its last answer young", "books")
	now = now.Add(1)
	record("the store is away")
}
