package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

// printable makes a stranger's text safe for a terminal and a log: what is no
// visible sign is written as an escape, so that it can neither steer the
// terminal nor turn the direction of the text.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

func hidden(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// printJSON writes v as one line. encoding/json leaves some of what steers a
// terminal as it is; that occurs only inside strings, where an escape means the
// same.
func printJSON(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(escapeJSON(line), '\n'))
	return err
}

func escapeJSON(line []byte) []byte {
	steers := func(r rune) bool { return r >= 0x7f && hidden(r) }
	if !bytes.ContainsFunc(line, steers) {
		return line
	}
	out := make([]byte, 0, len(line)+32)
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case !steers(r):
			out = append(out, line[:n]...)
		case r > 0xffff:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		line = line[n:]
	}
	return out
}

// table is rows of cells, printed with aligned columns.
type table struct {
	rows  [][]string
	paint func(cell string) string // dresses a cell that has been padded; nil: plain
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (t *table) print(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-columns(cell)+2)
			if t.paint != nil {
				cell = t.paint(cell)
			}
			line.WriteString(cell)
			line.WriteString(pad)
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columns is the width of text on a terminal, where Korean, Chinese and
// Japanese signs take two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
			r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 ||
			r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1f64f || r >= 0x20000 && r <= 0x3fffd):
			n += 2
		default:
			n++
		}
	}
	return n
}

// painter colours states, on a terminal that welcomes colour; otherwise nil.
func (a *app) painter(w io.Writer) func(string) string {
	if !a.colour(w) {
		return nil
	}
	return func(cell string) string {
		code := ""
		switch hook.State(cell) {
		case hook.StateDone:
			code = "32"
		case hook.StateDead, hook.StateQuarantined:
			code = "31"
		case hook.StateRetrying, hook.StateWaiting:
			code = "33"
		}
		if code == "" {
			return cell
		}
		return "\x1b[" + code + "m" + cell + "\x1b[0m"
	}
}

// colour reports whether w is a terminal on which colour is welcome.
func (a *app) colour(w io.Writer) bool {
	if v, ok := a.env("NO_COLOR"); ok && v != "" {
		return false
	}
	if term, _ := a.env("TERM"); term == "dumb" {
		return false
	}
	return terminal(w)
}
