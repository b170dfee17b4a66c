# callbridge: every target sets up what it needs in .venv by itself.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that really runs, is new enough and can make a virtual environment: a shim may do none of it.
# 3.12 and 3.11 go first because the embedded redis-server has no wheel for later ones.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python; do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v "$$p"; break; }; \
	done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench storm screenshots clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(STAMP) ## run the whole product on embedded parts with simulated PBXs and CRM; prints the URLs
	@$(BIN)/callbridge demo

test: $(STAMP) ## run every test
	$(BIN)/python -m pytest

lint: $(STAMP) ## check style, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP) ## measure throughput and latency; takes some minutes
	@cd tests && ../$(BIN)/python -m bench

storm: $(STAMP) ## run every fault scenario in full, as a table; half an hour, and gcc is needed
	@cd tests && ../$(BIN)/python -m faults.storm

screenshots: $(STAMP) ## take the pictures of the README anew, from a rehearsed bad day; needs Chromium
	@cd tests && ../$(BIN)/python -m browser.screenshots

clean: ## remove what make has made; data in var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew only when pyproject.toml changes: the package itself is installed editable.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "callbridge needs Python 3.11 or newer with venv; Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON): once, a minute or two"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --editable '.[embedded,test,lint]' \
		| sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected packages.*/  installing/p'
	@touch $@
	@echo "Ready"
