package dashboard_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/sqlite"
)

// searchable is an office whose store searches bodies.
func searchable(t *testing.T) *office {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hk.db"), sqlite.Options{Search: &hook.Search{Words: true, Paths: []string{"customer"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	o := newOfficeOver(t, store, store)
	o.enter(token)
	return o
}

func (o *office) index() {
	o.t.Helper()
	for range 3 { // open, index, and find nothing more
		if _, err := o.store.IndexWords(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
	}
}

// A list is searched by what is in the bodies; the page says what it does not know
// yet, and offers no bulk replay of it.
func TestEventsAreSearchedByTheirBodies(t *testing.T) {
	o := searchable(t)
	id := o.record("one", "invoice.paid", []byte(`{"customer":"cus_1","text":"Refused card"}`))
	other := o.record("two", "invoice.paid", []byte(`{"customer":"cus_2"}`))
	if _, body := o.visit("events?q=refused", nil); !strings.Contains(body, "indexed for the first time") {
		t.Error("the page does not say that nothing is indexed yet")
	}
	o.index()
	for query, want := range map[string]string{
		"q=refused+card": id, "q=refused&source=stripe&type=invoice.*": id, "json=customer%3Dcus_1": id, "json=customer%3Dcus_2": other,
	} {
		resp, body := o.visit("events?"+query, nil)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "events/"+want) || strings.Count(body, `<tr data-id=`) != 1 {
			t.Errorf("%s: %d, want %s alone", query, resp.StatusCode, want)
		}
		if strings.Contains(body, "bulk/new?") {
			t.Errorf("%s: a bulk replay is offered", query)
		}
		if strings.Contains(body, "not searched yet") {
			t.Errorf("%s: the page says that the index is behind", query)
		}
	}
	if _, body := o.visit("events", nil); !strings.Contains(body, "bulk/new?") || !strings.Contains(body, `<option value="customer=">`) {
		t.Error("the plain list lacks its bulk replay, or the named paths")
	}
	o.record("three", "invoice.paid", []byte(`{}`))
	if _, body := o.visit("events?q=refused", nil); !strings.Contains(body, "1 newer events are not searched yet") {
		t.Error("the page does not say that the index is behind")
	}
	if resp, body := o.visit("events?json=nonsense", nil); resp.StatusCode != http.StatusOK || !strings.Contains(body, "<code>json</code>") {
		t.Errorf("a value without a path: %d", resp.StatusCode)
	}
	if resp, _ := o.visit("events?q=%2D%2D", nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a text without a word: %d", resp.StatusCode)
	}
}

// The field at the top of every page leads to what its word is the name of, and
// otherwise searches bodies.
func TestTheSearchFieldLeadsSomewhere(t *testing.T) {
	o := searchable(t)
	id := o.record("key_1", "a", []byte(`{"customer":"cus_1"}`))
	_, err := o.store.Record(t.Context(), hook.Delivery{Source: "stripe", Body: []byte("{}"), ReceivedAt: hooktest.NewClock().Now()},
		hook.Identity{Key: "key_2", Type: "a", Subject: "sub_1", Trust: hook.TrustSignature}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{id: "events/" + id, "key_1": "events?key=key_1", "sub_1": "events?subject=sub_1",
		"cus_1": "events?q=cus_1", "two words": "events?q=two+words", "": "events"} {
		resp, _ := o.visit("search?"+url.Values{"q": {word}}.Encode(), nil)
		if got := resp.Header.Get("Location"); !strings.HasSuffix(got, want) {
			t.Errorf("%q leads to %s, want %s", word, got, want)
		}
	}
	plain := newOffice(t)
	plain.enter(token)
	if resp, _ := plain.visit("search?q=cus_1", nil); !strings.HasSuffix(resp.Header.Get("Location"), "events?subject=cus_1") {
		t.Errorf("without an index: %s", resp.Header.Get("Location"))
	}
}

func TestTheAPISearchesBodies(t *testing.T) {
	d := newDesk(t)
	for route, want := range map[string]string{
		"events?q=word": "search", "events?json=a%3Db": "search", "export?q=word": "search", "events?json=nonsense": "path=value", "events?json=%3Dx": "path=value",
	} {
		resp, body := d.ask("GET", "/api/v1/"+route, "")
		var problem struct{ Detail string }
		if resp.StatusCode != http.StatusBadRequest || json.Unmarshal(body, &problem) != nil || !strings.Contains(problem.Detail, want) {
			t.Errorf("%s: %d %s, want a 400 that says %q", route, resp.StatusCode, body, want)
		}
	}
}
