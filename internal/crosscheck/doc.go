// Package crosscheck holds no code of its own, only tests: deliveries that the
// senders' own SDKs signed meet the built binary, and deliveries that the binary
// signed meet the SDKs.
//
// It is a module of its own so that nobody who uses hookkeeper downloads an SDK.
// It knows the binary, the two listeners and nothing from inside hookkeeper. It
// needs Node.js for the SDKs in the folder node; scripts/oracles prepares that.
package crosscheck
