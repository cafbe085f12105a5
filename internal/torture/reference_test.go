package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// The reference is a receiver of the smallest kind, over a journal instead of a
// database: one line is one commit. It stands in for the product so that the
// rig itself can be tested, with mutants of its own.
type reference struct {
	mutant   string
	attempts int
	lease    time.Duration

	mu      sync.Mutex
	journal *os.File
	jobs    map[string]*refJob
	order   []*refJob // by sequence number, from 1
	number  int64     // of the last transition
	effects []history.Effect
	lines   []hook.HistoryLine // transitions
	stale   int
}

// refJob is an event with the one job that it has.
type refJob struct {
	Row     hook.HistoryLine
	Orders  orders
	state   hook.State
	attempt int
	failed  int
	due     time.Time // next attempt, or the end of the lease
}

// commit is one line of the journal: all of it or nothing survives.
type commit struct {
	Job    *refJob           `json:"job,omitempty"`
	Line   *hook.HistoryLine `json:"line,omitempty"`
	Effect *history.Effect   `json:"effect,omitempty"`
}

func jobKey(source, mode, key string) string { return source + "\x00" + mode + "\x00" + key }

// referenceMain is the program that the test binary is when it is started as a
// child.
func referenceMain(args []string) error {
	r := &reference{mutant: os.Getenv("HK_MUTANT"), jobs: map[string]*refJob{}}
	path := strings.TrimPrefix(os.Getenv("HOOKKEEPER_DATABASE"), "sqlite:")
	if err := r.open(path); err != nil {
		return err
	}
	switch {
	case args[1] == "--child":
		return r.serve()
	case args[2] == "--history":
		return r.exportHistory(os.Stdout)
	case args[1] == "--effects":
		enc := json.NewEncoder(os.Stdout)
		for _, e := range r.effects {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("unknown arguments %q", args)
}

func (r *reference) open(path string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	for line := range bytes.Lines(text[:whole]) {
		var c commit
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		r.apply(c)
	}
	if r.journal, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return err
	}
	if err := r.journal.Truncate(int64(whole)); err != nil {
		return err
	}
	_, err = r.journal.Seek(0, io.SeekEnd)
	return err
}

// write makes a commit durable and applies it. Called with mu held.
func (r *reference) write(c commit) {
	text, err := json.Marshal(c)
	if err == nil {
		_, err = r.journal.Write(append(text, '\n'))
	}
	if err != nil {
		panic(err)
	}
	r.apply(c)
}

func (r *reference) apply(c commit) {
	if c.Job != nil {
		k := jobKey(c.Job.Row.Source, c.Job.Row.Mode, c.Job.Row.Key)
		r.jobs[k] = c.Job
		r.order = append(r.order, c.Job)
	}
	if l := c.Line; l != nil {
		j := r.order[l.Seq-1]
		if l.From == hook.StateRunning && l.To != hook.StateDone {
			j.failed++
		}
		j.state, j.attempt = l.To, l.Attempt
		if l.LeaseUntil != nil {
			j.due = *l.LeaseUntil
		}
		r.number = max(r.number, l.Order)
		r.lines = append(r.lines, *l)
	}
	if c.Effect != nil {
		r.effects = append(r.effects, *c.Effect)
	}
}

func (r *reference) line(j *refJob, to hook.State, attempt int) *hook.HistoryLine {
	now := time.Now()
	r.number++
	return &hook.HistoryLine{
		Kind: "transition", Order: r.number, Seq: j.Row.Seq, Source: j.Row.Source, Mode: j.Row.Mode, Key: j.Row.Key,
		Handler: handlerSingle, Generation: 1, From: j.state, To: to, Attempt: attempt, At: &now,
	}
}

func (r *reference) serve() error {
	config, err := os.ReadFile(os.Getenv("HOOKKEEPER_CONFIG"))
	if err != nil {
		return err
	}
	if m := regexp.MustCompile(`attempts: (\d+)`).FindSubmatch(config); m != nil {
		r.attempts, _ = strconv.Atoi(string(m[1]))
	}
	if m := regexp.MustCompile(`lease: (\S+)`).FindSubmatch(config); m != nil {
		if r.lease, err = time.ParseDuration(string(m[1])); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { r.work(ctx) })
	}
	public, operator := &http.Server{Addr: os.Getenv("HOOKKEEPER_LISTEN")}, &http.Server{Addr: os.Getenv("HOOKKEEPER_OPERATOR_LISTEN")}
	public.Handler, operator.Handler = r.publicDoor(), r.operatorDoor()
	failed := make(chan error, 2)
	for _, s := range []*http.Server{operator, public} {
		go func() { failed <- s.ListenAndServe() }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	for _, s := range []*http.Server{public, operator} {
		if s.Shutdown(grace) != nil { // a connection on which nothing ever came
			s.Close()
		}
	}
	workers.Wait()
	return nil
}

func (r *reference) publicDoor() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /hooks/{source}", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		source := req.PathValue("source")
		if r.mutant == "log_unverified" {
			r.store(source, req.Header, body)
		}
		if !r.verified(source, req.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":"rejected"}`)
			return
		}
		if r.mutant == "ack_before_commit" {
			fmt.Fprint(w, `{"status":"recorded"}`)
			go func() {
				if wait(context.Background(), 20*time.Millisecond) == nil {
					r.store(source, req.Header, body)
				}
			}()
			return
		}
		said := r.store(source, req.Header, body)
		_ = wait(req.Context(), 2*time.Millisecond) // as long as a commit on a disk
		fmt.Fprintf(w, `{"status":%q}`, said)
	})
	return mux
}

