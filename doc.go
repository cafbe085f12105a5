// Package hookkeeper receives payment webhooks safely: it verifies each
// delivery on its raw bytes, records it durably once, answers in milliseconds,
// and works it through a durable queue, so that each effect happens once.
//
//	store, err := sqlite.Open("hookkeeper.db", sqlite.Options{})
//	keeper, err := hookkeeper.New(hookkeeper.Config{
//		Store:    store,
//		Sources:  []hook.Source{source.Stripe("stripe", secret)},
//		Handlers: []hook.Route{{Name: "welcome", Source: "stripe", Types: "checkout.session.completed", Handler: welcome}},
//	})
//	mux.Handle("/hooks/", keeper) // a plain http.Handler on your own mux
//	err = keeper.Run(ctx)         // works the queue; returns when all has ended
//
// A 200 means: on disk. A handler does its slow and remote work outside any
// transaction and returns an effect, which commits together with the end of its
// job. What was refused leaves nothing. Everything that happened can be listed
// and done again.
//
// It refuses a configuration in which something dangerous is empty, and it
// never trusts what a sender has not signed: such a delivery is a hint, and its
// handler must ask the sender.
package hookkeeper
