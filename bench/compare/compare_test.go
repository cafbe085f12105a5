package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is sent is JSON of one length, whatever the event.
func TestEventsAreJSONOfOneLength(t *testing.T) {
	bodies := map[string]func(string, int64) []byte{}
	for _, tr := range trials() {
		bodies[tr.name] = tr.compose
	}
	for _, s := range shapes() {
		bodies[s.name] = s.compose
	}
	failing := 0
	for name, compose := range bodies {
		length := 0
		for _, id := range []string{"evt_t00000001", "evt_t00000002", "evt_t00000003", "evt_t00000004", "evt_t00000005", "evt_t00000006", "evt_t00000007"} {
			body := compose(id, 1_790_000_000)
			var event struct {
				ID, Type string
				Data     struct {
					Object struct{ Metadata map[string]string }
				}
			}
			if err := json.Unmarshal(append(body, '}'), &event); err != nil || event.ID != id || event.Type == "" {
				t.Errorf("%s: %s: %v", name, body, err)
			}
			if length != 0 && len(body) != length {
				t.Errorf("%s: bodies of %d and %d bytes", name, length, len(body))
			}
			length = len(body)
			if event.Data.Object.Metadata["fail_first"] == "yes" {
				failing++
			}
		}
	}
	if failing == 0 {
		t.Error("no event asks to fail first")
	}
}

// The tables say what was counted, and bad news in bold.
func TestReport(t *testing.T) {
	r := &results{
		settings: settings{runs: 3}, contenders: contenders()[:2], version: "15.1", grouped: true,
		speeds: map[string]map[int]speed{
			"usual":    {64: {rate: 1234.5, worked: 1200, p50: 1500 * time.Microsecond, p99: 99 * time.Millisecond}, 1: {rate: 10}},
			"plain-go": {},
		},
		losses: map[string][]loss{
			"usual":    {{events: 5000, lost: 1000}, {events: 10000, lost: 210, kills: 5}, {events: 2500, twice: 1300}, {events: 2500, refused: 2500}},
			"plain-go": {{events: 5000}, {events: 10000, kills: 5}, {events: 2500}, {events: 2500}},
		},
		answers: map[string][]int{"usual": {200, 200, 200, 400}, "plain-go": {400, 200, 400, 400}},
	}
	path := filepath.Join(t.TempDir(), "r.md")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1,234/s | 1.5 ms | 99 ms | 1,200/s | 10/s |",
		"| **1,000 of 5,000 lost** | **210 of 10,000 lost** (42 a kill) | **1,300 effects too many** of 2,500 events | 2,500 of 2,500 refused until mended |",
		"| 0 of 5,000 | 0 of 10,000 | 0 of 2,500 | 0 of 2,500 |",
		"| 400 | 200 | 400 | 400 |", "CPU group of its own", "PostgreSQL 15.1",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	}
}

func TestMedianIsOfEachFigure(t *testing.T) {
	got := medianSpeed([]speed{{rate: 3, p50: 1, p99: 9}, {rate: 1, p50: 3, p99: 8}, {rate: 2, p50: 2, p99: 7}})
	if want := (speed{rate: 2, p50: 2, p99: 8}); got != want {
		t.Errorf("median %+v, want %+v", got, want)
	}
}

func TestSettings(t *testing.T) {
	for _, args := range [][]string{{"-runs", "0"}, {"-deliveries", "8"}, {"-events", "1"}, {"-kills", "0"}, {"-nothing"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v: taken", args)
		}
	}
	if _, err := choose("usual,unusual"); err == nil || !strings.Contains(err.Error(), "unusual") {
		t.Errorf("an unknown contender: %v", err)
	}
	chosen, err := choose("careful,usual")
	if err != nil || len(chosen) != 2 || chosen[0].name != "usual" {
		t.Errorf("chosen %+v, %v", chosen, err)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// Every baseline does the same work: the two in JavaScript share it to the byte.
func TestBaselinesDoTheSameWork(t *testing.T) {
	for name, pair := range map[string][2]string{
		"work":   {"../usual/work.mjs", "../careful/work.mjs"},
		"schema": {"../usual/schema.sql", "../plain-go/schema.sql"},
	} {
		one, err1 := os.ReadFile(pair[0])
		two, err2 := os.ReadFile(pair[1])
		if err1 != nil || err2 != nil || string(one) != string(two) {
			t.Errorf("%s: %s and %s differ: %v, %v", name, pair[0], pair[1], err1, err2)
		}
	}
	for _, c := range contenders() {
		if c.schema == "" {
			continue
		}
		if _, err := os.Stat("../../" + c.schema); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
