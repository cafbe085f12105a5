package dashboard_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

// document is openapi.json, as far as it is compared.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct {
		Schemas   map[string]map[string]any
		Responses map[string]any
	}
}

type operation struct {
	OperationID string
	Role        string `json:"x-role"`
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                map[string]any
	}
	RequestBody struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]struct{ Schema map[string]any }
	}
}

func readDocument(t *testing.T, d *desk) document {
	t.Helper()
	resp, body := d.ask("GET", "/api/v1/openapi.json", "")
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("openapi.json: %v, %s", err, resp.Header.Get("Content-Type"))
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %q, want 3.1", doc.OpenAPI)
	}
	return doc
}

// TestDocumentHasEveryRoute compares openapi.json with the table of which the
// API is registered: routes, roles, and the parameters that a handler can read.
func TestDocumentHasEveryRoute(t *testing.T) {
	doc := readDocument(t, newDesk(t))
	type row struct {
		Role        string
		Query, Path []string
	}
	got, want, ids := map[string]row{}, map[string]row{}, map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			r := row{Role: op.Role}
			for _, p := range op.Parameters {
				if p.Description == "" || len(p.Schema) == 0 || p.Required != (p.In == "path") {
					t.Errorf("%s %s: parameter %s has no description or schema, or is wrongly required", method, path, p.Name)
				}
				if p.In == "path" {
					r.Path = append(r.Path, p.Name)
				} else {
					r.Query = append(r.Query, p.Name)
				}
			}
			if ids[op.OperationID] || op.OperationID == "" {
				t.Errorf("%s %s: operationId %q is empty or comes twice", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			got[strings.ToUpper(method)+" "+path] = r
		}
	}
	for _, r := range dashboard.Routes() {
		w := row{Role: string(r.Need), Query: r.Query}
		for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(r.Pattern, -1) {
			w.Path = append(w.Path, m[1])
		}
		want[r.Pattern] = w
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("openapi.json differs from the routes (-routes +document):\n%s", diff)
	}
}

// TestDocumentHasEveryField compares the schemas with the Go types.
func TestDocumentHasEveryField(t *testing.T) {
	doc := readDocument(t, newDesk(t))
	types := dashboard.Bodies()
	for name, schema := range doc.Components.Schemas {
		if _, enum := schema["enum"]; types[name] == nil && !enum && name != "Problem" {
			t.Errorf("schema %s describes no type that the test knows", name)
		}
	}
	for name, typ := range types {
		schema := doc.Components.Schemas[name]
		fields := map[string]reflect.StructField{}
		fieldsOf(typ, fields)
		properties, _ := schema["properties"].(map[string]any)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties))); diff != "" {
			t.Errorf("schema %s (-type +schema):\n%s", name, diff)
		}
		required := map[string]bool{}
		for _, r := range schema["required"].([]any) {
			required[r.(string)] = true
		}
		for json, f := range fields {
			// What is asked says itself what it needs; what is answered always
			// has each field that is not left out when empty.
			if strings.HasSuffix(name, "Order") {
				continue
			}
			if omit := strings.Contains(f.Tag.Get("json"), "omitempty"); omit == required[json] {
				t.Errorf("schema %s: %s is required: %t, may be left out: %t", name, json, required[json], omit)
			}
		}
	}
	for value, states := range map[string][]string{"State": nil, "Role": {"viewer", "operator", "admin"}} {
		for _, s := range hook.Worst {
			if value == "State" {
				states = append(states, string(s))
			}
		}
		var got []string
		for _, v := range doc.Components.Schemas[value]["enum"].([]any) {
			got = append(got, v.(string))
		}
		slices.Sort(got)
		slices.Sort(states)
		if !slices.Equal(got, states) {
			t.Errorf("schema %s has %v, want %v", value, got, states)
		}
	}
}

// fieldsOf gives a type's JSON fields, embedded ones as their own; an outer one
// hides an inner one of its name.
func fieldsOf(typ reflect.Type, into map[string]reflect.StructField) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	for f := range typ.Fields() {
		if f.Anonymous {
			fieldsOf(f.Type, into)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			into[name] = f
		}
	}
}

