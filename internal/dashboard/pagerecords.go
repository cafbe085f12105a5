package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

// recordPage is a department's list or one of its things, as a table.
type recordPage struct {
	Kind   string
	Query  []recordField
	Tables []recordTable
	One    bool
	ID     string
}

type recordField struct{ Name, Value string }

// recordTable is a list of things, one a row; without a name it is the thing
// itself, one field a row.
type recordTable struct {
	Name    string
	Columns []string
	Rows    []recordRow
	Next    string
}

type recordRow struct {
	ID    string
	Cells []string
}

// maxCells bounds a table of things that we do not know.
const (
	maxColumns = 12
	maxRows    = 200
)

func (p *Pages) kind(name string) (recordKind, error) {
	for _, k := range p.records {
		if k.name == name {
			return k, nil
		}
	}
	return recordKind{}, fmt.Errorf("page %.64q: %w", name, hook.ErrNotFound)
}

func (p *Pages) listRecords(w http.ResponseWriter, r *http.Request, v *view) error {
	k, err := p.kind(r.PathValue("kind"))
	if err != nil {
		return err
	}
	if !v.Role.Allows(k.list.Need) {
		p.say(w, v, http.StatusForbidden, "error.role", string(k.list.Need))
		return nil
	}
	v.Here = k.name
	page := recordPage{Kind: k.name}
	q := url.Values{}
	for _, name := range k.query {
		value := r.URL.Query().Get(name)
		if value != "" {
			q.Set(name, value)
		}
		if name != "cursor" && name != "limit" {
			page.Query = append(page.Query, recordField{name, value})
		}
	}
	inner := r.Clone(hook.WithActor(r.Context(), v.Who))
	inner.URL.Path, inner.URL.RawQuery = "/api/v1/"+k.list.Path, q.Encode()
	answered, err := k.list.Handle(inner)
	if err != nil {
		return err
	}
	if page.Tables, err = p.tablesOf(answered, k.one != nil); err != nil {
		return err
	}
	return p.render(w, v, http.StatusOK, "records", page)
}

func (p *Pages) oneRecord(w http.ResponseWriter, r *http.Request, v *view) error {
	k, err := p.kind(r.PathValue("kind"))
	if err != nil {
		return err
	}
	if k.one == nil {
		return fmt.Errorf("%s: %w", k.name, hook.ErrNotFound)
	}
	if !v.Role.Allows(k.one.Need) {
		p.say(w, v, http.StatusForbidden, "error.role", string(k.one.Need))
		return nil
	}
	v.Here = k.name
	inner := r.Clone(hook.WithActor(r.Context(), v.Who))
	_, name, _ := strings.Cut(strings.TrimSuffix(k.one.Path, "}"), "{")
	inner.SetPathValue(name, r.PathValue("id"))
	inner.URL.Path, inner.URL.RawQuery = "/api/v1/"+k.name+"/"+r.PathValue("id"), ""
	answered, err := k.one.Handle(inner)
	if err != nil {
		return err
	}
	page := recordPage{Kind: k.name, One: true, ID: r.PathValue("id")}
	if page.Tables, err = p.tablesOf(answered, false); err != nil {
		return err
	}
	return p.render(w, v, http.StatusOK, "records", page)
}

// tablesOf lays out an answer that we know nothing of: its lists as tables, its
// other fields as one. What is personal is masked.
func (p *Pages) tablesOf(answered any, links bool) ([]recordTable, error) {
	value, err := decodeRecord(answered)
	if err != nil {
		return nil, fmt.Errorf("read a department's answer: %w", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		object = map[string]any{"": value}
	}
	fields := recordTable{}
	var lists []recordTable
	next, _ := object["next"].(string)
	for _, name := range sortedKeys(object) {
		list, isList := object[name].([]any)
		switch {
		case isList:
			t := p.listTable(name, list, links)
			if next != "" {
				t.Next = url.Values{"cursor": {next}}.Encode()
			}
			lists = append(lists, t)
		case name != "next":
			fields.Rows = append(fields.Rows, recordRow{Cells: []string{name, p.cell(object[name])}})
		}
	}
	if len(fields.Rows) > 0 {
		return append([]recordTable{fields}, lists...), nil
	}
	return lists, nil
}

func (p *Pages) listTable(name string, list []any, links bool) recordTable {
	t := recordTable{Name: name}
	for _, item := range list[:min(len(list), maxRows)] {
		object, ok := item.(map[string]any)
		if !ok {
			object = map[string]any{name: item}
		}
		for _, column := range sortedKeys(object) {
			if !slices.Contains(t.Columns, column) && len(t.Columns) < maxColumns {
				t.Columns = append(t.Columns, column)
			}
		}
	}
	slices.SortStableFunc(t.Columns, func(a, b string) int { return columnRank(a) - columnRank(b) })
	for _, item := range list[:min(len(list), maxRows)] {
		object, ok := item.(map[string]any)
		if !ok {
			object = map[string]any{name: item}
		}
		row := recordRow{}
		if id, ok := object["id"].(string); ok && links {
			row.ID = id
		}
		for _, column := range t.Columns {
			row.Cells = append(row.Cells, p.cell(object[column]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// columnRank puts what a person looks for first to the front.
func columnRank(name string) int {
	if i := slices.Index([]string{"id", "state", "status", "name", "product", "amount", "currency"}, name); i >= 0 {
		return i
	}
	return 100
}

func (p *Pages) cell(value any) string {
	text := ""
	switch value := value.(type) {
	case nil:
	case string:
		text = value
	case json.Number:
		text = value.String()
	case bool:
		text = fmt.Sprint(value)
	default:
		inner, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		text = string(inner)
	}
	text, _ = p.masker.Mask(text)
	return show.Short(200, text)
}
