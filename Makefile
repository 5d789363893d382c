# Two commands matter: `make demo` and `make test`. Both need Python 3.11, 3.12 or 3.13 and make, nothing else.
# Everything is installed into .venv by hash from the lock files; nothing else on the machine is touched, except that
# `make test`, as root on Debian, installs the programs it tests against (see tests/gates/debian_programs.sh).

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check
BY_HASH := $(PIP) install --quiet --quiet --no-input --require-hashes
REPORTS := .reports
# Processes that pytest spreads the tests over; most tests wait more than they work, so there may be more than cores. 0
# runs them in one, which is what a debugger wants.
WORKERS ?= 3

.DEFAULT_GOAL := help
.SUFFIXES:

.PHONY: help
help: ## say what can be made (this list)
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# ---------------------------------------------------------------------------------------------------- environment

$(STAMPS)/runtime: requirements.lock requirements-build.lock
	@echo "==> Making $(VENV) and installing the locked packages that remediator runs on (once, about half a minute)"
	@python=$$(sh tests/gates/find_python.sh) && { test -x $(BIN)/python || "$$python" -m venv $(VENV); }
	@$(BY_HASH) -r requirements.lock -r requirements-build.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/project: $(STAMPS)/runtime pyproject.toml README.md LICENSE
	@echo "==> Installing remediator itself, in place"
	@$(PIP) install --quiet --quiet --no-input --no-index --no-build-isolation --no-deps --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/runtime requirements-dev.lock
	@echo "==> Installing the locked packages that test and check it (once, about half a minute)"
	@$(BY_HASH) -r requirements-dev.lock
	@touch $@

.PHONY: runtime
runtime: $(STAMPS)/project
# PYTHONDONTWRITEBYTECODE may be set: without bytecode of its own each start would compile every module again.
	@$(BIN)/python -m compileall -q remediator

.PHONY: dev
dev: runtime $(STAMPS)/dev

# ------------------------------------------------------------------------------------------------------ the two

.PHONY: demo
demo: runtime ## three incidents against a sandbox cluster, from webhook to ledger
	@$(BIN)/remediator demo

.PHONY: test
test: lint format type imports audit programs ## everything: lint, types, imports, vulnerabilities, tests, coverage
	@echo "==> Running the tests ($(WORKERS) processes)"
	@mkdir -p $(REPORTS)
	@rm -f .coverage .coverage.* $(REPORTS)/*.xml $(REPORTS)/*.json
	@status=0; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations 10 --cov --cov-report= \
	    --junit-xml=$(REPORTS)/tests.xml || status=$$?; \
	if [ $$status -eq 0 ]; then \
	    $(BIN)/python -m tests.gates.coverage_floors $(REPORTS)/coverage.json || status=$$?; \
	fi; \
	$(BIN)/python -m tests.gates.closing_lines $(REPORTS)/tests.xml || status=$$?; \
	exit $$status

# ------------------------------------------------------------------------------------------------------ its parts

.PHONY: lint
lint: dev ## ruff's rules
	@echo "==> Linting"
	@$(BIN)/ruff check --quiet .

.PHONY: format
format: dev ## check the formatting; `make format FIX=1` mends it
	@echo "==> Checking the format"
	@$(BIN)/ruff format --quiet $(if $(FIX),,--check --diff) .

.PHONY: type
type: dev ## mypy, strict
	@echo "==> Checking types (the first run takes a minute)"
	@$(BIN)/mypy

.PHONY: imports
imports: dev ## the import contracts: who may know whom
	@echo "==> Checking import contracts"
	@$(BIN)/lint-imports

.PHONY: audit
audit: dev ## known vulnerabilities in the locked packages
	@echo "==> Asking for known vulnerabilities"
	@$(BIN)/python -m tests.gates.audit requirements-dev.lock

.PHONY: programs
programs:
	@sh tests/gates/debian_programs.sh

.PHONY: unit
unit: dev ## the tests that are quick, without coverage
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q -m 'not slow'

.PHONY: faults
faults: dev programs ## the long form of the tests that nothing is lost or doubled (an hour; `SHORT=1`: minutes)
	@$(BIN)/python -m tests.faults $(if $(SHORT),--short)

.PHONY: acceptance
acceptance: dev programs ## the threshold table, row by row, with real Prometheus and Alertmanager (a minute)
	@$(BIN)/python -m tests.acceptance

.PHONY: mutants
mutants: dev ## take out one safeguard after the other, and see a test fail for each
	@$(BIN)/python -m tests.mutants

.PHONY: bench
bench: runtime ## throughput and latency beside the bare limit of this machine
	@$(BIN)/python -m bench intake
	@$(BIN)/python -m bench latency

.PHONY: lock
lock: dev ## make the lock files again from pyproject.toml, with the newest versions that it allows
	@echo "==> Resolving"
	@sh tests/gates/lock.sh $(BIN)/uv

.PHONY: clean
clean: ## remove everything that make made
	rm -rf $(VENV) $(REPORTS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f .coverage .coverage.*
	find remediator tests -name __pycache__ -type d -prune -exec rm -rf {} +
