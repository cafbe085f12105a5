package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// terminal reports whether v, a reader or writer, is one.
func terminal(v any) bool {
	if o, ok := v.(*output); ok {
		v = o.w
	}
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// ask puts a question to whoever sits at the terminal. Without one the answer is
// no.
func (a *app) ask(format string, args ...any) bool {
	if !terminal(a.stdin) || !terminal(a.stderr) {
		return false
	}
	fmt.Fprintf(a.stderr, format+" [y/N] ", args...)
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 100)).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return err == nil && (answer == "y" || answer == "yes")
}

// progressEvery keeps the progress of quick work from costing more than the work.
const progressEvery = 100 * time.Millisecond

// progress is a line on the terminal that says how far long work is. It stands
// on stderr, and only if that is a terminal.
type progress struct {
	w     io.Writer // nil: says nothing
	of    int
	eager bool // lines of the work itself go to the same terminal and push it on
	last  time.Time
	shown bool
}

func (a *app) progress(of int) *progress {
	p := &progress{of: of, eager: terminal(a.stdout)}
	if terminal(a.stderr) && of > 1 {
		p.w = a.stderr
	}
	return p
}

func (p *progress) show(done int) {
	if p.w == nil || !p.eager && time.Since(p.last) < progressEvery {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.w, "\r%d of %d", done, p.of)
}

// giveWay lets a line of the work stand where the progress stood.
func (p *progress) giveWay() {
	if p.eager {
		p.clear()
	}
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
