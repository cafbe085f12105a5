package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hookkeeper/hookkeeper/hook"
)

// ReadDeliveries reads the notes of senders, one JSON object a line. A line
// that cannot be read is an error with its number.
func ReadDeliveries(r io.Reader) ([]Delivery, error) {
	return readLines(r, "deliveries", func(d *Delivery) error {
		if d.Source == "" || d.Key == "" || d.T0.IsZero() || d.T1.IsZero() {
			return errors.New("source, key, t0 and t1 are required")
		}
		return nil
	})
}

// ReadDump reads the history export, one JSON object a line, in commit order. A
// line of an unknown kind is an error: what is not understood cannot be judged.
func ReadDump(r io.Reader) ([]hook.HistoryLine, error) {
	return readLines(r, "dump", func(l *hook.HistoryLine) error {
		switch l.Kind {
		case kindEvent, kindConflict, kindTransition:
		default:
			return fmt.Errorf("unknown kind %q", l.Kind)
		}
		if l.Source == "" || l.Key == "" {
			return errors.New("source and key are required")
		}
		return nil
	})
}

// ReadEffects reads the rows of the test handler, one JSON object a line.
func ReadEffects(r io.Reader) ([]Effect, error) {
	return readLines(r, "effects", func(e *Effect) error {
		if e.Source == "" || e.Key == "" || e.Handler == "" {
			return errors.New("source, key and handler are required")
		}
		return nil
	})
}

// ReadFaults reads what was done to the process, one JSON object a line.
func ReadFaults(r io.Reader) ([]Fault, error) {
	return readLines(r, "faults", func(f *Fault) error {
		if f.Kind == "" || f.At.IsZero() {
			return errors.New("kind and at are required")
		}
		return nil
	})
}

func readLines[T any](r io.Reader, name string, check func(*T) error) ([]T, error) {
	var all []T
	br := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, err := br.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: line %d: %w", name, number, err)
		}
		if len(line) > 0 {
			var v T
			bad := json.Unmarshal(line, &v)
			if bad == nil {
				bad = check(&v)
			}
			if bad != nil {
				return nil, fmt.Errorf("%s: line %d: %v", name, number, bad)
			}
			all = append(all, v)
		}
		if err != nil {
			return all, nil
		}
	}
}
