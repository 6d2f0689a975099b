# The two commands: `make demo` and `make test`. Everything is installed into .venv, once.

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= 2

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help install demo test test-long test-index fuzz fuzz-guided lint format bench docs site wheel release-check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## Install everything into .venv

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; none is on PATH. Say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## Simulate a corpus, build it, train on it, and imagine faces for voices
	$(BIN)/voxdata demo demo

test: $(STAMP) ## Run the tests: some ten minutes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'not long and not index' tests

test-long: $(STAMP) ## Run the tests of whole builds, trainings, kills and servers: some forty minutes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m 'long and not index' tests

test-index: $(STAMP) ## Run the tests that ask a package index: the wheel in fresh environments, dlib beside our reading of its file
	$(BIN)/python -m pytest -m index tests/models/test_models_wheel.py tests/faces/test_faces_dlib.py

fuzz: $(STAMP) ## Feed every parser of foreign data thousands of new damaged files: hours; ROOM=crawl for one room
	$(BIN)/python -m pytest -n $(JOBS) --hypothesis-profile=long $(or $(wildcard tests/$(ROOM)/*_fuzz.py),$(wildcard tests/*/*_fuzz.py))

fuzz-guided: $(STAMP) ## Let coverage guide the same tests (atheris), a minute for each; ROOM=crawl for one room
	$(BIN)/python -m tests.guided_fuzz --corpus .fuzz $(if $(ROOM),tests.$(ROOM).)

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Write the generated pages: docs/recipes.md, docs/catalog.md and docs/errors.md
	$(BIN)/python -m flows.documents

site: $(STAMP) ## Build docs/ as a site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

wheel: $(STAMP) ## Build the wheel and the source archive, into dist/; the same commit gives the same wheel
	$(addprefix SOURCE_DATE_EPOCH=,$(shell git log -1 --format=%ct 2>/dev/null)) $(BIN)/python -m build --outdir dist . > /dev/null

release-check: $(STAMP) ## Say what keeps this commit from being the release that its tag names (CONTRIBUTING.md)
	$(BIN)/python -m tests.releasing

bench: $(STAMP) ## Run the benchmarks: on simulated people after `make demo`, on real data with DATA=folder
	@for script in $(if $(DATA),benchmarks/*.py,benchmarks/filters_on_truth.py benchmarks/demo_learning.py); do \
		echo "== $$script"; $(BIN)/python $$script $(if $(DATA),--data $(DATA)) || exit 1; done

clean: ## Remove what `make demo` left
	rm -rf demo
