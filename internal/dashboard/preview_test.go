package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
)

// previewing shows the same row for whatever is planned.
type previewing struct{ hook.Planner }

func (p previewing) PlanReplay(ctx context.Context, id string, r hook.Replay) ([]hook.PlannedJob, error) {
	plan, err := p.Planner.PlanReplay(ctx, id, r)
	for i := range plan {
		plan[i].Preview = &hook.JobPreview{Ending: hook.PreviewOutward, Text: "would write to buyer.name@example.com" + hostile,
			RowChanges: hook.RowChanges{More: true, Rows: []hook.RowChange{{Table: "customers", Change: hook.ChangeUpdate,
				Key: "id=buyer.name@example.com", Columns: []hook.ColumnChange{
					{Name: "email", Old: new("buyer.name@example.com"), New: new("<img src=x onerror=alert(1)>" + hostile)}, {Name: "gone", Old: new("was")}}}}}}
	}
	return plan, err
}

// TestAPreviewIsMasked: what a replay would change is on the pages and in the API,
// without what is personal.
func TestAPreviewIsMasked(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.enter(token)
	id := o.dead("one", "no", []byte(`{}`))
	for _, path := range []string{"events/" + id + "/replay", "bulk/new?state=dead"} {
		resp, body := o.visit(path, nil)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "customers") || !strings.Contains(body, "<del>was</del>") {
			t.Errorf("%s: %d, no row is shown:\n%s", path, resp.StatusCode, body)
		}
		if strings.Contains(body, "buyer.name@") || strings.Contains(body, "<img") {
			t.Errorf("%s shows what is personal, or runs what it shows:\n%s", path, body)
		}
	}
	d := newDesk(t)
	id = d.record("one", "t", []byte(`{}`))
	if err := d.store.SetRoutes(t.Context(), []hook.Route{{Name: "mail"}}); err != nil {
		t.Fatal(err)
	}
	for _, preview := range []bool{false, true} {
		order, _ := json.Marshal(map[string]bool{"dry_run": true, "preview": preview})
		resp, body := d.ask("POST", "/api/v1/events/"+id+"/replay", string(order))
		var got struct{ Plan []hook.PlannedJob }
		if err := json.Unmarshal(body, &got); err != nil || resp.StatusCode != http.StatusOK || len(got.Plan) != 1 {
			t.Fatalf("%d %s, %v", resp.StatusCode, body, err)
		}
		if has := got.Plan[0].Preview != nil; has != preview {
			t.Errorf("preview %v: there is one: %v", preview, has)
		}
		if strings.Contains(string(body), "buyer.name@") {
			t.Errorf("the API shows what is personal: %s", body)
		}
	}
}
