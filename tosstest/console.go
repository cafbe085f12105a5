package tosstest

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed assets/console.html
var consolePage string

// shown is how many of each list the console shows, newest first.
const shown = 50

func newest[T any](all []T) []T {
	all = slices.Clone(all[max(0, len(all)-shown):])
	slices.Reverse(all)
	return all
}

// console is the page for people: what is there, and buttons for what the
// outside world does.
func (s *Sim) console(w http.ResponseWriter, r *http.Request) {
	texts := consoleTexts(r)
	s.mu.Lock()
	to := s.out.url
	s.mu.Unlock()
	s.page(w, r, consolePage, map[string]any{
		"Text": texts, "Now": stamp(s.Now()), "Steps": []string{"1m", "11m", "31m", "24h", "168h"}, "Hung": s.Hung(),
		"Receiver": to, "Targets": Targets(), "Faults": s.Faults(), "Payments": newest(s.Payments()),
		"Deliveries": newest(s.Deliveries()), "Calls": newest(s.Calls()),
	})
}

// consoleFuncs are what the pages' templates use.
func consoleFuncs(r *http.Request) template.FuncMap {
	texts := consoleTexts(r)
	return template.FuncMap{
		"lang":    func() string { return language(r) },
		"actions": actions,
		"word":    func(action string) string { return texts["do."+action] },
		"clock":   func(t time.Time) string { return t.In(kst()).Format("15:04:05.000") },
	}
}

// actions are what the outside world can do to a payment in its state.
func actions(p Payment) []string {
	switch p.Status {
	case StatusReady:
		return []string{"authorize", "expire"}
	case StatusInProgress:
		return []string{"capture", "expire"}
	case StatusWaiting:
		if p.VirtualAccount == nil || p.VirtualAccount.Expired {
			return nil
		}
		return []string{"deposit", "refund"}
	case StatusDone:
		if p.VirtualAccount != nil {
			return []string{"refund", "depositError"}
		}
		return []string{"refund"}
	case StatusPartialCanceled:
		return []string{"refund"}
	}
	return nil
}

func consoleTexts(r *http.Request) map[string]string {
	if language(r) == "en" {
		return map[string]string{
			"title": "Toss sandbox", "note": "A simulator. No money moves, everything is gone when it stops.",
			"clock": "Clock", "release": "Release what hangs", "reset": "Reset", "receiver": "Deliveries go to",
			"faults": "Faults", "target": "Target", "action": "Action", "code": "Code", "order": "Add", "clear": "Clear",
			"payments": "Payments", "order_": "Order id", "amount": "Balance / total", "state": "State", "key": "Payment key",
			"window": "Payment window", "none": "None yet", "deliveries": "Deliveries", "time": "Time", "event": "Event",
			"answer": "Answer", "next": "Next attempt", "calls": "API calls",
			"do.authorize": "Approve", "do.expire": "Expire", "do.capture": "Capture", "do.deposit": "Deposit",
			"do.depositError": "Deposit error", "do.refund": "Refund all",
		}
	}
	return map[string]string{
		"title": "토스 샌드박스", "note": "시뮬레이터예요. 실제 돈은 움직이지 않고, 끄면 모두 사라져요.",
		"clock": "시계", "release": "멈춘 연결 풀기", "reset": "초기화", "receiver": "웹훅 받는 주소",
		"faults": "장애", "target": "대상", "action": "동작", "code": "코드", "order": "추가", "clear": "모두 지우기",
		"payments": "결제", "order_": "주문번호", "amount": "잔액 / 총액", "state": "상태", "key": "결제 키",
		"window": "결제창", "none": "아직 없어요", "deliveries": "웹훅 전송", "time": "시각", "event": "이벤트",
		"answer": "응답", "next": "다음 시도", "calls": "API 호출",
		"do.authorize": "승인", "do.expire": "만료", "do.capture": "승인 확정", "do.deposit": "입금",
		"do.depositError": "입금 오류", "do.refund": "전액 환불",
	}
}
