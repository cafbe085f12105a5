package source

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Header names of Toss, in canonical form.
const (
	tossSignature = "Tosspayments-Webhook-Signature"
	tossTime      = "Tosspayments-Webhook-Transmission-Time"
	tossID        = "Tosspayments-Webhook-Transmission-Id"
	tossRetried   = "Tosspayments-Webhook-Transmission-Retried-Count"
)

// tossDeposit is our name of the event that has none of its own.
const tossDeposit = "DEPOSIT_CALLBACK"

// The slots of tossPaths.
const (
	tossType = iota
	tossOrder
	tossTransaction
	tossCreated
	tossEvent
	tossEntity
	tossDataOrder
	tossDataPayment
	tossLinkOrder
	tossLinkPayment
)

func tossPaths() paths {
	return newPaths([]string{
		"eventType", "orderId", "transactionKey", "createdAt", "eventId", "entityBody.id",
		"data.orderId", "data.paymentKey", "data.payment.orderId", "data.payment.paymentKey",
	},
		"secret", "status", "entityType", "entityBody.status", "entityBody.refPayoutId", "entityBody.refSellerId",
		"data.status", "data.transactionKey", "data.lastTransactionKey", "data.totalAmount", "data.balanceAmount",
		"data.currency", "data.secret", "data.cancelStatus", "data.customerKey", "data.billingKey",
	)
}

// TossSource takes the deliveries of Toss Payments, of which only payout.changed
// and seller.changed are signed; all others are hints. Make it with Toss or New.
type TossSource struct {
	base
	keys      [][]byte
	paths     paths
	published map[netip.Addr]bool
}

// Toss returns a source for Toss Payments. The security keys (보안 키) verify the
// two signed types; without any, those two are refused with bad_config and
// everything else still comes in as a hint.
func Toss(name string, securityKeys ...string) *TossSource {
	return newToss(Config{Name: name, Sender: senderToss, Secrets: securityKeys})
}

func newToss(c Config) *TossSource {
	s := &TossSource{
		base:      newBase(c, traits{signsAt: true, unsigned: true}),
		paths:     tossPaths(),
		published: map[netip.Addr]bool{},
	}
	for _, key := range s.textKeys() {
		// Whether the key counts as text or as the bytes that it spells is not
		// documented, so both readings are keys.
		s.keys = append(s.keys, key)
		if raw, err := hex.DecodeString(string(key)); err == nil {
			s.keys = append(s.keys, raw)
		}
	}
	if len(s.config.Secrets) == 0 {
		s.warn("secrets", "no security key: payout.changed and seller.changed are refused")
	}
	// The addresses that Toss publishes; the list grows, so it only ever
	// exempts from a rate limit.
	for _, a := range [...]string{
		"13.124.18.147", "13.124.108.35", "3.36.173.151", "3.38.81.32", "115.92.221.121",
		"115.92.221.122", "115.92.221.123", "115.92.221.125", "115.92.221.126", "115.92.221.127",
	} {
		s.published[netip.MustParseAddr(a)] = true
	}
	return s
}

// tossSigned reports whether Toss signs events of this type.
func tossSigned(eventType string) bool {
	return eventType == "payout.changed" || eventType == "seller.changed"
}

// SignsTime reports false: most of what Toss delivers is not signed at all.
func (s *TossSource) SignsTime() bool { return false }

// Verify accepts an event of a type that Toss never signs as the hint that it
// is, and checks the signature of the two types that it does sign. The type
// decides, so a body whose type cannot be read for certain (no JSON object, an
// eventType that comes twice or is no text) is refused: a signed type can never
// pass as a hint. Times have no window unless one is configured, for retries of
// Toss may keep the first time.
func (s *TossSource) Verify(header http.Header, body []byte, now time.Time) error {
	var p peek
	if err := s.paths.read(body, &p); err != nil {
		return refuse(hook.ReasonMalformedBody, err.Error())
	}
	// str is empty for a type that comes twice, too.
	if p.vals[tossType].kind != 0 && p.str(tossType) == "" {
		return refuse(hook.ReasonMalformedBody, "eventType cannot be read, so nobody can say whether it is signed")
	}
	if !tossSigned(p.str(tossType)) {
		return nil
	}
	return s.verifySigned(header, body, now)
}

