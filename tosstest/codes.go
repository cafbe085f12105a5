package tosstest

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// apiError is an answer that says no. Its text names the code only.
type apiError struct{ code string }

func (e *apiError) Error() string { return "tosstest: " + e.code }

func problem(code string) error { return &apiError{code} }

// Code gives the Toss error code of an error that a method of Sim returned, or
// an empty text if it has none.
func Code(err error) string {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.code
	}
	return ""
}

// meaning is what the simulator knows of an error code. The texts are our own:
// nothing may match on them.
type meaning struct {
	status int
	ko, en string
}

func meaningOf(code string) meaning {
	const (
		bad, forbidden, missing = http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound
		broken                  = http.StatusInternalServerError
	)
	known := map[string]meaning{
		"UNAUTHORIZED_KEY":                          {http.StatusUnauthorized, "시크릿 키를 확인할 수 없어요.", "The secret key is not known."},
		"INVALID_REQUEST":                           {bad, "요청 내용이 올바르지 않아요.", "Something in the request is not right."},
		"NOT_FOUND":                                 {missing, "없는 주소예요.", "There is nothing at this address."},
		"NOT_FOUND_PAYMENT":                         {missing, "그런 결제가 없어요.", "There is no such payment."},
		"NOT_FOUND_PAYMENT_SESSION":                 {missing, "결제를 승인할 수 있는 시간이 지났거나 결제가 없어요.", "There is no payment to be confirmed, or its time is over."},
		"FORBIDDEN_REQUEST":                         {forbidden, "허용되지 않은 요청이에요.", "This is not allowed."},
		"ALREADY_PROCESSED_PAYMENT":                 {bad, "이미 승인이 끝난 결제예요.", "This payment has been dealt with before."},
		"IDEMPOTENT_REQUEST_PROCESSING":             {http.StatusConflict, "같은 멱등키의 요청이 아직 진행 중이에요.", "A request with this idempotency key is still running."},
		"INVALID_IDEMPOTENCY_KEY":                   {bad, "멱등키는 300자까지예요.", "An idempotency key has at most 300 characters."},
		"TOO_MANY_REQUESTS":                         {http.StatusTooManyRequests, "요청이 너무 많아요. 잠시 뒤에 다시 해 주세요.", "Too many requests, try again later."},
		"FORBIDDEN_CONSECUTIVE_REQUEST":             {forbidden, "같은 요청을 너무 빨리 반복했어요.", "The same request came again too soon."},
		"INVALID_REFUND_AMOUNT":                     {bad, "취소할 수 있는 금액보다 커요.", "The amount is more than what can be cancelled."},
		"EXCEED_MAX_REFUND_AMOUNT":                  {bad, "취소할 수 있는 금액보다 커요.", "The amount is more than what can be cancelled."},
		"ALREADY_CANCELED_PAYMENT":                  {bad, "벌써 취소된 결제예요.", "This payment has been cancelled before."},
		"NOT_CANCELABLE_PAYMENT":                    {forbidden, "취소할 수 없는 결제예요.", "This payment cannot be cancelled."},
		"NOT_CANCELABLE_AMOUNT":                     {forbidden, "이 금액은 취소할 수 없어요.", "This amount cannot be cancelled."},
		"NOT_ALLOWED_PARTIAL_REFUND":                {forbidden, "부분 취소를 할 수 없는 결제예요.", "This payment cannot be cancelled in part."},
		"NOT_MATCHES_REFUNDABLE_AMOUNT":             {bad, "취소 가능 금액이 서로 달라요.", "The refundable amount differs."},
		"INVALID_REFUND_ACCOUNT_INFO":               {bad, "환불 계좌가 올바르지 않아요.", "The refund account is not right."},
		"FAILED_REFUND_PROCESS":                     {broken, "은행이나 카드사에서 취소하지 못했어요.", "The bank or card company did not cancel."},
		"FAILED_METHOD_HANDLING_CANCEL":             {broken, "취소 중에 오류가 났어요.", "An error occurred while cancelling."},
		"FAILED_PARTIAL_REFUND":                     {broken, "부분 취소를 하지 못했어요.", "The partial cancellation did not work."},
		"COMMON_ERROR":                              {broken, "알 수 없는 오류가 났어요.", "An unknown error occurred."},
		"FAILED_INTERNAL_SYSTEM_PROCESSING":         {broken, "토스 쪽 처리 중 오류가 났어요.", "Toss had an error of its own."},
		"FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING": {broken, "결제를 마치지 못했어요.", "The payment was not brought to its end."},
		"UNKNOWN_PAYMENT_ERROR":                     {broken, "알 수 없는 결제 오류예요.", "An unknown error of the payment."},
		"PROVIDER_ERROR":                            {bad, "결제 기관에서 오류가 났어요.", "The card company or bank had an error."},
		"REJECT_CARD_PAYMENT":                       {forbidden, "한도나 잔액이 모자라요.", "The limit or balance does not suffice."},
		"REJECT_CARD_COMPANY":                       {forbidden, "카드사가 거절했어요.", "The card company refused."},
		"REJECT_ACCOUNT_PAYMENT":                    {forbidden, "계좌 잔액이 모자라요.", "The account's balance does not suffice."},
		"NOT_AVAILABLE_BANK":                        {forbidden, "은행이 쉬는 시간이에요.", "The bank is closed now."},
		"INVALID_PASSWORD":                          {forbidden, "비밀번호가 달라요.", "The password is wrong."},
		"EXCEED_MAX_AUTH_COUNT":                     {forbidden, "인증을 너무 많이 했어요.", "Too many attempts to authenticate."},
		"FDS_ERROR":                                 {forbidden, "위험 거래로 보여 막혔어요.", "Stopped as a suspicious payment."},
		"DUPLICATED_ORDER_ID":                       {bad, "이미 결제된 주문번호예요.", "This order id has been paid before."},
		"PAY_PROCESS_CANCELED":                      {bad, "구매자가 결제를 취소했어요.", "The buyer cancelled."},
		"PAY_PROCESS_ABORTED":                       {bad, "결제가 중단됐어요.", "The payment was broken off."},
		"EXPIRED_PAYMENT":                           {bad, "결제 시간이 지났어요.", "The payment's time is over."},
		"INVALID_API_KEY":                           {bad, "키가 서로 맞지 않아요.", "The keys are no pair."},
		"INVALID_ORDER_ID":                          {bad, "주문번호는 영문, 숫자, - _ = 로 6~64자예요.", "An order id has 6 to 64 of letters, digits, - _ and =."},
		"INVALID_ORDER_NAME":                        {bad, "주문 이름은 1~100자예요.", "An order name has 1 to 100 characters."},
	}
	if m, ok := known[code]; ok {
		return m
	}
	return meaning{bad, "시험으로 만든 오류예요: " + code, "An error made for a test: " + code}
}

func text(code string, english bool) string {
	if m := meaningOf(code); english {
		return m.en
	} else {
		return m.ko
	}
}

func english(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "en")
}

func hasOrigin(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// withQuery adds parameters behind those that an address has.
func withQuery(address string, pairs ...string) string {
	address, fragment, _ := strings.Cut(address, "#")
	sign := "?"
	if strings.Contains(address, "?") {
		sign = "&"
	}
	for i := 0; i < len(pairs); i += 2 {
		address += sign + pairs[i] + "=" + url.QueryEscape(pairs[i+1])
		sign = "&"
	}
	if fragment != "" {
		address += "#" + fragment
	}
	return address
}
