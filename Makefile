# Everything works without a network once `go mod download` has run, but lint,
# which fetches staticcheck the first time.

GO          ?= go
PACKAGES    ?= ./...
FUZZTIME    ?= 30s
BENCHTIME   ?= 200ms
STATICCHECK  = v0.8.2
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS      = -s -w -X github.com/national-alliance/alliance/node.Version=$(VERSION)
TOOLS       := bin/tools/$(shell $(GO) env GOVERSION)-staticcheck-$(STATICCHECK)
# Packages whose tests write their vectors anew with -update, the same on every run.
VECTORS      = ./protocol ./protocol/register ./protocol/referral
PLATFORMS    = linux/amd64 linux/arm64 linux/arm darwin/arm64 windows/amd64
# The race detector needs C, and finds nothing where no goroutine is started:
# a test keeps crypto and protocol free of them.
RACED       ?= ./node/...
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

export CGO_ENABLED = 0

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "%-9s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## bin/alliance
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/alliance ./cmd/alliance

.PHONY: test
test: ## every test but the scripts of real processes
	@$(GO) test -timeout 10m -skip '^TestScript' $(PACKAGES)

.PHONY: race
race: ## the node's tests under the race detector
	@CGO_ENABLED=1 $(GO) test -race -timeout 15m $(RACED)

.PHONY: e2e
e2e: ## scripts: whole networks of real processes
	@$(GO) test -list '^TestScript' ./cmd/alliance | grep '^TestScript' >/dev/null || { echo 'there are no scripts to run'; exit 1; }
	@$(GO) test -count=1 -timeout 10m -run '^TestScript' ./cmd/alliance/...

.PHONY: demo
demo: build ## an alliance of real processes; DEMO_DIR=… says where, KEEP=1 leaves it there
	@bin/alliance demo

.PHONY: lint
lint: $(TOOLS)/staticcheck ## gofmt, vet, staticcheck
	@files=$$(gofmt -l cmd crypto deploy node protocol); if [ -n "$$files" ]; then echo "not formatted, run gofmt -w:"; echo "$$files"; exit 1; fi
	@$(GO) vet $(PACKAGES)
	@$(TOOLS)/staticcheck $(PACKAGES)

$(TOOLS)/staticcheck:
	@GOBIN=$(CURDIR)/$(TOOLS) GOFLAGS= $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)

.PHONY: check
check: lint ## lint, modules, the rules of the house, generated files
	@$(GO) mod verify >/dev/null
	@$(GO) mod tidy -diff
	@$(GO) test -count=1 -run 'House|Readme' ./cmd/alliance
	@.ci/generated

.PHONY: generate
generate: ## write test vectors and other generated files anew
	@$(GO) generate $(PACKAGES)
	@$(GO) test -count=1 -run '^TestVectors' $(VECTORS) -update >/dev/null

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s, or 1000x)
	@for package in $$($(GO) list $(PACKAGES)); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$${package#github.com/national-alliance/alliance/} $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: bench
bench: ## Go benchmarks, BENCHTIME each; of a whole network: bin/alliance bench
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PACKAGES)

.PHONY: cross
cross: ## binaries for every platform, in bin/
	@for platform in $(PLATFORMS); do \
	  os=$${platform%/*} arch=$${platform#*/}; \
	  out=bin/alliance-$$os-$$arch; [ $$os != windows ] || out=$$out.exe; \
	  echo "$$out"; \
	  GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/alliance; \
	done

.PHONY: clean
clean: ## remove bin/
	@rm -rf bin
