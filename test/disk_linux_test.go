//go:build hktest

package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// unable ends a test that this machine does not let us run, with its reason.
// Where root runs CI nothing may be left out in silence.
func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf("%s cannot be shown here: %s", t.Name(), fmt.Sprintf(format, args...))
	if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
		t.Fatal(why)
	}
	t.Skip(why)
}

// smallDisk mounts a disk of that size and unmounts it at the end of the test,
// after everything that was started later has ended.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		unable(t, "a small disk is mounted, which needs root")
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		unable(t, "mount: %v", err)
	}
	t.Cleanup(func() {
		err := syscall.Unmount(dir, 0)
		if err != nil {
			err = errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)) // never leave it behind
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// kept is what senders remember: for each key the last answer but no answer.
type kept struct {
	mu           sync.Mutex
	acknowledged map[string]string // guarded by mu: event by key
	refusals     int               // guarded by mu
	strange      []string          // guarded by mu: answers that a sender should not get
}

func newKept() *kept { return &kept{acknowledged: map[string]string{}} }

// note wants 200, or 503 with Retry-After, and tells whether it was 200.
func (k *kept) note(key string, a answer) (ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case a.err == nil && a.code == http.StatusOK && a.Event != "":
		k.acknowledged[key] = a.Event
		return true
	case a.err == nil && a.code == http.StatusServiceUnavailable && a.after != "" && a.Event == "":
		k.refusals++
	default:
		k.strange = append(k.strange, a.String())
	}
	return false
}

func (k *kept) counts() (acknowledged, refusals int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.acknowledged), k.refusals
}

// judge wants every acknowledged event in the log, under the id that was told.
func (k *kept) judge(t *testing.T, s *server) {
	t.Helper()
	rows := map[string]string{}
	for _, e := range s.events(t) {
		rows[e.Key] = e.ID
	}
	lost := 0
	for key, id := range k.acknowledged {
		if rows[key] != id {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, len(k.acknowledged))
	}
	if n := len(k.strange); n > 0 {
		t.Errorf("%d answers are neither 200 nor 503 with Retry-After, such as %s", n, k.strange[0])
	}
}

func padded(key string, bytes int) delivery {
	return stripe(stripeEvent(key, "pi_"+key, fmt.Sprintf(`{"pad":%q}`, strings.Repeat("x", bytes))))
}

func TestDiskFullIs503AndRecovers(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "3m")
	s := start(t, options{database: filepath.Join(dir, "hk.db"), level: "info"})
	k := newKept()
	done := make(chan struct{})
	var senders sync.WaitGroup
	for w := range 4 {
		senders.Go(func() { k.persist(s, done, fmt.Sprintf("evt_full_%d", w)) })
	}
	var reason []byte
	// The proof of /readyz is a small write, for which there may be room a little
	// longer than for a delivery.
	eventually(t, 40*time.Second, "the disk is full and the server says so", func() bool {
		s.mustLive(t)
		_, refusals := k.counts()
		code, text := s.get("http://" + s.public + "/readyz")
		reason = text
		return refusals >= 50 && code == http.StatusServiceUnavailable
	})
	if !strings.Contains(string(reason), "full") {
		t.Errorf("/readyz says %q, want the reason", reason)
	}
	if code, _ := s.get("http://" + s.public + "/healthz"); code != http.StatusOK {
		t.Errorf("with a full disk /healthz is %d, want 200: the process lives", code)
	}
	before, refusals := k.counts()
	if before == 0 {
		t.Fatal("inconclusive: nothing was acknowledged before the disk was full")
	}
	k.judge(t, s) // what was acknowledged can be read, also now

	grown := time.Now()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "deliveries are recorded again", func() bool {
		now, _ := k.counts()
		return now > before
	})
	t.Logf("%d acknowledged, then %d times 503; %s after there was room the first 200", before, refusals,
		time.Since(grown).Round(time.Millisecond))
	eventually(t, 5*time.Second, "the server is ready", func() bool {
		code, _ := s.get("http://" + s.public + "/readyz")
		return code == http.StatusOK
	})
	close(done)
	senders.Wait()
	all, _ := k.counts()
	eventually(t, 20*time.Second, "everything is worked", func() bool { return s.everyState(t, "done", all) })
	k.judge(t, s)
	if n := len(s.effects(t)); n != all {
		t.Errorf("%d effects of %d acknowledged events", n, all)
	}
	s.stop(t)

	// The ledger is recomputed at a start.
	again := start(t, options{database: s.path})
	again.balances(t)
}

// persist is a sender that delivers one event after the other until done is
// closed, each until it is acknowledged.
func (k *kept) persist(s *server, done <-chan struct{}, name string) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ; i++ {
		key := fmt.Sprintf("%s_%d", name, i)
		for !k.note(key, s.send(padded(key, 3000))) {
			select {
			case <-done:
				return
			case <-pause.C:
			}
		}
		select {
		case <-done:
			return
		case <-pause.C:
		}
	}
}

// balances wants the ledger checked, and every event accounted for.
func (s *server) balances(t *testing.T) {
	t.Helper()
	eventually(t, 10*time.Second, "the ledger is checked", func() bool {
		return s.metric(t, "hookkeeper_ledger_checked_timestamp_seconds") > 0
	})
	if off := s.metric(t, "hookkeeper_ledger_imbalance"); off != 0 {
		t.Errorf("the ledger is off by %v", off)
	}
}
