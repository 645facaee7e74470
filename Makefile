# Airlock: what a person types. Everything lives in .venv and .airlock; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test coverage check chromium axe postgresql mcp-servers mcp-peers peers corpus chaos attack export-check bench schemas docs docs-site clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(VENV)/.installed ## make .venv with the pinned dependencies, and `airlock` and `airlock-worker` in it

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Airlock needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@echo "Installing pinned dependencies into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make $(VENV). On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@# editable, with the setuptools of the lock file: the index is asked for nothing more
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## the main job, start to end, without typing
	@$(BIN)/python -m devtools.demo

dev: setup ## the same services, kept up for a person; Ctrl-C stops them
	@$(BIN)/python -m devtools.dev

test: setup ## all tests, four at a time, then once more alone what failed
	@# modules are compiled once: else each of the many processes that tests start does it
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m devtools.suite

# the core alone, by its pure tests alone: what only a server shows is no table. See CONTRIBUTING.md for the bar.
CORE := base plans admission gates run monitoring alerts export wire
BRANCHES := 95
coverage: setup ## branch coverage of the pure core by tests/core; fails below the bar
	@mkdir -p .airlock/coverage
	@COVERAGE_FILE=.airlock/coverage/data $(BIN)/python -m pytest tests/core -n 2 -q $(CORE:%=--cov=airlock.%) \
	  --cov-branch --cov-report=term-missing:skip-covered --cov-report=json:.airlock/coverage/report.json
	@$(BIN)/python -m devtools.branch_coverage .airlock/coverage/report.json $(BRANCHES)

check: setup ## ruff, mypy strict, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

chromium: setup ## Debian's Chromium under .airlock, for the tests of the page that verify --html writes; installs nothing
	@$(BIN)/python -m devtools.chromium

axe: setup ## axe-core under .airlock, with which the tests of the console look for barriers; needs npm
	@$(BIN)/python -m devtools.axe

postgresql: setup ## Debian's PostgreSQL under .airlock unless one is installed, for the tests of the database tools; installs nothing
	@$(BIN)/python -m devtools.postgresql

mcp-servers: setup ## MCP servers by others under .airlock, each in an environment of its own, for the tests that attach them
	@$(BIN)/python -m devtools.mcp_servers

mcp-peers: setup ## the conformance suite and the inspector of MCP under .airlock, for the tests of `airlock mcp`; needs npm
	@$(BIN)/python -m devtools.mcp_peers

peers: setup ## the systems that `make bench` measures beside Airlock, in an environment of their own under .airlock
	@$(BIN)/python -m devtools.peers

corpus: setup ## 200 real plans through Airlock, compared with calling the APIs directly
	@$(BIN)/python -m devtools.corpus

chaos: setup ## a hundred plans while workers and the server are killed; then the real systems are asked
	@$(BIN)/python -m devtools.chaos

attack: setup ## an attacker with the namespace's API and without keys; bounded and seeded: make attack SEED=7
	@$(BIN)/python -m tests.attack $(if $(SEED),--seed $(SEED))

export-check: setup ## 500 plans of every ending: each exported number against a count from the raw histories
	@$(BIN)/python -m tests.workflows.export_counts --plans 500

bench: setup ## measure turns (beside other systems too, and killed), costs, locks, monitors, large plans; saved in .airlock/bench
	@$(BIN)/python -m devtools.peers || echo "The other systems are not measured: their packages could not be installed"
	@$(BIN)/python -m devtools.postgresql || echo "PostgreSQL could not be fetched: what needs it is not measured"
	@$(BIN)/python -m benchmarks.turn
	@$(BIN)/python -m benchmarks.others
	@$(BIN)/python -m benchmarks.killed
	@$(BIN)/python -m benchmarks.cost
	@$(BIN)/python -m benchmarks.contention
	@$(BIN)/python -m benchmarks.lock
	@$(BIN)/python -m benchmarks.monitor
	@$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.large_parts
	@$(BIN)/python -m benchmarks.large
	@$(BIN)/python -m benchmarks.size
	@$(BIN)/python -m benchmarks.waiting
	@$(BIN)/python -m benchmarks.check

schemas: setup ## write the JSON Schemas under schemas/
	@$(BIN)/python -m devtools.schemas

docs: setup ## write the generated parts of docs/
	@$(BIN)/python -m devtools.docs

docs-site: setup ## build the documents as a site in .airlock/site; a broken link stops it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The site is in .airlock/site: open .airlock/site/index.html"

clean: ## remove .venv, .airlock and what a build leaves
	rm -rf $(VENV) .airlock build *.egg-info
