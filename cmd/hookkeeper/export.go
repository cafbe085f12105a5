package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type eventsExportCmd struct {
	operatorFlags
	filterFlags
	History bool   `help:"Write events, conflicts and every transition in commit order from one snapshot."`
	Out     string `help:"Write to this new file, and its sums beside it, FILE.sums, for events verify." placeholder:"FILE"`
	Limit   int    `help:"With --out: at most so many, the newest ones; FILE.sums tells where to go on." placeholder:"N"`
	Cursor  string `help:"Go on where an earlier file ended." placeholder:"CURSOR"`
	effectsFlag
}

// Run writes JSON lines.
func (cmd *eventsExportCmd) Run(ctx context.Context, a *app) error {
	if asked, err := cmd.export(a.stdout, cmd.Database); asked {
		return err
	}
	f, err := cmd.filter()
	switch {
	case err != nil:
		return err
	case cmd.History && (cmd.filterFlags != (filterFlags{}) || cmd.Limit != 0 || cmd.Cursor != ""):
		return usage("--history is the whole history and takes no filter")
	case cmd.Limit < 0 || cmd.Limit > 0 && cmd.Out == "":
		return usage("--limit wants 1 or more, and --out FILE, whose sums tell where to go on")
	}
	f.Cursor = cmd.Cursor
	l, err := cmd.open(a, false)
	if err != nil {
		return err
	}
	if cmd.Out == "" {
		_, err := cmd.lines(ctx, l, f, func(line any) error { return printJSON(a.stdout, line) })
		return l.done(err)
	}
	sums, err := exportTo(cmd.Out, func(w io.Writer) (next string, err error) {
		return cmd.lines(ctx, l, f, func(line any) error { return printJSON(w, line) })
	})
	if err = l.done(err); err != nil {
		return err
	}
	text := fmt.Sprintf("%d lines in %s, SHA-256 %s", sums.Lines, cmd.Out, sums.SHA256)
	if sums.Next != "" {
		text += "; go on with --cursor " + sums.Next
	}
	_, err = fmt.Fprintln(a.stderr, printable(text))
	return err
}

// lines hands on every line, and gives the cursor behind the last event, empty at the
// end of the list.
func (cmd *eventsExportCmd) lines(ctx context.Context, l *ledger, f hook.Filter, write func(line any) error) (next string, err error) {
	if cmd.History {
		return "", l.History(ctx, func(line hook.HistoryLine) error { return write(line) })
	}
	if client, ok := l.Ledger.(*dev.Client); ok && cmd.Limit == 0 && cmd.Cursor == "" { // in one stream
		return "", client.Export(ctx, f, func(line json.RawMessage) error { return write(line) })
	}
	return eachEvent(ctx, l, f, cmd.Limit, func(e *hook.EventInfo) error {
		detail, err := l.Event(ctx, e.ID)
		if err != nil {
			return err
		}
		return write(exportLine{detail, detail.Body})
	})
}

// exportLine is an event with its bytes, spelled as the API's export does.
type exportLine struct {
	*hook.EventDetail
	Body []byte `json:"body"`
}

// exportSums is what stands beside an exported file.
type exportSums struct {
	Lines  int64  `json:"lines"`
	SHA256 string `json:"sha256"`         // of the whole file
	Next   string `json:"next,omitempty"` // where the next file goes on
}

// exportTo writes a new file and its sums. Only a whole one gets its name: if we die
// in here there is a file *.partial, and no other.
func exportTo(path string, lines func(w io.Writer) (next string, err error)) (*exportSums, error) {
	for _, name := range []string{path, path + ".sums"} {
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("export: %s exists: name a new file", name)
		}
	}
	partial, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	count := &lineCount{sum: sha256.New()}
	buffered := bufio.NewWriter(io.MultiWriter(partial, count))
	next, err := lines(buffered)
	err = errors.Join(err, buffered.Flush(), partial.Sync(), partial.Close())
	if err != nil {
		return nil, errors.Join(err, os.Remove(partial.Name()))
	}
	sums := &exportSums{Lines: count.lines, SHA256: hex.EncodeToString(count.sum.Sum(nil)), Next: next}
	text, err := json.Marshal(sums)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path+".sums", append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return sums, os.Rename(partial.Name(), path)
}

// lineCount counts lines and sums up bytes.
type lineCount struct {
	lines int64
	sum   hash.Hash
}

func (c *lineCount) Write(p []byte) (int, error) {
	c.lines += int64(bytes.Count(p, []byte{'\n'}))
	return c.sum.Write(p)
}

type eventsVerifyCmd struct {
	File string `arg:"" help:"File that events export --out has written; its sums stand beside it."`
	JSON bool   `name:"json" help:"One JSON object."`
}

// exportVerdict is what came of a verification.
type exportVerdict struct {
	File   string `json:"file"`
	Lines  int64  `json:"lines"`
	Bodies int64  `json:"bodies"` // whose own SHA-256 was compared
	SHA256 string `json:"sha256"`
	Next   string `json:"next"`
}

// maxExportLine is more than any line: a body of 25 MiB in base64, and headers.
const maxExportLine = 64 << 20

// Run compares the file with its sums, and each body with the SHA-256 beside it. It
// needs no database and no server.
func (cmd *eventsVerifyCmd) Run(a *app) error {
	name := filepath.Base(cmd.File)
	text, err := readBounded(cmd.File+".sums", 4096)
	if err != nil {
		return fmt.Errorf("verify %s: its sums: %w", name, err)
	}
	var want exportSums
	if err := json.Unmarshal(text, &want); err != nil {
		return fmt.Errorf("verify %s: %s.sums is not what export has written", name, name)
	}
	file, err := os.Open(cmd.File)
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	defer file.Close()
	got := exportVerdict{File: name, Next: want.Next}
	if err := got.read(file); err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	switch {
	case got.Lines != want.Lines:
		return fmt.Errorf("verify %s: it has %d lines, %d were written", name, got.Lines, want.Lines)
	case got.SHA256 != want.SHA256:
		return fmt.Errorf("verify %s: its SHA-256 is %s, that of what was written is %.64s", name, got.SHA256, want.SHA256)
	}
	if cmd.JSON {
		return printJSON(a.stdout, got)
	}
	_, err = fmt.Fprintf(a.stdout, "%s is what was written: %d lines, %d bodies compared, SHA-256 %s\n", printable(name), got.Lines, got.Bodies, got.SHA256)
	return err
}

// read sums up a file and compares the bodies in it.
func (v *exportVerdict) read(file io.Reader) error {
	sum := sha256.New()
	lines := bufio.NewScanner(io.TeeReader(file, sum))
	lines.Buffer(make([]byte, 1<<20), maxExportLine)
	for lines.Scan() {
		v.Lines++
		var line struct {
			ID     string
			SHA256 string
			Body   []byte
			Gone   *bool `json:"body_pruned"` // missing in a history
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("line %d is no JSON", v.Lines)
		}
		if line.Gone == nil || *line.Gone {
			continue
		}
		if body := sha256.Sum256(line.Body); hex.EncodeToString(body[:]) != line.SHA256 {
			return fmt.Errorf("line %d: the body of %.80q is not the one that was recorded", v.Lines, line.ID)
		}
		v.Bodies++
	}
	v.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return lines.Err()
}
