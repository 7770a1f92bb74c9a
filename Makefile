# Tidegate's house-keeping. `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The interpreter that .venv is made from; empty: the first fitting one that scripts/setup.sh finds.
PYTHON ?=
BIN := .venv/bin
# Arguments for pytest, for example: make test ARGS="-k redirect"
ARGS ?=
# The image that `make image` builds; BASE=debian:trixie-slim builds it from that image.
IMAGE ?= tidegate:dev
# Files of values for `make manifests`.
VALUES ?=
# One benchmark by name, or one setting: make bench ONLY=endpoint-change, make mutation ONLY=proxy-body-size
ONLY ?=
# For `make mutation`: a part of the settings (SHARD=1/3), and 1 to forget earlier results.
SHARD ?= 1/1
FRESH ?=
# 1: `make demo` ends after its requests, 0 if each answer was right.
CHECK ?=
# Ports of the demo, if the usual ones are taken.
HTTP_PORT ?= 8080
HTTPS_PORT ?= 8443
ADMIN_PORT ?= 10254

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## install what is missing: Debian packages, and Python packages into .venv
	@TIDEGATE_PYTHON="$(PYTHON)" scripts/setup.sh

.PHONY: demo
demo: setup  ## a small shop behind a real NGINX on this machine; CHECK=1 ends after its requests
	@$(BIN)/python scripts/demo.py --http-port $(HTTP_PORT) --https-port $(HTTPS_PORT) --admin-port $(ADMIN_PORT) \
		$(if $(filter-out 0,$(CHECK)),--check)

.PHONY: test
test: setup  ## every test that needs no container engine
	@scripts/trixie-rootfs.sh
	@scripts/kube-programs.sh
	@scripts/tool-programs.sh
	@$(BIN)/pytest -n 2 $(ARGS)

.PHONY: e2e
e2e: setup  ## the chart in a kind cluster: installed, driven, rolled, killed, upgraded, uninstalled
	@scripts/e2e.sh $(ARGS)

.PHONY: bench
bench: setup  ## benchmarks beside their peers; ONLY=name runs one
	@$(BIN)/python tests/bench/run.py $(if $(ONLY),--only $(ONLY))

.PHONY: mutation
mutation: setup  ## ignores each setting in turn, which a test on NGINX must notice; ONLY=name, SHARD=1/3, FRESH=1
	@$(BIN)/python tests/mutation/mutate.py --shard $(SHARD) $(if $(ONLY),--only '$(ONLY)') $(if $(filter-out 0,$(FRESH)),--fresh)

.PHONY: lint
lint: setup  ## ruff, mypy, import contracts, luacheck, the chart
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	luacheck --quiet nginx-templates/lua
	$(BIN)/python scripts/chart.py --check
	@scripts/helm.sh --if-found lint --strict --quiet charts/tidegate

.PHONY: format
format: setup  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: image
image: setup  ## the container image tidegate:dev, and the list of its parts in dist/
	@scripts/image.sh $(IMAGE)
	@$(BIN)/python scripts/sbom.py $(IMAGE) dist/sbom.cdx.json

.PHONY: manifests
manifests:  ## dist/manifests.yaml: what the chart makes, for plain kubectl apply
	@mkdir -p dist
	@scripts/manifests.sh $(VALUES) >dist/manifests.yaml
	@echo "manifests: dist/manifests.yaml"

.PHONY: lock
lock:  ## write requirements.lock again; UPGRADE=1 takes the newest versions
	@UPGRADE="$(UPGRADE)" TIDEGATE_PYTHON="$(PYTHON)" scripts/lock.sh

.PHONY: clean
clean:  ## remove everything that the other targets made
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis bench-results dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
