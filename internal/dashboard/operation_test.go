package dashboard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/dashboard"
)

const accessDoc = `{"summary":"What a user may use","parameters":[{"name":"id","in":"path","required":true,
	"description":"the user","schema":{"type":"string"}}],"responses":{"200":{"description":"the answer"}}}`

func access(handle func(*http.Request) (any, error)) hook.Operation {
	return hook.Operation{Method: "GET", Path: "users/{id}/access", Need: hook.RoleOperator, Query: []string{"at"},
		Handle: handle, Doc: json.RawMessage(accessDoc)}
}

// departmentDesk is newDesk with one department's operation.
func departmentDesk(t *testing.T, e hook.Operation) *desk {
	d := newDesk(t)
	srv := httptest.NewServer(dashboard.API(dashboard.APIConfig{
		Ledger: d.store, Operations: []hook.Operation{e},
		Gate: dashboard.NewGate(dashboard.GateConfig{Tokens: []string{token}, Keeper: d.store, Now: hooktest.NewClock().Now}),
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

func TestADepartmentsOperationStandsBehindTheGate(t *testing.T) {
	d := departmentDesk(t, access(func(r *http.Request) (any, error) {
		return map[string]string{"user": r.PathValue("id"), "actor": hook.ActorOf(r.Context()), "steers": "\u202e"}, nil
	}))
	resp, body := d.ask("GET", "/api/v1/users/u1/access", "")
	if resp.StatusCode != 200 || !strings.Contains(string(body), `"user":"u1"`) ||
		!strings.Contains(string(body), `"actor":"operator token 1"`) || !strings.Contains(string(body), `\u202e`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/api/v1/users/u1/access", "", 401},
		{"/api/v1/users/u1/access?wrong=1", token, 400},
		{"/api/v1/users/u1/access?at=1", token, 200},
		{"/api/v1/users/u1/access", "viewer", 403},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", d.url+c.path, nil)
		if c.token == "viewer" {
			c.token = d.keep("looks-only", hook.RoleViewer)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.path, resp.StatusCode, c.want)
		}
	}
	doc := readDocument(t, d)
	op, ok := doc.Paths["/api/v1/users/{id}/access"]["get"]
	if !ok || op.Role != "operator" || op.OperationID != "getUsersAccess" || op.Responses["401"].Ref == "" {
		t.Errorf("openapi.json has %+v", op)
	}
	if _, ok := doc.Paths["/api/v1/events"]; !ok {
		t.Error("openapi.json has lost our own operations")
	}
}

func TestErrorsOfADepartmentBecomeProblems(t *testing.T) {
	var says error
	d := departmentDesk(t, access(func(*http.Request) (any, error) { return nil, says }))
	for _, c := range []struct {
		err  error
		want int
		text string
	}{
		{fmt.Errorf("user u1: %w", hook.ErrNotFound), 404, "user u1"},
		{fmt.Errorf("order: %w", hook.ErrRefused), 409, "order"},
		{&hook.Problem{Status: 422, Detail: "price: want a whole number of won"}, 422, "whole number of won"},
		{errors.New("the database is away, password=x"), 503, "cannot be read now"},
	} {
		says = c.err
		resp, body := d.ask("GET", "/api/v1/users/u1/access", "")
		if resp.StatusCode != c.want || !strings.Contains(string(body), c.text) || strings.Contains(string(body), "password") ||
			resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %d %s", c.err, resp.StatusCode, body)
		}
	}
	says = nil
	d2 := departmentDesk(t, access(func(*http.Request) (any, error) { return func() {}, nil }))
	if resp, body := d2.ask("GET", "/api/v1/users/u1/access", ""); resp.StatusCode != 503 {
		t.Errorf("an answer that cannot be encoded: %d %s", resp.StatusCode, body)
	}
}

func TestCheckOperationRefusesMistakes(t *testing.T) {
	fine := access(func(*http.Request) (any, error) { return nil, nil })
	if err := dashboard.CheckOperation(fine); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*hook.Operation){
		"method":  func(e *hook.Operation) { e.Method = "PATCH" },
		"slash":   func(e *hook.Operation) { e.Path = "/users" },
		"role":    func(e *hook.Operation) { e.Need = "everybody" },
		"handle":  func(e *hook.Operation) { e.Handle = nil },
		"doc":     func(e *hook.Operation) { e.Doc = json.RawMessage(`{"summary":"s"}`) },
		"our own": func(e *hook.Operation) { e.Path = "events" },
	} {
		e := fine
		spoil(&e)
		if dashboard.CheckOperation(e) == nil {
			t.Errorf("%s: passed", name)
		}
	}
}
