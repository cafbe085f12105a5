package hooktest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// recording: one event per key, its bytes unchanged, whatever comes beside it.
func recording() map[string]func(*bench) {
	return map[string]func(*bench){
		"OneKeyOneEvent":                oneKeyOneEvent,
		"KeysAreScopedBySourceAndMode":  keysAreScoped,
		"BytesInAreBytesKept":           bytesKept,
		"OtherBytesAreAConflict":        otherBytes,
		"ConflictsAreBounded":           conflictsBounded,
		"VolatileFieldsAreNoConflict":   volatileFields,
		"QuarantinedHasNoJobs":          quarantinedHasNoJobs,
		"CopyUnderAnotherKeyIsFlagged":  copyFlagged,
		"KeysOutliveBodies":             keysOutliveBodies,
		"NoHandlerIsRecorded":           noHandler,
		"RejectionsLeaveNoRow":          rejectionsLeaveNoRow,
		"HeadersWithoutCredentialsKept": headersKept,
		"OddRefusalsHurtNobody":         oddRefusals,
	}
}

// A hundred deliveries of one key at once are one event; the rest are duplicates.
func oneKeyOneEvent(b *bench) {
	const n = 100
	receipts := make([]hook.Receipt, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			var err error
			if receipts[i], err = b.tryRecord(context.Background(), event{key: "a"}); err != nil {
				b.Errorf("record: %v", err)
			}
		})
	}
	close(start)
	all.Wait()
	fresh := 0
	for _, r := range receipts {
		if !r.Duplicate {
			fresh++
		}
		if r.EventID != receipts[0].EventID {
			b.Errorf("two ids for one key: %s, %s", r.EventID, receipts[0].EventID)
		}
	}
	if fresh != 1 {
		b.Errorf("fresh receipts: got %d, want 1", fresh)
	}
	if d := b.detail(receipts[0].EventID); d.Deliveries != n || d.Conflicts != 0 {
		b.Errorf("deliveries %d, conflicts %d; want %d, 0", d.Deliveries, d.Conflicts, n)
	}
	b.finish(b.one("h", "a"))
	b.none("h")
}

func keysAreScoped(b *bench) {
	for _, source := range []string{"shop", "other"} {
		for _, mode := range []string{"", "live", "test"} {
			if r := b.record(event{source: source, mode: mode, key: "a"}); r.Duplicate {
				b.Errorf("%s/%s: a duplicate of another source or mode", source, mode)
			}
		}
	}
	if got := len(b.list(hook.Filter{})); got != 6 {
		b.Errorf("events: got %d, want 6", got)
	}
}

func bytesKept(b *bench) {
	bodies := map[string]string{
		"nul": "{\"a\":\"\x00\"}", "utf8": "{\"a\":\"\xff\xfe\"}", "none": "\x00", "dup": `{"id":1,"id":2}`,
		"long": strings.Repeat("x", 1<<20), "crlf": "a\r\nb", "bom": "\ufeff{}",
	}
	for name, body := range bodies {
		r := b.record(event{key: name, body: body})
		d := b.detail(r.EventID)
		if !bytes.Equal(d.Body, []byte(body)) || d.SHA256 != sum(body) || d.Size != int64(len(body)) {
			b.Errorf("%s: stored %d bytes with hash %s, want %d with %s", name, len(d.Body), d.SHA256, len(body), sum(body))
		}
	}
	r, err := b.store.Record(b.Context(), hook.Delivery{Source: "shop", ReceivedAt: b.clock.Now()},
		hook.Identity{Key: "empty", Trust: hook.TrustSignature}, nil)
	if err != nil {
		b.Fatalf("record an empty body: %v", err)
	}
	if d := b.detail(r.EventID); len(d.Body) != 0 || d.BodyGone {
		b.Errorf("empty body: got %q, pruned %v", d.Body, d.BodyGone)
	}
	for _, j := range b.claim("h", 10) {
		if string(j.Event.Body) != bodies[j.Event.Key] || j.Event.Header.Get("X-Test") != j.Event.Key {
			b.Errorf("%s: the handler gets other bytes or headers", j.Event.Key)
		}
		b.finish(j)
	}
}

