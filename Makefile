# The project's one door: the same targets here, in CI and in the README.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-faults lint typecheck bench fuzz browser clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(STAMP)  ## Install into .venv, with every version pinned
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: install  ## Train on bags, compare, and write a report to look at
	$(BIN)/bagreid demo

test: install browser  ## Run all tests
	$(BIN)/python -m pytest

test-faults: install  ## Kill, freeze, starve and damage real runs: a quarter of an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults

lint: install  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: install  ## Check types, strictly
	$(BIN)/mypy

bench: install  ## Run the benchmarks; results go to benchmarks/results
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python benchmarks/archive.py
	$(BIN)/python benchmarks/catalog_scale.py
	$(BIN)/python benchmarks/catalog_layout.py
	$(BIN)/python benchmarks/catalog_build.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/ranking.py --full
	$(BIN)/python benchmarks/ranking_growth.py
	$(BIN)/python benchmarks/logits.py
	$(BIN)/python benchmarks/reranking.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/checkpointing.py
	$(BIN)/python benchmarks/weak_supervision.py

fuzz: install  ## Fuzz the readers of tars, bag files and lists, FUZZ_SECONDS=60 each
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,fuzz]'
	$(BIN)/python tests/fuzz/fuzz_all.py

# The tests of the report want a real browser: Debian's, installed where that is allowed.
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends \
	    chromium chromium-driver fonts-dejavu-core) \
	  || echo "chromium could not be installed: the browser tests will be skipped"; \
	else echo "chromium is not installed: the browser tests will be skipped"; fi

clean:  ## Remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
