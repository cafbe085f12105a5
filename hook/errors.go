package hook

import (
	"errors"
	"fmt"
	"time"
)

// Five errors decide; everything else is answered 503 at the door and tried
// again by the worker.
var (
	// ErrUnverified: not shown to come from the sender. Said by Source.Verify.
	ErrUnverified = errors.New("not verified")
	// ErrNotYet: something that must exist first is missing. Said by handlers
	// and effects; the job waits, bounded, and counts as no failure.
	ErrNotYet = errors.New("not yet")
	// ErrPermanent: no further attempt can help. Said by handlers and effects;
	// ask with Permanent.
	ErrPermanent = errors.New("permanent")
	// ErrUnavailable: what the work needs does not answer: a sender's API, a
	// destination. Said by handlers, by Unavailable. The attempt has failed as any
	// other; while such failures prevail the handler's circuit breaker is open, see
	// Unavailable.
	ErrUnavailable = errors.New("unavailable")
	// ErrLeaseLost: another attempt owns the job. Said by Extend, Finish, Retry
	// and Bury; forget the job and write nothing.
	ErrLeaseLost = errors.New("lease lost")
)

// ErrInsideEffect is returned by Record, Finish and Apply when they are called
// with the context of a running effect: waiting for the writer that is running
// the caller would never end.
var ErrInsideEffect = errors.New("called inside an effect: return first, the store has one writer")

// ErrNotFound is returned by the ledger for an event or job that does not exist.
var ErrNotFound = errors.New("not found")

// ErrRefused is returned by the ledger for a change that the state of the
// object does not allow, for example a replay beside a running job.
var ErrRefused = errors.New("refused")

// ErrBadFilter is inside the error of the ledger's lists when a filter or a
// cursor cannot be read; the text before it names which.
var ErrBadFilter = errors.New("bad filter")

// ErrOverloaded is returned by Record when the store sheds load.
var ErrOverloaded = errors.New("overloaded")

// Permanent reports whether no further attempt can help.
func Permanent(err error) bool { return errors.Is(err, ErrPermanent) }

// After marks err with the time after which another attempt makes sense, as
// read from a Retry-After.
func After(err error, d time.Duration) error {
	if err == nil {
		err = errors.New("try again later")
	}
	return &afterError{err: err, delay: d}
}

// Delay returns the time that After put on err, if any.
func Delay(err error) (time.Duration, bool) {
	if a, ok := errors.AsType[*afterError](err); ok {
		return a.delay, true
	}
	return 0, false
}

// Unavailable marks err as one of reaching what the work needs: no answer, one that
// says "not now" (429, 502, 503, 504), or no answer of the kind that was asked for. Its
// text stays. After five such ends more than others the handler's circuit breaker
// opens: the worker begins no attempt for a second, then tries one at a time, five
// seconds apart at most, and takes one more at a time with each that succeeds. What
// waits meanwhile spends no attempt, and what asked in vain is brought forward with the
// first that succeeds, unless it has failed for half of its attempts. A time put on it
// by After is kept for the whole handler, up to a minute. Mark no failure that only this
// event would meet.
func Unavailable(err error) error {
	if err == nil {
		return ErrUnavailable
	}
	return &unavailableError{err}
}

type unavailableError struct{ error }

func (e *unavailableError) Unwrap() error        { return e.error }
func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

type afterError struct {
	err   error
	delay time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// Reason is why a delivery was refused: one of the words of the public answer.
type Reason string

// The reasons of a refusal.
const (
	ReasonMissingHeader          Reason = "missing_header"
	ReasonMalformedHeader        Reason = "malformed_header"
	ReasonMalformedBody          Reason = "malformed_body"
	ReasonBadSignature           Reason = "bad_signature"
	ReasonBadSecret              Reason = "bad_secret"
	ReasonUnsupportedVersionOnly Reason = "unsupported_version_only"
	ReasonTimestampTooOld        Reason = "timestamp_too_old"
	ReasonTimestampInFuture      Reason = "timestamp_in_future"
	ReasonUntrustedCert          Reason = "untrusted_cert"
	ReasonBadConfig              Reason = "bad_config"
	ReasonTooLarge               Reason = "too_large"
	ReasonRate                   Reason = "rate"
	ReasonUnavailable            Reason = "unavailable"
)

// UnverifiedError is what Source.Verify returns. It is ErrUnverified.
type UnverifiedError struct {
	Reason Reason
	Detail string // for the operator: what was compared; never a secret or a signature
}

// Error is the reason and, for the operator, what was compared.
func (e *UnverifiedError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("not verified: %s", e.Reason)
	}
	return fmt.Sprintf("not verified: %s: %s", e.Reason, e.Detail)
}

// Is makes errors.Is(err, ErrUnverified) true.
func (e *UnverifiedError) Is(target error) bool { return target == ErrUnverified }
