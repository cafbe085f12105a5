// Package stripe is the billing department: it turns Stripe's events into the
// tables customers, subscriptions, payments and notifications, which an
// application can trust for access control.
//
// It promises that the tables equal Stripe's truth for every order of arrival,
// every duplicate and every API version in use; that each fact is told a user
// once; and that what was never delivered is fetched: with an API key a duty
// lists what Stripe recorded and compares every subscription. With a key an
// object is fetched anew inside its subject's turn; without one the versions of
// the events decide, and a row that they cannot decide is marked unsure.
//
// It refuses to guess: an API version that it does not know, or a body without a
// field that it needs, is a dead letter with that cause and changes nothing. A
// customer whose user is unknown makes the job wait.
//
// It is larger than other rooms because it is four projections that share one
// reading of the events; each is a file of its own.
package stripe
