package source_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

// TestEventsAreIdentified holds every body of testdata/events to its line in
// identities.tsv: file, key, type, subject, mode, trust, time.
func TestEventsAreIdentified(t *testing.T) {
	raw, err := os.ReadFile("testdata/events/identities.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	files, _ := filepath.Glob("testdata/events/*/*.json")
	deeper, _ := filepath.Glob("testdata/events/*/*/*.json")
	if n := len(files) + len(deeper); n != len(lines) || n < 100 {
		t.Errorf("%d files and %d lines", n, len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, "\t")
		t.Run(f[0], func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("testdata/events", f[0]))
			if err != nil {
				t.Fatal(err)
			}
			sender, _, _ := strings.Cut(f[0], "/")
			s := make1(t, sender, "whsec_testSecretOfThisTest0001")
			id, err := s.Identify(http.Header{}, body)
			if err != nil {
				t.Fatalf("quarantined: %v", err)
			}
			key := id.Key
			if strings.HasPrefix(key, "hint:") {
				key = "hint"
			}
			dash := func(s string) string {
				if s == "" {
					return "-"
				}
				return s
			}
			got := strings.Join([]string{
				f[0], key, id.Type, dash(id.Subject), dash(id.Mode), string(id.Trust),
				id.OccurredAt.Format(time.RFC3339Nano),
			}, "\t")
			if got != line {
				t.Errorf("identity\n got %s\nwant %s", got, line)
			}
		})
	}
}

func TestSubjectOfAHintFallsBackToThePaymentKey(t *testing.T) {
	s := source.Toss("toss")
	for body, want := range map[string]string{
		`{"eventType":"X","data":{"paymentKey":"pk","orderId":"o"}}`:             "o",
		`{"eventType":"X","data":{"paymentKey":"pk","orderId":null}}`:            "pk",
		`{"eventType":"X","data":{"payment":{"paymentKey":"pk2"}}}`:              "pk2",
		`{"eventType":"payout.changed","entityBody":{"id":"FPA_1"},"data":null}`: "FPA_1",
		`{"eventType":"X","data":[]}`:                                            "",
	} {
		if id, err := s.Identify(http.Header{}, []byte(body)); err != nil || id.Subject != want {
			t.Errorf("%s: subject %q, %v; want %q", body, id.Subject, err, want)
		}
	}
}

func TestStripeSubjectOfEveryShape(t *testing.T) {
	s := source.Stripe("stripe", "whsec_testSecretOfThisTest0001")
	for _, c := range []struct{ kind, object, want string }{
		{"invoice.paid", `{"id":"in_1","subscription":{"id":"sub_1","object":"subscription"}}`, "sub_1"},
		{"invoice.paid", `{"id":"in_1","parent":{"subscription_details":{"subscription":{"id":"sub_2"}}}}`, "sub_2"},
		{"invoice.paid", `{"id":"in_1","subscription":null,"payment_intent":"pi_1"}`, "pi_1"},
		{"invoice.paid", `{"id":"in_1","parent":null}`, "in_1"},
		{"checkout.session.expired", `{"id":"cs_1","subscription":null,"payment_intent":null}`, "cs_1"},
		{"charge.succeeded", `{"id":"ch_1","object":"charge","payment_intent":null}`, "ch_1"},
		{"charge.dispute.closed", `{"id":"du_1","charge":{"id":"ch_2"}}`, "ch_2"},
		{"refund.updated", `{"id":"re_1","charge":"ch_3","payment_intent":{"id":"pi_3"}}`, "pi_3"},
		{"customer.deleted", `{"id":"cus_1","object":"customer"}`, "cus_1"},
		{"customer.source.created", `{"id":"card_1","object":"card","customer":"cus_2"}`, "cus_2"},
		{"customer.subscription.paused", `{"id":"sub_9","object":"subscription","customer":"cus_2"}`, "sub_9"},
		{"payment_intent.succeeded", `{"id":"pi_9","object":"payment_intent"}`, "pi_9"},
		{"product.updated", `{"id":"prod_1"}`, "prod_1"},
		{"invoice.upcoming", `{"subscription":17}`, ""},
		{"invoice.upcoming", `null`, ""},
	} {
		body := `{"id":"evt_1","object":"event","type":"` + c.kind + `","data":{"object":` + c.object + `}}`
		if id, err := s.Identify(nil, []byte(body)); err != nil || id.Subject != c.want {
			t.Errorf("%s %s: subject %q, %v; want %q", c.kind, c.object, id.Subject, err, c.want)
		}
	}
}
