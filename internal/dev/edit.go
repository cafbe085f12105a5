package dev

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errNoPath is said by locate for a path that the document does not have.
var errNoPath = errors.New("no such path")

// Edit returns body with the value at a dotted path replaced by text: a number,
// true, false or null as such, everything else as a string. The rest of the
// body keeps its bytes. A missing last key is added to its object; numbers in
// the path index arrays.
func Edit(body []byte, path, text string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("set: empty path")
	}
	out, err := splice(body, strings.Split(path, "."), literal(text))
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", path, err)
	}
	return out, nil
}

// literal gives text as a JSON value.
func literal(text string) []byte {
	switch text {
	case "true", "false", "null":
		return []byte(text)
	}
	var n json.Number
	if json.Unmarshal([]byte(text), &n) == nil && !strings.HasPrefix(text, `"`) {
		return []byte(text)
	}
	return quote(text)
}

func quote(text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic("dev: encode a string: " + err.Error()) // strings always encode
	}
	return quoted
}

func splice(doc []byte, path []string, value []byte) ([]byte, error) {
	start, end, err := locate(doc, path[0])
	switch {
	case errors.Is(err, errNoPath) && len(path) == 1:
		return addKey(doc, path[0], value)
	case err != nil:
		return nil, err
	}
	if len(path) > 1 {
		if value, err = splice(doc[start:end], path[1:], value); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(doc)+len(value))
	out = append(out, doc[:start]...)
	out = append(out, value...)
	return append(out, doc[end:]...), nil
}

// locate finds the bytes of the value under one key of an object or one index
// of an array.
func locate(doc []byte, key string) (start, end int, err error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	open, err := dec.Token()
	if err != nil {
		return 0, 0, errors.New("not JSON")
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return 0, 0, fmt.Errorf("%q is below a value that is no object", key)
	}
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if open == json.Delim('{') {
			tok, err := dec.Token()
			if err != nil {
				return 0, 0, errors.New("not JSON")
			}
			name, _ = tok.(string)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return 0, 0, errors.New("not JSON")
		}
		if name == key {
			end := int(dec.InputOffset())
			return end - len(raw), end, nil
		}
	}
	return 0, 0, errNoPath
}

func addKey(doc []byte, key string, value []byte) ([]byte, error) {
	if trimmed := bytes.TrimSpace(doc); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errNoPath
	}
	last := bytes.LastIndexByte(doc, '}')
	if last < 0 {
		return nil, errors.New("not JSON")
	}
	before := bytes.TrimRight(doc[:last], " \t\r\n")
	comma := ","
	if len(before) > 0 && before[len(before)-1] == '{' {
		comma = ""
	}
	return fmt.Appendf(nil, "%s%s%s:%s%s", before, comma, quote(key), value, doc[last:]), nil
}

// read gives the string at a dotted path, empty if there is none.
func read(doc []byte, path string) string {
	for key := range strings.SplitSeq(path, ".") {
		start, end, err := locate(doc, key)
		if err != nil {
			return ""
		}
		doc = doc[start:end]
	}
	var text string
	if json.Unmarshal(doc, &text) != nil {
		return ""
	}
	return text
}

// has reports whether the document has that path.
func has(doc []byte, path string) bool {
	for key := range strings.SplitSeq(path, ".") {
		start, end, err := locate(doc, key)
		if err != nil {
			return false
		}
		doc = doc[start:end]
	}
	return true
}
