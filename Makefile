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
