package tosstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// dress sets the headers of one attempt. The signing is written here once more
// than in package source, so that a mistake there cannot hide behind itself.
func (s *Sim) dress(h http.Header, one *sending, now time.Time) {
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "hookkeeper-toss-sandbox")
	if one.fault == "missingHeaders" {
		return
	}
	if s.opts.RetriesKeepTime {
		now = one.firstAt
	}
	if one.fault == "staleTime" {
		now = now.Add(-time.Hour)
	}
	at := stamp(now)
	h.Set(headerID, one.id)
	h.Set(headerTime, at)
	h.Set(headerRetried, fmt.Sprint(one.retried))
	switch keys := s.keys(); {
	case one.fault == "emptySignature":
		h[headerSignature] = []string{""}
	case one.fault == "badSignature":
		h.Set(headerSignature, signatures([][]byte{[]byte("the key of somebody else")}, one.body, ":"+at))
	case one.sign == SignLegacy:
		h.Set(headerSignature, signatures(keys, one.body, ""))
	case one.sign == SignAll, one.sign == SignDocs && documentedAsSigned(one.eventType):
		h.Set(headerSignature, signatures(keys, one.body, ":"+at))
	}
}

func documentedAsSigned(eventType string) bool {
	return eventType == "payout.changed" || eventType == "seller.changed"
}

// keys are the security keys as bytes, in the configured reading.
func (s *Sim) keys() [][]byte {
	var keys [][]byte
	for _, digits := range s.opts.SecurityKeys {
		key := []byte(digits)
		if s.opts.KeyEncoding == "bytes" {
			key, _ = hex.DecodeString(digits) // checked by Validate
		}
		keys = append(keys, key)
	}
	return keys
}

// signatures signs with every key, as Toss does while one replaces another.
func signatures(keys [][]byte, body []byte, suffix string) string {
	var all []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		mac.Write([]byte(suffix))
		all = append(all, "v1:"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, ",")
}
