package ingest

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// firstBytes is what is set aside for a body before any of it has come; most
// deliveries fit.
const firstBytes = 8 << 10

var errBudget = errors.New("too many bytes in flight")

// read takes the body's exact bytes, at most the source's limit and one more.
// The memory grows with what has come, not with what was declared, and every
// growth is charged to the process-wide budget until release is called.
func (d *Door) read(v *visit) (body []byte, release func(), ok bool) {
	limit := v.gate.maxBytes
	if v.r.ContentLength > limit {
		d.tooLarge(v)
		return nil, nil, false
	}
	first := int64(firstBytes)
	if n := v.r.ContentLength; n >= 0 {
		first = min(first, n+1) // one more, so that the end is seen without growing
	}
	held := int64(0)
	release = func() { d.cfg.Budget.free(held) }
	buf := []byte{}
	clock := newProgress(v, limit)
	for {
		if int64(len(buf)) == int64(cap(buf)) {
			size := nextSize(int64(cap(buf)), first, limit)
			if !d.cfg.Budget.take(size - held) {
				release()
				d.unavailable(v, errors.Join(errBudget, hook.ErrOverloaded))
				return nil, nil, false
			}
			held = size
			grown := make([]byte, len(buf), size)
			copy(grown, buf)
			buf = grown
		}
		clock.step()
		n, err := v.r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			release()
			d.tooLarge(v)
			return nil, nil, false
		case err == io.EOF:
			clock.done()
			return buf, release, true
		case err != nil:
			release()
			d.unread(v, err)
			return nil, nil, false
		}
	}
}

// nextSize doubles, up to one byte over the limit.
func nextSize(now, first, limit int64) int64 {
	if now == 0 {
		return max(first, 1)
	}
	return min(now*2, limit+1)
}

func (d *Door) tooLarge(v *visit) {
	d.refuse(v, http.StatusRequestEntityTooLarge, hook.ReasonTooLarge, "body over the source's limit")
}

// unread ends a delivery whose body did not come whole: nothing is recorded. A
// body that is late gets 408, one that is malformed 400; nobody may read the
// answer.
func (d *Door) unread(v *visit, err error) {
	code := http.StatusBadRequest
	if t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && t.Timeout() {
		code = http.StatusRequestTimeout
	}
	v.w.Header().Set("Connection", "close")
	d.refuse(v, code, hook.ReasonMalformedBody, "body did not come whole")
}

// progress moves the connection's read deadline: a byte every ProgressTimeout,
// and everything by the end.
type progress struct {
	ctl *http.ResponseController
	end time.Time
}

func newProgress(v *visit, limit int64) *progress {
	mib := time.Duration((limit + 1<<20 - 1) >> 20)
	if n := v.r.ContentLength; n >= 0 {
		mib = time.Duration((n + 1<<20 - 1) >> 20)
	}
	return &progress{ctl: http.NewResponseController(v.w), end: v.began.Add(BodyTimeout + mib*BodyTimeoutPerMiB)}
}

// step is called before each read. A writer without deadlines (in a test, or
// behind another server) has bounds of its own.
func (p *progress) step() {
	at := time.Now().Add(ProgressTimeout)
	if at.After(p.end) {
		at = p.end
	}
	_ = p.ctl.SetReadDeadline(at)
}

func (p *progress) done() { _ = p.ctl.SetReadDeadline(time.Time{}) }
