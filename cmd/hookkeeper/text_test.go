package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// steering is everything that a terminal must never get from a stranger.
const steering = "a\x1b[31mb\r\nc\x00d\x07e\x7ff\u0085g\u009bh\u202ei\u2066j\u2028k\U000e0001l\xffm"

func steers(s string) string {
	for _, r := range s {
		if r < 0x20 && r != '\n' || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e ||
			r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 || r == 0xe0001 {
			return string(r)
		}
	}
	return ""
}

func TestPrintableLeavesNothingThatSteers(t *testing.T) {
	got := printable(steering)
	if bad := steers(got); bad != "" || strings.Contains(got, "\n") {
		t.Errorf("%q still holds %q", got, bad)
	}
	if plain := "쿠폰 ₩9,900 <ok>"; printable(plain) != plain {
		t.Errorf("changed plain text to %q", printable(plain))
	}
}

func TestPrintJSONEscapesAndKeepsTheValue(t *testing.T) {
	var b bytes.Buffer
	want := strings.ToValidUTF8(steering, "\ufffd")
	if err := printJSON(&b, map[string]string{"v": steering}); err != nil {
		t.Fatal(err)
	}
	if bad := steers(b.String()); bad != "" || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q still holds %q", b.String(), bad)
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["v"] != want {
		t.Errorf("reads back as %q, %v; want %q", back["v"], err, want)
	}
}

func TestTableAlignsWideSigns(t *testing.T) {
	var b bytes.Buffer
	var table table
	table.add("이름", "X")
	table.add("abcdef", "Y")
	if err := table.print(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "이름    X\nabcdef  Y\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
