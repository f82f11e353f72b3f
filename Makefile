# `make demo` sets up and runs the main job; `make test` sets up and passes every test.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing is compiled that is never imported.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
SERVE ?= 1
LOCKED := --quiet --universal --generate-hashes --no-emit-index-url --no-header
IMAGE := --extra postgresql --extra milvus
export LENSBACK_DATA ?= $(CURDIR)/../shared/data
# What one process compiles the next ones read, whatever the shell says of bytecode: a sync starts several,
# and the tests hundreds. Beside the environment, so that no folder of sources is littered.
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/$(VENV)/bytecode
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test check format lint types words docs bench hostile explore mutate wheel lock sbom clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/lensback: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $(BIN)/lensback

# What only tests and tools need is as large again, so the demo does without.
$(VENV)/dev: $(BIN)/lensback requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	touch $(VENV)/dev

# torch is for training only and large, so it stays out of the lock.
$(VENV)/train: $(VENV)/dev requirements-train.txt
	$(PIP) -r requirements-train.txt
	touch $(VENV)/train

# Ray, the checkers of deploy/ and the mutation tester, large as well; PostgreSQL and Milvus are fetched by their tests.
$(VENV)/cluster: $(VENV)/dev requirements-cluster.txt
	$(PIP) -r requirements-cluster.txt
	touch $(VENV)/cluster

demo: $(BIN)/lensback ## set up, ingest a demo catalogue, search three photos, serve the page (SERVE=0: do not serve)
	$(BIN)/lensback demo $(if $(filter 0,$(SERVE)),--no-serve,)

test: $(VENV)/train $(VENV)/cluster ## set up, then every test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/train $(VENV)/cluster format lint types test ## format, lint, types, tests

format: $(VENV)/dev
	$(BIN)/ruff format src tests bench tools

lint: $(VENV)/dev
	$(BIN)/ruff check src tests bench tools

types: $(VENV)/train $(VENV)/cluster
	$(BIN)/mypy

words: $(BIN)/lensback ## gather the texts of code and templates into src/lensback/locale/*.po, for the translators
	$(BIN)/pybabel -q extract -F pyproject.toml --no-location -o $(VENV)/texts.pot src/lensback
	for po in src/lensback/locale/*.po; do $(BIN)/pybabel -q update -i $(VENV)/texts.pot -o $$po -l $$(basename $$po .po) \
		--no-fuzzy-matching --ignore-obsolete --width 0 || exit 1; done
	sed -i -E '/^"(Project|Report|POT|PO|Last|Language-Team|Generated)/d' src/lensback/locale/*.po # says nothing

docs: $(BIN)/lensback ## the pages as a site, in build/docs (python -m http.server -d build/docs searches it); a broken link fails
	$(PIP) 'zensical==0.0.73'
	$(BIN)/python tools/docs_site.py build/docs

bench: $(VENV)/dev ## some benchmark scripts, each writing bench/results/NAME.json
	for script in feeds search_index latency main_job; do $(BIN)/python bench/$$script.py || exit 1; done

hostile: $(VENV)/dev ## attacks on a real service: the tests, then at length (bench/attacks.py)
	$(BIN)/python -m pytest -q tests/hostile
	$(BIN)/python bench/attacks.py

explore: $(VENV)/train $(VENV)/cluster ## tests of properties with new examples, 2,000 each; the suite tries the same ones each time
	$(BIN)/python -m pytest -n 2 -m hypothesis --hypothesis-profile=explore

mutate: $(VENV)/cluster ## how many small mistakes in the core the tests notice (MODULE=rank; SAMPLE=300 SEED=1)
	$(BIN)/python tools/mutate.py $(MODULE) $(if $(SAMPLE),--sample $(SAMPLE) --seed $(or $(SEED),1))

wheel: $(BIN)/lensback ## build dist/*.whl and try it: an empty environment, everything from the index, the main job
	rm -rf dist build/wheel && $(BIN)/python -m hatchling build -t wheel -d dist
	$(PYTHON) -m venv build/wheel && build/wheel/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	build/wheel/bin/pip check && cd build/wheel && bin/lensback demo --no-serve && bin/lensback search --example --workspace demo-workspace

lock: ## pin every dependency anew
	$(PIP) uv
	printf 'hatchling\neditables\n' | $(BIN)/uv pip compile $(LOCKED) --upgrade --output-file requirements.lock pyproject.toml -
	$(BIN)/uv pip compile $(LOCKED) --upgrade --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	echo hatchling | $(BIN)/uv pip compile $(LOCKED) --upgrade $(IMAGE) --constraint requirements-dev.lock --output-file deploy/requirements.lock pyproject.toml -

sbom: $(VENV)/cluster ## sbom.json: what is installed here, with versions and licences (CycloneDX)
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --no-validate --of JSON -o sbom.json $(BIN)/python

clean: ## forget the virtual environment and the demo
	rm -rf $(VENV) demo-workspace
