package tosstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ByHand is an event that a test or a person sends, true or forged.
type ByHand struct {
	EventType  string          `json:"eventType"`            // default EventPayment
	PaymentKey string          `json:"paymentKey,omitempty"` // whose object it carries
	Status     string          `json:"status,omitempty"`     // in place of the true one: a forgery
	Secret     string          `json:"secret,omitempty"`     // of EventDeposit, in place of the true one
	Data       json.RawMessage `json:"data,omitempty"`       // data, or entityBody, in place of what we would make
	Times      int             `json:"times,omitempty"`      // byte-equal deliveries under one id; default 1
	DelayMS    int             `json:"delayMs,omitempty"`    // on the simulator's clock, before the first
	Sign       string          `json:"mode,omitempty"`       // in place of Options.Sign
}

// SendByHand sends an event that nothing caused, past the ordered faults. It
// returns before the deliveries; Flush waits for them. It refuses a payment that
// does not exist unless Data stands in for it.
func (s *Sim) SendByHand(b ByHand) error {
	if b.EventType == "" {
		b.EventType = EventPayment
	}
	if !slices.Contains([]string{"", SignNone, SignDocs, SignAll, SignLegacy}, b.Sign) {
		return fmt.Errorf("tosstest: mode %q: want none, docs, all or legacy", b.Sign)
	}
	if b.Sign != "" && b.Sign != SignNone && len(s.opts.SecurityKeys) == 0 {
		return fmt.Errorf("tosstest: mode %s: there is no security key", b.Sign)
	}
	if b.Times < 0 || b.Times > 1000 || b.DelayMS < 0 {
		return fmt.Errorf("tosstest: times up to 1000, delayMs not negative")
	}
	s.mu.Lock()
	body, err := s.bodyByHand(b)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	var out []*sending
	id := ""
	for range max(b.Times, 1) {
		one := s.newSending(s.payments[b.PaymentKey], b.EventType, body)
		if id == "" {
			id = one.id
		}
		one.id, one.fault = id, "ok"
		if b.Sign != "" {
			one.sign = b.Sign
		}
		out = append(out, one)
	}
	if b.DelayMS > 0 {
		s.at(s.clock.now().Add(time.Duration(b.DelayMS)*time.Millisecond), func() {
			for _, one := range out {
				s.relaunch(one)
			}
		})
		s.mu.Unlock()
		return nil
	}
	s.count(out)
	s.mu.Unlock()
	s.launch(out)
	return nil
}

// bodyByHand makes the body. The caller holds mu.
func (s *Sim) bodyByHand(b ByHand) ([]byte, error) {
	p := s.payments[b.PaymentKey]
	ofPayment := b.EventType == EventPayment || b.EventType == EventDeposit
	if ofPayment && b.Data == nil {
		if p == nil {
			return nil, fmt.Errorf("tosstest: %s by hand: no payment %q", b.EventType, b.PaymentKey)
		}
		c := p.clone()
		if b.Status != "" {
			c.Status = b.Status
		}
		if b.Secret != "" {
			c.Secret = &b.Secret
		}
		if b.EventType == EventDeposit {
			return s.depositBody(c), nil
		}
		return s.paymentBody(c), nil
	}
	if b.EventType == EventDeposit {
		return b.Data, nil // its fields are the body
	}
	if b.Data == nil {
		sample, ok := s.samples()[b.EventType]
		if !ok {
			return nil, fmt.Errorf("tosstest: %q by hand: want data, or one of %s, %s, %s", b.EventType, EventPayment, EventDeposit,
				strings.Join(slices.Sorted(maps.Keys(s.samples())), ", "))
		}
		b.Data = marshal(sample)
	}
	if documentedAsSigned(b.EventType) {
		return marshal(map[string]any{
			"eventType": b.EventType, "createdAt": stamp(s.clock.now()), "version": "2022-11-16", "eventId": "evt_" + random(16),
			"entityType": strings.TrimSuffix(b.EventType, ".changed"), "entityBody": b.Data,
		}), nil
	}
	return marshal(map[string]any{"eventType": b.EventType, "createdAt": s.createdAt(), "data": b.Data}), nil
}

// samples are the bodies of events that no payment of ours causes. The caller
// holds mu.
func (s *Sim) samples() map[string]any {
	now := s.clock.now()
	return map[string]any{
		"payout.changed": map[string]any{
			"id": "FPA_" + random(12), "refPayoutId": "payout-" + random(8), "destination": "sel_sandbox",
			"scheduleType": "SCHEDULED", "payoutDate": now.In(kst()).Format("2006-01-02"),
			"amount": Amount{"KRW", 120000}, "transactionDescription": "정산", "requestedAt": stamp(now),
			"status": "COMPLETED", "error": nil, "metadata": nil,
		},
		"seller.changed": map[string]any{
			"id": "sel_sandbox", "refSellerId": "seller-1", "businessType": "INDIVIDUAL", "company": nil,
			"individual": map[string]string{"name": "김민지", "email": "seller@example.com", "phone": "01000000000"},
			"account":    map[string]string{"bankCode": "092", "accountNumber": "100000000000", "holderName": "김민지"},
			"status":     "APPROVED", "metadata": nil,
		},
		"CANCEL_STATUS_CHANGED": Cancel{TransactionKey: transactionKey(), CancelReason: "관객 요청", CanceledAt: stamp(now),
			CancelAmount: 1000, CancelStatus: "DONE"},
		"BILLING_DELETED": map[string]string{"billingKey": "bk_" + random(24)},
		"METHOD_UPDATED":  map[string]string{"customerKey": "cust-sandbox", "methodKey": "mk_" + random(8), "status": "ENABLED"},
		"CUSTOMER_STATUS_CHANGED": map[string]string{"customerKey": "cust-sandbox", "status": "CREATED",
			"changedAt": s.createdAt()},
	}
}
