# Every target sets up what it needs. `make run` and `make test` need Go alone.
GO ?= go
LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: test lint build
build:
	$(GO) build -o bin/ ./services/cmd/...

test:
	$(GO) vet ./...
	$(GO) test -timeout 5m ./...

lint:
	$(GO) run $(LINT) run ./...

# Ratios to a baseline taken in the same run; figures are kept in testenv/bench/README.md.
.PHONY: bench
bench:
	$(GO) test ./testenv/bench -run '^$$' -bench . -benchtime 3x
