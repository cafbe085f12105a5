package source_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hookkeeper/hookkeeper/source"
)

func TestScannerAgreesWithTheGrammar(t *testing.T) {
	for _, body := range grammarCases() {
		_, _, err := source.ReadJSON([]byte(body), nil)
		want := json.Valid([]byte(body)) && strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{")
		if (err == nil) != want {
			t.Errorf("%.60q: %v, want well-formed %v", body, err, want)
		}
	}
}

func grammarCases() []string {
	cases := []string{
		"", " ", "{", "}", "{}", " {} ", "{}x", "{} {}", "[]", "null", "1", `"a"`, "{\x00}", "\uFEFF{}",
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{"a":1 "b":2}`, `{"a" 1}`, `{a:1}`, `{'a':1}`, `{"a":1]`,
		`{"a":[1,2,{"b":[]}]}`, `{"a":[1,]}`, `{"a":[,]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[[[]]]}`, `{"a":{}}`,
		`{"":""}`, "{\"a\":\"\t\"}", "{\"a\":\"\x1f\"}", `{"a":"\q"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\ud800"}`,
		`{"a":"\`, `{"a":"\u`, `{"a":"12345678`, `{"a":"12345678"}`, `{"a":"1234567\"9"}`, "{\"a\":\"1234567\xff\"}",
		"{\"a\":\"12\x1f3456789012345678\"}", "{\"a\":\"1234567\n1234567890123\"}", "{\"12\x003456789012345678\":1}",
		"{\"a\":\"\x80\xff\x7f\u00e9\u2028 long enough for words of eight\"}", "{\r\n\t\"a\"\r:\n1\t}", "{\v}",
		"{         \n                 \"a\" :                   1                \n }",
	}
	for _, n := range strings.Fields(`0 -0 1 01 -1 - +1 1. .1 1.5 1e 1e5 1E+5 1e-5 1e+ 1e400 1.e3 0x1 NaN Infinity tru true
		false fals null nul nulll 1a truefalse 123456789012345678901234567890`) {
		cases = append(cases, `{"a":`+n+`}`, `{"a":[`+n+`]}`)
	}
	return cases
}

func TestScannerReadsStringsAsTheirMeaning(t *testing.T) {
	for in, want := range map[string]string{
		`"plain"`:                   "plain",
		`"a\nb\t\"\\\/\b\f\r"`:      "a\nb\t\"\\/\b\f\r",
		`"\u0069d \ud83d\ude00"`:    "id 😀",
		`"lone \ud800 and \udc00x"`: "lone \uFFFD and \uFFFDx",
		`"nul \u0000"`:              "nul \x00",
		`12345678901234567890`:      "12345678901234567890",
		`1e400`:                     "1e400",
		`true`:                      "",
		`null`:                      "",
		`{"id":"x"}`:                "",
	} {
		got, _, err := source.ReadJSON([]byte(`{"v":`+in+`}`), []string{"v"})
		if err != nil || got[0] != want {
			t.Errorf("%s: %q, %v; want %q", in, got[0], err, want)
		}
	}
}

func TestScannerFindsKeysThatComeTwice(t *testing.T) {
	read := []string{"id", "data.object.id", "data.object"}
	for _, c := range []struct {
		body      string
		want      []string
		ambiguous bool
	}{
		{`{"id":"a","data":{"object":{"id":"b"}}}`, []string{"a", "b", ""}, false},
		{`{"id":"a","id":"a"}`, []string{"", "", ""}, true},
		{`{"id":"a","\u0069d":"b"}`, []string{"", "", ""}, true},
		{`{"\u0069\u0064":"b"}`, []string{"b", "", ""}, false},
		{`{"id":"a","ID":"b","Id":"c","iD":"d"}`, []string{"a", "", ""}, false},
		{`{"id":"a","x":{"id":"b"},"y":[{"id":"c"}]}`, []string{"a", "", ""}, false},
		{`{"id":"a","z":1,"z":2}`, []string{"a", "", ""}, false},
		{`{"id":"a","data":{"object":{"id":"b"}},"data":{}}`, []string{"a", "", ""}, true},
		{`{"id":"a","data":{"object":{"id":"b"},"object":null}}`, []string{"a", "", ""}, true},
		{`{"id":"a","data":[{"object":{"id":"b"}}]}`, []string{"a", "", ""}, false},
		{`{"list":[{"n":1},{"n":2}]}`, []string{"", "", ""}, false},
		{`{"list":[{"n":1,"n":2}]}`, []string{"", "", ""}, true},
		{`{"any":{"k":1,"k2":2}}`, []string{"", "", ""}, false},
		{`{"any":{"k":1,"\u006b":2}}`, []string{"", "", ""}, true},
	} {
		got, ambiguous, err := source.ReadJSON([]byte(c.body), read, "list.[].n", "any.*")
		if err != nil || ambiguous != c.ambiguous || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %q %v %v, want %q %v", c.body, got, ambiguous, err, c.want, c.ambiguous)
		}
	}
}

func TestDepthIsBoundedWithoutRecursion(t *testing.T) {
	nest := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`)
	}
	if _, _, err := source.ReadJSON(nest(1000), nil); err != nil {
		t.Errorf("1000 levels: %v", err)
	}
	if _, _, err := source.ReadJSON(nest(1001), nil); err == nil {
		t.Error("1001 levels were read")
	}
	bomb := bytes.Repeat([]byte(`{"a":`), 200_000)
	spent := testing.AllocsPerRun(1, func() {
		if _, _, err := source.ReadJSON(bomb, []string{"a.a.a"}); err == nil {
			t.Error("a bomb was read")
		}
	})
	if spent > 100 {
		t.Errorf("a bomb of brackets cost %v allocations", spent)
	}
}

// FuzzScanner holds the scanner to encoding/json: the same bodies are well
// formed, and a value that both can read is the same.
func FuzzScanner(f *testing.F) {
	for _, c := range grammarCases() {
		f.Add([]byte(c))
	}
	for _, v := range loadVectors(f) {
		f.Add([]byte(v.Body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ambiguous, err := source.ReadJSON(body, []string{"id"}, "id.*", "data.object.id")
		object := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
		if valid := json.Valid(body) && object; valid != (err == nil) && !bytes.Contains(body, bytes.Repeat([]byte("["), 500)) &&
			bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) <= 1000 {
			t.Fatalf("well-formed %v, scanner says %v", valid, err)
		}
		if err != nil || ambiguous {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("the scanner took what encoding/json does not: %v", err)
		}
		var want string
		if raw := m["id"]; len(raw) > 0 && raw[0] == '"' {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if strings.ToValidUTF8(got[0], "\uFFFD") != want && !strings.Contains(want, "\uFFFD") {
				t.Fatalf("id %q, want %q", got[0], want)
			}
		}
	})
}
