# Everything here needs Go alone, but for the race detector (a C compiler), proto (protoc)
# and ethers (Node.js, npm and the network). Bare make lists the targets.

GO        ?= go
TIMEOUT   ?= 10m
FUZZTIME  ?= 3s
CHAOSFOR  ?= 60s
CHAOSTIME ?= 1h
# How many seeds it runs with applications in place of the key-value store, each in turn.
CHAOSAPPSEEDS ?= 8
# What make chaos does to real processes; 'parley chaos real --help' lists all.
CHAOSNEMESIS ?= all
# More flags for go test, such as TESTFLAGS=-count=1 or TESTFLAGS='-run TestRestarts -v'.
TESTFLAGS ?=

# Modules of their own, so that what only their tests need stays out of go.mod.
CROSSCHECK := crypto/bls/crosscheck statemachine/contract/crosscheck statemachine/registry/schema/crosscheck
# The same for what only comparisons need; bench/store too, whose modules take minutes to compile, is tested by hand.
BENCHES := bench bench/wire
# Where there are goroutines, locks or channels, in the code or in its tests, and what stands on the store, which
# has its own. Contracts are not among them: compiling go-ethereum for the race detector takes longer than all of
# these tests. 'make race RACE=./statemachine/contract/...' does it.
RACE ?= ./client ./client/api ./client/receipt ./replica ./statemachine $(addprefix ./statemachine/,access kv ledger/... registry \
	registry/registrytest statetest store) ./transport/connguard ./transport/internal/outbound ./transport/memory ./transport/tcp \
	./examples/counter ./examples/lock

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz-short cover cluster bench bench-peers acceptance chaos traitors ethers chaos-night proto ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the command, as bin/parley
	$(GO) build -o bin/parley ./cmd/parley

test: ## all tests
	for module in $(CROSSCHECK) $(BENCHES); do (cd $$module && $(GO) test -timeout $(TIMEOUT) $(TESTFLAGS) ./...) || exit 1; done
	$(GO) test -timeout $(TIMEOUT) $(TESTFLAGS) -tags ledgercheck -run TestTag ./statemachine/ledger
	$(GO) test -timeout $(TIMEOUT) $(TESTFLAGS) -tags chaos -run InTheDark ./chaos
	$(GO) test -timeout $(TIMEOUT) $(TESTFLAGS) ./...

# -short, since what takes long there has one goroutine.
race: ## tests of the packages with goroutines, under the race detector
	$(GO) test -race -short -timeout $(TIMEOUT) $(TESTFLAGS) $(RACE)

# Collecting garbage less often saves staticcheck a third of the processor's time; it takes some 1.5 GB then.
lint: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; }
	for module in . $(CROSSCHECK) $(BENCHES); do (cd $$module && $(GO) vet ./...) || exit 1; done
	$(GO) vet -tags chaos,ethers ./replica ./chaos ./chaos/real/... ./statemachine/contract/endpoint
	$(GO) vet -tags ledgercheck ./statemachine/ledger
	staticcheck=$$($(GO) tool -n staticcheck) && for module in . $(CROSSCHECK); do (cd $$module && GOGC=400 "$$staticcheck" ./...) || exit 1; done

fuzz-short: ## every fuzz target for FUZZTIME (3s; 200x for a count of runs)
	.ci/fuzz $(FUZZTIME)

cover: ## coverage of each package, and of all
	$(GO) test -timeout $(TIMEOUT) $(TESTFLAGS) -coverprofile=coverage.out ./...
	@$(GO) tool cover -func=coverage.out | tail -1

cluster: ## four replicas on this machine; Ctrl-C ends them
	$(GO) run ./cmd/parley cluster

bench: ## Go's benchmarks of all packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: ## Parley beside others; writes bench/RESULTS.md (BENCHFLAGS=--quick: in minutes)
	scripts/bench.sh $(BENCHFLAGS)

acceptance: ## real processes: kill -9, pauses, lost disks
	scripts/acceptance.sh

chaos: build ## a few minutes: seeds of the simulator, all mutants, real processes
	bin/parley chaos run --for $(CHAOSFOR) --jobs 2
	bin/parley chaos run --app all --seeds $(CHAOSAPPSEEDS) --jobs 2
	bin/parley chaos mutants --time 20s --shrink 0 --jobs 2
	bin/parley chaos real --app kv-store --seconds 20 --nemesis $(CHAOSNEMESIS)

traitors: ## contracts on a cluster of real servers, one of which equivocates
	$(GO) test -tags chaos -vet=off -timeout $(TIMEOUT) $(TESTFLAGS) -run 'TestStoryAmongTraitors/equivocate' ./statemachine/contract/endpoint

# What npm is to install, and node: without them it is skipped, and says so, unless PARLEY_TEST_REQUIRE_TOOLS=1.
ethers: ## contracts on a cluster of real servers, used by ethers.js, viem and Foundry's cast
	$(GO) test -tags ethers -vet=off -timeout $(TIMEOUT) $(TESTFLAGS) -v -run '^TestTools$$' ./statemachine/contract/endpoint

chaos-night: build ## for CHAOSTIME (1h) and an hour more; writes chaos/RESULTS.md
	scripts/chaos-night.sh $(CHAOSTIME)

proto: ## generate client/api from its .proto (needs protoc)
	$(GO) generate ./client/api

ci: ## what the continuous integration runs
	.ci/run

clean: ## remove what make has built
	rm -rf bin coverage.out
