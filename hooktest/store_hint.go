package hooktest

import (
	"fmt"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// hints: deliveries that nobody signs are bounded, and each still makes us ask.
func hints() map[string]func(*bench) {
	return map[string]func(*bench){
		"HintsAreBoundedPerSubject":      hintsBounded,
		"AFoldedHintStillAsks":           foldedHintAsks,
		"AHintDuringTheQuestionAsks":     hintWhileRunning,
		"AnEqualHintWakesWhatIsOpen":     equalHintWakes,
		"AnEqualHintDoesNotReopenAnEnd":  equalHintAfterEnd,
		"OtherSubjectsHaveTheirOwnBound": otherSubjects,
	}
}

func hint(i int) event {
	return event{key: fmt.Sprintf("hint:%03d", i), body: fmt.Sprint("hint ", i), subject: "order-1", trust: hook.TrustHint}
}

func hintsBounded(b *bench) {
	for i := range 100 {
		if r := b.record(hint(i)); r.Duplicate || r.EventID == "" {
			b.Fatalf("hint %d: %+v", i, r)
		}
	}
	page := b.list(hook.Filter{Limit: 1000})
	if len(page) != 32 {
		b.Fatalf("rows: got %d, want 32", len(page))
	}
	if page[0].Key != "hint:031" || page[0].Deliveries != 1+68 {
		b.Errorf("newest row %s stands for %d deliveries, want hint:031 and 69", page[0].Key, page[0].Deliveries)
	}
}

// asked works every due job of the subject and returns how many there were.
func asked(b *bench) int {
	n := 0
	for {
		jobs := b.claim("h", 10)
		if len(jobs) == 0 {
			return n
		}
		for _, j := range jobs {
			b.finish(j)
			n++
		}
	}
}

func foldedHintAsks(b *bench) {
	for i := range 40 {
		b.record(hint(i))
	}
	if n := asked(b); n != 32 {
		b.Fatalf("first questions: got %d, want 32", n)
	}
	b.clock.Advance(time.Minute)
	for i := 40; i < 140; i++ {
		b.record(hint(i)) // all behind the bound
	}
	if n := asked(b); n != 1 {
		b.Errorf("a flood at once asked %d times, want 1", n)
	}
	b.record(hint(200))
	if n := asked(b); n != 0 {
		b.Errorf("asked again within ten seconds")
	}
	b.clock.Advance(10 * time.Second)
	if n := asked(b); n != 1 {
		b.Errorf("after ten seconds: asked %d times, want 1", n)
	}
}

func hintWhileRunning(b *bench) {
	for i := range 32 {
		b.record(hint(i))
	}
	var last *hook.Job
	for range 32 {
		jobs := b.claim("h", 1)
		if len(jobs) != 1 {
			b.Fatalf("claimed %d", len(jobs))
		}
		if last = jobs[0]; last.Event.Key != "hint:031" {
			b.finish(last)
		}
	}
	b.record(hint(99))
	b.finish(last)
	b.none("h")
	b.clock.Advance(10 * time.Second)
	j := b.one("h", "hint:031")
	if j.Generation != 2 {
		b.Errorf("generation %d, want 2", j.Generation)
	}
	b.finish(j)
}

func equalHintWakes(b *bench) {
	b.record(hint(1))
	b.retry(b.one("h", "hint:001"), time.Hour, true)
	b.clock.Advance(11 * time.Second)
	if r := b.record(hint(1)); !r.Duplicate {
		b.Errorf("equal bytes: %+v", r)
	}
	b.retry(b.one("h", "hint:001"), time.Hour, true)
	b.record(hint(1))
	b.none("h") // at most once in ten seconds
	b.clock.Advance(11 * time.Second)
	b.record(hint(1))
	b.finish(b.one("h", "hint:001"))
}

func equalHintAfterEnd(b *bench) {
	b.record(hint(1))
	b.finish(b.one("h", "hint:001"))
	b.clock.Advance(time.Hour)
	b.record(hint(1))
	b.none("h")
	b.wantRows("hint:001", 1)
}

func otherSubjects(b *bench) {
	for i := range 40 {
		b.record(hint(i))
		e := hint(100 + i)
		e.subject = "order-2"
		b.record(e)
	}
	if n := len(b.list(hook.Filter{Limit: 1000})); n != 64 {
		b.Errorf("rows: got %d, want 64", n)
	}
}
