package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

var (
	errDrained = errors.New("shutting down")
	errTooLong = errors.New("over its time limit")
)

const drainGrace = time.Second

// attempt is one claim of one job.
type attempt struct {
	lane *lane
	job  *hook.Job
	ctx  context.Context
	end  context.CancelCauseFunc
}

func newAttempt(ctx context.Context, l *lane, job *hook.Job) *attempt {
	// The drain does not end the context at once: see lane.cut. What the
	// context carries stays.
	ctx, end := context.WithCancelCause(context.WithoutCancel(ctx))
	return &attempt{lane: l, job: job, ctx: ctx, end: end}
}

// run lets the handler work and ends the job; it returns why the job is not done, if it
// is not. If the process dies here the lease lapses and the job is claimed again under
// the next number.
func (a *attempt) run() (err error) {
	began := time.Now()
	defer a.end(nil)
	traced, ended := a.trace()
	limit := time.AfterFunc(a.lane.cfg.Limit, func() { a.end(errTooLong) })
	effect, err := a.handle(traced)
	limit.Stop()
	if err == nil {
		ctx, finished := hook.StartSpan(context.WithoutCancel(traced), "finish")
		err = a.lane.cfg.Queue.Finish(ctx, a.job, effect)
		finished(err)
	}
	ended(err)
	if err == nil {
		a.report("done", began)
		return nil
	}
	a.fail(err, began)
	return err
}

// trace begins the span of the attempt, in which the handler's own lie.
func (a *attempt) trace() (ctx context.Context, ended func(error)) {
	t := a.lane.cfg.Tracing
	if t == nil {
		return a.ctx, func(error) {}
	}
	return t.Begin(hook.WithTracing(a.ctx, t, a.job.Event.ID), a.job.Event.ID, "attempt", hook.Attribute{Name: "handler", Value: a.job.Handler},
		hook.Attribute{Name: "source", Value: a.job.Event.Source}, hook.Attribute{Name: "type", Value: a.job.Event.Type},
		hook.Attribute{Name: "generation", Value: strconv.Itoa(a.job.Generation)}, hook.Attribute{Name: "attempt", Value: strconv.Itoa(a.job.Attempt)})
}

// result is what a handler returned.
type result struct {
	effect hook.Effect
	err    error
}

// handle runs the handler in a goroutine of its own: one that ignores the end
// of its context is abandoned after the grace time, and its slot given back.
func (a *attempt) handle(traced context.Context) (hook.Effect, error) {
	done := make(chan result, 1)
	go func() { done <- a.call(traced) }()
	select {
	case r := <-done:
		return a.settle(r)
	case <-a.ctx.Done():
	}
	grace := time.NewTimer(a.grace())
	defer grace.Stop()
	select {
	case r := <-done:
		return a.settle(r)
	case <-grace.C:
		a.abandon(done)
		return nil, fmt.Errorf("%w, and it ignores the end of its context: abandoned", context.Cause(a.ctx))
	}
}

// grace is shorter at a drain: the next process waits for the database.
func (a *attempt) grace() time.Duration {
	if errors.Is(context.Cause(a.ctx), errDrained) {
		return min(a.lane.cfg.Grace, drainGrace)
	}
	return a.lane.cfg.Grace
}

// settle takes a handler's word unless its context had ended for a reason that
// forbids finishing: an effect that is ready in time counts.
func (a *attempt) settle(r result) (hook.Effect, error) {
	if cause := context.Cause(a.ctx); cause != nil && r.err != nil {
		return nil, fmt.Errorf("%w: %v", cause, r.err)
	}
	return r.effect, r.err
}

// abandon counts a goroutine that does not end, until it does.
func (a *attempt) abandon(done <-chan result) {
	l := a.lane
	n := l.abandoned.Add(1)
	l.cfg.Logger.Error("alarm: a handler ignores the end of its context and still runs",
		"handler", l.route.Name, "event", a.job.Event.ID, "abandoned", n, "claimed_no_more", int(n) >= 2*l.slots)
	l.meterAbandoned(n)
	go func() {
		<-done
		l.meterAbandoned(l.abandoned.Add(-1))
		signal(l.freed)
	}()
}

func (l *lane) meterAbandoned(n int64) {
	if l.cfg.Meter.Abandoned != nil {
		l.cfg.Meter.Abandoned(l.route.Name, int(n))
	}
}

