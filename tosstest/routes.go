package tosstest

import "net/http"

// routes are all addresses that the simulator has.
func (s *Sim) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/payments/confirm", s.api("confirm", s.confirm))
	mux.HandleFunc("GET /v1/payments/{paymentKey}", s.api("get", s.get))
	mux.HandleFunc("GET /v1/payments/{paymentKey}/{part}", s.below)
	mux.HandleFunc("POST /v1/payments/{paymentKey}/cancel", s.api("cancel", s.cancelByCall))
	mux.HandleFunc("GET /v1/transactions", s.api("transactions", s.list))
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		c := &apiCall{w: w, r: r, entry: &Call{}}
		c.refuse(problem("NOT_FOUND"))
		s.write(c)
	})
	mux.HandleFunc("GET /v2/standard", s.script)
	for pattern, f := range map[string]http.HandlerFunc{
		"/sdk/ops/{op}": s.operation, "/sdk/payments": s.open, "/sdk/hung/{id}": s.hungOperation,
	} {
		mux.HandleFunc("POST "+pattern, crossOrigin(f))
		mux.HandleFunc("OPTIONS "+pattern, crossOrigin(f))
	}
	mux.HandleFunc("GET /sdk/frame", s.frame)
	mux.HandleFunc("GET /pay/{paymentKey}", s.window)
	mux.HandleFunc("GET /receipt/{paymentKey}", s.window)
	mux.HandleFunc("POST /pay/{paymentKey}/{how}", s.decide)
	if s.opts.PayByGET {
		mux.HandleFunc("GET /pay/{paymentKey}/{how}", s.decide)
	}
	mux.HandleFunc("GET /{$}", s.console)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.control(mux)
	return mux
}

// below is what lies under a payment's address: by order id, and the link in its
// field checkout.
func (s *Sim) below(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("paymentKey") == "orders" {
		r.SetPathValue("orderId", r.PathValue("part"))
		r.SetPathValue("paymentKey", "")
		s.api("get", s.get)(w, r)
		return
	}
	if r.PathValue("part") == "checkout" {
		http.Redirect(w, r, "/pay/"+r.PathValue("paymentKey"), http.StatusFound)
		return
	}
	http.NotFound(w, r)
}
