package source

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookkeeper/hookkeeper/hook"
)

// maxText bounds the key, type and subject of an event.
const maxText = 255

// clean makes a text of a sender storable: valid UTF-8 without NUL, which
// PostgreSQL refuses, and at most maxText bytes.
func clean(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func plain(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// cleanKey makes a key storable. One that is not storable as it is becomes the
// hash of itself, so that different keys stay different.
func cleanKey(s string) string {
	if plain(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// quarantine is a short form of the error.
func quarantine(reason hook.Quarantine, detail string) error {
	return &hook.QuarantineError{Reason: reason, Detail: detail}
}

// storable returns t in UTC, or no time at all if no calendar could hold it.
func storable(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 1970 || y > 9999 {
		return time.Time{}
	}
	return t
}

// parseTime reads the times of senders: RFC 3339, or without an offset, which
// then means zone. It returns no time for anything else.
func parseTime(s string, zone *time.Location) time.Time {
	if len(s) > 64 {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return storable(t)
	}
	if zone == nil {
		return time.Time{}
	}
	for _, layout := range [...]string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return storable(t)
		}
	}
	return time.Time{}
}

// madeID is an id for a delivery that we sign ourselves and that has none: the
// same body at the same time gets the same one.
func madeID(body []byte, now time.Time) string {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
