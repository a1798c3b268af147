# `make help` lists what there is. Needs Python 3.11+ and make; everything else is installed into .venv.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
WORKERS ?= 2

# Every test, in an order drawn anew each time (the seed is printed; `ARGS="-p randomly -p no:xdist ..."` narrows).
PYTEST  := $(BIN)/pytest -n $(WORKERS) --dist loadfile --durations=10

.DEFAULT_GOAL := help
.PHONY: help setup demo test check up compose services itest-remote lint types fast coverage docs locked bench bench-signing chaos crash fuzz

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Make .venv with the locked dependencies and the `axis` command

$(VENV)/.ready: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: setup ## The main job: an axis and simulated stations on loopback, one table at the end
	$(BIN)/axis demo

up: setup ## Run an axis in this folder: one process, SQLite, nothing but Python
	$(BIN)/axis up

test: setup ## Every test, real RabbitMQ and PostgreSQL included; a skipped one is a failure
	@$(BIN)/python -m tests.services install
	$(PYTEST) --nothing-skipped $(ARGS)

check: lint types fast ## What to run before a commit: style, architecture, types, fast tests

lint: setup ## Style and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: setup ## mypy --strict, tests too
	$(BIN)/mypy

fast: setup ## The tests that need no server and little time
	$(PYTEST) -q -m "not service and not slow" $(ARGS)

compose: setup ## The services of docker-compose.yml without containers, until Ctrl-C
	@$(BIN)/python -m tests.services install
	@$(BIN)/python -m tests.compose.launcher

services: setup ## Start a private RabbitMQ and PostgreSQL, print how to use them, wait for Ctrl-C
	@$(BIN)/python -m tests.services

itest-remote: setup ## The service tests on servers elsewhere: AXIS_TEST_AMQP_URL, AXIS_TEST_DATABASE_URL
	@test -n "$$AXIS_TEST_AMQP_URL" && test -n "$$AXIS_TEST_DATABASE_URL" || { \
	  echo "Set AXIS_TEST_AMQP_URL (amqp://admin:password@host:5672/),"; \
	  echo "    AXIS_TEST_AMQP_MANAGEMENT_URL (http://admin:password@host:15672) and"; \
	  echo "    AXIS_TEST_DATABASE_URL (postgresql://role-that-may-create-databases:password@host:5432/postgres)."; \
	  exit 2; }
	$(PYTEST) -m "service and not private_node" --nothing-skipped $(ARGS)

bench: setup ## The whole way against the floor, on a private RabbitMQ and PostgreSQL; ARGS="--profile 100KBx3" narrows
	@$(BIN)/python -m tests.services install
	$(BIN)/python -m tests.bench $(ARGS)

bench-signing: setup ## Ours against signxml and xmlsec1 in one run, written to docs/signing-bench.md
	$(BIN)/python -m tests.signing.bench

# DOCUMENTS, KILLS, SEED, HUBS, STATIONS and PER_SECOND (0: as fast as they are answered) make it longer or the same again.
CHAOS = $(foreach name,documents kills seed hubs stations per_second,$(if $($(call upper,$(name))),--$(subst _,-,$(name)) $($(call upper,$(name)))))
upper = $(shell echo $(1) | tr a-z A-Z)

chaos: setup ## Break everything while documents flow, and give an exact account: DOCUMENTS=100000 KILLS=50 SEED=7
	@$(BIN)/python -m tests.services install
	$(BIN)/python -m tests.chaos $(CHAOS)

FUZZ_SECONDS ?= 600

fuzz: setup ## Ten minutes of hostile messages and certificates, by coverage and at random; the seed is printed
	cd $$(mktemp -d) && for entrance in messages materials; do \
	  PYTHONPATH=$(CURDIR) $(CURDIR)/$(BIN)/python -m tests.signing.fuzz_by_coverage $$entrance $$(($(FUZZ_SECONDS) / 4)) || exit 1; \
	done
	$(BIN)/python -W ignore -m tests.signing.fuzz --seconds $$(($(FUZZ_SECONDS) / 2))

crash: setup ## Kill at every single moment of the road, embedded and on servers; make test kills at every third or fourth
	@$(BIN)/python -m tests.services install
	AXIS_TEST_EVERY_MOMENT=1 $(PYTEST) --nothing-skipped tests/faults

coverage: setup ## Every test with branch coverage, also of the processes tests start
	@$(BIN)/python -m tests.services install
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile --nothing-skipped -q $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

docs: setup ## Write the generated parts of the documentation anew
	$(BIN)/python -m tests.project.write

locked: setup ## Resolve the dependencies anew and write requirements/*.txt with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev pyproject.toml \
	  --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml \
	  --generate-hashes --no-emit-index-url --no-header -o requirements/run.txt
