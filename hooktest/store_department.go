package hooktest

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
)

// departments: what a store offers to parts of the house with tables of their
// own.
func departments() map[string]func(*bench) {
	return map[string]func(*bench){
		"AViewReadsAndNeverWrites":             viewReads,
		"ATimeComesBackAsItWasWritten":         timesComeBack,
		"ATurnIsTakenOncePerRound":             turnTaken,
		"ADeliveryOfWhatWasReadIsNoConflict":   readThenDelivered,
		"WhatWasDeliveredIsReadWithoutATrace":  deliveredThenRead,
		"AConsequenceHappensOnce":              consequenceOnce,
		"AnEventThatWeReadCountsNoDeliveries":  readCountsNothing,
		"OtherBytesOfADeliveredRowAreConflict": deliveredTwice,
	}
}

func viewReads(b *bench) {
	b.record(event{key: "k"})
	b.finish(b.one("h", "k"))
	var k string
	err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT k FROM fx WHERE k = $1`, "k").Scan(&k)
	})
	if err != nil || k != "k" {
		b.Errorf("view: got %q, %v", k, err)
	}
	err = b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO fx (k) VALUES ($1)`, "sneaked")
		return err
	})
	if err == nil {
		b.Error("a view wrote")
	}
	mine := errors.New("mine")
	if err := b.store.View(b.Context(), func(context.Context, hook.Tx) error { return mine }); !errors.Is(err, mine) {
		b.Errorf("view: got %v, want the reader's own error", err)
	}
	rows := 0
	err = b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM fx`).Scan(&rows)
	})
	if err != nil || rows != 1 {
		b.Errorf("after all: %d rows, %v, want the one", rows, err)
	}
}

func timesComeBack(b *bench) {
	want := time.Date(2031, 2, 3, 4, 5, 6, 789012000, time.FixedZone("elsewhere", 9*3600))
	err := b.store.Apply(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE times (at TIMESTAMPTZ, missing TIMESTAMPTZ)`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO times (at) VALUES ($1)`, want)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	var at, missing hook.Timestamp
	err = b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		row := tx.QueryRowContext(ctx, `SELECT at, missing FROM times WHERE at >= $1 AND at < $2`, want, want.Add(time.Microsecond))
		return row.Scan(&at, &missing)
	})
	if err != nil || !at.Valid || !at.Time.Equal(want) || missing.Valid {
		b.Errorf("got %v, %v, %v, want %s and nothing", at, missing, err, want)
	}
}

func turnTaken(b *bench) {
	keeper, ok := b.store.(hook.TurnKeeper)
	if !ok {
		b.Skip("this store gives no turns")
	}
	turn := func(name string) bool {
		b.Helper()
		mine, err := keeper.Turn(b.Context(), name, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		return mine
	}
	var got []bool
	got = append(got, turn("sweep"), turn("sweep"), turn("other"))
	b.clock.Advance(59 * time.Second)
	got = append(got, turn("sweep"))
	b.clock.Advance(time.Second)
	got = append(got, turn("sweep"), turn("sweep"))
	if diff := cmp.Diff([]bool{true, false, true, false, true, false}, got); diff != "" {
		b.Errorf("turns (-want +got):\n%s", diff)
	}
	if _, err := keeper.Turn(b.Context(), "Bad name!", time.Minute); err == nil {
		b.Error("a turn of a bad name was given")
	}
}

// tally gives deliveries and conflicts of the one event.
func tally(b *bench, id string) (deliveries, conflicts int64) {
	b.Helper()
	e, err := b.store.Event(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return e.Deliveries, e.Conflicts
}

func readThenDelivered(b *bench) {
	read := b.record(event{key: "k", trust: hook.TrustSenderAPI, body: `{"id":"k","object":"event"}`})
	came := b.record(event{key: "k", body: `{ "id": "k" }`})
	if came.EventID != read.EventID || !came.Duplicate || came.Conflict {
		b.Errorf("the delivery of a row that was read: %+v, want a plain duplicate of %s", came, read.EventID)
	}
	if d, c := tally(b, read.EventID); d != 1 || c != 0 {
		b.Errorf("%d deliveries, %d conflicts, want 1 and 0", d, c)
	}
	var kept int
	err := b.store.View(b.Context(), func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM conflicts WHERE body = $1`, []byte(`{ "id": "k" }`)).Scan(&kept)
	})
	if err != nil || kept != 1 {
		b.Errorf("the signed bytes are kept %d times, %v, want once", kept, err)
	}
	b.finish(b.one("h", "k"))
	b.none("h")
}

func deliveredThenRead(b *bench) {
	came := b.record(event{key: "k", body: `{ "id": "k" }`})
	read := b.record(event{key: "k", trust: hook.TrustSenderAPI, body: `{"id":"k","object":"event"}`})
	if read.EventID != came.EventID || !read.Duplicate || read.Conflict {
		b.Errorf("reading what was delivered: %+v, want a plain duplicate of %s", read, came.EventID)
	}
	if d, c := tally(b, came.EventID); d != 1 || c != 0 {
		b.Errorf("%d deliveries, %d conflicts, want 1 and 0", d, c)
	}
}

func readCountsNothing(b *bench) {
	read := b.record(event{key: "k", trust: hook.TrustSenderAPI})
	b.record(event{key: "k", trust: hook.TrustSenderAPI})
	if d, c := tally(b, read.EventID); d != 0 || c != 0 {
		b.Errorf("%d deliveries, %d conflicts of what nobody delivered, want none", d, c)
	}
}

func deliveredTwice(b *bench) {
	first := b.record(event{key: "k", body: `{"a":1}`})
	other := b.record(event{key: "k", body: `{"a":2}`})
	if !other.Conflict {
		b.Errorf("got %+v, want a conflict", other)
	}
	if d, c := tally(b, first.EventID); d != 2 || c != 1 {
		b.Errorf("%d deliveries, %d conflicts, want 2 and 1", d, c)
	}
}

func consequenceOnce(b *bench) {
	insert := func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO consequences (scope, handler, key, seq, generation, at)
			VALUES ($1, $2, $3, $4, $5, $6)`, "shop/live", "mail", "welcome/u1", 1, 1, b.clock.Now())
		return err
	}
	if err := b.store.Apply(b.Context(), insert); err != nil {
		b.Fatal(err)
	}
	if err := b.store.Apply(b.Context(), insert); err == nil {
		b.Error("the same consequence was written twice")
	}
}
