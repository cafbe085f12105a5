package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of errors of the server that decide.
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLocked        = "55P03" // a lock was not to be had in time
	codeShutdown      = "57P01"
	codeOutOfMemory   = "53200" // also: no room for more locks
	codeReadOnly      = "25006"
	codeCanceled      = "57014" // one statement over its limit
)

func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// stale says that a connection was dead before anything was done on it.
func stale(err error) bool {
	if pgconn.SafeToRetry(err) {
		return true
	}
	switch codeOf(err) {
	case codeShutdown, "57P02", "57P05", "25P03": // ended while it lay in the pool
		return true
	case "":
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
	}
	return false
}

// again says that the same transaction may pass if it is tried once more.
func again(err error) bool {
	if errors.Is(err, errUnknown) {
		return false
	}
	switch codeOf(err) {
	case codeSerialization, codeDeadlock, codeShutdown:
		return true
	}
	return false
}

// systemic errors would meet every other transaction too, or leave open what has
// become of this one.
func systemic(err error) bool {
	switch code := codeOf(err); code {
	case "":
		return silent(err)
	case codeReadOnly:
		return true
	case codeOutOfMemory, codeCanceled:
		return false // half of it may fit, and in time
	default:
		for _, class := range []string{"08", "28", "3D", "53", "57", "58", "XX"} {
			if strings.HasPrefix(code, class) {
				return true
			}
		}
	}
	return false
}

// silent says that there was no word from the server.
func silent(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	for _, target := range []error{errUnknown, context.DeadlineExceeded, context.Canceled, driver.ErrBadConn, sql.ErrConnDone,
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, target) {
			return true
		}
	}
	return strings.Contains(err.Error(), "conn closed")
}
