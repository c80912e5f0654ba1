# Every target sets itself up in .venv; after that nothing needs the network.

.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.installed
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3.14 python3 python)
SEEDS ?= 2000
SHELL_SEEDS ?= 200
SOAK_SEEDS ?= 100000
FUZZ_EXAMPLES ?= 20000
SOAK_SHELL_SEEDS ?= 10000
VERSION := $(shell sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)

# A shim may be on the path and still not run, and some systems ship Python without venv: try, not look.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

.PHONY: help setup demo test check sim soak bench dist docs messages mutants constraints ci

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY) ## install everything into .venv (PYTHON=... picks the interpreter)

demo: $(READY) ## rotate an emulated fleet, kill the run half-way, resume, verify
	@$(BIN)/rollout demo

test: $(READY) ## run the whole test suite
	@$(BIN)/python -m pytest -q -n auto --dist worksteal

check: $(READY) ## format, lint, types, layers, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi rollout --optional-dependencies-dev-groups dev
	$(BIN)/deptry --no-ansi rollout tests benchmarks

sim: $(READY) ## simulate worlds with faults and crashes: SEEDS=2000 core, SHELL_SEEDS=200 whole
	@$(BIN)/python -m rollout.sim --seeds $(SEEDS) --jobs 2
	@$(BIN)/python -m rollout.sim --seeds $(SHELL_SEEDS) --shell

soak: $(READY) ## simulate, fuzz and kill schedulers for long, with 10,000 cases a property (SOAK_SEEDS=100000, SOAK_SHELL_SEEDS=10000, FUZZ_EXAMPLES=20000)
	@$(BIN)/python -m rollout.sim --seeds $(SOAK_SEEDS) --jobs 2
	@$(BIN)/python -m rollout.sim --seeds $(SOAK_SHELL_SEEDS) --jobs 2 --shell
	@$(BIN)/python -m rollout.sim --crash-pairs --jobs 2
	@$(BIN)/python -m tests.e2e.scheduled --ticks 30 --kills 20
	@$(BIN)/python -m tests.e2e.scheduled --ticks 30 --kills 20 --processes 2
	@$(BIN)/python -m pytest -q -n auto --hypothesis-profile=soak tests/core
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest -q $(wildcard tests/*/test_fuzz*.py)

bench: $(READY) ## measure what the README claims
	@$(BIN)/python -m benchmarks

dist: $(READY) ## build the wheel and the source archive in dist/, and the image where docker runs
	@rm -rf dist
	@$(BIN)/python -m hatchling build
	@if docker info > /dev/null 2>&1; then \
	  docker build -f deploy/container/Dockerfile -t rollout:$(VERSION) .; \
	else echo 'No image: no container engine runs on this machine.' >&2; fi

docs: $(READY) ## write the generated pages again: command line, manual page, diagrams, schemas
	@$(BIN)/python -m tests.reference
	@$(BIN)/python -m tests.manual
	@$(BIN)/python -m tests.diagrams
	@$(BIN)/python -m tests.cli.views.test_schemas
	@$(BIN)/rollout schema spec > schemas/key-rotation.v1.json

messages: $(READY) ## bring the catalogues of translations up to date, and compile them
	@$(BIN)/python -m tests.messages

mutants: $(READY) ## change the core line by line and count changes that no test notices (hours)
	@nice $(BIN)/mutmut run --max-children 2
	@$(BIN)/mutmut export-cicd-stats
	@cat mutants/mutmut-cicd-stats.json

constraints: $(READY) ## rewrite constraints.txt with the newest versions (needs the network)
	@set -eu; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BIN)/python -m venv "$$fresh"; \
	"$$fresh/bin/pip" install --quiet --disable-pip-version-check -e '.[all,dev]'; \
	"$$fresh/bin/pip" freeze --disable-pip-version-check --exclude-editable > "$$fresh/freeze"; \
	LC_ALL=C sort -f "$$fresh/freeze" > constraints.txt

ci: check test sim bench demo ## all of it but soak

$(READY): pyproject.toml constraints.txt
	@if $(BIN)/python -c '' 2> /dev/null; then exit 0; fi; \
	for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c '$(USABLE)' 2> /dev/null; then \
	    echo "Setting up .venv with $$("$$candidate" -V), once; this takes a minute or two."; \
	    "$$candidate" -m venv --clear .venv; exit; \
	  fi; \
	done; \
	echo 'rollout needs Python 3.11 to 3.14 with its venv module. Tried: $(CANDIDATES).' >&2; \
	echo 'Install one, or name it: make setup PYTHON=path/to/python3' >&2; \
	exit 1
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[all,dev]'
	@touch $@
