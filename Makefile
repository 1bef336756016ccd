# Every target sets up what it needs. `make run` and `make test` need Go alone.
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty=-$(shell date -u +%Y%m%dT%H%M%S) 2>/dev/null)
LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: run build test race lint test-kafka conformance mutants fuzz sim crash memory demo bench

# The whole estate on this machine: embedded broker, invented traffic, quickened time.
# Built first, then run: `go run` calls an interrupted program a failed one.
run: build
	@bin/troupe run all

build:
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/ ./services/cmd/...

test:
	$(GO) vet ./...
	$(GO) test -timeout 5m ./...

# The same memory from two sides without an order: services, the runtime, its tables and
# codecs, and the conformance suite. Needs a C compiler, and takes five minutes.
race:
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./schemas/... ./topology/... ./services/... ./testenv/conformance/...

lint:
	$(GO) run $(LINT) run ./...

# A real Kafka and a real registry from their jars (Java 17 or later), kept in the
# user's cache directory: what holds on the embedded broker must hold here. With
# Python 3 the foreign service is run too, with kcat our records are read by it.
test-kafka:
	TROUPE_REAL=1 TROUPE_FOREIGN=1 $(GO) test -count=1 -p 1 -timeout 40m \
		./testenv/broker/... ./testenv/foreign/... ./testenv/walk/...

# The runtime's whole suite on a real Kafka: three minutes, seven on three nodes
# (make conformance NODES=3). Then a service that scales out and in.
conformance:
	TROUPE_REAL=1 TROUPE_NODES=$(NODES) $(GO) test -count=1 -p 1 -timeout 20m ./testenv/conformance/... ./testenv/crash/...

# The runtime without each of its guards, one at a time: a test has to fail. Needs Go
# alone, and takes a quarter of an hour; those of one guard: make mutants GUARD=5
GUARD ?= 0
mutants:
	@$(GO) run ./testenv/mutants -guard $(GUARD)

# Each fuzz target in turn: make fuzz FUZZTIME=10m, or of some of them make fuzz
# FUZZ=Open. What one finds lies in testdata/fuzz beside it, as it was found, and is tried
# by make test from then on. Nothing is minimised: that takes up to a minute an input,
# and one that the end meets in it is reported as a failure.
FUZZTIME ?= 30s
FUZZ ?=
fuzz:
	@set -e; for at in $$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z]*' schemas topology services testenv | sed 's|/[^/]*:func |:|' | grep "$(FUZZ)"); do \
		echo "$${at#*:} of $${at%:*}"; \
		$(GO) test "./$${at%:*}" -run '^$$' -fuzz "^$${at#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 0; \
	done

# The whole estate in virtual time, each seed in a process of its own. A seed gives
# the same faults again: make sim SEEDS=1 SEED=13
SEEDS ?= 100
sim:
	$(GO) test ./testenv/sim/virtual -run '^TestSeeds$$' -v -count=1 -timeout 0 -seeds $(SEEDS) -from $(SEED)

# Processes, the registry and, of three nodes, brokers are killed under load, then the log is
# judged. A seed that fails plays the same faults again: make crash SEED=7
CRASHES ?= 50
SEED ?= 1
NODES ?= 1
crash:
	$(GO) test ./testenv/crash -run TestCrashes -v -count=1 -timeout 0 -crashes $(CRASHES) -seed $(SEED) -nodes $(NODES)

# A backlog of ten million records, and a million events under one key, through a
# process whose heap is watched.
memory:
	TROUPE_REAL=1 TROUPE_BACKLOG=10000000 TROUPE_ONE_KEY=1000000 $(GO) test ./testenv/conformance -run TestMemoryIsBounded -v -count=1 -timeout 0

# A folder of history through the whole estate: make demo ORDERS=../history
demo:
	@test -n "$(ORDERS)" || { echo "which history? make demo ORDERS=DIR, such as ORDERS=testenv/world/history/testdata/small" >&2; exit 2; }
	$(GO) run ./services/cmd/troupe demo --orders $(ORDERS)

# The runtime beside a bare client and beside Kafka Streams, on a real Kafka (Java
# 17 or later, Maven); what a figure is stands in testenv/bench/README.md. A quick
# look at some of it: make bench ONLY=join,echo ROUNDS=1 SCALE=0.1
BENCH_OUT ?= text
ROUNDS ?= 5
SCALE ?= 1
ONLY ?=
PROFILE ?=
bench:
	@$(GO) build -o bin/bench ./testenv/bench
	@bin/bench -out $(BENCH_OUT) -rounds $(ROUNDS) -scale $(SCALE) -only "$(ONLY)" -profile "$(PROFILE)"
