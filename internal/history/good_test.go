package history_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/history"
)

// start is the time of the histories that the tests build.
func start() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func at(ms int) time.Time     { return start().Add(time.Duration(ms) * time.Millisecond) }
func atPtr(ms int) *time.Time { t := at(ms); return &t }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func keyOf(i int) string { return fmt.Sprintf("evt_%05d", i) }

// good builds a history without fault: per key one delivery whose answer is
// unknown, one answered 200, one forged and refused; a row, an effect and three
// transitions.
func good(keys int) *history.Input {
	in := &history.Input{}
	for i := range keys {
		key, base := keyOf(i), i*10
		delivery := history.Delivery{
			Source: "stripe", Mode: "test", Key: key, Trust: hook.TrustSignature,
			SHA: hash(key), Valid: true, T0: at(base), T1: at(base + 1),
		}
		answered, forged := delivery, delivery
		answered.T0, answered.T1, answered.Status = at(base+2), at(base+5), 200
		forged.SHA, forged.Valid, forged.Status = hash("forged "+key), false, 400
		forged.T0, forged.T1 = at(base-2), at(base-1)
		in.Deliveries = append(in.Deliveries, forged, delivery, answered)
		in.Dump = append(in.Dump, hook.HistoryLine{
			Kind: "event", Seq: int64(i + 1), ID: "ev_" + key, Source: "stripe", Mode: "test", Key: key,
			Trust: hook.TrustSignature, SHA256: hash(key), Recomputed: hash(key),
			ReceivedAt: atPtr(base + 3), Deliveries: 1, State: hook.StateDone,
			Jobs: []hook.JobInfo{{Handler: "test", State: hook.StateDone, Generation: 1, Attempt: 1, MaxAttempts: 4}},
		})
		in.Dump = append(in.Dump,
			transition(i, 1, "", hook.StateReady, 0, base+3),
			transition(i, 2, hook.StateReady, hook.StateRunning, 1, base+4),
			transition(i, 3, hook.StateRunning, hook.StateDone, 1, base+5))
		in.Effects = append(in.Effects, history.Effect{
			Source: "stripe", Mode: "test", Key: key, Handler: "test", Generation: 1, Attempt: 1})
	}
	return in
}

func transition(i, n int, from, to hook.State, attempt, ms int) hook.HistoryLine {
	l := hook.HistoryLine{
		Kind: "transition", Order: int64(i*100 + n), Source: "stripe", Mode: "test", Key: keyOf(i),
		Handler: "test", Generation: 1, From: from, To: to, Attempt: attempt, At: atPtr(ms),
	}
	if to == hook.StateRunning {
		l.LeaseUntil = atPtr(ms + 600)
	}
	return l
}

// victim is the key that the breaks spoil.
const victim = 7

func ofVictim(key string) bool { return key == keyOf(victim) }

func row(in *history.Input) *hook.HistoryLine {
	i := slices.IndexFunc(in.Dump, func(l hook.HistoryLine) bool { return l.Kind == "event" && ofVictim(l.Key) })
	return &in.Dump[i]
}

// rework replaces the transitions of the victim, and the state that its row
// shows.
func rework(in *history.Input, state hook.State, lines ...hook.HistoryLine) {
	in.Dump = slices.DeleteFunc(in.Dump, func(l hook.HistoryLine) bool { return l.Kind == "transition" && ofVictim(l.Key) })
	in.Dump = append(in.Dump, lines...)
	r := row(in)
	r.State = state
	r.Jobs[0].State = state
}

func dropEffect(in *history.Input) {
	in.Effects = slices.DeleteFunc(in.Effects, func(e history.Effect) bool { return ofVictim(e.Key) })
}

func effect(in *history.Input) history.Effect {
	return in.Effects[slices.IndexFunc(in.Effects, func(e history.Effect) bool { return ofVictim(e.Key) })]
}

// The deliveries of the victim, in the order in which good writes them.
const (
	forgedCopy = iota
	unknownCopy
	answeredCopy
)

func delivery(in *history.Input, which int) *history.Delivery {
	return &in.Deliveries[victim*3+which]
}
