package history_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/internal/history"
)

func lines[T any](t *testing.T, all []T) io.Reader {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, v := range all {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

func TestFilesCarryAHistory(t *testing.T) {
	want := eventful()
	got := history.Input{Metrics: want.Metrics}
	var errs [4]error
	got.Deliveries, errs[0] = history.ReadDeliveries(lines(t, want.Deliveries))
	got.Dump, errs[1] = history.ReadDump(lines(t, want.Dump))
	got.Effects, errs[2] = history.ReadEffects(lines(t, want.Effects))
	got.Faults, errs[3] = history.ReadFaults(lines(t, want.Faults))
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestBadLinesAreNamed(t *testing.T) {
	read := map[string]func(io.Reader) error{
		"deliveries": func(r io.Reader) error { _, err := history.ReadDeliveries(r); return err },
		"dump":       func(r io.Reader) error { _, err := history.ReadDump(r); return err },
		"effects":    func(r io.Reader) error { _, err := history.ReadEffects(r); return err },
		"faults":     func(r io.Reader) error { _, err := history.ReadFaults(r); return err },
	}
	for _, c := range []struct{ file, text, want string }{
		{"deliveries", `{"source":"s","key":"k","t0":"2026-11-21T12:00:00Z","t1":"2026-11-21T12:00:00Z"}` + "\n{", "deliveries: line 2:"},
		{"deliveries", `{"source":"s","key":"k"}`, "t0 and t1 are required"},
		{"dump", `{"kind":"event","source":"s","key":"k"}` + "\n" + `{"kind":"audit","source":"s","key":"k"}` + "\n", `dump: line 2: unknown kind "audit"`},
		{"dump", `{"kind":"event","source":"s"}`, "source and key are required"},
		{"effects", "\n", "effects: line 1:"},
		{"effects", `{"source":"s","key":"k"}`, "handler are required"},
		{"faults", `{"kind":"kill"}`, "kind and at are required"},
	} {
		err := read[c.file](strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: error %v, want %q", c.file, c.text, err, c.want)
		}
	}
}

func TestEffectTimesMayBeNumbersOrTexts(t *testing.T) {
	text := `{"source":"s","key":"k","handler":"test","generation":1,"attempt":1,"at":1700000000000000}
{"source":"s","key":"k","handler":"test","generation":1,"attempt":1,"at":"2026-11-21T12:00:00Z"}`
	got, err := history.ReadEffects(strings.NewReader(text))
	if err != nil || len(got) != 2 {
		t.Errorf("read %d effects, error %v", len(got), err)
	}
}
