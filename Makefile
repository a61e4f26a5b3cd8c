# The three that matter: `make demo`, `make test` and `make test-all`. Each makes what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# `make demo OUTPUT=/some/where` writes elsewhere.
OUTPUT ?= dist
# Three for two cores: tests also wait for servers, disks and processes that they end.
TEST_PROCESSES ?= 3
# A process that has run its tests takes over half of those that another one still has; what is dear to make, all share.
PYTEST = $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist worksteal
# Linters take one processor at a time.
WITH_LINTERS = --no-print-directory --jobs=2 lint
# Whatever the pages' builder complains about is an error.
DOCS = $(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet
# Whatever the shell says: without bytecode each process that a test starts compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE
# When make began, in seconds.
STARTED := $(shell date +%s)
CHECKPOINT = checkpoints/nasnet-a_mobile_synthetic.tar.gz

.DEFAULT_GOAL := help
.PHONY: help install demo docs test test-all pytest test-compat bench bench-release lint format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What nasexport itself needs, which is TensorFlow above all; no extra, no linter, nothing for tests.
$(BIN)/.usable: pyproject.toml requirements.lock
	@echo "Installing nasexport in $(VENV): 2.2 GB, nearly all of it TensorFlow and what it needs"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	touch $@

$(BIN)/.installed: $(BIN)/.usable
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

install: $(BIN)/.installed ## Make a virtual environment with nasexport and what its tests need

$(CHECKPOINT): | $(BIN)/.usable
	$(BIN)/nasexport synth nasnet_mobile --output $@

demo: $(BIN)/.usable $(CHECKPOINT) ## Install what nasexport needs, then build and verify nasnet_mobile version 4 from a synthetic checkpoint
	$(BIN)/nasexport build nasnet_mobile --format saved_model_2 --checkpoint $(CHECKPOINT) --output $(OUTPUT) --overwrite
	@echo "The demo took $$(($$(date +%s) - $(STARTED))) s, and $$(du -sh $(VENV) | cut -f 1) of disk in $(VENV)"

docs: $(BIN)/.installed ## Install, then make a site of docs/ in build/docs
	$(DOCS) docs build/docs

test: $(BIN)/.installed ## Install, then run the linters and the tests that take minutes
	@$(MAKE) $(WITH_LINTERS) pytest SELECTED="-m 'not (full or readers or breaks or more_stops or long)'"

test-all: $(BIN)/.installed ## Install, then run the linters and all tests: full-size networks, old readers and writers
	@$(MAKE) $(WITH_LINTERS) pytest

pytest: $(BIN)/.installed
	$(PYTEST) $(SELECTED)

test-compat: $(BIN)/.installed ## Install, then run the tests with old readers and writers alone
	$(PYTEST) -m readers

# `make bench BENCH="--only load --runs 5"` measures less, or more often; docs/explanation/performance.md says what there is.
bench: $(BIN)/.installed ## Install, then measure speed, memory and size beside others: takes more than an hour
	$(BIN)/python -m benchmarks $(BENCH)

bench-release: $(BIN)/.installed ## Install, then measure the making of a whole release
	$(BIN)/python -m benchmarks --only release $(BENCH)

lint: $(BIN)/.installed ## Check style, format and types, and the files for CI and containers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/shellcheck .ci/*
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/hadolint Dockerfile

format: $(BIN)/.installed ## Put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pin the newest versions that pyproject.toml allows, for every Python, in requirements.lock
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet 'uv>=0.5,<1'
	build/lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --upgrade \
	  --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock
	build/lock/bin/python -m pip install --quiet --dry-run --constraint requirements.lock '.[dev]'
	rm -rf build/lock

clean: ## Remove what the other targets made here; what tests share is in the cache folder
	rm -rf $(VENV) build dist checkpoints .mypy_cache .pytest_cache .ruff_cache .hypothesis
