package ingest_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// TestRefusedDeliveryIsVerifiedAgain, as of its arrival: what was late only because
// nobody had the secret passes, what is forged does not.
func TestRefusedDeliveryIsVerifiedAgain(t *testing.T) {
	h := newHouse(t)
	at := time.Now().Add(-48 * time.Hour)
	body := []byte(stripeEvent("evt_again"))
	header := http.Header{}
	if err := h.stripe.Sign(header, body, at); err != nil {
		t.Fatal(err)
	}
	d := hook.Delivery{Source: "stripe", Header: header, Body: body, ReceivedAt: at}
	for i := range 2 {
		receipt, err := h.door.Again(t.Context(), d)
		if err != nil || receipt.EventID == "" || receipt.Duplicate != (i == 1) {
			t.Errorf("the %d. time: %+v, %v", i+1, receipt, err)
		}
	}
	page, _, err := h.store.Events(t.Context(), hook.Filter{})
	if err != nil || len(page) != 1 || page[0].Key != "evt_again" || page[0].Trust != hook.TrustSignature || len(page[0].Jobs) != 1 {
		t.Errorf("recorded: %+v, %v", page, err)
	}
	late := d
	late.ReceivedAt = time.Now()
	changed := d
	changed.Body = []byte(stripeEvent("evt_other"))
	bare := d
	bare.Header = nil
	for what, bad := range map[string]hook.Delivery{"as of now": late, "changed": changed, "without headers": bare} {
		if _, err := h.door.Again(t.Context(), bad); !errors.Is(err, hook.ErrUnverified) {
			t.Errorf("%s: %v, want it unverified", what, err)
		}
	}
	if _, err := h.door.Again(t.Context(), hook.Delivery{Source: "gone"}); !errors.Is(err, hook.ErrNotFound) {
		t.Errorf("a source that is gone: %v", err)
	}
	hint := hook.Delivery{Source: "toss", ReceivedAt: at, Header: http.Header{"Tosspayments-Webhook-Transmission-Id": {"w"}},
		Body: []byte(`{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":"2026-03-01T09:30:40.123456","data":{"paymentKey":"p","orderId":"o","status":"DONE"}}`)}
	if _, err := h.door.Again(t.Context(), hint); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("a hint: %v, want it refused", err)
	}
	if h.events() != 1 {
		t.Errorf("%d events, want one", h.events())
	}
}
