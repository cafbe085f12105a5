# hookkeeper. `make` lists everything; each target also installs what it needs.

SHELL := /bin/bash
GO ?= go
export CGO_ENABLED = 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: bin/hookkeeper ## the binary, bin/hookkeeper

.PHONY: bin/hookkeeper
bin/hookkeeper:
	@$(GO) build -trimpath -ldflags "-s -w" -o bin/hookkeeper ./cmd/hookkeeper

.PHONY: run
run: build ## build and start hookkeeper dev: receives on :8080, operators on :8081
	@exec bin/hookkeeper dev

.PHONY: test
test: check oracles crash browser ## everything: check, the senders' own SDKs, the crash tests, and the pages in a browser
	@echo "all tests passed"

.PHONY: check
check: ## format, vet, staticcheck, house rules, unit tests with and without the race detector, fuzzing
	@scripts/check

.PHONY: crash
crash: ## kills, stops and known mistakes against the built binary
	@scripts/crash

.PHONY: torture-selftest
torture-selftest: ## shows that a torture catches each known mistake, on SQLite and on PostgreSQL
	@scripts/torture-selftest

.PHONY: browser
browser: ## the checkout and the dashboard in Chromium, and the committed scripts against a fresh build
	@scripts/browser

.PHONY: oracles
oracles: ## deliveries signed by the senders' own SDKs
	@scripts/oracles

.PHONY: race
race: ## every package under the race detector, long ones included (ten minutes)
	@scripts/need gcc gcc
	@CGO_ENABLED=1 $(GO) test -race $$(scripts/unraced) -short -shuffle=on -count=1 ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 5s)
	@scripts/fuzz

.PHONY: bench
bench: build ## deliveries and jobs a second on this machine, beside the same server without a store
	@bin/hookkeeper bench
	@$(GO) test -run '^$$' -bench . -benchmem ./source ./sqlite

.PHONY: bench-compare
bench-compare: ## hookkeeper beside the ways people do it today, on one PostgreSQL; writes bench/RESULTS.md
	@scripts/bench-compare

.PHONY: bench-10m
bench-10m: build ## reception with ten million events stored; writes bench/RESULTS-10m.md (minutes, 15 GB of disk)
	@scripts/bench-10m

.PHONY: desk-10m
desk-10m: ## every page over ten million events, and a replay of a million; writes bench/RESULTS-desk.md (two hours, 25 GB of disk)
	@scripts/desk-10m

.PHONY: vuln
vuln: ## known vulnerabilities in what we use (needs the network)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
