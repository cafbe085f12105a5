//go:build hktest

package test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/pgtest"
)

// Two nodes of an older configuration receive while a new one begins to work a
// route that they do not have: what comes from then on has its job, also while
// the receivers have not heard of it.
func TestNoEventLacksTheJobOfANewRoute(t *testing.T) {
	url := pgtest.Empty(t)
	receivers := []*server{
		start(t, options{release: true, url: url, flags: []string{"--role", "receive"}}),
		start(t, options{release: true, url: url, flags: []string{"--role", "receive"}}),
	}
	sent := deliver(t, receivers)
	worker := start(t, options{release: true, url: url, flags: []string{"--role", "work", "--role", "operate"},
		work: fast + "\nhandlers: {log: {events: [\"*:*\"]}}"})
	t.Cleanup(func() {
		if t.Failed() {
			for line := range strings.Lines(worker.log.String()) {
				if !strings.Contains(line, `"INFO"`) {
					t.Log(line)
				}
			}
		}
	})
	since := routeSince(t, url, "log") // not when the node says that it is ready: it may write its routes a moment later
	<-time.After(8 * time.Second)      // the receivers hear of the route within five seconds
	acknowledged := sent()

	var undone int // events since the route whose job is there and not done
	lacking := func() (lack, earlier int) {
		undone = 0
		for _, e := range worker.events(t) {
			switch {
			case len(e.Jobs) == 1 && e.Jobs[0].Handler == "log" && e.State == "done":
			case e.ReceivedAt.Before(since):
				earlier++
			default:
				lack++
				undone += len(e.Jobs)
			}
		}
		return lack, earlier
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("at last %d jobs were not done", undone)
		}
	})
	eventually(t, 2*time.Minute, "every event since the route has its job", func() bool {
		lack, _ := lacking()
		return lack == 0
	})
	if n := len(worker.events(t)); n != acknowledged {
		t.Errorf("%d events are listed, %d were acknowledged", n, acknowledged)
	}
	if _, earlier := lacking(); earlier == 0 || earlier == acknowledged {
		t.Errorf("of %d events %d came before the route: the test shows nothing", acknowledged, earlier)
	}
}

// routeSince waits until a route is in the database, and says from when on it counts.
func routeSince(t *testing.T, url, name string) time.Time {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var us int64
	eventually(t, 20*time.Second, "the node has written its route", func() bool {
		return db.QueryRowContext(t.Context(), `SELECT since FROM hookkeeper.routes WHERE name = $1`, name).Scan(&us) == nil
	})
	return time.UnixMicro(us)
}

// deliver sends to all servers at once, returns when fifty deliveries are answered, and
// goes on until stop, which says how many were acknowledged.
func deliver(t *testing.T, receivers []*server) (stop func() int) {
	t.Helper()
	halt, begun := make(chan struct{}), make(chan struct{})
	ids := make([][]string, len(receivers))
	var senders sync.WaitGroup
	for i, s := range receivers {
		senders.Go(func() {
			for n := 0; ; n++ {
				if n == 50 && i == 0 {
					close(begun)
				}
				key := fmt.Sprintf("evt_%d_%d", i, n)
				a := s.send(stripe(stripeEvent(key, "pi_"+key, "")))
				if a.err != nil || a.code != 200 {
					t.Errorf("%s is answered %v", key, a)
				}
				ids[i] = append(ids[i], a.Event)
				select {
				case <-halt:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	<-begun
	return func() int {
		close(halt)
		senders.Wait()
		return len(slices.Concat(ids...))
	}
}
