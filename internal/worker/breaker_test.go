package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/worker"
)

// later is a queue that keeps what failed until it is due again, within a bubble.
type later struct {
	hook.Queue

	mu     sync.Mutex
	jobs   []*hook.Job // open and not claimed; guarded by mu, as all below
	due    map[*hook.Job]time.Time
	nextID int64
	done   int
	dead   int
	failed int // most failures of one job
}

func (q *later) add() { q.addKey("") }

func (q *later) addKey(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.nextID++
	q.put(&hook.Job{ID: q.nextID, Handler: "h", Event: &hook.Event{Key: key}}, 0)
}

func (q *later) put(j *hook.Job, after time.Duration) {
	if q.due == nil {
		q.due = map[*hook.Job]time.Time{}
	}
	q.jobs, q.due[j] = append(q.jobs, j), time.Now().Add(after)
}

func (q *later) Claim(_ context.Context, ask hook.Ask) (claimed []*hook.Job, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.jobs[:0]
	for _, j := range q.jobs {
		if len(claimed) == ask.Max || q.due[j].After(time.Now()) {
			left = append(left, j)
			continue
		}
		j.Attempt++
		claimed = append(claimed, j)
	}
	q.jobs = left
	return claimed, nil
}

func (q *later) Finish(context.Context, *hook.Job, hook.Effect) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done++
	return nil
}

func (q *later) Retry(_ context.Context, j *hook.Job, after time.Duration, _ hook.Cause) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := *j // what the worker has does not change under its hands
	again.Failed++
	q.failed = max(q.failed, again.Failed)
	q.put(&again, after)
	return nil
}

func (q *later) Bury(context.Context, *hook.Job, hook.Cause) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dead++
	return nil
}

func (q *later) Release(_ context.Context, j *hook.Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(j, 0)
	return nil
}

func (q *later) Hasten(_ context.Context, jobs []*hook.Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.jobs {
		for _, named := range jobs {
			if j.ID == named.ID && j.Attempt == named.Attempt {
				q.due[j] = time.Now()
			}
		}
	}
	return nil
}

func (q *later) Extend(context.Context, []*hook.Job, time.Duration) ([]*hook.Job, error) {
	return nil, nil
}

// poison is the key of an event that nobody answers, ever.
const poison = "poison"

// far is what a handler needs, a tenth of a second away.
type far struct {
	mu     sync.Mutex
	says   error // guarded by mu, as all below
	calls  int
	inside int
	most   int         // calls at one time
	at     []time.Time // when each call began
}

