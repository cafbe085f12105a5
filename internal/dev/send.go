package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxAnswer is more than any answer of a hookkeeper holds.
const maxAnswer = 64 << 10

// Plan is an order to send deliveries.
type Plan struct {
	URL    string      // the endpoint of the source
	Source hook.Source // must be a hook.Signer; signs with its first secret
	Wrong  hook.Signer // the same source with another secret, for wrong-secret
	Sender string      // stripe, toss …
	Type   string
	Options
	// Recorded is sent instead of a composed delivery, signed anew.
	Recorded *hook.EventDetail

	Scenario    string  // empty, or one of Scenarios or Stories
	Count       int     // how often; 0 means 1. For burst: how many copies, 0 means 20
	Concurrency int     // how many at once; 0 means 1
	Rate        float64 // rounds begun per second; 0: as fast as answers come
	Client      *http.Client
}

// Result is one delivery and its answer.
type Result struct {
	Source string  `json:"source"`
	Type   string  `json:"type"`
	Status int     `json:"status"` // HTTP; 0: no answer
	Answer string  `json:"answer"` // recorded, duplicate, rejected …
	Event  string  `json:"event"`
	Reason string  `json:"reason"`
	Millis float64 `json:"ms"`
	Want   string  `json:"want"`
	OK     bool    `json:"ok"` // the answer is what it should be
}

// shot is one signed delivery with the answer that is due.
type shot struct {
	header http.Header
	body   []byte
	status int
	answer []string // any of these; empty: any
	kind   string   // the type, where it is not the plan's
}

// Send carries out a plan and reports each delivery as its answer comes; report
// is never called by two goroutines at once. It returns how many answers
// differed from what was due. An error means that the plan cannot be carried
// out or that ctx ended.
func Send(ctx context.Context, p Plan, report func(Result)) (wrong int, err error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	var mu sync.Mutex
	rounds := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer p.Client.CloseIdleConnections()
	var group sync.WaitGroup
	for range p.Concurrency {
		group.Go(func() {
			for range rounds {
				results, err := p.round(ctx)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				for _, r := range results {
					if !r.OK {
						wrong++
					}
					report(r)
				}
				mu.Unlock()
			}
		})
	}
	p.pace(ctx, rounds)
	close(rounds)
	group.Wait()
	if ctx.Err() != nil {
		return wrong, context.Cause(ctx)
	}
	return wrong, nil
}

func (p *Plan) check() error {
	if _, ok := p.Source.(hook.Signer); !ok {
		return fmt.Errorf("source %s: its sender's scheme cannot be signed here", p.Source.Name())
	}
	if known := append(Scenarios(), Stories()...); p.Scenario != "" && !slices.Contains(known, p.Scenario) {
		return fmt.Errorf("unknown scenario %q, there are %s", p.Scenario, strings.Join(known, ", "))
	}
	if p.Scenario == "wrong-secret" && p.Wrong == nil {
		return errors.New("scenario wrong-secret: no second secret")
	}
	p.Concurrency = max(p.Concurrency, 1)
	if p.Client == nil {
		p.Client = client(max(p.Concurrency, p.copies()))
	}
	return nil
}

// client keeps as many connections as are used at once; the standard one keeps
// two a host. It follows no redirect: none is the answer of a hookkeeper.
func client(connections int) *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: connections, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pace hands out the rounds, at the given rate if there is one.
func (p *Plan) pace(ctx context.Context, rounds chan<- int) {
	count := max(p.Count, 1)
	if p.Scenario == "burst" {
		count = 1 // Count is the number of copies
	}
	var tick <-chan time.Time
	if p.Rate > 0 {
		t := time.NewTicker(max(time.Duration(float64(time.Second)/p.Rate), time.Microsecond))
		defer t.Stop()
		tick = t.C
	}
	for i := range count {
		if tick != nil && i > 0 {
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
		select {
		case rounds <- i:
		case <-ctx.Done():
			return
		}
	}
}

// round carries out the scenario once.
func (p *Plan) round(ctx context.Context) ([]Result, error) {
	shots, together, err := p.scenario()
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(shots))
	if !together {
		for i, s := range shots {
			results[i] = p.fire(ctx, s)
		}
		return results, nil
	}
	var group sync.WaitGroup
	for i, s := range shots {
		group.Go(func() { results[i] = p.fire(ctx, s) })
	}
	group.Wait()
	return oneRecorded(results), nil
}

// oneRecorded checks a burst: exactly one copy is the first.
func oneRecorded(results []Result) []Result {
	first := 0
	for i := range results {
		results[i].Want = "200, exactly one recorded"
		if results[i].Answer == "recorded" {
			first++
		}
	}
	if first != 1 {
		for i := range results {
			results[i].OK = false
		}
	}
	return results
}

// fire sends one delivery and reads its answer.
func (p *Plan) fire(ctx context.Context, s shot) Result {
	r := Result{Source: p.Source.Name(), Type: p.Type, Want: fmt.Sprint(s.status)}
	if s.kind != "" {
		r.Type = s.kind
	}
	if len(s.answer) > 0 {
		r.Want += " " + strings.Join(s.answer, " or ")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(s.body))
	if err != nil {
		r.Reason = err.Error()
		return r
	}
	req.Header = s.header.Clone()
	begun := time.Now()
	resp, err := p.Client.Do(req)
	if err != nil {
		r.Reason = "no answer: " + err.Error()
		r.Millis = millis(time.Since(begun))
		return r
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	r.Millis = millis(time.Since(begun))
	r.Status = resp.StatusCode
	if err != nil {
		r.Reason = "answer broken off: " + err.Error()
		return r
	}
	var said struct{ Status, Event, Reason string }
	if json.Unmarshal(body, &said) != nil && resp.StatusCode != s.status {
		said.Reason = "not the answer of a hookkeeper"
	}
	r.Answer, r.Event, r.Reason = said.Status, said.Event, said.Reason
	r.OK = r.Status == s.status && (len(s.answer) == 0 || slices.Contains(s.answer, r.Answer))
	return r
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
