package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// Texts in columns say themselves whether they are sealed: hk1:<key>:<base64>. A
// plain text that begins like one is kept as hk0:<text>.
const (
	sealedMark = "hk1:"
	plainMark  = "hk0:"
)

// SealText seals a text for the column and row that place names. An empty text
// stays empty. It fails as Seal does.
func (r *Ring) SealText(place, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	key, sealed, err := r.Seal("text "+place, nil, []byte(text))
	if err != nil {
		return "", err
	}
	return sealedMark + strconv.FormatInt(key, 10) + ":" + base64.RawStdEncoding.EncodeToString(sealed), nil
}

// OpenText gives the text of a stored one, sealed at this place or plain.
func (r *Ring) OpenText(place, stored string) (string, error) {
	_, coded, ok := strings.Cut(strings.TrimPrefix(stored, sealedMark), ":")
	switch {
	case !strings.HasPrefix(stored, sealedMark):
		return strings.TrimPrefix(stored, plainMark), nil
	case !ok:
		return "", ErrDamaged
	}
	sealed, err := base64.RawStdEncoding.DecodeString(coded)
	if err != nil {
		return "", ErrDamaged
	}
	text, err := r.Open("text "+place, nil, sealed)
	return string(text), err
}

// TextIndex is a keyed hash of a text, the same for the life of the database, for
// a column to look up and compare by. It is empty before Use.
func (r *Ring) TextIndex(place, text string) string {
	key := r.Derive("index " + place)
	if key == nil {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return "hki:" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}
