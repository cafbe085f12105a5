package sqlstore

import "strings"

// TransactionWord returns the first word of a statement in query that would
// begin, end or name a transaction, or change how the connection works; empty
// if there is none. query may hold several statements.
func TransactionWord(query string) string {
	for query != "" {
		var word string
		word, query = firstWord(query)
		switch w := strings.ToUpper(word); w {
		case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE",
			"PREPARE", "ATTACH", "DETACH", "PRAGMA", "VACUUM", "SET", "RESET", "DISCARD", "LISTEN", "COPY":
			return w
		}
		query = nextStatement(query)
	}
	return ""
}

// firstWord skips blanks, semicolons and comments and returns the word there
// and the rest.
func firstWord(q string) (word, rest string) {
	for {
		q = strings.TrimLeft(q, " \t\r\n\f\v;\ufeff\x00")
		skipped := skipComment(q)
		if len(skipped) == len(q) {
			break
		}
		q = skipped
	}
	i := 0
	for i < len(q) && (q[i]|0x20 >= 'a' && q[i]|0x20 <= 'z' || q[i] == '_') {
		i++
	}
	return q[:i], q[i:]
}

func skipComment(q string) string {
	switch {
	case strings.HasPrefix(q, "--"):
		if i := strings.IndexByte(q, '\n'); i >= 0 {
			return q[i+1:]
		}
		return ""
	case strings.HasPrefix(q, "/*"):
		if i := strings.Index(q[2:], "*/"); i >= 0 {
			return q[2+i+2:]
		}
		return ""
	}
	return q
}

// nextStatement returns what follows the next semicolon that stands outside
// quotes and comments.
func nextStatement(q string) string {
	for q != "" {
		switch c := q[0]; c {
		case ';':
			return q[1:]
		case '\'', '"', '`':
			q = skipQuoted(q, c)
		case '[':
			q = skipQuoted(q, ']')
		case '-', '/':
			if skipped := skipComment(q); len(skipped) < len(q) {
				q = skipped
			} else {
				q = q[1:]
			}
		default:
			q = q[1:]
		}
	}
	return ""
}

func skipQuoted(q string, end byte) string {
	for i := 1; i < len(q); i++ {
		if q[i] == end {
			return q[i+1:]
		}
	}
	return ""
}
