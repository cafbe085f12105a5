package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

type nobody struct{ hook.Hastener }

func TestWhatIsMissedIsBounded(t *testing.T) {
	l := newLane(&Config{Hastener: nobody{}, Attempts: 12}, &hook.Route{Name: "h"})
	for i := range int64(2 * mostMissed) {
		l.miss(&hook.Job{ID: i})
	}
	if len(l.missed) != mostMissed {
		t.Errorf("%d jobs are remembered, want %d", len(l.missed), mostMissed)
	}
	l.miss(&hook.Job{ID: 7, Attempt: 3, Failed: 2})
	if l.missed[7] != 3 {
		t.Errorf("attempt %d of a job that is remembered, want its newest, 3", l.missed[7])
	}
}

// Each step is the end of an attempt, u for unavailable and a for answered, or a wait:
// . for a second.
func TestBreakerStepByStep(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		room        int
	}{
		{"nothing yet", "", 16},
		{"four are not enough", "uuuu", 16},
		{"five are", "uuuuu", 0},
		{"an answer makes up for one", "uuuuau", 16},
		{"and for one only", "uuuuauu", 0},
		{"one tries after a second", "uuuuu.", 1},
		{"the rest of the crowd does not prolong the pause", "uuuuuuuuuuuuuuuu.", 1},
		{"a second one in vain: two seconds", "uuuuu.u.", 0},
		{"and then another", "uuuuu.u..", 1},
		{"then four", "uuuuu.u..u...", 0},
		{"never more than five", "uuuuu.u..u....u.....u.....", 1},
		{"an answer opens another slot", "uuuuu.a", 2},
		{"and each a further one", "uuuuu.aaaaaaa", 8},
		{"who began before the pause and is answered ends it", "uuuuua", 2},
		{"a failure on the way takes half of them", "uuuuu.aaaaaaau", 4},
		{"but never the last", "uuuuu.aau", 1},
		{"failures that prevail on the way open it again", "uuuuu.auu", 0},
		{"closed again", "uuuuu.aaaaaaaaaaaaaaa", 16},
		{"and its next pause is short again", "uuuuu.u..aaaaaaaaaaaaaaa.uuuuu.", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(16, 10*time.Second)
			for _, step := range c.steps {
				switch step {
				case 'u':
					b.unavailable(0)
				case 'a':
					b.answered()
				default:
					<-time.After(time.Second)
				}
			}
			if got := b.room(); got != c.room {
				t.Errorf("%s: after %q %d slots, want %d", c.name, c.steps, got, c.room)
			}
		})
	}
}
