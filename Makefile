# Every target sets up what it needs in .venv, with pip alone.
#
#   make demo          the main job, offline
#   make examples      the programs in examples/ that need no typing, offline
#   make test          the tests, in as many processes as there are cores
#   make test-slow     those that take longer: benchmark programs, shipped kits, many random cases
#   make test-browser  the web chatbot in a Chromium, where there is one
#   make doors         every way of asking under each openai version, as a table
#   make second-opinion  the chat doors against another provider than our own, llmock
#   make lint          style and types
#   make docs          the documentation as a site, in build/site
#   make check         what CI runs
#
# PYTHON=python3.12 chooses the interpreter, VENV=.venv-3.12 another place for it, EXTRAS=openai what is
# installed of the optional dependencies, ARGS="-k name" goes on to pytest or the demo, OPENAI="1 2.54.0"
# chooses the versions for the doors, WORKERS=0 one process for the tests (for --pdb, or to read what they print).

EXTRAS ?= all
VENV ?= .venv
ARGS ?=
OPENAI ?= 1 2 3
WORKERS ?= auto
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The tests start some hundred processes: each of them would compile convmem anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

# A worker that has nothing left takes tests from the others: some tests take a hundred times as long as most.
PYTEST := -m pytest -n $(WORKERS) --dist worksteal

# The first of these that is new enough and can make a virtual environment.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
endif

.PHONY: help demo examples test test-slow test-browser doors second-opinion lint format docs wheel-check check clean

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@'$(PYTHON)' -c '$(SUITABLE)' 2>/dev/null || { \
	echo "convmem needs Python 3.11 or newer with venv; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"

$(VENV)/.main: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), about a minute"
	$(PIP) install --quiet --editable ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.test $(VENV)/.examples $(VENV)/.browser $(VENV)/.lint $(VENV)/.docs $(VENV)/.build: $(VENV)/.%: $(VENV)/.main
	$(PIP) install --quiet --group $*
	@touch $@

demo: $(VENV)/.main
	@if [ -x $(BIN)/convmem ]; then $(BIN)/convmem demo $(ARGS); else $(BIN)/python examples/quickstart.py; fi

EXAMPLES := quickstart streaming agent custom_policy custom_store langchain_memory
examples: $(VENV)/.examples
	@for each in $(EXAMPLES); do echo "== examples/$$each.py"; \
	env -u OPENAI_API_KEY -u OPENAI_BASE_URL $(BIN)/python examples/$$each.py && echo || exit 1; done

test: $(VENV)/.test $(VENV)/.examples
	$(BIN)/python $(PYTEST) $(ARGS)

test-slow: $(VENV)/.test $(VENV)/.examples
	$(BIN)/python $(PYTEST) -m slow $(ARGS)

# Not part of `make test`: a browser is no small thing to ask for. SHOTS=FOLDER keeps pictures.
test-browser: $(VENV)/.test $(VENV)/.examples $(VENV)/.browser
	$(BIN)/python -m pytest tests/examples/browser_web_chat.py $(ARGS)

# A version is the beginning of one: 1 is the newest 1.x that there is. What of wrap/ is about providers and bodies
# is the same under each.
doors: $(foreach version,$(OPENAI),.venv-openai-$(version)/.doors)
	@mkdir -p build/doors && rm -f build/doors/*
	@for version in $(OPENAI); do .venv-openai-$$version/bin/python $(PYTEST) tests/doors tests/wrap --quiet \
	--ignore=tests/wrap/test_dialects.py --ignore=tests/wrap/test_bad_input.py \
	--junitxml=build/doors/$$version.xml $(ARGS) || failed=1; done; \
	.venv-openai-$(lastword $(OPENAI))/bin/python -m tests.doors.table build/doors/*.xml && test -z "$$failed"

second-opinion: .venv-llmock/.doors
	.venv-llmock/bin/python -m tests.doors.second_opinion

.venv-llmock/.doors: pyproject.toml
	'$(PYTHON)' -m venv .venv-llmock
	.venv-llmock/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-llmock/bin/python -m pip --disable-pip-version-check install --quiet --editable ".[openai]" llmock==0.2.2
	@touch $@

.venv-openai-%/.doors: pyproject.toml
	'$(PYTHON)' -m venv .venv-openai-$*
	.venv-openai-$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-openai-$*/bin/python -m pip --disable-pip-version-check install --quiet --editable . "openai==$*.*" --group test
	@touch $@

# The types of the tests are looked at too, so they need what the tests need.
lint: $(VENV)/.lint $(VENV)/.test
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format

# A link to a page or a heading that is not there ends it.
docs: $(VENV)/.docs
	@$(BIN)/zensical build --strict --clean

wheel-check: $(VENV)/.build
	VENV=$(VENV) tests/packaging/check.sh

check:
	.ci/run

clean:
	rm -rf .venv .venv-* .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
