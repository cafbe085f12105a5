// Package dev is the developers' door: it composes deliveries that look like a
// sender's, signs them as the sender does, sends them to a running hookkeeper
// over HTTP and says whether each answer is the one that was due. It is also
// the client of the operators' API.
//
// It promises that a composed delivery is a new event each time (unless told
// otherwise) and that a scenario knows its right answers beforehand. It never
// opens a store and never asks a sender: everything it sends comes out of the
// binary or from the caller.
package dev