func otherBytes(b *bench) {
	first := b.record(event{key: "a", body: "one"})
	r := b.record(event{key: "a", body: "two"})
	if !r.Duplicate || !r.Conflict || r.EventID != first.EventID {
		b.Errorf("other bytes: %+v", r)
	}
	if again := b.record(event{key: "a", body: "one"}); again.Conflict || !again.Duplicate {
		b.Errorf("the first bytes again: %+v", again)
	}
	d := b.detail(first.EventID)
	if string(d.Body) != "one" || d.Conflicts != 1 || d.Deliveries != 3 {
		b.Errorf("body %q, conflicts %d, deliveries %d", d.Body, d.Conflicts, d.Deliveries)
	}
	kept := 0
	_ = b.store.History(b.Context(), func(l hook.HistoryLine) error {
		if l.Kind == "conflict" && l.SHA256 == sum("two") && l.Recomputed == l.SHA256 {
			kept++
		}
		return nil
	})
	if kept != 1 {
		b.Errorf("conflicts kept with their bytes: got %d, want 1", kept)
	}
}

func conflictsBounded(b *bench) {
	r := b.record(event{key: "a", body: "first"})
	for i := range 12 {
		b.record(event{key: "a", body: fmt.Sprint("other ", i)})
	}
	kept := 0
	_ = b.store.History(b.Context(), func(l hook.HistoryLine) error {
		if l.Kind == "conflict" {
			kept++
		}
		return nil
	})
	if n := b.detail(r.EventID).Conflicts; kept != 8 || n != 12 {
		b.Errorf("kept %d and counted %d, want 8 and 12", kept, n)
	}
}

func volatileFields(b *bench) {
	canon := func(body []byte) []byte { return bytes.TrimRight(body, "0123456789") }
	b.record(event{key: "a", body: "pending 2", canon: canon})
	if r := b.record(event{key: "a", body: "pending 1", canon: canon}); !r.Duplicate || r.Conflict {
		b.Errorf("a volatile field: %+v, want a plain duplicate", r)
	}
	if r := b.record(event{key: "a", body: "changed 1", canon: canon}); !r.Conflict {
		b.Errorf("more than a volatile field: %+v, want a conflict", r)
	}
}

func quarantinedHasNoJobs(b *bench) {
	r := b.record(event{key: "a", q: hook.QuarantineAmbiguous})
	if r.Quarantine != hook.QuarantineAmbiguous {
		b.Errorf("receipt: %+v", r)
	}
	b.none("h")
	b.wantState(r.EventID, hook.StateQuarantined)
	if n := b.replay(r.EventID); n != 1 {
		b.Errorf("replay queued %d jobs, want 1", n)
	}
	j := b.one("h", "a")
	if j.Generation != 1 {
		b.Errorf("generation %d, want 1", j.Generation)
	}
	b.finish(j)
	b.wantState(r.EventID, hook.StateDone)
}

func copyFlagged(b *bench) {
	first := b.record(event{key: "a", body: "same", unsigned: true})
	b.clock.Advance(89 * 24 * time.Hour)
	second := b.record(event{key: "b", body: "same", unsigned: true})
	if second.Quarantine != hook.QuarantineSameBody || second.Duplicate {
		b.Errorf("a copy under another key: %+v", second)
	}
	if d := b.detail(second.EventID); d.SameBodyAs != first.EventID {
		b.Errorf("linked to %q, want %q", d.SameBodyAs, first.EventID)
	}
	if r := b.record(event{key: "c", body: "same"}); r.Quarantine != "" {
		b.Errorf("a signed key with an equal body: %+v", r)
	}
	if r := b.record(event{key: "a", body: "same", unsigned: true}); !r.Duplicate {
		b.Errorf("a true redelivery: %+v", r)
	}
	b.clock.Advance(2 * 24 * time.Hour)
	if r := b.record(event{key: "d", body: "same", unsigned: true}); r.Quarantine != "" {
		b.Errorf("after 91 days: %+v", r)
	}
	if got := len(b.claim("h", 10)); got != 3 {
		b.Errorf("jobs: got %d, want those of a, c and d", got)
	}
}

