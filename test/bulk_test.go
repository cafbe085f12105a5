//go:build hktest

package test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"sync"
	"testing"
	"time"
)

// A bulk replay of a whole month is paused, let go on, cut by the death of its node,
// and ends; another one is cancelled. Each effect happens once a generation. With
// HK_BULK_EVENTS raised, as `make desk-10m` does, live deliveries are timed beside it.
func TestABulkReplayOfAMonth(t *testing.T) {
	n := number(t, "HK_BULK_EVENTS", 600)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			if n < measured {
				t.Parallel()
			}
			o := month(t, engine == "postgres", n)
			o.release = false // for the handler that counts
			replayAMonth(t, o, n)
		})
	}
}

func replayAMonth(t *testing.T, o options, n int) {
	s := start(t, o)
	var idle time.Duration
	if n >= measured {
		idle = s.live(t, "idle", 2_000)
	}
	id := s.replayAll(t, n)
	beside := make(chan time.Duration, 1)
	var senders sync.WaitGroup
	if n >= measured {
		senders.Go(func() { beside <- s.live(t, "beside", 10_000) })
	}

	s.bulkReaches(t, id, func(b bulk) bool { return b.Seen > n/4 })
	s.steer(t, id, "paused")
	before := s.bulk(t, id)
	for i := range 20 {
		s.send(stripe(stripeEvent(fmt.Sprint("evt_pause_", i), "", "")))
	}
	if after := s.bulk(t, id); after.State != "paused" || after.Seen != before.Seen {
		t.Errorf("paused, it went on from %d to %d", before.Seen, after.Seen)
	}
	s.steer(t, id, "running")
	senders.Wait()
	s.bulkReaches(t, id, func(b bulk) bool { return b.Seen > n/2 })
	s.kill(t)

	s = start(t, o)
	end := s.bulkReaches(t, id, func(b bulk) bool { return b.State == "done" })
	if end.Seen != n || end.Jobs != n || end.Left != 0 {
		t.Errorf("of %d events %d were looked at, %d replayed and %d left out", n, end.Seen, end.Jobs, end.Left)
	}
	second := s.replayAll(t, n)
	s.bulkReaches(t, second, func(b bulk) bool { return b.Seen > 0 })
	s.steer(t, second, "cancelled")
	cancelled := s.bulk(t, second)
	eventually(t, replayTime(), "all that was queued is done", func() bool {
		code, body := s.get("http://" + s.operator + "/api/v1/jobs?handler=test&limit=1")
		var open struct{ Jobs []any }
		return code == http.StatusOK && json.Unmarshal(body, &open) == nil && len(open.Jobs) == 0
	})
	s.stop(t)
	onceAGeneration(t, o, n, cancelled.Jobs)
	if n >= measured {
		during := <-beside
		text := fmt.Sprintf("%s, a replay of %d events at a thousand a second: p99 of live deliveries %.1f ms idle, %.1f ms beside it",
			path.Base(t.Name()), n, ms(idle), ms(during))
		t.Log(text)
		keepResults(t, text)
		if limit := max(2*idle, 50*time.Millisecond); during > limit {
			t.Errorf("beside a bulk replay the p99 of live deliveries is %s, want at most %s", during, limit)
		}
	}
}

// replayTime is how long a replay may take: a million at a quarter of a thousand a second.
func replayTime() time.Duration {
	if os.Getenv("HK_BULK_EVENTS") == "" {
		return 5 * time.Minute
	}
	return 70 * time.Minute
}

// bulk is a bulk replay as the API shows it.
type bulk struct {
	State             string
	Total, Seen, Jobs int
	Left              int `json:"left_out"`
}

func (s *server) bulk(t *testing.T, id int) (b bulk) {
	t.Helper()
	code, body := s.get(fmt.Sprintf("http://%s/api/v1/bulk-replays/%d", s.operator, id))
	if err := json.Unmarshal(body, &b); err != nil || code != http.StatusOK {
		t.Fatalf("bulk replay %d: %d %s", id, code, body)
	}
	return b
}

func (s *server) bulkReaches(t *testing.T, id int, there func(bulk) bool) (b bulk) {
	t.Helper()
	eventually(t, replayTime(), "the bulk replay gets on", func() bool {
		b = s.bulk(t, id)
		return there(b)
	})
	return b
}

// replayAll orders the replay of the month for the handler that counts.
func (s *server) replayAll(t *testing.T, n int) (id int) {
	t.Helper()
	until := time.Now().UTC().Format(time.RFC3339Nano)
	rate := 1000
	if n < measured {
		rate = 200 // slow enough to be met in its middle
	}
	var answer struct{ ID int }
	s.order(t, "/api/v1/bulk-replays", fmt.Sprintf(
		`{"type": "invoice.*,push,radar.*", "until": %q, "handlers": ["test"], "rate": %d, "reason": "once more"}`, until, rate), &answer)
	return answer.ID
}

func (s *server) steer(t *testing.T, id int, state string) {
	t.Helper()
	s.order(t, fmt.Sprintf("/api/v1/bulk-replays/%d", id), fmt.Sprintf(`{"state": %q}`, state), nil)
}

func (s *server) order(t *testing.T, path, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.operator+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d, %v: %s", path, body, resp.StatusCode, err, &text)
	}
	if into != nil {
		if err := json.Unmarshal(text.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
}

// live sends deliveries, a hundred a second, and gives the p99 of their answers.
func (s *server) live(t *testing.T, name string, n int) time.Duration {
	took := make([]time.Duration, n)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range took {
		<-tick.C
		began := time.Now()
		a := s.send(stripe(stripeEvent(fmt.Sprintf("evt_%s_%d", name, i), "", "")))
		took[i] = time.Since(began)
		if a.err != nil || a.code != http.StatusOK {
			t.Errorf("a live delivery is answered %v", a)
		}
	}
	slices.Sort(took)
	return took[n*99/100]
}

// onceAGeneration looks into the database: each event of the month has one effect of
// the first replay, and so many have one of the second.
func onceAGeneration(t *testing.T, o options, first, second int) {
	t.Helper()
	driver, place, schema := "sqlite", "file:"+o.database, ""
	if o.url != "" {
		driver, place, schema = "pgx", o.url, "hookkeeper."
	}
	db, err := sql.Open(driver, place)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT generation, count(*), count(DISTINCT source || ' ' || key) FROM `+schema+`hk_effects
		WHERE handler = 'test' AND key LIKE 'evt_0%' GROUP BY generation ORDER BY generation`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got [][3]int
	for rows.Next() {
		var g [3]int
		if err := rows.Scan(&g[0], &g[1], &g[2]); err != nil {
			t.Fatal(err)
		}
		got = append(got, g)
	}
	if want := [][3]int{{1, first, first}, {2, second, second}}; !slices.Equal(got, want) {
		t.Errorf("generation, effects, events: %v, want %v", got, want)
	}
}
