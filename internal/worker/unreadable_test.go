package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// TestAnUnreadableEventFailsAlone: no handler sees an event whose body is encrypted
// and cannot be opened; its attempts fail, and its neighbours are worked.
func TestAnUnreadableEventFailsAlone(t *testing.T) {
	s := newShop(t, route("h", func(_ context.Context, e *hook.Event) (hook.Effect, error) {
		if e.Key != "good" {
			t.Errorf("the handler was given %q", e.Key)
		}
		return nil, nil
	}))
	s.record("bad", "h")
	s.record("good", "h")
	headers := func(bytes []byte) {
		t.Helper()
		err := s.store.Apply(t.Context(), func(ctx context.Context, tx hook.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE events SET headers = $1 WHERE seq = 1`, bytes)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	headers(append([]byte{1}, make([]byte, 64)...)) // as sealed ones begin
	s.run()
	ends, limit := map[string]int{}, time.After(10*time.Second)
	for ends["h done"] == 0 || ends["h dead"] == 0 {
		select {
		case end := <-s.ends:
			ends[end]++
		case <-limit:
			t.Fatalf("after ten seconds attempts have ended %v", ends)
		}
	}
	s.stop()
	headers([]byte{})
	if ends["h retrying"] != 3 || ends["h done"] != 1 || ends["h dead"] != 1 {
		t.Errorf("attempts ended %v, want one done, three retrying and one dead", ends)
	}
}
