# `make demo` and `make test` are all that a new machine needs; each makes .venv if there is none.
#
#   PYTHON     interpreter for a new .venv                        make test PYTHON=python3.12
#   PIP_ARGS   more arguments for pip, for instance an index      see docs/start/install.md
#   WORKERS    test processes                                     make check WORKERS=1

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= auto
BIN := .venv/bin
SOURCES := kgrec/ops/backends/native.cpp $(wildcard kgrec/ops/backends/*.h) kgrec/data/native/ntriples.cpp kgrec/ops/folding.cpp kgrec/serving/tables/pruning.cpp
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses=8 --dist=worksteal
# The checks of shapes and types double the time of a test, so each runs without them, as users run kgrec, and those of tensor
# code once more with them; but not what is learned there, how often something is drawn or what metrics are over every order of
# ties, by calls that other tests make too, nor what runs in processes of its own, which check none.
UNCHECKED := -o addopts="--import-mode=importlib --strict-markers --doctest-modules"
TENSORS := tests/ops tests/nn tests/graph tests/models tests/training tests/evaluation tests/runs tests/explanation/effects
TRAININGS := cold_items or withheld_item or by_heart or nobody_used or the_same_seed_gives or killed_run or toy_learns or \
	facts_decide or built_again or factor_of_the_messages or in_batch_is_by or draws_depend or refits_in_closed_form or come_together or \
	need_rotations or does_not_import or freed_tables or four_orders or mean_over_every_order or loss_curves or ablation_and_tuning or authors_steps or comes_next or every_ten_epochs

.PHONY: demo test lint types layers check fix slow slow-all shapes fuzz bench schemas docs clean
.DEFAULT_GOAL := check

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt hatch_build.py $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[inspect,serve]"
	touch $@

.venv/.installed-dev: pyproject.toml constraints.txt hatch_build.py $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	touch .venv/.installed $@

.venv/.installed-docs: pyproject.toml constraints.txt | .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[docs,serve]"
	touch $@

demo: .venv/.installed            ## train, evaluate, recommend and explain on the bundled films
	$(BIN)/kgrec demo --out demo

test: lint                        ## everything that must hold before a change lands: quick and slow tests, shapes
	$(PYTEST) $(UNCHECKED) -m "not long and not gpu"
	$(MAKE) shapes

check: lint                       ## quick tests with shapes checked
	$(PYTEST)

lint: .venv/.installed-dev        ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) -j2 types layers

types: .venv/.installed-dev
	$(BIN)/mypy

layers: .venv/.installed-dev
	$(BIN)/lint-imports

slow: .venv/.installed-dev        ## wheel, accuracy bands, whole-program tests
	$(PYTEST) -m "slow and not long and not gpu"

slow-all: .venv/.installed-dev    ## what takes minutes a test, and every example of a property: by hand, before a release
	$(PYTEST) -m "long and not gpu"
	$(PYTEST) --hypothesis-profile=all -m "hypothesis and not long and not gpu"

shapes: .venv/.installed-dev      ## tests of tensor code with shapes checked
	$(PYTEST) -k "not ($(TRAININGS))" $(TENSORS)

fix: .venv/.installed-dev         ## format, mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: .venv/.installed-dev        ## every reader with 100,000 damaged files; hours
	$(PYTEST) --hypothesis-profile=fuzz tests/data/test_fuzz_*.py

bench: .venv/.installed-dev       ## every model on the bundled graphs, three seeds; writes bench.json
	$(BIN)/python benchmarks/models.py --out bench.json

schemas: .venv/.installed-dev     ## JSON Schemas of stored and printed records
	$(BIN)/python docs/schemas/write.py

docs: .venv/.installed-docs       ## the site, into build/docs; runs the tutorials
	$(BIN)/python docs/build.py

clean:                            ## everything that can be made again
	rm -rf .venv build dist demo bench.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
