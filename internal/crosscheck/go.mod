module github.com/hookkeeper/hookkeeper/internal/crosscheck

go 1.26.0

toolchain go1.26.8

require (
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stripe/stripe-go/v85 v85.0.0
)
