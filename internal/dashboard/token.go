package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
)

// tokens are the hashes of the operator tokens. They are compared as hashes
// because those are of equal length.
type tokens [][sha256.Size]byte

func hashed(list []string) tokens {
	var t tokens
	for _, token := range list {
		if strings.TrimSpace(token) != "" {
			t = append(t, sha256.Sum256([]byte(token)))
		}
	}
	return t
}

// actor compares the bearer token with every configured one, always all of
// them: the time taken says nothing. The audit trail names a token by its place
// in the configuration.
func (t tokens) actor(r *http.Request) (name string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	match := 0
	for i, want := range t {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], want[:]), i+1, match)
	}
	return fmt.Sprintf("operator token %d", match), match != 0
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="hookkeeper"`)
	problem(w, http.StatusUnauthorized, "an operator token is needed: Authorization: Bearer TOKEN")
}

// Guard lets only requests with an operator token through to h; open lets all
// through, as on a loopback listener. Without tokens and not open, every request
// is answered 401.
func Guard(h http.Handler, operatorTokens []string, open bool) http.Handler {
	if open {
		return h
	}
	known := hashed(operatorTokens)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := known.actor(r); !ok {
			unauthorized(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}