func (s *TossSource) verifySigned(header http.Header, body []byte, now time.Time) error {
	if s.broken || len(s.keys) == 0 {
		return badConfig()
	}
	text, err := one(header, tossSignature)
	if err != nil {
		return err
	}
	at, err := one(header, tossTime)
	if err != nil {
		return err
	}
	var sigs candidates
	if err := parseToss(text, &sigs); err != nil {
		return err
	}
	ok := false
	for _, key := range s.keys {
		if sigs.match(sha256MAC(key, "", body, ":"+at)) {
			ok = true
		}
	}
	if !ok {
		return sigs.mismatch(len(s.config.Secrets))
	}
	if s.window.tolerance == 0 {
		return nil
	}
	signedAt := parseTime(at, nil)
	if signedAt.IsZero() {
		return refuse(hook.ReasonMalformedHeader, tossTime+" is no time with an offset")
	}
	return s.window.check(now, signedAt, time.Second)
}

// parseToss reads v1:…,v1:….
func parseToss(text string, sigs *candidates) error {
	other := false
	for entry := range strings.SplitSeq(text, ",") {
		version, sig, ok := strings.Cut(strings.TrimSpace(entry), ":")
		switch {
		case !ok:
		case version != "v1":
			other = true
		default:
			sigs.add(sig, base64.StdEncoding.DecodeString)
		}
	}
	switch {
	case sigs.seen > 0:
		return nil
	case other:
		return refuse(hook.ReasonUnsupportedVersionOnly, tossSignature+": no v1 signature")
	}
	return refuse(hook.ReasonMalformedHeader, tossSignature+": no version:signature in it")
}

// Identify gives a signed event its eventId as key. A hint gets a key that no
// other body can have: "hint:" and the hash of the transmission id, a zero byte,
// which no header can hold, and the body.
func (s *TossSource) Identify(header http.Header, body []byte) (hook.Identity, error) {
	id := hook.Identity{Trust: hook.TrustHint}
	var p peek
	err := p.verdict(s.paths.read(body, &p))
	eventType := p.str(tossType)
	if !p.has(tossType) && p.str(tossOrder) != "" && p.str(tossTransaction) != "" {
		eventType = tossDeposit
	}
	if tossSigned(eventType) {
		id.Trust = hook.TrustSignature
		id.Key = cleanKey(p.str(tossEvent))
	} else {
		id.Key = hintKey(header.Get(tossID), body)
	}
	id.Type = clean(eventType)
	id.Subject = clean(p.first(tossOrder, tossDataOrder, tossLinkOrder, tossDataPayment, tossLinkPayment, tossEntity))
	id.OccurredAt = parseTime(p.str(tossCreated), time.FixedZone("KST", 9*60*60))
	return id, err
}

func hintKey(transmission string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(transmission))
	h.Write([]byte{0})
	h.Write(body)
	return "hint:" + hex.EncodeToString(h.Sum(nil))
}

// Published reports whether Toss says that it delivers from addr.
func (s *TossSource) Published(addr netip.Addr) bool { return s.published[addr.Unmap()] }

// Sign sets the headers of a transmission, and for the signed types the
// signature, made with the first security key read as text.
func (s *TossSource) Sign(header http.Header, body []byte, now time.Time) error {
	var p peek
	if err := s.paths.read(body, &p); err != nil {
		return refuseToSign(s.config.Name, err)
	}
	at := now.In(time.FixedZone("KST", 9*60*60)).Format(time.RFC3339)
	if tossSigned(p.str(tossType)) {
		if len(s.keys) == 0 {
			return s.noKey()
		}
		sum := sha256MAC(s.keys[0], "", body, ":"+at)
		header.Set(tossSignature, "v1:"+base64.StdEncoding.EncodeToString(sum))
	}
	header.Set(tossTime, at)
	setDefault(header, tossID, "whtrans_"+madeID(body, now))
	setDefault(header, tossRetried, "0")
	setDefault(header, "Content-Type", "application/json")
	return nil
}

// TossDepositSecret reports whether the body of a DEPOSIT_CALLBACK carries the
// secret that was stored when its payment was confirmed. It compares in constant
// time; an empty secret on either side, or one that comes twice, equals nothing.
// Whoever gets false only knows that a re-query is not worth its call.
func TossDepositSecret(body []byte, stored string) bool {
	var p peek
	if newPaths([]string{"secret"}).read(body, &p) != nil {
		return false
	}
	got := p.str(0)
	if got == "" || stored == "" {
		return false
	}
	return hmac.Equal([]byte(got), []byte(stored))
}