func (f *far) Handle(_ context.Context, e *hook.Event) (hook.Effect, error) {
	if e.Key == poison {
		return nil, errAway
	}
	f.mu.Lock()
	f.calls++
	f.inside++
	f.most = max(f.most, f.inside)
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	<-time.After(100 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inside--
	return nil, f.says
}

// say changes its answer, and counts anew.
func (f *far) say(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says, f.calls, f.most, f.at = err, 0, 0, nil
}

func (f *far) called() (calls, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.most
}

// reach is a running pool of one handler that needs something far.
type reach struct {
	*testing.T
	far   far
	queue later
	pool  *worker.Pool
	trips []bool // what the meter heard of the breaker
}

// reaching runs f beside such a pool.
func reaching(t *testing.T, cfg worker.Config, f func(r *reach)) {
	synctest.Test(t, func(t *testing.T) {
		r := &reach{T: t}
		cfg.Queue, cfg.Hastener, cfg.Logger = &r.queue, &r.queue, slog.New(slog.DiscardHandler)
		cfg.Routes = []hook.Route{{Name: "h", Handler: &r.far}}
		cfg.Meter.Breaker = func(_ string, open bool) { r.trips = append(r.trips, open) }
		var end func()
		r.pool, end = running(t, cfg)
		f(r)
		end()
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var errAway = hook.Unavailable(errors.New("no answer"))

// A sender's API is away for an hour while ten thousand jobs come, then it is back:
// it is asked little while it is away, it is asked again step by step, no job is buried
// for the outage, and all are done in little more than the time that they need.
func TestRecoveryIsARamp(t *testing.T) {
	const jobs, slots = 10_000, 16
	reaching(t, worker.Config{Slots: slots}, func(r *reach) {
		r.far.say(errAway)
		for range jobs {
			r.queue.add()
			pass(time.Hour / jobs)
		}
		calls, _ := r.far.called()
		r.Logf("%d calls while nobody answered", calls)
		if calls > 3600/5+100 {
			r.Errorf("%d calls while nobody answered, want one every five seconds", calls)
		}
		if since := r.pool.Outages()["h"]; time.Since(since) < 59*time.Minute {
			r.Errorf("the outage is said to last since %s ago, want an hour", time.Since(since))
		}
		r.far.say(nil)
		back := time.Now()
		pass(3 * time.Minute) // 16 at a time, a tenth of a second each: a minute
		if r.queue.done != jobs || r.queue.dead > 0 {
			r.Errorf("three minutes after the return %d of %d jobs are done, %d are dead", r.queue.done, jobs, r.queue.dead)
		}
		r.Logf("a job has failed %d times at most", r.queue.failed)
		if r.queue.failed > 6 {
			r.Errorf("a job has failed %d times because of the outage", r.queue.failed)
		}
		if _, most := r.far.called(); most > slots {
			r.Errorf("%d calls at a time, want %d at most", most, slots)
		}
		// One call may have been on its way at the return; its answer lets two begin, as
		// each does: its own slot's next and one more.
		for tenths, most := range []int{2, 6, 14, 30} {
			begun := 0
			for _, at := range r.far.at {
				if at.Before(r.far.at[0].Add(time.Duration(tenths+1) * 100 * time.Millisecond)) {
					begun++
				}
			}
			if begun > most {
				r.Errorf("%d calls in the first %d tenths of a second after the return, want %d at most", begun, tenths+1, most)
			}
		}
		if late := r.far.at[0].Sub(back); late > 6*time.Second {
			r.Errorf("the first call after the return came after %s", late)
		}
		if len(r.pool.Outages()) > 0 {
			r.Errorf("outages after the return: %v", r.pool.Outages())
		}
		if len(r.trips) != 2 || !r.trips[0] || r.trips[1] {
			r.Errorf("the meter heard %v, want open and then not", r.trips)
		}
	})
}

// In a shop with few events all of them have tried in vain for hours when an API comes
// back. The next one that is answered brings them forward: they do not wait for their
// hours.
func TestAnOutageMakesNobodyLate(t *testing.T) {
	reaching(t, worker.Config{Jitter: func() float64 { return 1 }}, func(r *reach) {
		r.far.say(errAway)
		const jobs = 300
		for range jobs {
			r.queue.add()
			pass(2 * time.Hour / jobs)
		}
		r.far.say(nil)
		r.queue.add()
		pass(20 * time.Second)
		if len(r.pool.Outages()) > 0 {
			r.Error("the outage is said to last")
		}
		if r.queue.done != jobs+1 {
			r.Errorf("twenty seconds after the first answer %d of %d jobs are done", r.queue.done, jobs+1)
		}
	})
}

// One answer ends the outage, long before all slots are open again.
func TestAnAnswerEndsTheOutage(t *testing.T) {
	reaching(t, worker.Config{Jitter: func() float64 { return 1 }}, func(r *reach) {
		r.far.say(errAway)
		for range 5 {
			r.queue.add()
		}
		pass(5 * time.Second)
		if len(r.pool.Outages()) != 1 || len(r.trips) != 1 {
			r.Errorf("outages %v, the meter heard %v, want one", r.pool.Outages(), r.trips)
		}
		r.far.say(nil)
		pass(10 * time.Second) // five answers; sixteen slots
		if len(r.pool.Outages()) > 0 || len(r.trips) != 2 || r.trips[1] {
			r.Errorf("outages %v, the meter heard %v, want none any more", r.pool.Outages(), r.trips)
		}
	})
}

// An event that itself finds nobody is brought forward in half of its attempts at most:
// the others keep their hours, however often the far side comes and goes.
func TestWhatNobodyAnswersKeepsItsTime(t *testing.T) {
	reaching(t, worker.Config{Slots: 16, Jitter: func() float64 { return 1 }}, func(r *reach) {
		r.queue.addKey(poison)
		for minute := range 60 {
			r.far.say(nil)
			if minute%2 == 0 {
				r.far.say(errAway)
			}
			for range 20 {
				r.queue.add()
				pass(3 * time.Second)
			}
		}
		if r.queue.dead > 0 || r.queue.failed > 8 {
			r.Errorf("after an hour it has failed %d times, %d are dead", r.queue.failed, r.queue.dead)
		}
	})
}

// What found nobody while others were answered keeps its time, also over an outage that
// comes later.
func TestASingleMissIsNoOutage(t *testing.T) {
	reaching(t, worker.Config{Jitter: func() float64 { return 1 }}, func(r *reach) {
		r.queue.addKey(poison)
		pass(time.Minute) // three attempts; the fourth is due after three and a half minutes
		r.queue.add()
		pass(5 * time.Second)
		r.far.say(errAway)
		for range 10 {
			r.queue.add()
		}
		pass(10 * time.Second)
		r.far.say(nil)
		pass(time.Minute)
		if r.queue.done != 11 || r.queue.failed != 3 {
			r.Errorf("%d done, most failures %d, want 11 and 3", r.queue.done, r.queue.failed)
		}
	})
}

// Only what says that nobody answered opens the breaker: a handler's mistakes, a
// poisonous event or an event that waits for another one do not.
func TestOtherFailuresOpenNoBreaker(t *testing.T) {
	for name, err := range map[string]error{"a failure": errors.New("a bug"), "permanent": hook.ErrPermanent, "not yet": hook.ErrNotYet} {
		t.Run(name, func(t *testing.T) {
			reaching(t, worker.Config{Slots: 4, Jitter: func() float64 { return 1 }}, func(r *reach) {
				r.far.say(err)
				for range 100 {
					r.queue.add()
				}
				pass(4 * time.Second)
				if calls, most := r.far.called(); calls < 100 || most != 4 {
					r.Errorf("%d calls, %d at a time, want at least 100 and 4", calls, most)
				}
				if len(r.trips) > 0 {
					r.Error("the breaker opened")
				}
			})
		})
	}
}

// An answer that this event can never succeed is an answer.
func TestARefusalClosesTheBreaker(t *testing.T) {
	reaching(t, worker.Config{Slots: 4}, func(r *reach) {
		r.far.say(errAway)
		for range 10 {
			r.queue.add()
		}
		pass(3 * time.Second)
		r.far.say(hook.ErrPermanent)
		pass(time.Hour)
		if r.queue.dead != 10 || len(r.trips) != 2 {
			r.Errorf("%d of 10 dead, breaker %v, want 10 and closed", r.queue.dead, r.trips)
		}
	})
}

// One call in three that finds nobody is a bad day, not an outage; two in three are one.
func TestABreakerOpensWhereFailuresPrevail(t *testing.T) {
	for away, open := range map[int]bool{1: false, 2: true} {
		reaching(t, worker.Config{Slots: 1, Attempts: 100, Jitter: func() float64 { return 1 }}, func(r *reach) {
			for i := range 60 {
				r.queue.add()
				r.far.say(nil)
				if i%3 < away {
					r.far.say(errAway)
				}
				pass(100 * time.Millisecond)
			}
			if got := len(r.trips) > 0; got != open {
				r.Errorf("%d of three calls found nobody: the breaker opened is %t, want %t", away, got, open)
			}
		})
	}
}

// What a Retry-After asks of one call holds for all of the handler's, up to a minute.
func TestARetryAfterHoldsForTheHandler(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{30 * time.Second: 30 * time.Second, time.Hour: time.Minute} {
		reaching(t, worker.Config{Slots: 5}, func(r *reach) {
			r.far.say(hook.After(errAway, asked))
			for range 20 {
				r.queue.add()
			}
			pass(2 * time.Second) // the first five
			r.far.say(nil)
			began := time.Now()
			pass(2 * time.Minute)
			if got := r.far.at[0].Sub(began).Round(5 * time.Second); got != want {
				r.Errorf("asked to wait %s the handler waited %s, want %s", asked, got, want)
			}
		})
	}
}

// While the breaker is open nothing is handed over either.
func TestNothingIsHandedPastAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &far{}
		away.say(errAway)
		p := startPool(t, worker.Config{Slots: 8}, hook.Route{Handler: away})
		for range 200 { // twenty seconds
			p.take("k")
			pass(100 * time.Millisecond)
		}
		if calls, _ := away.called(); calls > 15 {
			t.Errorf("%d calls in twenty seconds, want some five and then one every few seconds", calls)
		}
		p.end()
	})
}
