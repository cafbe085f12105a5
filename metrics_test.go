package hookkeeper_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
)

// What a department counts stands beside the house's own; a family that cannot
// be read keeps nothing else from the scrape.
func TestADepartmentsMetricsAreShown(t *testing.T) {
	numbers := func(all ...hook.Sample) func(context.Context) ([]hook.Sample, error) {
		return func(context.Context) ([]hook.Sample, error) { return all, nil }
	}
	d := hook.Department{Name: "guests", Metrics: []hook.Metric{
		{Name: "hookkeeper_guests_total", Help: "Guests.", Labels: []string{"floor"}, Counter: true,
			Read: numbers(hook.Sample{Labels: []string{"first"}, Value: 3}, hook.Sample{Labels: []string{"second"}, Value: 1})},
		{Name: "hookkeeper_beds", Help: "Beds.", Read: numbers(hook.Sample{Value: 7})},
		{Name: "hookkeeper_odd", Help: "One value too many.", Read: numbers(hook.Sample{Labels: []string{"x"}, Value: 1})},
		{Name: "hookkeeper_broken", Help: "Not to be read.",
			Read: func(context.Context) ([]hook.Sample, error) { return nil, errors.New("no light") }},
	}}
	k, err := hookkeeper.New(hookkeeper.Config{Store: openStore(t), Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Tokens: []string{testToken}, Departments: []hook.Department{d}})
	if err != nil {
		t.Fatal(err)
	}
	status, text := get(t, k.Operator(), "/metrics", testToken)
	if status != 200 {
		t.Fatalf("metrics: %d %s", status, text)
	}
	for _, want := range []string{
		"# TYPE hookkeeper_guests_total counter\n", `hookkeeper_guests_total{floor="first"} 3` + "\n",
		`hookkeeper_guests_total{floor="second"} 1` + "\n", "# TYPE hookkeeper_beds gauge\nhookkeeper_beds 7\n",
		"hookkeeper_ledger_imbalance 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the scrape lacks %q", want)
		}
	}
	for _, never := range []string{"hookkeeper_odd", "hookkeeper_broken"} {
		if strings.Contains(text, never) {
			t.Errorf("the scrape has %s", never)
		}
	}
}

func TestNewRefusesMetricsThatDoNotFit(t *testing.T) {
	store := openStore(t)
	read := func(context.Context) ([]hook.Sample, error) { return nil, nil }
	fine := hook.Metric{Name: "hookkeeper_guests", Help: "Guests.", Read: read}
	for name, all := range map[string][]hook.Metric{
		"foreign name":         {{Name: "guests", Help: "Guests.", Read: read}},
		"no help":              {{Name: "hookkeeper_guests", Read: read}},
		"nothing to read":      {{Name: "hookkeeper_guests", Help: "Guests."}},
		"twice":                {fine, fine},
		"counter without end":  {{Name: "hookkeeper_guests", Help: "Guests.", Counter: true, Read: read}},
		"end without counting": {{Name: "hookkeeper_guests_total", Help: "Guests.", Read: read}},
	} {
		_, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
			Departments: []hook.Department{{Name: "guests", Metrics: all}}})
		if err == nil || !strings.Contains(err.Error(), "metric") {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}