// TestAnswersFitTheDocument asks every route that only looks, and more, and
// holds the answers against their schemas.
func TestAnswersFitTheDocument(t *testing.T) {
	d := newDesk(t)
	doc := readDocument(t, d)
	id := d.record("k", "invoice.paid", []byte(`{"a":1}`), "mail")
	failed(t, d)
	d.store.Reject(hook.Delivery{Source: "stripe", Body: []byte("x"), ReceivedAt: time.Now()}, hook.ReasonBadSignature, "no")
	d.keep("laptop", hook.RoleViewer)
	d.ask("GET", "/api/v1/feeds/app", "")
	d.record("later", "invoice.paid", []byte(`{}`))
	if err := d.store.SetRoutes(t.Context(), []hook.Route{{Name: "print"}}); err != nil {
		t.Fatal(err)
	}
	waiting := d.heldRefunds("o1", "o2")
	asked := map[string]bool{}
	for _, c := range questions(id, waiting) {
		resp, body := d.ask(c.method, c.route, c.body)
		if resp.StatusCode != 200 {
			t.Errorf("%s %s: %d %s", c.method, c.route, resp.StatusCode, body)
			continue
		}
		asked[c.method+" "+c.pattern] = true
		content := doc.Paths[c.pattern][strings.ToLower(c.method)].Responses["200"].Content
		media := content[resp.Header.Get("Content-Type")]
		if media.Schema == nil {
			t.Errorf("%s %s: the document has no answer of the type %s", c.method, c.route, resp.Header.Get("Content-Type"))
		}
		for line := range strings.Lines(string(body)) {
			var v any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%s %s: %v", c.method, c.route, err)
			}
			for _, wrong := range doc.misfits(c.pattern, media.Schema, v) {
				t.Error(wrong)
			}
		}
	}
	for _, r := range dashboard.Routes() {
		if !asked[r.Pattern] && !strings.HasSuffix(r.Pattern, "/raw") && !strings.HasSuffix(r.Pattern, "/openapi.json") {
			t.Errorf("%s was not asked", r.Pattern)
		}
	}
}

// question is a request whose answer is held against its schema.
type question struct{ method, route, pattern, body string }

// questions ask every route that only looks, and more, about one event.
func questions(id string, waiting []string) []question {
	return []question{
		{"GET", "/api/v1/events", "/api/v1/events", ""},
		{"GET", "/api/v1/events/" + id, "/api/v1/events/{id}", ""},
		{"GET", "/api/v1/sources", "/api/v1/sources", ""},
		{"GET", "/api/v1/rejections", "/api/v1/rejections", ""},
		{"GET", "/api/v1/nodes", "/api/v1/nodes", ""},
		{"GET", "/api/v1/alarms?limit=3", "/api/v1/alarms", ""},
		{"GET", "/api/v1/jobs?state=dead", "/api/v1/jobs", ""},
		{"GET", "/api/v1/dead", "/api/v1/dead", ""},
		{"POST", "/api/v1/handlers/mail/pause", "/api/v1/handlers/{name}/pause", `{"paused":true,"reason":"try"}`},
		{"GET", "/api/v1/pauses", "/api/v1/pauses", ""},
		{"POST", "/api/v1/bulk-replays", "/api/v1/bulk-replays", `{"dry_run":true}`},
		{"POST", "/api/v1/bulk-replays", "/api/v1/bulk-replays", `{"source":"stripe","rate":10,"reason":"try","handlers":["mail"]}`},
		{"GET", "/api/v1/bulk-replays", "/api/v1/bulk-replays", ""},
		{"POST", "/api/v1/bulk-replays/1", "/api/v1/bulk-replays/{id}", `{"state":"paused"}`},
		{"GET", "/api/v1/bulk-replays/1", "/api/v1/bulk-replays/{id}", ""},
		{"GET", "/api/v1/approvals", "/api/v1/approvals", ""},
		{"GET", "/api/v1/approvals/" + waiting[0], "/api/v1/approvals/{id}", ""},
		{"POST", "/api/v1/approvals/" + waiting[0] + "/approve", "/api/v1/approvals/{id}/approve", ""},
		{"POST", "/api/v1/approvals/" + waiting[1] + "/refuse", "/api/v1/approvals/{id}/refuse", `{"reason":"no"}`},
		{"GET", "/api/v1/audit", "/api/v1/audit", ""},
		{"GET", "/api/v1/audit/verify", "/api/v1/audit/verify", ""},
		{"GET", "/api/v1/counts", "/api/v1/counts", ""},
		{"GET", "/api/v1/history", "/api/v1/history", ""},
		{"GET", "/api/v1/export", "/api/v1/export", ""},
		{"GET", "/api/v1/feeds/app", "/api/v1/feeds/{name}", ""},
		{"POST", "/api/v1/feeds/app/advance", "/api/v1/feeds/{name}/advance", `{"through":"` + id + `"}`},
		{"GET", "/api/v1/retention", "/api/v1/retention", ""},
		{"POST", "/api/v1/holds", "/api/v1/holds", `{"event":"` + id + `","reason":"a dispute"}`},
		{"GET", "/api/v1/holds?event=" + id, "/api/v1/holds", ""},
		{"POST", "/api/v1/holds/1/release", "/api/v1/holds/{id}/release", `{"reason":"settled"}`},
		{"POST", "/api/v1/erasures", "/api/v1/erasures", `{"source":"stripe","customer":"cus_1","reason":"asked for"}`},
		{"GET", "/api/v1/erasures", "/api/v1/erasures", ""},
		{"GET", "/api/v1/erasures/1", "/api/v1/erasures/{id}", ""},
		{"POST", "/api/v1/erasures/1/cancel", "/api/v1/erasures/{id}/cancel", ""},
		{"GET", "/api/v1/tokens", "/api/v1/tokens", ""},
		{"POST", "/api/v1/tokens", "/api/v1/tokens", `{"name":"b","role":"admin","sha256":"` + strings.Repeat("ab", 32) + `"}`},
		{"DELETE", "/api/v1/tokens/b", "/api/v1/tokens/{name}", ""},
		{"POST", "/api/v1/events/" + id + "/replay", "/api/v1/events/{id}/replay", `{"dry_run":true,"preview":true}`},
		{"POST", "/api/v1/events/" + id + "/replay", "/api/v1/events/{id}/replay", `{"reason":"try"}`},
		{"POST", "/api/v1/events/" + id + "/discard", "/api/v1/events/{id}/discard", `{"reason":"try","handler":"mail"}`},
	}
}