func keysOutliveBodies(b *bench) {
	done := b.record(event{key: "done"})
	open := b.record(event{key: "open"})
	for _, j := range b.claim("h", 10) {
		if j.Event.Key == "done" {
			b.finish(j)
		} else {
			b.bury(j)
		}
	}
	b.clock.Advance(40 * 24 * time.Hour)
	rep, err := b.store.Sweep(b.Context(), hook.SweepRules{Keep: hook.Retention{Keep: hook.Keep{Bodies: 30 * 24 * time.Hour}}})
	if err != nil || rep.Pruned != 1 {
		b.Fatalf("sweep: %+v, %v", rep, err)
	}
	if d := b.detail(done.EventID); !d.BodyGone || d.Body != nil {
		b.Errorf("the body of a finished event is still there")
	}
	if d := b.detail(open.EventID); d.BodyGone {
		b.Errorf("the body of a dead letter is gone")
	}
	b.clock.Advance(400 * 24 * time.Hour)
	if r := b.record(event{key: "done"}); !r.Duplicate || r.EventID != done.EventID {
		b.Errorf("redelivery after 440 days: %+v", r)
	}
	b.none("h")
}

func noHandler(b *bench) {
	r := b.record(event{key: "a", handlers: []string{}})
	b.wantState(r.EventID, hook.StateNoHandler)
	b.replay(r.EventID, "h")
	b.wantState(r.EventID, hook.StateReady)
	b.finish(b.one("h", "a"))
	b.wantState(r.EventID, hook.StateDone)
}

func rejectionsLeaveNoRow(b *bench) {
	d := hook.Delivery{Source: "shop", Body: []byte("forged"), ReceivedAt: b.clock.Now(),
		Header: map[string][]string{"Stripe-Signature": {"t=1"}, "Authorization": {"Bearer secret"}}}
	b.store.Reject(d, hook.ReasonBadSignature, "no match")
	if n := len(b.list(hook.Filter{})); n != 0 {
		b.Errorf("events after a refusal: %d", n)
	}
	for _, when := range []string{"in memory", "on disk"} {
		notes, err := b.store.Rejections(b.Context(), "shop", 10)
		if err != nil || len(notes) != 1 || notes[0].Reason != hook.ReasonBadSignature || string(notes[0].Body) != "forged" {
			b.Fatalf("%s: notes %v, %v", when, notes, err)
		}
		if notes[0].Headers["Stripe-Signature"] == nil || notes[0].Headers["Authorization"] != nil {
			b.Errorf("%s: headers %v", when, notes[0].Headers)
		}
		b.record(event{key: "flush", handlers: []string{}})
	}
}

// A note on a refusal never costs a delivery its place, whatever was refused.
func oddRefusals(b *bench) {
	long := strings.Repeat("é", 1<<10)
	for i, d := range []hook.Delivery{
		{}, {Source: "shop"}, {Source: "shop", Body: []byte{}}, {Source: "shop", Body: []byte("\x00\xff"), Remote: long},
		{Source: "shop", Header: map[string][]string{"X-Signature": nil, "Webhook-Id": {long, "a\nb"}}},
	} {
		b.store.Reject(d, hook.ReasonMalformedBody, long)
		b.record(event{key: key(i)})
		b.clock.Advance(2 * time.Second)
	}
	if notes, err := b.store.Rejections(b.Context(), "", 10); err != nil || len(notes) != 5 {
		b.Errorf("notes: got %d, %v; want 5", len(notes), err)
	}
}

func headersKept(b *bench) {
	d := hook.Delivery{Source: "shop", Body: []byte("x"), ReceivedAt: b.clock.Now(),
		Header: map[string][]string{"X-Two": {"a", "b"}, "Cookie": {"session"}, "Authorization": {"Basic x"}}}
	r, err := b.store.Record(b.Context(), d, hook.Identity{Key: "k", Trust: hook.TrustSignature}, nil)
	if err != nil {
		b.Fatal(err)
	}
	h := b.detail(r.EventID).Headers
	if len(h) != 1 || len(h["X-Two"]) != 2 {
		b.Errorf("headers: %v", h)
	}
}
