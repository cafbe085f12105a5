package dashboard

import (
	"bufio"
	"errors"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// linePatience is how long a reader of a stream may stand still. A stream holds
// a snapshot of the database, which must not wait for a sleeping laptop.
const linePatience = 30 * time.Second

// lines writes JSON lines, many to a packet.
type lines struct {
	w     http.ResponseWriter
	buf   *bufio.Writer
	begun bool
}

func newLines(w http.ResponseWriter) *lines {
	l := &lines{w: w}
	l.buf = bufio.NewWriterSize(patient{w, http.NewResponseController(w)}, 64<<10)
	return l
}

func (l *lines) write(v any) error {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if _, err := l.buf.Write(marshal(v)); err != nil {
		return err
	}
	return l.buf.WriteByte('\n')
}

// patient moves the write deadline on with every packet.
type patient struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	err := p.c.SetWriteDeadline(time.Now().Add(linePatience))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

// end finishes a stream. An error before the first line is an ordinary answer;
// after it the status has gone out, so the connection is cut: the reader sees a
// broken stream and never takes a part for the whole.
func (l *lines) end(a *api, r *http.Request, err error) {
	if err != nil && !l.begun {
		a.fail(l.w, r, err)
		return
	}
	if err == nil {
		if !l.begun {
			l.w.Header().Set("Content-Type", "application/x-ndjson")
		}
		err = l.buf.Flush()
	}
	if err != nil {
		a.log.Error("operator stream cut", "route", r.Pattern, "error", err.Error())
		panic(http.ErrAbortHandler)
	}
}

func (a *api) history(w http.ResponseWriter, r *http.Request) {
	l := newLines(w)
	err := a.ledger.History(r.Context(), func(line hook.HistoryLine) error { return l.write(line) })
	l.end(a, r, err)
}

// exported is a line of the export: the event with everything known of it, and
// its bytes.
type exported struct {
	*hook.EventDetail
	Body []byte `json:"body"` // base64; null once retention has removed it
}

func (a *api) export(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r, false)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	l := newLines(w)
	f.Limit = maxPage
	for {
		page, next, err := a.ledger.Events(r.Context(), f)
		if err == nil {
			err = a.exportPage(r, l, page)
		}
		if err != nil || next == "" {
			l.end(a, r, err)
			return
		}
		f.Cursor = next
	}
}

func (a *api) exportPage(r *http.Request, l *lines, page []*hook.EventInfo) error {
	for _, info := range page {
		e, err := a.ledger.Event(r.Context(), info.ID)
		if err != nil {
			return err
		}
		if err := l.write(exported{e, e.Body}); err != nil {
			return err
		}
	}
	return nil
}
