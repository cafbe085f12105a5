package toss

import (
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// conditions are what must not last: money without a seat, refunds that do not go
// through, and orders that only a person can settle. The states stand as in the
// index that is read; what is refunded in the usual way is gone in minutes; a deposit may come days after its
// order, so the refund says since when.
func conditions() []hook.Condition {
	const page = "records/orders?attention=true"
	return []hook.Condition{
		{Rule: "paid_without_seat", Grave: true, Lasting: 10 * time.Minute, Page: page,
			Query: `SELECT o.id, coalesce((SELECT min(r.created_at) FROM refunds r WHERE r.order_id = o.id), o.created_at) AS since FROM orders o
				WHERE o.state IN ('issued', 'prepared', 'authorized', 'confirming', 'awaiting_deposit', 'compensating') AND o.captured > o.refunded
				UNION SELECT o.id, coalesce((SELECT min(r.created_at) FROM refunds r WHERE r.order_id = o.id), o.created_at) FROM orders o
				WHERE o.attention <> '' AND o.state <> 'paid' AND o.captured > o.refunded
				ORDER BY since LIMIT 1000`,
			Texts: map[string]hook.ConditionText{
				"en": {What: "%d orders are paid and have no seat", Do: "Open each order: ask Toss again, give the money back, or find a seat."},
				"ko": {What: "결제되었지만 자리가 없는 주문 %d개", Do: "주문을 열어 토스에 다시 묻거나, 환불하거나, 자리를 찾으세요."},
			}},
		{Rule: "refund_failing", Grave: true, Page: page,
			Query: `SELECT order_id, created_at FROM refunds WHERE state = 'open' AND attempts >= 3
				UNION SELECT id, updated_at FROM orders WHERE attention <> '' AND attention IN ('refund_refused', 'refund_slow')
				ORDER BY created_at LIMIT 1000`,
			Texts: map[string]hook.ConditionText{
				"en": {What: "%d refunds do not go through", Do: "Open each order: its newest refund says what Toss answered. A deposit may need another account to pay to."},
				"ko": {What: "진행되지 않는 환불 %d건", Do: "주문을 열어 최근 환불에 토스가 무엇이라고 답했는지 보세요. 입금은 다른 환불 계좌가 필요할 수 있습니다."},
			}},
		{Rule: "order_attention", Grave: true, Page: page,
			Query: `SELECT id, updated_at FROM orders WHERE attention <> '' AND attention NOT IN ('refund_refused', 'refund_slow')
				ORDER BY created_at LIMIT 1000`,
			Texts: map[string]hook.ConditionText{
				"en": {What: "%d orders need a person", Do: "Open each order: it says what does not agree with Toss."},
				"ko": {What: "사람이 봐야 하는 주문 %d개", Do: "주문을 열면 토스와 무엇이 맞지 않는지 나옵니다."},
			}},
	}
}
