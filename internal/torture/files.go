package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

// The five files of a run. The dump holds events, conflicts and transitions.
const (
	fileDeliveries = "deliveries.jsonl"
	fileDump       = "dump.jsonl"
	fileEffects    = "effects.jsonl"
	fileFaults     = "faults.jsonl"
	fileRun        = "run.json"
)

func inDir(dir, file string) string { return filepath.Join(dir, file) }

// record is what a verdict needs to know about the run itself.
type record struct {
	Seed     uint64            `json:"seed"`
	Events   int               `json:"events"`
	Fault    history.FaultKind `json:"fault"`
	Faults   int               `json:"faults"`
	Mutant   string            `json:"mutant,omitempty"`
	Attempts int               `json:"attempts"`
	Waiting  time.Duration     `json:"waiting_ns"`
	Started  time.Time         `json:"started"`
	Ended    time.Time         `json:"ended"`
	Drained  bool              `json:"drained"` // the work had its time
	DrainMS  int64             `json:"drain_ms"`
	LeftOpen int64             `json:"left_open"` // jobs that were not final after it
	Metrics  history.Metrics   `json:"metrics"`

	Nodes          int           `json:"nodes"`
	TakeoverWithin time.Duration `json:"takeover_within_ns,omitempty"`
}

func newRecord(o Options) record {
	return record{
		Seed: o.Seed, Events: o.Events, Fault: o.Fault, Faults: o.Faults, Mutant: o.Mutant,
		Attempts: o.Attempts, Waiting: o.Waiting, Started: time.Now(),
		Nodes: o.Nodes, TakeoverWithin: o.TakeoverWithin,
	}
}

func (r *record) drainText() string {
	text := (time.Duration(r.DrainMS) * time.Millisecond).String()
	if r.LeftOpen > 0 {
		text += fmt.Sprintf(" with %d jobs left open", r.LeftOpen)
	}
	return text
}

func (r *record) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(inDir(dir, fileRun), append(text, '\n'), 0o644)
}

// export writes what the stopped nodes leave behind.
func (r *run) export(ctx context.Context) error {
	n := r.nodes[0]
	if err := n.command(ctx, inDir(r.opt.Dir, fileDump), r.place.url, "events", "export", "--history"); err != nil {
		return err
	}
	return n.command(ctx, inDir(r.opt.Dir, fileEffects), r.place.url, r.opt.Effects...)
}

// Judge computes the verdict of a run from the files in dir. It changes
// nothing, so a better judge may be asked again later.
func Judge(dir string) (history.Report, error) {
	var r record
	text, err := os.ReadFile(inDir(dir, fileRun))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return history.Report{}, fmt.Errorf("judge: %s: %w", fileRun, err)
	}
	in := history.Input{Metrics: r.Metrics}
	for _, err := range []error{
		readFile(dir, fileDeliveries, &in.Deliveries, history.ReadDeliveries),
		readFile(dir, fileDump, &in.Dump, history.ReadDump),
		readFile(dir, fileEffects, &in.Effects, history.ReadEffects),
		readFile(dir, fileFaults, &in.Faults, history.ReadFaults),
	} {
		if err != nil {
			return history.Report{}, fmt.Errorf("judge: %w", err)
		}
	}
	report := history.Check(in, history.Options{
		Load: true, Fault: r.Fault, MinLanded: r.Faults, Drained: r.Drained,
		MaxAttempts: r.Attempts, MaxWaiting: r.Waiting, EffectHandlers: handlers(),
		TakeoverWithin: r.TakeoverWithin,
	})
	report.Seed, report.Dir = r.Seed, dir
	return report, nil
}

func readFile[T any](dir, name string, to *[]T, read func(io.Reader) ([]T, error)) error {
	f, err := os.Open(inDir(dir, name))
	if err != nil {
		return err
	}
	defer f.Close() // read only: its error tells nothing
	*to, err = read(f)
	return err
}

// notes is a file of JSON lines that several senders write. The first error
// sticks and comes back from close.
type notes struct {
	mu  sync.Mutex
	f   *os.File
	w   *bufio.Writer
	enc *json.Encoder
	err error
}

func createNotes(path string) (*notes, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	return &notes{f: f, w: w, enc: json.NewEncoder(w)}, nil
}

func (n *notes) add(line any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.enc.Encode(line); err != nil && n.err == nil {
		n.err = err
	}
}

func (n *notes) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.err, n.w.Flush(), n.f.Close())
}
