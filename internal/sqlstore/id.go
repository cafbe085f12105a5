package sqlstore

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// idAlphabet keeps the order of numbers in the order of ids.
const idAlphabet = "0123456789abcdefghijklmnopqrstuv"

func idEncoding() *base32.Encoding {
	return base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)
}

// eventID is ev_ and the base32 of the database's five bytes and the event's
// number: opaque, ordered, and unique over installations.
func (c *Core) eventID(seq int64) string {
	var raw [13]byte
	copy(raw[:5], c.dbID[:])
	binary.BigEndian.PutUint64(raw[5:], uint64(seq))
	return "ev_" + idEncoding().EncodeToString(raw[:])
}

// seqOf reads an event id of this database.
func (c *Core) seqOf(id string) (int64, error) {
	text, ok := strings.CutPrefix(id, "ev_")
	raw, err := idEncoding().DecodeString(text)
	if !ok || err != nil || len(raw) != 13 || [5]byte(raw[:5]) != c.dbID {
		return 0, fmt.Errorf("event %.40q: %w", id, hook.ErrNotFound)
	}
	return int64(binary.BigEndian.Uint64(raw[5:])), nil
}

// seqsADay are the numbers that events of one day may have where several write:
// the number of the day since 1970 times this, plus one of a sequence. So numbers
// tell the day, partitions by number are partitions by time, and all stay below
// 2 to the 53rd.
const seqsADay = 100_000_000_000

// SeqAt is the least number of an event recorded on the day of that time, in
// microseconds, on an engine of Many.
func SeqAt(us int64) int64 { return us / 86_400_000_000 * seqsADay }
