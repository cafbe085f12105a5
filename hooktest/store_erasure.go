package hooktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

const customer = "cus_Canary1"

// noDepartment is an Eraser of a house without departments.
func noDepartment(context.Context, hook.Tx, string, string) (int, error) { return 0, nil }

func order() hook.ErasureOrder {
	return hook.ErasureOrder{Source: "shop", Customer: customer, Reason: "asked for by letter", Actor: "tester"}
}

// erase gives an order and works it until it waits or is over.
func (b *bench) erase(o custodian, order hook.ErasureOrder) *hook.Erasure {
	b.Helper()
	id, err := o.AddErasure(b.Context(), order)
	if err != nil {
		b.Fatalf("erase: %v", err)
	}
	b.clock.Advance(10 * time.Second)
	return b.erasing(o, id)
}

// erasing works an order until it waits or is over.
func (b *bench) erasing(o custodian, id int64) *hook.Erasure {
	b.Helper()
	for range 1000 {
		busy, err := o.StepErasure(b.Context(), noDepartment)
		if err != nil {
			b.Fatalf("step: %v", err)
		}
		e, err := o.Erasure(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if e.State == hook.ErasureDone || e.State == hook.ErasureWaiting && !busy {
			return e
		}
		if !busy {
			b.clock.Advance(50 * time.Millisecond)
		}
	}
	b.Fatal("it does not end")
	return nil
}

func erased(b *bench, o custodian) {
	body := `{"customer":"` + customer + `","email":"canary@example.com"}`
	e := event{key: "a", body: body}
	id := b.record(e).EventID
	b.record(event{key: "a", body: body + " "}) // a conflict
	b.retry(b.one("h", "a"), 0, false)
	b.clock.Advance(time.Second)
	b.finish(b.one("h", "a"))
	other := b.record(event{key: "b", body: `{"customer":"cus_Canary12"}`, handlers: []string{}}).EventID
	elsewhere := b.record(event{key: "c", source: "hub", body: body, handlers: []string{}}).EventID
	before := b.detail(id)

	got := b.erase(o, order())
	if got.State != hook.ErasureDone || got.Found != 1 || got.Erased != 1 || got.Seen != 2 || got.Customer != "" || got.SHA256 != sum(customer) {
		b.Errorf("the order: %+v", got)
	}
	d := b.detail(id)
	if !d.BodyGone || d.Body != nil || d.ErasedAt == nil {
		b.Errorf("the event: gone %v, erased at %v", d.BodyGone, d.ErasedAt)
	}
	if v, ok := d.Headers["X-Test"]; !ok || len(v) != 1 || v[0] != "" {
		b.Errorf("its headers: %v; want the names alone", d.Headers)
	}
	if d.SHA256 != before.SHA256 || d.Key != "a" || d.Deliveries != 2 || d.Conflicts != 1 || d.State != hook.StateDone ||
		len(d.Attempts) != len(before.Attempts) || d.Size != before.Size {
		b.Errorf("what was to stay: %+v", d)
	}
	for _, a := range d.Attempts {
		if a.Error != nil && *a.Error == "because" {
			b.Error("what a handler said of the failure is still there")
		}
	}
	for _, id := range []string{other, elsewhere} {
		if d := b.detail(id); d.BodyGone || d.ErasedAt != nil {
			b.Errorf("%s was erased, and is not the customer's", d.Key)
		}
	}
	// A redelivery is a duplicate and brings nothing back.
	if r := b.record(e); !r.Duplicate || r.EventID != id || r.Conflict {
		b.Errorf("redelivery: %+v", r)
	}
	b.record(event{key: "a", body: body + "  "})
	if d := b.detail(id); !d.BodyGone {
		b.Error("a redelivery has brought the body back")
	}
	if n := b.number(`SELECT count(*) FROM conflicts`); n != 0 {
		b.Errorf("%d conflicts are kept, want none", n)
	}
	b.wantErr(b.replayErr(id), hook.ErrRefused, "replay of an erased event")
	b.none("h")
}

func (b *bench) replayErr(id string) error {
	_, err := b.store.Replay(b.Context(), id, hook.Replay{Reason: "test", Actor: "tester"})
	return err
}

// number reads one number of our tables.
func (b *bench) number(query string) (n int) {
	b.Helper()
	err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error { return tx.QueryRowContext(ctx, query).Scan(&n) })
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func erasedAnywhere(b *bench, o custodian) {
	found := []event{
		{key: "value", body: `{"a":[{"b":"` + customer + `"}]}`},
		{key: "escaped", body: `{"a":"cus\u005fCanary1"}`},
		{key: "name", body: `{"` + customer + `":1}`},
		{key: "form", body: "a=1&customer=" + customer},
		{key: "text", body: "customer " + customer + " has paid"},
		{key: "subject", subject: customer, body: `{}`},
		{key: "hint:1", trust: hook.TrustHint, body: `"` + customer + `"`},
	}
	spared := []event{
		{key: "part", body: `{"a":"x` + customer + `"}`},
		{key: "longer", body: `{"a":"` + customer + `2"}`},
		{key: "sentence", body: `{"a":"of ` + customer + `"}`},
		{key: "plain", body: "x" + customer + "y"},
	}
	ids := map[string]string{}
	for _, e := range append(found, spared...) {
		e.handlers = []string{}
		ids[e.key] = b.record(e).EventID
	}
	if got := b.erase(o, order()); got.Found != int64(len(found)) {
		b.Errorf("found %d, want %d", got.Found, len(found))
	}
	for _, e := range found {
		if b.detail(ids[e.key]).ErasedAt == nil {
			b.Errorf("%s was not found: %s", e.key, e.body)
		}
	}
	for _, e := range spared {
		if b.detail(ids[e.key]).ErasedAt != nil {
			b.Errorf("%s was erased: %s", e.key, e.body)
		}
	}
}

func erasedLater(b *bench, o custodian) {
	body := `{"c":"` + customer + `"}`
	open := b.record(event{key: "open", body: body}).EventID
	held := b.record(event{key: "held", body: body, handlers: []string{}}).EventID
	free := b.record(event{key: "free", body: body, handlers: []string{}}).EventID
	hold, err := o.AddHold(b.Context(), hook.HoldOrder{Event: held, Reason: "a dispute", Actor: "tester"})
	if err != nil {
		b.Fatal(err)
	}
	e := b.erase(o, order())
	if e.State != hook.ErasureWaiting || e.Erased != 1 || e.Open != 1 || e.Held != 1 || b.detail(free).ErasedAt == nil {
		b.Errorf("with work and a hold open: %+v", e)
	}
	j := b.one("h", "open")
	if string(j.Event.Body) != body {
		b.Errorf("the work got %q", j.Event.Body)
	}
	b.finish(j)
	b.clock.Advance(time.Minute)
	if e = b.erasing(o, e.ID); e.State != hook.ErasureWaiting || e.Erased != 2 || e.Open != 0 || e.Held != 1 || b.detail(open).ErasedAt == nil {
		b.Errorf("with a hold open: %+v", e)
	}
	if err := o.ReleaseHold(b.Context(), hold, "tester", "settled"); err != nil {
		b.Fatal(err)
	}
	b.clock.Advance(time.Minute)
	if e = b.erasing(o, e.ID); e.State != hook.ErasureDone || e.Erased != 3 || b.detail(held).ErasedAt == nil {
		b.Errorf("at the end: %+v", e)
	}
	b.wantErr(o.CancelErasure(b.Context(), e.ID, "tester"), hook.ErrRefused, "cancel of one that is over")
}

// A context that ends in the middle leaves the order where it was: nothing is
// erased twice, and nothing is passed by.
func erasedInSteps(b *bench, o custodian) {
	const events = 1100
	var all sync.WaitGroup
	for part := range 50 {
		all.Go(func() {
			for i := part; i < events; i += 50 {
				body := fmt.Sprintf(`{"c":"%s"}`, []string{"somebody", customer}[i%2])
				if _, err := b.tryRecord(b.Context(), event{key: key(i), body: body, handlers: []string{}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	id, err := o.AddErasure(b.Context(), order())
	if err != nil {
		b.Fatal(err)
	}
	b.clock.Advance(10 * time.Second)
	if _, err := o.StepErasure(b.Context(), noDepartment); err != nil {
		b.Fatal(err)
	}
	half, err := o.Erasure(b.Context(), id)
	if err != nil || half.Seen == 0 || half.Seen == events || half.Erased != half.Found {
		b.Fatalf("after one step: %+v, %v", half, err)
	}
	b.clock.Advance(time.Second)
	cut, cancel := context.WithCancel(b.Context())
	cancel()
	if busy, err := o.StepErasure(cut, noDepartment); err == nil {
		b.Errorf("a step whose context has ended: busy %v, no error", busy)
	}
	late := b.record(event{key: "late", body: `{"c":"` + customer + `"}`, handlers: []string{}}).EventID
	e := b.erasing(o, id)
	if e.Seen != events || e.Found != events/2 || e.Erased != events/2 {
		b.Errorf("at the end: %+v", e)
	}
	if b.detail(late).ErasedAt != nil {
		b.Error("what was recorded after the order was erased")
	}
	if n := b.number(`SELECT count(*) FROM bodies`); n != events/2+1 {
		b.Errorf("%d bodies are left, want %d", n, events/2+1)
	}
}

func erasedHeld(b *bench, o custodian) {
	for _, h := range []hook.HoldOrder{
		{Source: "shop", Subject: customer},
		{Source: "shop", Since: b.clock.Now()},
	} {
		h.Reason, h.Actor = "a dispute", "tester"
		id, err := o.AddHold(b.Context(), h)
		if err != nil {
			b.Fatal(err)
		}
		_, err = o.AddErasure(b.Context(), order())
		b.wantErr(err, hook.ErrRefused, "erase what is held")
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("hold #%d", id)) {
			b.Errorf("the refusal does not name the hold: %v", err)
		}
		if err := o.ReleaseHold(b.Context(), id, "tester", "over"); err != nil {
			b.Fatal(err)
		}
	}
	for name, bad := range map[string]func(*hook.ErasureOrder){
		"no reason":       func(o *hook.ErasureOrder) { o.Reason = " " },
		"no source":       func(o *hook.ErasureOrder) { o.Source = "" },
		"short":           func(o *hook.ErasureOrder) { o.Customer = "cus" },
		"blank around":    func(o *hook.ErasureOrder) { o.Customer += " " },
		"in the reason":   func(o *hook.ErasureOrder) { o.Reason = "for " + customer },
		"too long an one": func(o *hook.ErasureOrder) { o.Customer = strings.Repeat("c", 600) },
	} {
		one := order()
		bad(&one)
		if _, err := o.AddErasure(b.Context(), one); err == nil {
			b.Errorf("%s: taken", name)
		}
	}
}

func erasedLook(b *bench, o custodian) {
	id := b.record(event{key: "a", body: `{"c":"` + customer + `"}`, handlers: []string{}}).EventID
	look := order()
	look.DryRun = true
	if e := b.erase(o, look); e.State != hook.ErasureDone || e.Found != 1 || e.Erased != 0 || !e.DryRun {
		b.Errorf("the look: %+v", e)
	}
	if d := b.detail(id); d.BodyGone || d.ErasedAt != nil {
		b.Error("a look has erased")
	}
}

func erasedNothing(b *bench, o custodian) {
	if e := b.erase(o, order()); e.State != hook.ErasureDone || e.Seen != 0 {
		b.Errorf("the order: %+v", e)
	}
	page, _, err := o.Audit(b.Context(), "", 10)
	if err != nil || len(page) == 0 || page[0].Action != "erase" || strings.Contains(fmt.Sprint(*page[0]), customer) {
		b.Errorf("the audit trail: %+v, %v", page, err)
	}
}

func holdKeeps(b *bench, o custodian) {
	var ids []string
	for _, e := range []event{{key: "one"}, {key: "two", subject: "sub_1"}, {key: "three"}} {
		e.handlers = []string{}
		ids = append(ids, b.record(e).EventID)
	}
	b.clock.Advance(day)
	from := b.clock.Now()
	ids = append(ids, b.record(event{key: "four", handlers: []string{}}).EventID)
	orders := []hook.HoldOrder{{Event: ids[0]}, {Source: "shop", Subject: "sub_1"}, {Source: "shop", Since: from}}
	var holds []int64
	for _, h := range orders {
		h.Reason, h.Actor = "a dispute", "tester"
		id, err := o.AddHold(b.Context(), h)
		if err != nil {
			b.Fatal(err)
		}
		holds = append(holds, id)
	}
	b.clock.Advance(30 * day)
	rules := hook.Retention{Keep: hook.Keep{Bodies: day}}
	b.enforce(rules)
	for i, want := range []bool{false, false, true, false} {
		if got := b.detail(ids[i]).BodyGone; got != want {
			b.Errorf("event %d: gone %v, want %v", i, got, want)
		}
	}
	if on, err := o.Holds(b.Context(), ids[1], 10); err != nil || len(on) != 1 || on[0].ID != holds[1] || on[0].Subject != "sub_1" {
		b.Errorf("the holds on an event: %+v, %v", on, err)
	}
	for i, id := range holds {
		if err := o.ReleaseHold(b.Context(), id, "tester", "settled"); err != nil {
			b.Fatal(err)
		}
		b.enforce(rules)
		if event := []int{0, 1, 3}[i]; !b.detail(ids[event]).BodyGone {
			b.Errorf("event %d: still there after its hold was released", event)
		}
	}
	b.wantErr(o.ReleaseHold(b.Context(), holds[0], "tester", "again"), hook.ErrRefused, "a second release")
	if all, err := o.Holds(b.Context(), "", 10); err != nil || len(all) != 3 || all[0].Released == nil || all[0].ReleasedBy != "tester" {
		b.Errorf("all holds: %+v, %v", all, err)
	}
}

func holdBad(b *bench, o custodian) {
	id := b.record(event{key: "a", handlers: []string{}}).EventID
	now := b.clock.Now()
	for name, h := range map[string]hook.HoldOrder{
		"nothing":        {Reason: "r"},
		"no reason":      {Source: "shop", Subject: "s"},
		"a whole source": {Source: "shop", Reason: "r"},
		"backwards":      {Source: "shop", Since: now, Until: now.Add(-day), Reason: "r"},
		"event and more": {Event: id, Subject: "s", Reason: "r"},
		"another source": {Event: id, Source: "hub", Reason: "r"},
	} {
		_, err := o.AddHold(b.Context(), h)
		b.wantErr(err, hook.ErrRefused, name)
	}
	_, err := o.AddHold(b.Context(), hook.HoldOrder{Event: "ev_nosuch", Reason: "r"})
	b.wantErr(err, hook.ErrNotFound, "an event that is not there")
	b.wantErr(o.ReleaseHold(b.Context(), 99, "t", "r"), hook.ErrNotFound, "a hold that is not there")
	b.wantErr(o.ReleaseHold(b.Context(), 99, "t", ""), hook.ErrRefused, "a release without a reason")
}
