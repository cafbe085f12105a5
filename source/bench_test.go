package source_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

func stripeDelivery(tb testing.TB) (*source.StripeSource, http.Header, []byte, time.Time) {
	tb.Helper()
	body, err := os.ReadFile("testdata/events/stripe/dahlia/checkout.session.completed.payment.json")
	if err != nil {
		tb.Fatal(err)
	}
	s := source.Stripe("stripe", "whsec_testSecretOfThisTest0001")
	h, now := http.Header{}, time.Unix(1772323242, 0)
	if err := s.Sign(h, body, now); err != nil {
		tb.Fatal(err)
	}
	return s, h, body, now
}

func BenchmarkStripeVerify(b *testing.B) {
	s, h, body, now := stripeDelivery(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Verify(h, body, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStripeIdentify(b *testing.B) {
	s, h, body, _ := stripeDelivery(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Identify(h, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStripeCanonical(b *testing.B) {
	s, _, body, _ := stripeDelivery(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Canonical(body)) >= len(body) {
			b.Fatal("nothing taken out")
		}
	}
}
