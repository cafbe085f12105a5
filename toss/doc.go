// Package toss sells seats and things through Toss Payments: a client of the core
// API, products, orders and seats, the checkout page, and the settlement that
// keeps money and seats together.
//
// It promises:
//
//   - money moves only when confirm is called, and one function calls it, after
//     the seat is taken, the amount compared with the stored order and the order
//     committed as confirming;
//   - at most one order of a purchase is being confirmed or holds money, and no
//     more seats are given than a product has;
//   - what Toss answers when asked decides, never a redirect and never a
//     delivery: payment events are unsigned, so they are hints that only make us
//     ask;
//   - money that was taken and has no seat goes back once, through an outbox whose
//     rows are the idempotency keys; nothing is given back on a guess;
//   - what no rule covers (another amount at Toss, a refused refund) is left as
//     it is, shown under needs attention, and decided by a person.
//
// It refuses live keys beside a server that is not Toss's, and any call to Toss
// inside a transaction.
//
// It is larger than other packages because page, orders, seats and settlement
// stand on the same few rows and the same rules; DESIGN.md has the states.
package toss
