# All that a working copy needs: Go, git, make and bash. Every tool is a Go module that go fetches and builds once. The
# TypeScript client needs Node.js too; without it that part is left out, and says so.
# `make` lists the targets.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ARGS     ?=
PKG      ?= ./...
BENCH    ?= .
COUNT    ?= 1
TIME     ?= 1s
CARTS    ?= 1000000
FUZZTIME ?= 10s
KILLS    ?= 20
SPECTRAL := 6.16.3
IMAGE    ?= cartd:devel
PUSH     ?=
BROWSER  ?= chromium

GOTEST := go test -shuffle=on -timeout 14m
NODE   := clients/typescript/with-node
BUF    := go tool -modfile=tools.mod buf

# Modules of their own, so that cartd's has nothing of theirs: those that are tested with it, and those that are linted. What
# k8s/image is made of takes minutes to compile: image-check lints it.
CHECKS  := k8s/check k8s/monitoring/check
MODULES := bench k8s/apiserver $(CHECKS)

# Writes pkg/messages as it should be into $$fresh, which goes away with the recipe's shell.
regenerate = fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	mkdir "$$fresh/pkg"; cp -R pkg/messages "$$fresh/pkg"; rm -f "$$fresh"/pkg/messages/*.pb.go; \
	$(BUF) generate proto --template proto/buf.gen.yaml --output "$$fresh"

.PHONY: help build run example test test-clients race lint generate generate-check openapi lint-openapi browser image image-check bench bench-million bench-http prove crash flood fuzz k8s-test monitor cover clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

build: ## Build bin/cartd, static and stamped with VERSION
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/cartd ./cmd/cartd

run: build ## Serve the demo catalogue on http://127.0.0.1:8080, carts in ./data; ARGS='--idle 1m' adds flags
	bin/cartd serve $(ARGS)

example: ## Serve the example storefront on http://127.0.0.1:8082, with the cartd of 'make run'
	@$(NODE) npm run --silent example

test: ## Run all tests, with the race detector if there is a C compiler
	@if [ '$(PKG)' = ./... ]; then $(MAKE) --no-print-directory test-clients; k8s/monitoring/with-prometheus --or-skip true; fi; race=-race; if ! why=$$(go build -race runtime/cgo 2>&1); then race=; \
		printf '\n*** TESTING WITHOUT THE RACE DETECTOR: it cannot be built here.\n%s\n\n' "$$why" >&2; fi; \
	set -x; $(GOTEST) $$race $(PKG); if [ '$(PKG)' = ./... ]; then (cd bench; $(GOTEST) $$race ./...); \
		for module in $(CHECKS); do (cd $$module; $(GOTEST) ./...); done; fi

test-clients: build openapi ## Test the TypeScript client against bin/cartd, if there is Node.js or apt-get can install it
	@$(NODE) --or-skip npm run --silent generate-check || { echo >&2 "The client's types are not those of the contract: run 'make generate' and commit the result."; exit 1; }
	@$(NODE) --or-skip npm --silent test

race: ## Run all tests with the race detector, or fail; COUNT=20 repeats them
	$(GOTEST) -race -count=$(COUNT) $(PKG)

lint: ## Look for what tools can find: gofmt, go vet, go fix, staticcheck, buf
	gofmt -d bench cmd internal k8s pkg
	go vet $(PKG)
	go fix -diff $(PKG)
	go tool staticcheck $(PKG)
	staticcheck=$$(go tool -n staticcheck); for module in $(MODULES); do (cd $$module; go vet ./...; go fix -diff ./...; "$$staticcheck" ./...); done
	$(BUF) lint proto

generate: openapi ## Make pkg/messages anew from proto/, the PrometheusRule from its rules, and the TypeScript client's types from the contract
	@$(regenerate); rm -f pkg/messages/*.pb.go; cp "$$fresh"/pkg/messages/*.pb.go pkg/messages
	go run ./internal/prometheusrule k8s/monitoring/rules >bin/prometheusrule.yaml; mv bin/prometheusrule.yaml k8s/monitoring/operator/
	@$(NODE) --or-skip npm run --silent generate

generate-check: ## Fail if pkg/messages is not what proto/ makes it; tests hold the PrometheusRule to its rules
	@$(regenerate); git --no-pager diff --no-index --no-ext-diff pkg/messages "$$fresh/pkg/messages" || \
		{ echo >&2 "pkg/messages is not what proto/ makes it (above): run 'make generate' and commit the result."; exit 1; }

openapi: ## Write bin/openapi.json, the contract that servers answer at /openapi.json
	@mkdir -p bin
	go run ./internal/api/openapi/print >bin/openapi.json

lint-openapi: openapi ## Look through the contract with Spectral, if there is npm
	@if ! timeout 120 npx --yes @stoplight/spectral-cli@$(SPECTRAL) --version >/dev/null 2>&1; then \
		printf '\n*** THE CONTRACT WAS NOT LINTED: npx is not here, or cannot fetch Spectral.\n\n' >&2; exit 0; fi; \
		set -x; npx --yes @stoplight/spectral-cli@$(SPECTRAL) lint bin/openapi.json --ruleset .spectral.yaml --fail-severity hint

browser: ## Open /docs in a Chromium, and see that it shows all; BROWSER=google-chrome
	CARTD_TEST_BROWSER=$(BROWSER) go test -count=1 -v -run '^TestDocsShowEveryOperationInABrowser$$' ./internal/api

image: ## Write bin/image (OCI layout), bin/image.tar and bin/image-sbom; IMAGE=cartd:v1 names it, PUSH=registry.example/cartd:v1 sends it
	@mkdir -p bin
	go build -C k8s/image -o ../../bin/image-builder .
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} bin/image-builder -version '$(VERSION)' -tag '$(IMAGE)' -push '$(PUSH)'

image-check: ## Build the image twice, the second time from a copy of the sources with nothing built; run it read-only (root, Linux)
	staticcheck=$$(go tool -n staticcheck); cd k8s/image; go vet ./...; go fix -diff ./...; "$$staticcheck" ./...; go test -count=1 -v -timeout 60m ./...

monitor: build ## Serve the demo catalogue under a moderate load, and watch it with Prometheus on loopback; Ctrl-C ends all; ARGS='-rate 200'
	go build -C k8s/monitoring/check -o ../../../bin/ ./monitor
	@k8s/monitoring/with-prometheus bin/monitor -cartd bin/cartd $(ARGS)

bench: ## Run the benchmarks; BENCH=regexp, PKG=./pkg/actor, TIME=21x, COUNT=10 for go tool benchstat
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime=$(TIME) -count=$(COUNT) -timeout 30m $(PKG)

bench-million: ## Appends with 1,000,000 carts on disk beside 1,000 (5 GB under TMPDIR for some minutes); CARTS=100000
	CARTD_BENCH_CARTS=$(CARTS) go test -run '^$$' -bench ManyCarts -benchtime=$(TIME) -timeout 60m -v ./internal/eventlog/filelog

bench-http: build ## Adds over HTTP beside a bare net/http server, in turn, a minute (Linux); ARGS='-rounds 9 -round 5s'
	CGO_ENABLED=0 go build -C bench -trimpath -o ../bin/ ./bench-bare ./bench-http
	bin/bench-http -cartd bin/cartd -bare bin/bench-bare -dir bin $(ARGS)

prove: ## Take each line out that a promise rests on, one at a time, and see a test go red; ARGS='-run journal'
	go run ./internal/prove $(ARGS)

crash: ## Kill a server 20 times in a row under 64 writers, and compare with what was answered; KILLS=100
	CARTD_TEST_KILLS=$(KILLS) go test -count=1 -v -timeout 20m -run '^TestSixtyFourWritersSurviveKills$$' ./cmd/cartd

flood: ## A healthy client among 5,000 idle and 500 slow connections; 100,000 reads of carts that are not there
	CARTD_TEST_FLOOD=long go test -count=1 -v -timeout 20m -run '^(TestOthersThatMisbehaveDoNotSlowAHealthyClient|TestReadsOfCartsThatAreNotThereLeaveNothing)$$' ./cmd/cartd

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@go test -list '^Fuzz' $(PKG) | while read -r word pkg _; do case $$word in \
		Fuzz*) targets+=" $$word" ;; \
		ok) for target in $${targets-}; do (set -x; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null); done; targets= ;; \
	esac; done

k8s-test: ## Give k8s/ to a real Kubernetes API server; its first build takes some minutes; ARGS='-run Evict'
	k8s/apiserver/build
	cd k8s/apiserver; CARTD_K8S_BIN=$(CURDIR)/bin/k8s go test -count=1 -timeout 14m $(ARGS) ./...

cover: ## Write bin/cover.html, and the share of statements that tests reach
	@mkdir -p bin
	$(GOTEST) -coverpkg=./... -coverprofile=bin/cover.all $(PKG)
	@grep -v '\.pb\.go:' bin/cover.all >bin/cover.out; go tool cover -html=bin/cover.out -o bin/cover.html
	@go tool cover -func=bin/cover.out | tail -n 1

clean: ## Remove what the targets above have built; carts in ./data stay
	rm -rf bin clients/typescript/dist clients/typescript/build clients/typescript/node_modules
