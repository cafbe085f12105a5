package sqlstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/sqlstore"
)

// A second batch is not written beside a first one until it is a crowd, until the
// first one has ended, or until it has waited too long.
func TestASecondBatchIsACrowd(t *testing.T) {
	for _, c := range []struct {
		name  string
		come  int // deliveries behind the first of the second batch
		end   bool
		batch int // what is written then
		after time.Duration
	}{
		{"the first batch ends", 4, true, 5, 0},
		{"a crowd", 23, false, 24, 0},
		{"the first batch does not end", 4, false, 5, 10 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var crowd sqlstore.Crowd
				waiting := make(chan *sqlstore.Incoming, 100)
				if n := len(crowd.Gather(waiting, incoming(), 256)); n != 1 {
					t.Fatalf("nobody writes, and %d were gathered, want the one that came", n)
				}
				began, written := time.Now(), make(chan int, 1)
				go func() { written <- len(crowd.Gather(waiting, incoming(), 256)) }()
				for i := range c.come {
					synctest.Wait()
					if len(written) > 0 {
						t.Fatalf("%d were written before they had to be", i+1)
					}
					waiting <- incoming()
				}
				if c.end {
					synctest.Wait()
					crowd.Done()
				}
				if n := <-written; n != c.batch || time.Since(began) != c.after {
					t.Errorf("%d were written after %s, want %d after %s", n, time.Since(began), c.batch, c.after)
				}
			})
		})
	}
}

// When nobody writes, nobody waits.
func TestABatchIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var crowd sqlstore.Crowd
		waiting := make(chan *sqlstore.Incoming, 100)
		began := time.Now()
		for range 100 {
			waiting <- incoming()
			if n := len(crowd.Gather(waiting, incoming(), 256)); n != 2 {
				t.Fatalf("%d were gathered, want 2", n)
			}
			crowd.Done()
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %s", d)
		}
	})
}

func incoming() *sqlstore.Incoming { return sqlstore.NewIncoming(&sqlstore.Entry{}) }
