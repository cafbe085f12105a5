package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/hookkeeper/hookkeeper/hook"
)

// operation makes a department's operation a row of the table of routes, so that
// it stands behind the same gate.
func operation(e hook.Operation) route {
	return route{
		pattern: e.Method + " /api/v1/" + e.Path, need: e.Need, query: e.Query,
		handle: func(a *api, w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxOrder)
			if e.Money && a.approvals != nil {
				a.held(w, r, e)
				return
			}
			value, err := e.Handle(r.WithContext(hook.WithActor(r.Context(), actorOf(r))))
			if err != nil {
				a.fail(w, r, err)
				return
			}
			body, err := encode(value)
			if err != nil {
				a.fail(w, r, fmt.Errorf("encode the answer: %w", err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(body, '\n')) // a peer that has gone needs no answer
		},
	}
}

// CheckOperation says what is wrong with a department's operation, or nil.
func CheckOperation(e hook.Operation) error {
	name := e.Method + " " + e.Path
	var doc map[string]json.RawMessage
	switch {
	case e.Method != http.MethodGet && e.Method != http.MethodPost && e.Method != http.MethodDelete:
		return fmt.Errorf("operation %q: want GET, POST or DELETE", name)
	case e.Path == "" || strings.HasPrefix(e.Path, "/") || strings.HasSuffix(e.Path, "/"):
		return fmt.Errorf("operation %q: the path stands below /api/v1/, without a slash at either end", name)
	case !e.Need.Allows(hook.RoleViewer):
		return fmt.Errorf("operation %q: needs no known role", name)
	case e.Money && e.Method == http.MethodGet:
		return fmt.Errorf("operation %q: a GET moves no money", name)
	case e.Handle == nil:
		return fmt.Errorf("operation %q: has no Handle", name)
	case json.Unmarshal(e.Doc, &doc) != nil || doc["responses"] == nil || doc["summary"] == nil:
		return fmt.Errorf("operation %q: Doc is not an OpenAPI operation with summary and responses", name)
	}
	for _, own := range routes() {
		if own.pattern == e.Method+" /api/v1/"+e.Path {
			return fmt.Errorf("operation %q: there is one of that name already", name)
		}
	}
	return nil
}

// sharedResponses are what every operation of a department may answer besides
// its own.
var sharedResponses = map[string]string{
	"400": "BadInput", "401": "NoToken", "403": "RoleTooLow", "429": "TooManyWrong", "503": "Unavailable",
}

// document adds the operations of departments to openapi.json.
func document(own []byte, operations []hook.Operation) ([]byte, error) {
	if len(operations) == 0 {
		return own, nil
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(own, &doc); err != nil {
		return nil, err
	}
	var paths map[string]map[string]any
	if err := json.Unmarshal(doc["paths"], &paths); err != nil {
		return nil, err
	}
	for _, e := range operations {
		var op map[string]any
		if err := json.Unmarshal(e.Doc, &op); err != nil {
			return nil, fmt.Errorf("operation %s %s: %w", e.Method, e.Path, err)
		}
		op["x-role"] = string(e.Need)
		if op["operationId"] == nil {
			op["operationId"] = operationID(e)
		}
		responses, _ := op["responses"].(map[string]any)
		for status, name := range sharedResponses {
			if responses[status] == nil {
				responses[status] = map[string]string{"$ref": "#/components/responses/" + name}
			}
		}
		if e.Money && responses["202"] == nil {
			responses["202"] = map[string]string{"$ref": "#/components/responses/Held"}
		}
		path := "/api/v1/" + e.Path
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(e.Method)] = op
	}
	var err error
	if doc["paths"], err = json.Marshal(paths); err != nil {
		return nil, err
	}
	return json.MarshalIndent(doc, "", "  ")
}

// operationID makes getUsersAccess of GET users/{id}/access.
func operationID(e hook.Operation) string {
	id := strings.ToLower(e.Method)
	for part := range strings.FieldsFuncSeq(e.Path, func(r rune) bool { return !unicode.IsLetter(r) && r != '{' }) {
		if !strings.HasPrefix(part, "{") {
			id += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return id
}

// operationsOf checks all and panics on a mistake, which is one of the programmer:
// the roof has told the user of it before.
func operationsOf(all []hook.Operation) []route {
	var errs []error
	rows := make([]route, 0, len(all))
	for _, e := range all {
		errs = append(errs, CheckOperation(e))
		rows = append(rows, operation(e))
	}
	if err := errors.Join(errs...); err != nil {
		panic("dashboard: " + err.Error())
	}
	return slices.Concat(routes(), rows)
}
