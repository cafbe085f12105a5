package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/toss"
)

// sealColumns seals the personal columns of a department that were stored plainly:
// some rows behind a cursor that is empty at first.
type sealColumns func(ctx context.Context, store hook.Applier, cursor string) (hook.SealStep, error)

// columnsOf are the departments that have such columns, by the name of their
// tables, in the order in which they are sealed.
func columnsOf() ([]string, map[string]sealColumns) {
	return []string{toss.Tables().Name, stripe.Tables().Name}, map[string]sealColumns{
		toss.Tables().Name: toss.SealColumns, stripe.Tables().Name: stripe.SealColumns,
	}
}

// sealStep seals some old rows of a store, its own first, then those of the
// departments whose tables it has. The first one is noted in the audit trail. Its
// cursor of a department is its number, a colon, and the department's own.
func sealStep(ctx context.Context, store hook.Store, cursor, actor string) (hook.SealStep, error) {
	vault, ok := store.(hook.Vault)
	if !ok {
		return hook.SealStep{}, errNoVault
	}
	names, columns := columnsOf()
	number, rest, inDepartment := strings.Cut(cursor, ":")
	if !inDepartment {
		step, err := vault.SealStep(ctx, cursor)
		if err == nil && step.Next == "" {
			step.Next = "0:"
		}
		if desk, ok := store.(hook.Desk); ok && err == nil && cursor == "" {
			err = desk.Note(ctx, hook.AuditNote{Actor: actor, Action: "seal_rows"})
		}
		return step, err
	}
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(names) {
		return hook.SealStep{}, fmt.Errorf("seal cursor %.80q: begin without one: %w", cursor, hook.ErrBadFilter)
	}
	var step hook.SealStep
	there, err := hasTables(ctx, store, names[i])
	if err == nil && there {
		step, err = columns[names[i]](ctx, store, rest)
	}
	switch {
	case err != nil:
		return step, err
	case step.Next != "":
		step.Next = number + ":" + step.Next
	case i+1 < len(names):
		step.Next = strconv.Itoa(i+1) + ":"
	}
	return step, nil
}

// hasTables reports whether a department has ever been here.
func hasTables(ctx context.Context, store hook.Viewer, name string) (there bool, err error) {
	err = store.View(ctx, func(ctx context.Context, tx hook.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM departments WHERE name = $1)`, name).Scan(&there)
	})
	return there, err
}

// keysDepartment serves hookkeeper keys beside a running server.
func keysDepartment(store hook.Store) hook.Department {
	vault, ok := store.(hook.Vault)
	if !ok {
		return hook.Department{Name: "keys"}
	}
	list := func(r *http.Request) (any, error) {
		all, err := vault.DataKeys(r.Context())
		return map[string]any{"keys": all}, err
	}
	rotate := func(r *http.Request) (any, error) {
		id, err := vault.RotateKeys(r.Context(), hook.ActorOf(r.Context()))
		return map[string]int64{"key": id}, err
	}
	step := func(r *http.Request) (any, error) {
		var ask struct{ Cursor string }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			return nil, &hook.Problem{Status: http.StatusBadRequest, Detail: `the body must be JSON: {"cursor": ""}`}
		}
		return sealStep(r.Context(), store, ask.Cursor, hook.ActorOf(r.Context()))
	}
	return hook.Department{Name: "keys", Operations: []hook.Operation{
		{Method: http.MethodGet, Path: "keys", Need: hook.RoleAdmin, Handle: list, Doc: json.RawMessage(keysListDoc)},
		{Method: http.MethodPost, Path: "keys/rotate", Need: hook.RoleAdmin, Handle: rotate, Doc: json.RawMessage(keysRotateDoc)},
		{Method: http.MethodPost, Path: "keys/seal", Need: hook.RoleAdmin, Handle: step, Doc: json.RawMessage(keysSealDoc)},
	}}
}

// The operations in OpenAPI.
const (
	keysListDoc = `{"summary":"The data keys of encryption at rest, the newest first, without the keys.",
		"responses":{"200":{"description":"The data keys; none where nothing is encrypted.","content":{"application/json":{"schema":
		{"type":"object","properties":{"keys":{"type":"array","items":{"type":"object","properties":{
		"key":{"type":"integer"},"wrapped_with":{"type":"string"},"made_at":{"type":"string","format":"date-time"},
		"seals":{"type":"integer"},"opens":{"type":"boolean"},"sealing":{"type":"boolean"}}}}}}}}}}}`
	keysRotateDoc = `{"summary":"Begins a new data key and wraps all of them with the first configured key.",
		"responses":{"200":{"description":"The number of the new data key.","content":{"application/json":{"schema":
		{"type":"object","properties":{"key":{"type":"integer"}}}}}},
		"409":{"description":"No encryption key is configured."}}}`
	keysSealDoc = `{"summary":"Seals some of what was recorded before encryption was on. Call it with the cursor of its answer until that is empty.",
		"requestBody":{"required":true,"content":{"application/json":{"schema":
		{"type":"object","properties":{"cursor":{"type":"string"}}}}}},
		"responses":{"200":{"description":"What was done, and where to go on.","content":{"application/json":{"schema":
		{"type":"object","properties":{"looked":{"type":"integer"},"sealed":{"type":"integer"},"next":{"type":"string"}}}}}},
		"409":{"description":"No encryption key is configured."}}}`
)