// failed makes every job that is due a dead letter.
func failed(t *testing.T, d *desk) {
	t.Helper()
	jobs, err := d.store.Claim(t.Context(), hook.Ask{Handlers: []string{"mail"}, Lease: time.Minute, Max: 1, MaxAttempts: 1})
	if err != nil || len(jobs) != 1 {
		t.Fatalf("claim: %d, %v", len(jobs), err)
	}
	if err := d.store.Bury(t.Context(), jobs[0], hook.Cause{Text: "gone"}); err != nil {
		t.Fatal(err)
	}
}

// misfits says where a value is not what its schema says: as much of JSON Schema
// as the document uses.
func (doc *document) misfits(at string, schema map[string]any, v any) []string {
	if ref, ok := schema["$ref"].(string); ok {
		return doc.misfits(at, doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], v)
	}
	if schema == nil {
		return []string{at + ": no schema"}
	}
	if typ, ok := schema["type"]; ok && !slices.Contains(kindsOf(v), fmt.Sprint(typ)) && !fits(typ, v) {
		return []string{fmt.Sprintf("%s: %v is no %v", at, v, typ)}
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return []string{fmt.Sprintf("%s: %v is none of %v", at, v, enum)}
	}
	var wrong []string
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			wrong = append(wrong, doc.misfits(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), item)...)
		}
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, value := range v {
			inner, ok := properties[name].(map[string]any)
			if !ok {
				inner, _ = schema["additionalProperties"].(map[string]any)
			}
			wrong = append(wrong, doc.misfits(at+"."+name, inner, value)...)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				wrong = append(wrong, at+": lacks "+name.(string))
			}
		}
	}
	return wrong
}

func fits(typ, v any) bool {
	list, ok := typ.([]any)
	return ok && slices.ContainsFunc(list, func(one any) bool { return slices.Contains(kindsOf(v), fmt.Sprint(one)) })
}

func kindsOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case float64:
		if v == float64(int64(v)) {
			return []string{"integer", "number"}
		}
		return []string{"number"}
	case []any:
		return []string{"array"}
	}
	return []string{"object"}
}