func (r *reference) operatorDoor() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		fmt.Fprintf(w, "# TYPE hookkeeper_stale_finishes_total counter\nhookkeeper_stale_finishes_total{handler=\"test\"} %d\n", r.stale)
	})
	mux.HandleFunc("GET /api/v1/counts", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		states := map[hook.State]int64{}
		for _, j := range r.order {
			states[j.state]++
		}
		json.NewEncoder(w).Encode(hook.Counts{Jobs: map[string]map[hook.State]int64{handlerSingle: states}})
	})
	return mux
}

// verified signs anew at the stated time and compares.
func (r *reference) verified(source string, h http.Header, body []byte) bool {
	stamp := h.Get("Webhook-Timestamp")
	if source == sourceStripe {
		stamp = strings.TrimPrefix(strings.Split(h.Get("Stripe-Signature"), ",")[0], "t=")
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return false
	}
	want := http.Header{}
	sign(want, source, h.Get("Webhook-Id"), os.Getenv(secretEnv(source)), body, at)
	return want.Get("Stripe-Signature") == h.Get("Stripe-Signature") &&
		want.Get("Webhook-Signature") == h.Get("Webhook-Signature")
}

func (r *reference) store(source string, h http.Header, body []byte) string {
	var said struct {
		ID string `json:"id"`
		HK orders `json:"hk"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		panic(err)
	}
	mode, key := "test", said.ID
	if source == sourcePartner {
		mode, key = "", h.Get("Webhook-Id")
	}
	sum := sha256.Sum256(body)
	now := time.Now()
	j := &refJob{Orders: said.HK, Row: hook.HistoryLine{
		Kind: "event", Source: source, Mode: mode, Key: key, Trust: hook.TrustSignature,
		SHA256: hex.EncodeToString(sum[:]), Recomputed: hex.EncodeToString(sum[:]), ReceivedAt: &now,
	}}
	k := jobKey(source, mode, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.jobs[k] != nil
	if r.mutant == "check_then_insert" && !known {
		r.mu.Unlock()
		_ = wait(context.Background(), time.Millisecond)
		r.mu.Lock()
	} else if known {
		return "duplicate"
	}
	j.Row.Seq = int64(len(r.order) + 1)
	r.write(commit{Job: j, Line: r.line(j, hook.StateReady, 0)})
	return "recorded"
}

func (r *reference) exportHistory(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, j := range r.order {
		row := j.Row
		row.State = j.state
		row.Jobs = []hook.JobInfo{{Handler: handlerSingle, State: j.state, Generation: 1, Attempt: j.attempt}}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	for _, l := range r.lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func (r *reference) work(ctx context.Context) {
	for ctx.Err() == nil {
		j, attempt := r.claim()
		if j == nil {
			_ = wait(ctx, 2*time.Millisecond)
			continue
		}
		_ = wait(context.Background(), time.Duration(j.Orders.SlowMS)*time.Millisecond)
		r.finish(j, attempt)
	}
}

func (r *reference) claim() (*refJob, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, j := range r.order {
		if j.state.Final() || j.due.After(now) {
			continue
		}
		if j.state == hook.StateRunning && j.failed+1 >= r.attempts {
			l := r.line(j, hook.StateDead, j.attempt)
			l.Cause = "lost"
			r.write(commit{Line: l})
			continue
		}
		l := r.line(j, hook.StateRunning, j.attempt+1)
		until := l.At.Add(r.lease)
		l.LeaseUntil = &until
		r.write(commit{Line: l})
		return j, j.attempt
	}
	return nil, 0
}

func (r *reference) finish(j *refJob, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if (j.attempt != attempt || j.state != hook.StateRunning) && r.mutant != "no_fence" {
		r.stale++
		return
	}
	if j.Orders.Needs != "" {
		if other := r.jobs[jobKey(j.Row.Source, j.Row.Mode, j.Orders.Needs)]; other == nil || other.state != hook.StateDone {
			j.due = time.Now().Add(20 * time.Millisecond)
			r.write(commit{Line: r.line(j, hook.StateWaiting, attempt)})
			return
		}
	}
	if j.Orders.Poison || attempt <= j.Orders.Fail {
		to := hook.StateRetrying
		if j.failed+1 >= r.attempts {
			to = hook.StateDead
		}
		j.due = time.Now().Add(5 * time.Millisecond)
		r.write(commit{Line: r.line(j, to, attempt)})
		return
	}
	effect := &history.Effect{Source: j.Row.Source, Mode: j.Row.Mode, Key: j.Row.Key, Handler: handlerSingle, Generation: 1, Attempt: attempt}
	if r.mutant == "effect_outside_tx" {
		r.write(commit{Effect: effect})
		r.mu.Unlock()
		_ = wait(context.Background(), 5*time.Millisecond)
		r.mu.Lock()
		effect = nil
	}
	r.write(commit{Line: r.line(j, hook.StateDone, attempt), Effect: effect})
}