// call turns a panic into a failed attempt with its stack.
func (a *attempt) call(traced context.Context) (r result) {
	ctx, ended := hook.StartSpan(traced, "handle")
	defer func() { ended(r.err) }()
	defer func() {
		if p := recover(); p != nil {
			r = result{err: fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	if err := a.job.Event.Unreadable; err != nil {
		return result{err: err}
	}
	effect, err := a.lane.route.Handler.Handle(hook.WithJob(ctx, a.job), a.job.Event)
	return result{effect, err}
}

// fail decides the fate of an attempt that did not end its job.
func (a *attempt) fail(err error, began time.Time) {
	ctx := context.WithoutCancel(a.ctx)
	queue, cfg := a.lane.cfg.Queue, a.lane.cfg
	var outcome string
	var end error
	switch cause := (hook.Cause{Text: err.Error()}); {
	case errors.Is(err, hook.ErrLeaseLost):
		a.report("lost", began) // another attempt has it: write nothing
		return
	case errors.Is(err, errDrained):
		outcome, end = "released", queue.Release(ctx, a.job)
	case errors.Is(err, hook.ErrNotYet) && !a.waitedTooLong():
		cause.Wait = true
		outcome, end = "waiting", a.later(err, cause)
	case errors.Is(err, hook.ErrNotYet):
		cause.Text = fmt.Sprintf("waited %s for what never came: %s", cfg.MaxWaiting, cause.Text)
		outcome, end = "dead", queue.Bury(ctx, a.job, cause)
	case hook.Permanent(err) || a.job.Failed+1 >= a.lane.attempts():
		outcome, end = "dead", queue.Bury(ctx, a.job, cause)
	default:
		outcome, end = "retrying", a.later(err, cause)
	}
	switch {
	case errors.Is(end, hook.ErrLeaseLost):
		outcome = "lost"
	case end != nil:
		cfg.Logger.Error("end of an attempt not written, its lease will lapse",
			"handler", a.job.Handler, "event", a.job.Event.ID, "error", end)
		outcome = "unwritten"
	case outcome == "dead":
		cfg.Logger.Error("alarm: dead letter", "handler", a.job.Handler, "event", a.job.Event.ID,
			"attempt", a.job.Attempt, "error", firstLine(err))
	default:
		cfg.Logger.Info("attempt ended", "handler", a.job.Handler, "event", a.job.Event.ID,
			"attempt", a.job.Attempt, "outcome", outcome, "error", firstLine(err))
	}
	a.report(outcome, began)
}

// later puts the job back and looks again when it is due, if that is sooner than
// the next poll.
func (a *attempt) later(err error, cause hook.Cause) error {
	after := a.delay(err)
	end := a.lane.cfg.Queue.Retry(context.WithoutCancel(a.ctx), a.job, after, cause)
	if end == nil && after < a.lane.cfg.Poll {
		time.AfterFunc(after+time.Millisecond, a.lane.wake)
	}
	return end
}

func (a *attempt) report(outcome string, began time.Time) {
	if f := a.lane.cfg.Meter.Attempt; f != nil {
		f(a.job.Handler, outcome, time.Since(began))
	}
}

func (a *attempt) waitedTooLong() bool {
	since := a.job.WaitingSince
	claimed := a.job.LeaseUntil.Add(-a.lane.cfg.Lease) // by the store's clock, as since is
	return !since.IsZero() && claimed.Sub(since) > a.lane.cfg.MaxWaiting
}

// delay is the time until the next attempt: what the handler says, else full
// jitter over a bound that grows.
func (a *attempt) delay(err error) time.Duration {
	if d, ok := hook.Delay(err); ok {
		return max(d, 0)
	}
	n := a.job.Failed
	if errors.Is(err, hook.ErrNotYet) {
		n = a.job.Attempt - 1 // waiting counts no failures, yet must not spin
	}
	return Backoff(a.lane.cfg.BackoffBase, a.lane.cfg.BackoffMax, n, a.lane.cfg.Jitter())
}

// Backoff returns the time until the next attempt after failed failures: full
// jitter, anything from nothing to a bound that is base times four per failure
// and at most most. With the defaults the bounds of eleven pauses add up to 63
// hours. jitter is in [0, 1).
func Backoff(base, most time.Duration, failed int, jitter float64) time.Duration {
	bound := most
	if failed < 30 && base < most>>(2*failed) {
		bound = base << (2 * failed)
	}
	return time.Duration(jitter * float64(bound))
}

func randomJitter() float64 { return rand.Float64() }

func firstLine(err error) string {
	text := err.Error()
	for i, c := range text {
		if c == '\n' || i > 300 {
			return text[:i]
		}
	}
	return text
}
