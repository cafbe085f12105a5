package sqlstore

import (
	"net/http"
	"slices"
	"strings"
)

// forgotten headers carry somebody's credentials and no part of a signature.
func forgotten(name string) bool {
	switch name {
	case "Authorization", "Proxy-Authorization", "Cookie":
		return true
	}
	return false
}

// encodeHeader writes header lines, sorted by name. net/http has refused CR and
// LF in values before they come here; what an embedder hands over is cleaned.
func encodeHeader(h http.Header) []byte {
	names := make([]string, 0, len(h))
	size := 0
	for name, vals := range h {
		if !forgotten(name) {
			names = append(names, name)
			for _, v := range vals {
				size += len(name) + len(v) + 3
			}
		}
	}
	slices.Sort(names)
	b := make([]byte, 0, size)
	clean := strings.NewReplacer("\r", " ", "\n", " ")
	for _, name := range names {
		for _, v := range h[name] {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, clean.Replace(v)...)
			b = append(b, '\n')
		}
	}
	return b
}

func decodeHeader(b []byte) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, v, ok := strings.Cut(line, ": "); ok {
			h[name] = append(h[name], v)
		}
	}
	return h
}
